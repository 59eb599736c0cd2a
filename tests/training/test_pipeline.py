"""Stages one after the other: what starts from what, and what became of each part of the model."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import run as train_weights
from small_runs import same, small_recipe
from torch import nn

import eqvi
from eqvi.metrics import psnr, to_8bit
from eqvi.model import checkpoint
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training import monitor, pipeline
from eqvi.training.initialization import initial_model
from eqvi.training.loading import validation_samples
from eqvi.training.samples import WindowSample
from eqvi.training.stages import STAGES, freeze_all_but
from eqvi.training.validation import make_validation
from eqvi.training.window_samples import middle_window

NARROW = EQVIConfig(flow_width=0.25, refine_width=0.25, synthesis_width=0.25, context_channels=16, multi_scale=True)
RUNS = {"first": {"stage": "1"}, "second": {"stage": "2", "after": "first", "average": 0.5}}
COMMON = {"preset": "eqvi-quarter-dis", "crop": 64, "steps": 2, "batch": 1, "scored": 2, "score_every": 2}


class TestParts:
    def test_all_parameters_are_in_one_part_each(self) -> None:
        for model in (EQVI(NARROW), ScopeFlow(0.25)):
            parts = pipeline.parameters_by_part(model)
            counted = [id(parameter) for parameters in parts.values() for parameter in parameters]
            assert sorted(counted) == sorted(map(id, model.parameters()))
        assert set(parts) == {"flow", "occlusion"}
        names = {"flow", "occlusion", "refinement", "mask", "residual", "context", "fusion"}
        assert set(pipeline.parameters_by_part(EQVI(NARROW))) == names

    def test_a_flow_network_has_one_hash_alone_and_within_a_model(self) -> None:
        model = EQVI(NARROW)
        assert isinstance(model.flow, ScopeFlow)
        alone, within = pipeline.part_hashes(model.flow), pipeline.part_hashes(model)
        assert alone == {name: within[name] for name in alone}

    def test_a_hash_changes_with_any_weight_of_its_part_exclusive(self) -> None:
        model = EQVI(NARROW)
        before = pipeline.part_hashes(model)
        assert model.mask is not None
        weight = next(model.mask.parameters())
        weight.data.view(-1)[0] = torch.nextafter(weight.data.view(-1)[0], torch.tensor(9.0))
        after = pipeline.part_hashes(model)
        assert {name for name in after if after[name] != before[name]} == {"mask"}

    @pytest.mark.parametrize("stage", [name for name in STAGES if name != "flow"])
    def test_table_says_what_learns(self, stage: str) -> None:
        model = EQVI(PRESETS[stage] if stage in ("matching", "finishing") else NARROW)
        freeze_all_but(model, STAGES[stage].trains)
        table = pipeline.parts_table(model)
        assert set(table.index[table["trained"]]) == set(STAGES[stage].trains)
        assert table["parameters"].sum() == sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[pipeline.StageRun]:
    return pipeline.train_stages(folder, RUNS, COMMON)


class TestStageRuns:
    def test_each_starts_from_the_one_before(self, runs: list[pipeline.StageRun]) -> None:
        first, second = runs
        assert second.recipe.after == str(first.folder / "weights.safetensors")
        assert {name: second.before[name] for name in first.after} == first.after

    def test_what_trains_changes_and_nothing_else(self, runs: list[pipeline.StageRun]) -> None:
        for run in runs:
            changed = {name for name in run.after if run.after[name] != run.before[name]}
            assert changed == set(STAGES[run.recipe.stage].trains)

    def test_tables(self, runs: list[pipeline.StageRun]) -> None:
        table = pipeline.stage_table(runs)
        assert table["starts from"].to_dict() == {"first": "nothing", "second": "first"}
        assert table["trains"].to_dict() == {"first": "refinement, mask", "second": "refinement, mask, residual"}
        assert table["parameters"].to_dict() == {"first": 1_248_969, "second": 1_371_860}
        assert list(table["score after"]) == [run.scores[1]["psnr"] for run in runs]
        hashes = pipeline.hash_table(runs)
        assert list(hashes.columns) == ["refinement", "mask", "context", "residual"]
        assert list(hashes.loc["first"].isna()) == [False, False, True, True]
        assert list(hashes.loc["second"].str.endswith("*")) == [True, True, False, True]

    def test_frames_are_those_of_the_weights_on_disk(self, runs: list[pipeline.StageRun]) -> None:
        samples, model = validation_samples(runs[1].recipe), checkpoint.load(runs[1].folder / "weights.safetensors")
        score = make_validation(samples, model, torch.device("cpu"))(model)["psnr"]
        assert f"{score:.6g}" == f"{runs[1].scores[1]['psnr']:.6g}"
        assert isinstance(samples[0], WindowSample)
        window = middle_window(samples[0])
        with torch.inference_mode():
            frame = model(window.frames[None], window.t).frame
        assert torch.equal(pipeline.new_frames(runs, window)["second"], frame)

    def test_done_runs_are_only_read_until_restarted(self, runs: list[pipeline.StageRun], folder: Path) -> None:
        curve = folder / "first" / "curve.csv"
        before = curve.stat().st_mtime_ns
        only = {"first": RUNS["first"]}
        assert pipeline.train_stages(folder, only, COMMON) == runs[:1]
        assert curve.stat().st_mtime_ns == before
        assert pipeline.train_stages(folder, only, COMMON, restart=True) == runs[:1]
        assert curve.stat().st_mtime_ns != before

    def test_saved_model_is_the_averaged_one(self, runs: list[pipeline.StageRun]) -> None:
        run = runs[1]
        saved = checkpoint.load(run.folder / "weights.safetensors").state_dict()
        now = monitor.saved_model(run.recipe, run.folder).state_dict()
        assert saved.keys() == now.keys()
        assert all(torch.equal(saved[name], now[name]) for name in saved)

    def test_saved_examples_are_those_of_the_last_score(self, runs: list[pipeline.StageRun]) -> None:
        run = runs[1]
        examples = monitor.saved_examples(run.recipe, run.folder)
        assert [list(example.frames) for example in examples] == [["blend", "warp", "model"]] * 2
        readings = [psnr(to_8bit(example.frames["model"]), to_8bit(example.truth)) for example in examples]
        assert f"{sum(readings) / 2:.6g}" == f"{run.scores[1]['psnr']:.6g}"


@pytest.mark.usefixtures("tiny_presets")
def test_stages_flow_1_2_3_4_follow_one_another(tmp_path: Path) -> None:
    common = {"preset": "tiny", "steps": 1, "windows": 2, "score_every": 1}
    train_weights(small_recipe(stage="flow", **common), tmp_path / "flow")
    flow = tmp_path / "flow/published.ckpt"
    taken = {"1": ("flow",), "2": ("flow", "refinement", "mask"), "3": ("flow", "refinement", "mask", "residual")}
    taken["4"] = taken["3"]
    before: Path | None = None
    for stage, parts in taken.items():
        given = {"after": str(before)} if before else {"flow": str(flow)}
        recipe = small_recipe(stage=stage, **common, **given)
        model = initial_model(recipe)
        assert isinstance(model, EQVI)
        source: dict[str, nn.Module] = {"flow": checkpoint.load_flow(flow)}
        if before:
            source |= dict(checkpoint.load(before).named_children())
        for part in parts:
            assert same(getattr(model, part).state_dict(), source[part].state_dict()), (stage, part)
        train_weights(recipe, tmp_path / stage)
        own = checkpoint.load(tmp_path / stage / "weights.safetensors")
        published = eqvi.load(tmp_path / stage / "published.ckpt", own.config.motion)
        assert own.config == recipe.config()
        if own.config.residual:  # without it no tensor tells its widths
            assert published.config == own.config
        assert same(own.state_dict(), published.state_dict())
        frames = torch.rand(1, 4, 3, 64, 64)
        with torch.inference_mode():
            assert torch.equal(own(frames, 0.25).frame, published(frames, 0.25).frame)
        # Either file is good to go on from.
        before = tmp_path / stage / ("published.ckpt" if stage == "2" else "weights.safetensors")
    last, end = (load_file(tmp_path / stage / "weights.safetensors") for stage in ("3", "4"))
    changed = {name for name in end if name not in last or not torch.equal(end[name], last[name])}
    assert {name.partition(".")[0] for name in changed} == {"fusion"}


@pytest.mark.usefixtures("tiny_presets")
def test_a_flow_network_reads_the_same_in_both_formats(tmp_path: Path) -> None:
    flow = initial_model(small_recipe(stage="flow", preset="tiny"))
    assert isinstance(flow, ScopeFlow)
    checkpoint.save(flow, tmp_path / "own.safetensors")
    checkpoint.export_published_flow(flow, tmp_path / "published.ckpt")
    a, b = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    for name in ("own.safetensors", "published.ckpt"):
        back = checkpoint.load_flow(tmp_path / name)
        assert same(back.state_dict(), flow.state_dict())
        with torch.inference_mode():
            assert torch.equal(back(a, b), flow(a, b))
