"""Recipes: refused values, defaults, what they name, and the recipe files of notebook 13."""

import ast
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from small_runs import TINY, small_recipe

from eqvi.cli import headless, study
from eqvi.cli.train import recipe_values
from eqvi.errors import InputError
from eqvi.model import checkpoint
from eqvi.model.eqvi import EQVI
from eqvi.paths import NOTEBOOKS, PARAMS, ROOT
from eqvi.training.recipe import Recipe
from eqvi.training.stages import STAGES
from eqvi.training.train import train

RECIPES = sorted(PARAMS.glob("train_*.yaml"))

pytestmark = pytest.mark.usefixtures("tiny_presets")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"colour": 1}, "has no 'colour'"),
        ({"batch": "two"}, "batch='two' must be of type int"),
        ({"batch": True}, "batch=True must be of type int"),
        ({"rate": "1e-4"}, "rate='1e-4' must be of type float"),
        ({"stage": "5"}, "stage '5' is not known"),
        ({"preset": "huge"}, "preset 'huge' is not known"),
        ({"motion": "cubic"}, "motion 'cubic' is not known"),
        ({"residual": "maybe"}, "residual 'maybe' is not known"),
        ({"augment": "some"}, "augment 'some' is not known"),
        ({"schedule": "linear"}, "schedule 'linear' is not known"),
        ({"precision": "float16"}, "precision 'float16' is not known"),
        ({"begin": "zero"}, "begin 'zero' is not known"),
        ({"crop": 100}, "crop 100 cannot be used"),
        ({"crop": 32}, "crop 32 cannot be used"),
        ({"stored": 32}, "stored 32 is smaller than crop"),
        ({"batch": 0}, "batch 0 cannot be used: give at least 1"),
        ({"epochs": 0}, "epochs 0 cannot be used"),
        ({"score_every": 0}, "score_every 0 cannot be used"),
        ({"steps": -1}, "steps -1 cannot be used"),
        ({"seed": -1}, "seed -1 cannot be used"),
        ({"rate": 0.0}, "rate 0.0 cannot be used"),
        ({"rate": float("inf")}, "rate inf cannot be used"),
        ({"rate": float("nan")}, "rate nan cannot be used"),
        ({"clip": float("nan")}, "clip nan cannot be used"),
        ({"decay": float("inf")}, "decay inf cannot be used"),
        ({"average": 1.0}, "average 1.0 must be at least 0 and below 1"),
        ({"average": float("nan")}, "average nan must be"),
        ({"batch": 3, "accumulate": 2}, "batch 3 cannot be divided into 2 equal parts"),
        ({"stage": "4"}, "crop 64 is too small for two scales of known flow: give at least 128"),
        ({"trajectory": 8, "preset": "tiny"}, "trajectory 8 cannot be used: give 4 or 8, data windows"),
    ],
)
def test_bad_values_are_refused(values: dict[str, Any], message: str, unchecked: None) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")) as error:
        Recipe.from_values({"crop": 64, "preset": "tiny-dis"} | values)
    assert "\n" not in str(error.value)


def test_defaults_are_the_published_recipe() -> None:
    recipe = Recipe()
    assert (recipe.stage, recipe.preset, recipe.crop, recipe.batch, recipe.epochs) == ("scratch", "eqvi", 512, 12, 200)
    assert (recipe.rate, recipe.schedule, recipe.augment) == (1e-4, "published", "published")
    assert (recipe.spacing, recipe.every) == (4, 4)
    assert recipe.loss_terms() == {"laplacian": 5.0, "l1": 10.0}
    assert Recipe(stage="scratch-vgg").loss_terms() == {"laplacian": 5.0, "l1": 10.0, "vgg": 0.1}
    assert Recipe.from_values({"rate": 1}).rate == 1.0
    assert Recipe.from_values(dataclasses.asdict(recipe)) == recipe


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stage": "flow"}, "preset tiny-dis has no flow network to train"),
        ({"stage": "2"}, "stage 2 goes on from another: give after"),
        ({"preset": "tiny"}, "preset tiny has a flow network, which this stage does not train: give flow"),
        ({"flow": "x.ckpt"}, "preset tiny-dis has no flow network: leave it out"),
        ({"preset": "tiny", "flow": "missing.ckpt"}, "missing.ckpt: there is no such checkpoint"),
        ({"stage": "2", "after": "missing.ckpt"}, "missing.ckpt: there is no such checkpoint"),
        ({"context": "missing.pth"}, "missing.pth: there is no such file"),
        ({"context": "tests"}, "tests: there is no such file"),
        ({"context": "README.md"}, r"README.md: cannot be read \(.*weights resnet18`"),
        ({"data": "missing"}, "missing: there is no such folder"),
        ({"data": "missing", "validation": "missing"}, "missing: there is no such folder"),
        ({"data": "y", "store": "x"}, "a store holds rendered windows"),
        (
            {"stage": "flow", "preset": "tiny", "data": "y"},
            "stage flow learns from exact flow, which rendered windows alone have",
        ),
        ({"terms": {"l2": 1.0}}, "loss term 'l2' is not known"),
        ({"terms": {"l1": -1.0}}, "must be a positive number"),
        ({"terms": {"l1": "much"}}, "must be a positive number"),
        ({"data": "anywhere", "terms": {"blend": 1.0}}, "loss term 'blend' is not known"),
        ({"vgg": "missing.pth", "stage": "scratch-vgg"}, "missing.pth: there is no such file: .*ms_ssim"),
        ({"stage": "2", "after": "WIDE"}, "its refinement is of other widths than this preset's"),
        ({"stage": "2", "after": "README.md"}, "README.md: not a readable checkpoint"),
    ],
)
def test_what_a_recipe_names_is_refused_if_it_cannot_be_used(
    values: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None
) -> None:
    monkeypatch.chdir(ROOT)
    if "WIDE" in values.values():
        wide = dataclasses.replace(TINY, flow="dis", refine_width=1 / 16, motion="quadratic", residual=False)
        checkpoint.save(EQVI(wide), tmp_path / "wide.safetensors")
        values = values | {"after": str(tmp_path / "wide.safetensors")}
    with pytest.raises(InputError, match=message) as error:
        train(small_recipe(**values), tmp_path / "run", progress=False)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_parameters_of_notebook_13_are_the_recipe() -> None:
    declared = headless.parameters_of(NOTEBOOKS / "13_train.ipynb")
    fields = {field.name: type(field.metadata["default"]) for field in dataclasses.fields(Recipe)}
    others = {"out": str, "device": str, "workers": int, "minutes": float, "threads": int, "restart": bool}
    assert list(declared) == [*fields, *others]
    values = {name: ast.literal_eval(text) for name, text in declared.items()}
    assert {name: type(value) for name, value in values.items()} == fields | others
    Recipe.from_values({name: values[name] for name in fields})


def test_every_stage_has_a_recipe_file() -> None:
    assert {Recipe.from_values(recipe_values(path)[0]).stage for path in RECIPES} == set(STAGES)


@pytest.mark.parametrize("path", [*RECIPES, study.QUICK / "13_train.yaml"], ids=lambda path: path.stem)
def test_notebook_13_takes_the_recipe_file(path: Path) -> None:
    notebook = NOTEBOOKS / "13_train.ipynb"
    defaults = headless.parameters_of(notebook)
    given = study.assign({"all": study.read_yaml(path)}, [], {notebook: defaults})[notebook]
    values = {name: ast.literal_eval(text) for name, text in defaults.items()} | given
    names = [field.name for field in dataclasses.fields(Recipe)]
    Recipe.from_values({name: values[name] for name in names})


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_files_leave_nothing_to_two_different_defaults(path: Path) -> None:
    notebook = NOTEBOOKS / "13_train.ipynb"
    given = recipe_values(path)[0]
    for name, text in headless.parameters_of(notebook).items():
        known = {field.name: field.metadata["default"] for field in dataclasses.fields(Recipe)}
        if name in known and ast.literal_eval(text) != known[name]:
            assert name in given, f"{path.name} leaves {name} to a default, of which there are two"
