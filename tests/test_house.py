"""The house rules that a machine can check."""

import ast
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from eqvi.markdown import make_targets
from eqvi.paths import NOTEBOOKS, ROOT
from eqvi.reports import readme

# The package by floors. A file imports only what stands above it, or in its own line to the left of it.
FLOORS = [
    "errors paths provenance memory config geometry motion unet metrics statistics palette picture procedural "
    "schedule settings",
    "visibility pwc flow classical synthesis photographs synthetic camera scenes records colour cuts data encoder "
    "video clip naming reds perceptual ensemble dataset rows compression "
    "subject",
    "model trace exploration panels mosaic page charts viz illustrations report speed scores reported tables claimed "
    "claims ablation window peers sink hashes transfer archive inspection flow_table card",
    "checkpoint __init__ choose sources drawing widgets controls explorer methods conversion interpolate film evaluate "
    "worst download motion_error render doctor headless study training training.batch "
    "training.stages training.rates training.augment training.recipe "
    "training.rendered training.losses training.vgg training.filters training.learner training.footage "
    "training.snapshot training.store training.pairs training.processes training.material training.scoring "
    "training.pyramid training.beginning training.curve training.outcome training.run training.engine training.watch "
    "training.chain train ship workloads bench flow_error "
    "web web.formulas web.links web.markdown web.notebooks web.verdicts web.windows web.build site",
    "readme __main__",
]
ORDER = " ".join(FLOORS).split()
# By name within the package: "motion", "training.batch"; a folder's own __init__ goes by the folder's name.
MODULES = {
    ".".join(path.relative_to(ROOT / "eqvi").with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "eqvi").rglob("*.py"))
}
# Packages that only these files may import.
RESERVED = {"matplotlib": {"page", "viz"}, "papermill": {"headless"}, "latex2mathml": {"web.formulas"}}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()


def imported(path: Path) -> Iterator[str]:
    """The full names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path.name} has a relative import"
            if node.module.split(".")[0] == "eqvi":  # of one of its modules, or of what a module or the package offers
                names = (f"{node.module}.{alias.name}" for alias in node.names)
                yield from (name if name.removeprefix("eqvi.") in MODULES else node.module for name in names)
            else:
                yield node.module


def packages(path: Path) -> set[str]:
    return {full.split(".")[0] for full in imported(path)}


class TestPackage:
    def test_every_module_has_its_floor(self) -> None:
        assert sorted(ORDER) == sorted(MODULES)

    @pytest.mark.parametrize("name", [name for name in ORDER if name in MODULES])
    def test_imports_go_upward(self, name: str) -> None:
        inner = {full for full in imported(MODULES[name]) if full.split(".")[0] == "eqvi"}
        above = {f"eqvi.{other}" for other in ORDER[: ORDER.index(name)]}
        assert {"eqvi.__init__" if full == "eqvi" else full for full in inner} <= above

    @pytest.mark.parametrize("name", MODULES)
    def test_modules_are_small(self, name: str) -> None:
        assert len(MODULES[name].read_text().splitlines()) < 320

    def test_some_packages_are_kept_to_one_file(self) -> None:
        for package, owners in RESERVED.items():
            assert {name for name, path in MODULES.items() if package in packages(path)} <= owners
        assert "torch" not in packages(MODULES["report"])

    def test_no_device_is_named_in_the_model(self) -> None:
        model = ["geometry", "motion", "unet", "visibility", "pwc", "flow", "synthesis", "model"]
        assert [name for name in model if "cuda" in MODULES[name].read_text()] == []

    def test_every_import_is_a_declared_dependency(self) -> None:
        modules = {"cv2": "opencv-python-headless", "PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml"}
        declared = {canonicalize_name(Requirement(line).name) for line in PYPROJECT["project"]["dependencies"]}
        needed = set[str]().union(*map(packages, MODULES.values())) - {"eqvi"}
        outside = {canonicalize_name(modules.get(name, name)) for name in needed - sys.stdlib_module_names}
        assert outside - declared == set()


class TestEnvironment:
    def lock(self) -> dict[str, Requirement]:
        lines = (ROOT / "requirements.lock").read_text().splitlines()
        requirements = [Requirement(line) for line in lines if not line.startswith("#")]
        return {canonicalize_name(requirement.name): requirement for requirement in requirements}

    def test_lock_pins_one_version_each(self) -> None:
        lock = self.lock()
        assert all(re.fullmatch(r"==[0-9][0-9a-z.]*", str(requirement.specifier)) for requirement in lock.values())
        assert str(lock["torch"]) == "torch==2.13.0"
        assert [name for name in lock if re.match(r"nvidia|cuda|triton", name)] == []

    def test_lock_is_within_what_the_package_asks_for(self) -> None:
        project, lock = PYPROJECT["project"], self.lock()
        for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
            wanted = Requirement(line)
            pinned = str(lock[canonicalize_name(wanted.name)].specifier).removeprefix("==")
            assert wanted.specifier.contains(pinned), line

    def test_conda_installs_the_same_lock(self) -> None:
        environment = yaml.safe_load((ROOT / "environment.yml").read_text())
        assert environment["name"] == "eqvi"
        *conda, pip = environment["dependencies"]
        assert conda == ["python=3.11", "pip", "make", "git"]
        assert pip == {"pip": ["-r requirements.lock", "-e ."]}

    def test_citation_is_of_this_version(self) -> None:
        citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
        assert citation["version"] == PYPROJECT["project"]["version"]
        assert citation["license"] == PYPROJECT["project"]["license"]
        assert len(citation["references"]) == 4

    def test_ci_runs_the_tests_as_the_readme_says(self) -> None:
        script = ROOT / ".ci" / "run"
        assert os.access(script, os.X_OK)
        assert {"make check </dev/null", "make test </dev/null"} <= set(script.read_text().splitlines())


class TestCommands:
    def test_help_is_the_default_and_explains_every_target(self) -> None:
        targets = [name for name, _ in make_targets(MAKEFILE)]
        assert targets[0] == "help"
        phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
        assert phony is not None
        assert set(targets) == set(phony[1].split()) - {"again"}

    def test_readme_names_every_target_and_no_other(self) -> None:
        text = (ROOT / "README.md").read_text()
        assert set(re.findall(r"`make ([a-z]+)", text)) == {name for name, _ in make_targets(MAKEFILE)}

    def test_readme_is_in_step(self) -> None:
        for path in readme.DOCUMENTS:
            assert readme.filled(path) == path.read_text()


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
class TestNotebooks:
    def cells(self, path: Path) -> list[nbformat.NotebookNode]:
        return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]

    def test_is_stripped_and_has_names_for_its_cells(self, path: Path) -> None:
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)
        assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)  # the first that has cell ids
        assert notebook.metadata.keys() == {"kernelspec", "language_info"}
        kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        assert notebook.metadata.kernelspec == kernel
        assert notebook.metadata.language_info == {"name": "python"}
        for cell in notebook.cells:
            assert cell.metadata.keys() <= {"tags"}
            assert cell.get("outputs", []) == []
            assert cell.get("execution_count") is None

    def test_cells_are_short_calls(self, path: Path) -> None:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While, ast.Try)
        for cell in self.cells(path):
            # A recipe has more fields than that, each with its line.
            assert len(cell.source.splitlines()) <= 15 or "parameters" in cell.metadata.get("tags", []), cell.source
            tree = ast.parse(cell.source)  # no magics and no shell commands either: papermill misses their failures
            assert [node for node in ast.walk(tree) if isinstance(node, kinds)] == [], cell.source

    def test_parameters_are_annotated_literals_with_a_comment(self, path: Path) -> None:
        cells = self.cells(path)
        tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
        assert tagged in ([], cells[:1])
        for cell in tagged:
            for statement in ast.parse(cell.source).body:
                assert isinstance(statement, ast.AnnAssign), cell.source
                assert statement.value is not None
                ast.literal_eval(statement.value)
                assert statement.end_lineno is not None
                assert "  # " in cell.source.splitlines()[statement.end_lineno - 1], cell.source

    def test_begins_with_its_title(self, path: Path) -> None:
        notebook = nbformat.read(path, as_version=4)
        assert notebook.cells[0].cell_type == "markdown"
        assert notebook.cells[0].source.startswith("# ")
