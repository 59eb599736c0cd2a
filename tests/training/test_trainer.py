"""Tiny training runs: what learns, that they can be stopped anywhere, that processes and parts do not matter."""

import dataclasses
import errno
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import eqvi
from eqvi import metrics
from eqvi.errors import InputError
from eqvi.files import exclusive
from eqvi.model import checkpoint
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.model.motion import FLOW_PAIRS
from eqvi.model.scopeflow import ScopeFlow
from eqvi.paths import ROOT
from eqvi.training import train as train_module
from eqvi.training import trainer as run_module
from eqvi.training.augment import Augmentation
from eqvi.training.curve import Curve, read_curve
from eqvi.training.distributed import Processes
from eqvi.training.filters import cosine_filters
from eqvi.training.initialization import initial_model
from eqvi.training.loading import batches, open_source, validation_samples
from eqvi.training.losses import Loss
from eqvi.training.lr_schedule import rate_factor
from eqvi.training.objectives import FlowLearner, FrameLearner
from eqvi.training.recipe import Recipe
from eqvi.training.rendered import RenderedWindows
from eqvi.training.samples import FlowBatch, FrameBatch, collate
from eqvi.training.stages import STAGES, find_stage, freeze_all_but, stage_config
from eqvi.training.train import Progress, train
from eqvi.training.validation import FlowScores, FrameScores
from eqvi.training.window_cache import StoredWindows, fill_store

TINY = EQVIConfig(flow_width=1 / 16, refine_width=1 / 32, synthesis_width=1 / 32, context_channels=4)
CPU = torch.device("cpu")
# Rendering is what takes time here, and the same number gives the same window (tests/test_scenes.py).
_WINDOW = functools.cache(RenderedWindows.window)


@pytest.fixture(autouse=True)
def _presets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RenderedWindows, "window", _WINDOW)
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    monkeypatch.setitem(PRESETS, "tiny-dis", dataclasses.replace(TINY, flow="dis"))


def recipe(**values: Any) -> Recipe:
    """A recipe of the least size, four steps long."""
    small = {"preset": "tiny-dis", "crop": 64, "windows": 4, "batch": 2, "steps": 4, "scored": 1, "score_every": 2}
    return Recipe(**small | {"rate": 1e-3, "begin": "plain", "schedule": "constant"} | values)


def run(made: Recipe, folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    """Carry it out; the weights that it leaves."""
    train(made, folder, progress=False, **options)
    return load_file(folder / "weights.safetensors")


def largest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """The largest difference between two sets of weights."""
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four windows of 96x96 with their DIS flows."""
    folder = tmp_path_factory.mktemp("store")
    fill_store(folder, 4, (96, 96), progress=False)
    return folder


def all_on(store: Path, **values: Any) -> Recipe:
    """A recipe with everything switched on that a state has to carry."""
    more = {"store": str(store), "stored": 96, "augment": "full", "average": 0.9, "accumulate": 2, "clip": 1.0}
    return recipe(**more | {"steps": 8, "schedule": "cosine", "decay": 1e-3, "score_every": 3} | values)


@pytest.fixture(scope="module")
def whole(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `all_on` that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    PRESETS["tiny-dis"] = dataclasses.replace(TINY, flow="dis")
    run(all_on(store), folder)
    return folder


def equal_runs(a: Path, b: Path) -> bool:
    """Whether two runs left the same weights, bit for bit, and the same curves."""
    equal = all((a / name).read_bytes() == (b / name).read_bytes() for name in ("curve.csv", "scores.csv"))
    # Not the bytes of the whole file: safetensors writes its metadata in any order.
    return equal and same(*(load_file(folder / "weights.safetensors") for folder in (a, b)))


#: What `all_on` is in a process of its own: its arguments are the store, the folder and how often to save.
SCRIPT = f"""
import dataclasses, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.training.train import train
from eqvi.training.recipe import Recipe
PRESETS["tiny-dis"] = dataclasses.replace({TINY!r}, flow="dis")
values = eval(sys.argv[1])
if __name__ == "__main__":
    train(Recipe(**values), Path(sys.argv[2]), progress=False, save_every=float(sys.argv[3]))
"""


def by_script(made: Recipe, folder: Path, save_every: float = 0.0) -> list[str]:
    """The command that carries a recipe out in a process of its own."""
    return ["-c", SCRIPT, repr(dataclasses.asdict(made)), str(folder), str(save_every)]


class TestStages:
    """What is frozen is frozen."""

    @pytest.mark.parametrize("stage", [name for name in STAGES if name != "flow"])
    def test_only_what_a_stage_names_changes(self, stage: str) -> None:
        wanted = set(find_stage(stage).trains)
        model = EQVI(stage_config(find_stage(stage), TINY))
        learning = freeze_all_but(model, find_stage(stage).trains)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        optimiser = torch.optim.AdamW(learning, lr=1e-3, weight_decay=0.1)
        frames, truth = torch.rand(1, 4, 3, 64, 64), torch.rand(1, 3, 64, 64)
        FrameLearner(model, Loss({"l1": 1.0}))(FrameBatch(frames, truth, torch.tensor([0.5])))["total"].backward()
        with_gradient = {name for name, value in model.named_parameters() if value.grad is not None}
        optimiser.step()
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        should = {
            name
            for name, _ in model.named_parameters()
            if name.partition(".")[0] in wanted and not name.startswith("residual.context")
        }
        assert with_gradient == should
        assert changed == should
        assert {name.partition(".")[0] for name in changed} == wanted

    def test_stage_flow_trains_all_but_the_occlusion_decoder(self) -> None:
        model = ScopeFlow(1 / 16)
        learning = freeze_all_but(model, find_stage("flow").trains)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        optimiser = torch.optim.AdamW(learning, lr=1e-3, weight_decay=0.1)
        a, b, flow = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), torch.randn(1, 2, 64, 64)
        FlowLearner(model)(FlowBatch(a, b, flow, torch.ones(1, 1, 64, 64)))["total"].backward()
        should = {name for name, _ in model.named_parameters() if not name.startswith("occlusion.")}
        assert {name for name, value in model.named_parameters() if value.grad is not None} == should
        optimiser.step()
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        assert changed == should

    @pytest.mark.parametrize(("stage", "count"), [("scratch", 21_699_500), ("3", 21_699_500), ("4", 11_297)])
    def test_trainable_parameters_at_published_widths(self, stage: str, count: int) -> None:
        with torch.device("meta"):
            model = EQVI(stage_config(find_stage(stage), PRESETS["eqvi"]))
        learning = freeze_all_but(model, find_stage(stage).trains)
        assert sum(parameter.numel() for parameter in learning) == count
        # The published count of 28 071 018 has two constant kernels of nine among them.
        fusion = 11_297 if stage == "4" else 0
        assert sum(parameter.numel() for parameter in model.parameters()) == 28_071_018 - 18 + fusion

    @pytest.mark.parametrize(
        ("stage", "motion", "residual", "multi_scale"),
        [
            ("1", "quadratic", False, False), ("2", "quadratic", True, False), ("3", "rectified", True, False),
            ("4", "rectified", True, True), ("scratch", "rectified", True, False),
        ],
    )  # fmt: skip
    def test_what_a_stage_makes(self, stage: str, motion: str, residual: bool, multi_scale: bool) -> None:
        config = stage_config(find_stage(stage), TINY)
        assert (config.motion, config.residual, config.multi_scale) == (motion, residual, multi_scale)
        ablation = stage_config(find_stage(stage), TINY, "linear", False)
        assert (ablation.motion, ablation.residual) == ("linear", False)

    def test_a_plain_beginning_is_a_warp_blended_half_and_half(self) -> None:
        model = initial_model(recipe(stage="scratch"))
        assert isinstance(model, EQVI)
        frames = torch.rand(1, 4, 3, 64, 64)
        motion = model.estimate_motion(frames)
        made = model.interpolate(frames, motion, 0.25)
        assert torch.equal(made.mask, torch.full_like(made.mask, 0.5))
        assert made.residual is not None
        assert not made.residual.any()
        assert torch.allclose(made.frame, 0.75 * made.warped_1 + 0.25 * made.warped_2, atol=1e-6)

    def test_context_filters(self, tmp_path: Path) -> None:
        filters = cosine_filters(64).flatten(1)
        assert torch.allclose(filters @ filters.T, torch.eye(64), atol=1e-5)
        model = initial_model(recipe())
        assert isinstance(model, EQVI)
        assert model.residual is not None
        assert torch.equal(model.residual.context.weight, cosine_filters(4))
        given = torch.randn(4, 3, 7, 7)
        torch.save({"conv1.weight": given, "fc.bias": torch.zeros(2)}, tmp_path / "resnet.pth")
        model = initial_model(recipe(context=str(tmp_path / "resnet.pth")))
        assert isinstance(model, EQVI)
        assert model.residual is not None
        assert torch.equal(model.residual.context.weight, given)

    def test_the_seed_decides_the_beginning(self) -> None:
        first, again, other = (initial_model(recipe(seed=seed, begin="published")).state_dict() for seed in (1, 1, 2))
        assert same(first, again)
        assert not same(first, other)


class TestChain:
    """From stage to stage, and out into the published files."""

    def test_flow_1_2_3_4(self, tmp_path: Path) -> None:
        common = {"preset": "tiny", "steps": 1, "windows": 2, "score_every": 1}
        run(recipe(stage="flow", **common), tmp_path / "flow")
        flow = tmp_path / "flow/published.ckpt"
        taken = {"1": ("flow",), "2": ("flow", "refinement", "mask"), "3": ("flow", "refinement", "mask", "residual")}
        taken["4"] = taken["3"]
        before: Path | None = None
        for stage, parts in taken.items():
            given = {"after": str(before)} if before else {"flow": str(flow)}
            made = recipe(stage=stage, **common, **given)
            model = initial_model(made)
            assert isinstance(model, EQVI)
            source: dict[str, nn.Module] = {"flow": checkpoint.load_flow(flow)}
            if before:
                source |= dict(checkpoint.load(before).named_children())
            for part in parts:
                assert same(getattr(model, part).state_dict(), source[part].state_dict()), (stage, part)
            run(made, tmp_path / stage)
            own = checkpoint.load(tmp_path / stage / "weights.safetensors")
            published = eqvi.load(tmp_path / stage / "published.ckpt", own.config.motion)
            assert own.config == made.config()
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

    def test_a_flow_network_in_both_forms(self, tmp_path: Path) -> None:
        flow = initial_model(recipe(stage="flow", preset="tiny"))
        assert isinstance(flow, ScopeFlow)
        checkpoint.save(flow, tmp_path / "own.safetensors")
        checkpoint.export_published_flow(flow, tmp_path / "published.ckpt")
        a, b = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
        for name in ("own.safetensors", "published.ckpt"):
            back = checkpoint.load_flow(tmp_path / name)
            assert same(back.state_dict(), flow.state_dict())
            with torch.inference_mode():
                assert torch.equal(back(a, b), flow(a, b))


class TestRates:
    def test_published_drops_fall_at_epochs_99_and_149(self) -> None:
        per_epoch = 86
        factors = [rate_factor("published", step, 200 * per_epoch, per_epoch) for step in range(200 * per_epoch)]
        drops = [step for step in range(1, len(factors)) if factors[step] != factors[step - 1]]
        assert drops == [99 * per_epoch, 149 * per_epoch]
        assert [factors[0], factors[drops[0]], factors[drops[1]]] == pytest.approx([1, 0.1, 0.01])

    @pytest.mark.parametrize(("steps", "per_epoch"), [(8, 4), (8, 100), (12, 4)])
    def test_published_drops_of_a_short_run(self, steps: int, per_epoch: int) -> None:
        factors = [rate_factor("published", step, steps, per_epoch) for step in range(steps)]
        half, quarter = steps // 2, steps // 4
        assert factors == pytest.approx([1.0] * half + [0.1] * quarter + [0.01] * quarter)

    def test_cosine(self) -> None:
        factors = [rate_factor("cosine", step, 2000, 7) for step in range(2000)]
        assert factors[:100] == pytest.approx([(step + 1) / 101 for step in range(100)])
        assert factors[100] == 1
        assert factors[100 + 950] == pytest.approx(0.505)
        assert all(a > b for a, b in pairwise(factors[100:]))
        assert factors[-1] == pytest.approx(0.01, abs=1e-4)
        assert max(rate_factor("cosine", step, 5, 1) for step in range(5)) == 1

    def test_constant(self) -> None:
        assert {rate_factor("constant", step, 10, 2) for step in range(10)} == {1.0}

    def test_a_run_takes_the_rates_of_its_schedule(self, tmp_path: Path) -> None:
        run(recipe(schedule="published", steps=8, windows=2, batch=1, score_every=8), tmp_path)
        rows = read_curve(tmp_path / "curve.csv")
        assert [int(row["epoch"]) for row in rows] == [0, 0, 1, 1, 2, 2, 3, 3]
        # Of four epochs: at 2 - 1 and at 3 - 1.
        assert [float(row["rate"]) for row in rows] == pytest.approx([1e-3] * 2 + [1e-4] * 2 + [1e-5] * 4)


class TestStopping:
    """Whatever ends a run, it goes on to the same end."""

    def test_kills(self, store: Path, whole: Path, tmp_path: Path) -> None:
        draw = random.Random(3)
        killed = 0
        for kill in range(3):
            command = [sys.executable, *by_script(all_on(store), tmp_path)]
            process = subprocess.Popen(command, cwd=ROOT)
            begun = time.monotonic()
            while time.monotonic() < begun + 60 and process.poll() is None:
                # After some steps more than last time, at whatever moment.
                curve = tmp_path / "curve.csv"
                if curve.is_file() and curve.read_bytes().count(b"\n") > 1 + 2 * kill + draw.randrange(2):
                    break
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.15))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        assert killed == 3
        assert not (tmp_path / "weights.safetensors").exists()
        run(all_on(store), tmp_path, save_every=0)
        assert equal_runs(tmp_path, whole)
        assert [int(row["step"]) for row in read_curve(tmp_path / "scores.csv")] == [0, 3, 6, 8]
        assert [int(row["step"]) for row in read_curve(tmp_path / "curve.csv")] == list(range(1, 9))

    @pytest.mark.parametrize("call", range(1, 5))
    def test_ended_in_the_middle_of_anything(
        self, call: int, store: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A state that never comes about, before and after what belongs to it is on disk."""
        saved = os.replace
        count = 0

        def dying(before: Any, after: Any) -> None:
            nonlocal count
            if str(after).endswith("state.pt"):
                count += 1
                if count == 2 * call:
                    if call % 2:
                        saved(before, after)
                    raise KeyboardInterrupt
            saved(before, after)

        monkeypatch.setattr(os, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            run(all_on(store), tmp_path, save_every=0)
        monkeypatch.setattr(os, "replace", saved)
        with (tmp_path / "curve.csv").open("a") as file:
            file.write("9,0,0.00")  # a row that a kill has cut short
        run(all_on(store), tmp_path, save_every=0)
        assert equal_runs(tmp_path, whole)

    def test_a_run_that_was_killed_before_its_first_state(self, store: Path, whole: Path, tmp_path: Path) -> None:
        for name in ("curve.csv", "scores.csv"):
            lines = (whole / name).read_bytes().splitlines(keepends=True)
            (tmp_path / name).write_bytes(b"".join(lines[:3]))
        run(all_on(store), tmp_path)
        assert equal_runs(tmp_path, whole)

    def test_a_time_budget(self, store: Path, whole: Path, tmp_path: Path) -> None:
        made = all_on(store)
        outcomes = []
        while not outcomes or outcomes[-1].step < 8:
            outcomes.append(train(made, tmp_path, minutes=1e-9, progress=False))
            assert (tmp_path / "weights.safetensors").exists() == (outcomes[-1].step == 8)
        assert [outcome.step for outcome in outcomes] == list(range(1, 9))
        assert equal_runs(tmp_path, whole)

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
    def test_signals(self, name: str, store: Path, whole: Path, tmp_path: Path) -> None:
        def listen(progress: Progress) -> None:
            if progress.step == 3:
                os.kill(os.getpid(), getattr(signal, name))

        before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        with pytest.raises(KeyboardInterrupt):
            train(all_on(store), tmp_path, progress=False, listen=listen)
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
        assert torch.load(tmp_path / "state.pt")["step"] == 3
        run(all_on(store), tmp_path)
        assert equal_runs(tmp_path, whole)

    def test_a_run_that_is_done_is_left_as_it_is(
        self, store: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in whole.iterdir()}
        monkeypatch.setattr(run_module, "begin", lambda _: pytest.fail("a model was made"))
        outcome = train(all_on(store), whole, progress=False)
        assert (outcome.step, outcome.steps) == (8, 8)
        assert outcome.scores == json.loads((whole / "run.json").read_text())["scores"]
        assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in whole.iterdir()} == before

    def test_a_run_that_is_done_but_lost_its_weights(self, store: Path, whole: Path, tmp_path: Path) -> None:
        for path in whole.iterdir():
            if path.name != "weights.safetensors":
                (tmp_path / path.name).write_bytes(path.read_bytes())
        run(all_on(store), tmp_path)
        assert equal_runs(tmp_path, whole)
        assert "weights_sha256" in json.loads((tmp_path / "run.json").read_text())

    def test_two_at_once(self, store: Path, tmp_path: Path) -> None:
        with exclusive(tmp_path), pytest.raises(InputError, match="another process works there now"):
            run(recipe(), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]

    def test_another_recipe_is_refused_by_name(self, store: Path, whole: Path) -> None:
        made = all_on(store)
        for name, value in (("rate", 2e-3), ("seed", 1), ("augment", "none"), ("terms", {"l1": 1.0})):
            with pytest.raises(InputError, match=f"holds a run with {name}="):
                train(dataclasses.replace(made, **{name: value}), whole, progress=False)


class TestTrouble:
    def test_a_loss_that_is_not_finite(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made, source = recipe(accumulate=2), open_source(recipe(), Processes("cpu"))
        clean, calls = FrameLearner.forward, []

        def failing(self: FrameLearner, batch: FrameBatch) -> dict[str, torch.Tensor]:
            calls.append(batch)
            losses = clean(self, batch)
            return {name: value * (torch.nan if len(calls) == 5 else 1) for name, value in losses.items()}

        monkeypatch.setattr(FrameLearner, "forward", failing)
        with pytest.raises(
            InputError, match=r"step 3: .*total nan.*the batch is in .*bad_batch_0.safetensors"
        ) as caught:
            run(made, tmp_path, save_every=0)
        assert "\n" not in str(caught.value)
        kept = load_file(tmp_path / "bad_batch_0.safetensors")
        # Two steps of two windows came before.
        for part in (0, 1):
            window = source.sample(4 + part)
            assert torch.equal(kept[f"{part}.frames"][0], window.frames)
            assert torch.equal(kept[f"{part}.truth"][0], window.truth)
            assert kept[f"{part}.t"].item() == window.t
        state = torch.load(tmp_path / "state.pt")
        assert state["step"] == 2
        assert all(value.isfinite().all() for value in state["model"].values())
        monkeypatch.setattr(FrameLearner, "forward", clean)
        assert same(run(made, tmp_path), run(made, tmp_path / "whole"))

    def test_a_gradient_that_is_not_finite(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(torch.inf))
        with pytest.raises(InputError, match="step 1: gradient inf: the batch"):
            run(recipe(), tmp_path)

    @pytest.mark.parametrize("failing", ["torch.save", "os.replace"])
    def test_a_disk_that_fills(self, failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made, count = recipe(), 0
        owner, name = (torch, "save") if failing == "torch.save" else (os, "replace")
        clean = getattr(owner, name)

        def full(*given: Any) -> None:
            nonlocal count
            count += name == "save" or str(given[1]).endswith("state.pt")
            if count == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            clean(*given)

        monkeypatch.setattr(owner, name, full)
        with pytest.raises(InputError, match=r"state.pt: cannot be written: the disk is full"):
            run(made, tmp_path, save_every=0)
        monkeypatch.setattr(owner, name, clean)
        assert not (tmp_path / ".state.pt").exists()
        assert torch.load(tmp_path / "state.pt")["step"] == 2
        assert same(run(made, tmp_path), run(made, tmp_path / "whole"))

    @pytest.mark.parametrize("damage", ["cut", "empty", "text", "other"])
    def test_a_damaged_state(self, damage: str, whole: Path, store: Path, tmp_path: Path) -> None:
        path, content = tmp_path / "state.pt", (whole / "state.pt").read_bytes()
        path.write_bytes({"cut": content[: len(content) // 2], "text": b"nonsense"}.get(damage, b""))
        if damage == "other":
            torch.save({"weights": torch.zeros(1)}, path)
        with pytest.raises(InputError, match=r"state.pt: cannot be read .*: remove it to start anew"):
            run(all_on(store), tmp_path)


class TestCurve:
    def test_rows_after_the_state_are_dropped(self, tmp_path: Path) -> None:
        path = tmp_path / "curve.csv"
        curve = Curve(path, -1)
        for step in (1, 2, 3):
            curve.add({"step": step, "loss": step / 10})
        curve.close()
        with path.open("a") as file:
            file.write("4,0.")
        assert [row["step"] for row in read_curve(path)] == ["1", "2", "3"]
        again = Curve(path, 2)
        again.add({"step": 3, "loss": 0.7})
        again.close()
        assert path.read_text() == "step,loss\n1,0.1\n2,0.2\n3,0.7\n"

    def test_a_header_that_was_cut(self, tmp_path: Path) -> None:
        path = tmp_path / "curve.csv"
        path.write_text("step,lo")
        curve = Curve(path, 0)
        curve.add({"step": 1, "loss": 1})
        curve.close()
        assert path.read_text() == "step,loss\n1,1\n"

    def test_a_run_without_one(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"curve.csv: No such file"):
            read_curve(tmp_path / "curve.csv")


class TestShares:
    """In whatever number of processes and parts, a step is the same step."""

    def test_two_parts_equal_one(self, store: Path, tmp_path: Path) -> None:
        made = recipe(store=str(store), stored=96, batch=4, steps=3, average=0.5)
        one = run(made, tmp_path / "one")
        two = run(dataclasses.replace(made, accumulate=2), tmp_path / "two")
        assert largest(one, run(dataclasses.replace(made, seed=1), tmp_path / "other")) > 0.001
        assert largest(one, two) < 1e-5

    def test_two_processes_equal_one(self, store: Path, tmp_path: Path) -> None:
        made = recipe(store=str(store), stored=96, batch=4, steps=3, accumulate=2, average=0.5, clip=1.0)
        one = run(made, tmp_path / "one")
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command = [*torchrun, str(script), *by_script(made, tmp_path / "two")[2:]]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        two = load_file(tmp_path / "two/weights.safetensors")
        assert largest(one, two) < 1e-5
        assert json.loads((tmp_path / "two/run.json").read_text())["processes"] == 2
        for a, b in zip(*(read_curve(tmp_path / name / "curve.csv") for name in ("one", "two")), strict=True):
            assert {name: float(value) for name, value in a.items()} == pytest.approx(
                {name: float(value) for name, value in b.items()}, rel=1e-4
            )

    @pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (1, 3), (2, 3)])
    def test_every_window_is_taken_once(self, world: int, accumulate: int) -> None:
        made = recipe(batch=12, windows=24, accumulate=accumulate)

        class Numbers:
            epoch = 24

            def sample(self, number: int) -> Any:
                return open_source(recipe(), Processes("cpu")).sample(0)._replace(t=number / 1000)

            def record(self) -> dict[str, Any]:
                return {}

        seen: dict[int, list[int]] = {1: [], 2: []}
        for rank in range(world):
            processes = Processes("cpu")
            processes.rank, processes.world = rank, world
            for item, batch in enumerate(batches(Numbers(), made, processes, 1, 3, 0, CPU)):
                seen[1 + item // accumulate] += [round(1000 * t) for t in batch.t.tolist()]
        assert {step: sorted(numbers) for step, numbers in seen.items()} == {
            step: list(range(12 * step, 12 * step + 12)) for step in (1, 2)
        }

    def test_channels_last_changes_nothing(self, store: Path, tmp_path: Path) -> None:
        made = recipe(store=str(store), stored=96, begin="published")
        curves = []
        for last in (False, True):
            run(dataclasses.replace(made, channels_last=last), tmp_path / str(last))
            curves.append([float(row["total"]) for row in read_curve(tmp_path / str(last) / "curve.csv")])
        assert curves[0] == pytest.approx(curves[1], abs=1e-5)


class TestPrecision:
    @pytest.mark.parametrize("begins", ["plain", "published"])
    def test_bfloat16_is_near_float32(self, begins: str, store: Path) -> None:
        made = recipe(store=str(store), stored=96, begin=begins)
        model, source = initial_model(made), open_source(made, Processes("cpu"))
        assert isinstance(model, EQVI)
        batch = collate([source.sample(number) for number in range(2)])  # type: ignore[misc]
        totals, gradients = [], []
        for precision in (torch.float32, torch.bfloat16):
            model.zero_grad()
            total = FrameLearner(model, Loss(made.loss_terms()), precision)(batch)["total"]
            total.backward()
            totals.append(total.item())
            found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
            gradients.append(torch.cat(found))
            assert total.dtype == gradients[-1].dtype == torch.float32
        assert totals[1] == pytest.approx(totals[0], rel=0.03)
        assert torch.cosine_similarity(*gradients, dim=0) > 0.99

    def test_bfloat16_moves_no_position(self) -> None:
        """A refinement that changes nothing changes nothing in bfloat16 either, however wide the frame."""
        model = initial_model(recipe())
        assert isinstance(model, EQVI)
        # Pixels beyond 256 have no number in bfloat16.
        frames, flows = torch.rand(1, 4, 3, 64, 600), 3 * torch.randn(1, 6, 2, 64, 600)
        motion = model.known_motion(frames, flows)
        with torch.no_grad():
            wanted = model.interpolate(frames, motion, 0.5)
            with torch.autocast("cpu", torch.bfloat16):
                found = model.interpolate(frames, motion, 0.5)
        assert torch.equal(found.flow_t1, wanted.flow_t1)
        assert torch.equal(found.frame, wanted.frame)

    def test_a_run_in_bfloat16(self, store: Path, tmp_path: Path) -> None:
        made = recipe(store=str(store), stored=96)
        totals = []
        for precision in ("float32", "bfloat16"):
            weights = run(dataclasses.replace(made, precision=precision), tmp_path / precision)
            assert all(value.dtype == torch.float32 for value in weights.values())
            totals.append([float(row["total"]) for row in read_curve(tmp_path / precision / "curve.csv")])
        assert totals[1] == pytest.approx(totals[0], rel=0.03)
        assert totals[1] != totals[0]

    def test_a_flow_network_in_bfloat16(self) -> None:
        made = recipe(stage="flow", preset="tiny")
        model, pairs = initial_model(made), open_source(made, Processes("cpu"))
        assert isinstance(model, ScopeFlow)
        batch = collate([pairs.sample(0)])
        exact, rough = (FlowLearner(model, kind)(batch)["total"] for kind in (torch.float32, torch.bfloat16))
        rough.backward()
        assert rough.item() == pytest.approx(exact.item(), rel=0.03)


def test_a_tick_comes_between_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "TICK_EVERY", 0.0)
    ticks: list[int] = []
    train(recipe(), tmp_path, progress=False, tick=lambda: ticks.append(len(read_curve(tmp_path / "curve.csv"))))
    assert ticks == [1, 2, 3, 4]


class TestScores:
    def test_blend_and_warp(self) -> None:
        made = recipe(scored=2, motion="quadratic")
        windows, model = validation_samples(made), initial_model(made)
        assert isinstance(model, EQVI)
        found = FrameScores(windows, model, CPU)(FrameLearner(model, Loss({"l1": 1.0})))  # type: ignore[arg-type]
        plain = EQVI(dataclasses.replace(PRESETS["baseline"], motion="quadratic"))
        wanted: dict[str, list[float]] = {"blend": [], "warp": [], "psnr": []}
        for window in windows:
            frames, t, truth = window.frames[None], window.t, metrics.to_8bit(window.truth[None])  # type: ignore[union-attr]
            with torch.inference_mode():
                rivals = {
                    "blend": (1 - t) * frames[:, 1] + t * frames[:, 2],
                    "warp": plain(frames, t).frame,
                    "psnr": model(frames, t).frame,
                }
            for name, frame in rivals.items():
                error = np.square(metrics.to_8bit(frame).astype(float) - truth.astype(float)).mean()
                wanted[name].append(10 * np.log10(255**2 / error))
        assert found == pytest.approx({name: np.mean(values) for name, values in wanted.items()}, abs=1e-3)

    def test_end_point_error(self) -> None:
        made = recipe(stage="flow", preset="tiny", scored=2)
        pairs, model = validation_samples(made), initial_model(made)
        assert isinstance(model, ScopeFlow)
        found = FlowScores(pairs, CPU)(FlowLearner(model))  # type: ignore[arg-type]
        wanted: dict[str, list[float]] = {"still": [], "epe": []}
        for pair in pairs:
            with torch.inference_mode():
                flows = {"still": torch.zeros(2, 64, 64), "epe": model(pair.first[None], pair.second[None])[0]}  # type: ignore[union-attr]
            for name, flow in flows.items():
                distance = np.hypot(*(flow - pair.flow).double().numpy())  # type: ignore[union-attr]
                wanted[name].append(np.average(distance, weights=pair.weight[0].numpy()))  # type: ignore[union-attr]
        assert found["still"] == pytest.approx(np.mean(wanted["still"]), rel=1e-4)
        assert found["epe"] == pytest.approx(np.mean(wanted["epe"]), rel=1e-4)
        assert 0 < found["dis"] < found["still"]

    def test_what_is_trained_on_is_not_scored_on(self) -> None:
        windows = validation_samples(recipe(scored=2, seed=5))
        assert all(
            torch.equal(a.frames, b.frames) for a, b in zip(windows, validation_samples(recipe(scored=2)), strict=True)
        )  # type: ignore[union-attr]
        source = open_source(recipe(), Processes("cpu"))
        assert not any(torch.equal(source.sample(n).frames, windows[0].frames) for n in range(2))  # type: ignore[union-attr]

    def test_averaged_weights_are_scored_and_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        share, after = 0.8, []
        clean = torch.optim.AdamW.step

        def step(self: torch.optim.AdamW) -> None:
            clean(self)
            after.append([parameter.detach().clone() for parameter in self.param_groups[0]["params"]])

        monkeypatch.setattr(torch.optim.AdamW, "step", step)
        made = recipe(average=share, score_every=1)
        heard: list[Progress] = []
        kept = run(made, tmp_path, listen=heard.append)
        mean = after[0]
        for weights in after[1:]:
            mean = [share * a + (1 - share) * b for a, b in zip(mean, weights, strict=True)]
        model = checkpoint.load(tmp_path / "weights.safetensors")
        freeze_all_but(model, find_stage("scratch").trains)
        found = [parameter for parameter in model.parameters() if parameter.requires_grad]
        assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(found, mean, strict=True))
        assert not all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, after[-1], strict=True))
        scores = FrameScores(validation_samples(made), model, CPU)(FrameLearner(model, Loss({"l1": 1.0})))  # type: ignore[arg-type]
        assert heard[-1].scores == pytest.approx(scores, abs=1e-6)
        assert [progress.step for progress in heard] == [0, 1, 2, 3, 4]
        # Scoring leaves the weights that learn as they were.
        monkeypatch.undo()
        PRESETS["tiny-dis"] = dataclasses.replace(TINY, flow="dis")
        again = run(dataclasses.replace(made, score_every=4), tmp_path / "seldom")
        assert same(kept, again)

    def test_examples(self, tmp_path: Path) -> None:
        heard: list[Progress] = []
        run(recipe(scored=3), tmp_path, listen=heard.append)
        assert len(heard[0].examples) == 2
        assert set(heard[0].examples[0].frames) == {"blend", "warp", "model"}
        assert heard[0].examples[0].truth.shape == (1, 3, 64, 64)


class TestStore:
    def test_an_interrupted_fill_goes_on(self, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        names = ("frames.npy", "truths.npy", "flows.npy", "store.json")
        kept = {name: (store / name).read_bytes() for name in names}
        # As a kill leaves it: two windows on record, something torn after them.
        arrays = [np.load(store / name) for name in names[:3]]
        for name, array in zip(names, arrays, strict=False):
            array[2:] = 7
            np.save(tmp_path / name, array)
        (tmp_path / "store.json").write_text(json.dumps(json.loads(kept["store.json"]) | {"done": 2}))
        fill_store(tmp_path, 4, (96, 96), progress=False)
        assert {name: (tmp_path / name).read_bytes() for name in names} == kept
        monkeypatch.setattr(
            "eqvi.training.window_cache._open", lambda *_: pytest.fail("a full store was opened to write")
        )
        fill_store(tmp_path, 4, (96, 96), progress=False)

    def test_one_that_is_interrupted_before_any_record(self, store: Path, tmp_path: Path) -> None:
        (tmp_path / "frames.npy").write_bytes(b"torn")
        fill_store(tmp_path, 4, (96, 96), progress=False)
        assert (tmp_path / "flows.npy").read_bytes() == (store / "flows.npy").read_bytes()

    @pytest.mark.parametrize("size", [(96, 128), (64, 64)])
    def test_another_size_is_refused(self, size: tuple[int, int], store: Path) -> None:
        with pytest.raises(InputError, match="holds other windows"):
            fill_store(store, 4, size, progress=False)
        with pytest.raises(InputError, match="holds other windows"):
            fill_store(store, 5, (96, 96), progress=False)
        with pytest.raises(InputError, match="holds other windows"):
            fill_store(store, 4, (96, 96), flow="scopeflow", progress=False)

    def test_scopeflow_has_its_flows_found_while_training(self, tmp_path: Path, store: Path) -> None:
        fill_store(tmp_path, 2, (96, 96), flow="scopeflow", progress=False)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["frames.npy", "store.json", "truths.npy"]
        assert np.array_equal(np.load(tmp_path / "frames.npy"), np.load(store / "frames.npy")[:2])
        window = StoredWindows(tmp_path, (64, 64)).sample(3)
        assert window.flows is None
        assert window.frames.shape == (4, 3, 64, 64)

    def test_a_file_that_is_gone(self, store: Path, tmp_path: Path) -> None:
        (tmp_path / "store.json").write_bytes((store / "store.json").read_bytes())
        with pytest.raises(InputError, match=r"a file of the store cannot be read .*: remove the folder"):
            StoredWindows(tmp_path, (64, 64)).sample(0)

    def test_a_record_that_is_none(self, tmp_path: Path) -> None:
        for text in ("nonsense", "[]", "{}"):
            (tmp_path / "store.json").write_text(text)
            with pytest.raises(InputError, match=r"store.json: is no record of a store"):
                fill_store(tmp_path, 4, (96, 96), progress=False)

    @pytest.mark.parametrize("augment", ["none", "published", "full"])
    def test_windows(self, augment: Augmentation, store: Path) -> None:
        source = StoredWindows(store, (64, 64), augment, seed=2)
        again = StoredWindows(store, (64, 64), augment, seed=2)
        frames, truths = (torch.from_numpy(np.load(store / name)) for name in ("frames.npy", "truths.npy"))
        assert source.epoch == 4
        found = []
        for number in (5, 0, 4, 7, 6):
            window = source.sample(number)
            assert window.frames.shape == (4, 3, 64, 64)
            assert window.flows is not None
            assert window.flows.shape == (6, 2, 64, 64)
            assert window.t in (0.25, 0.5, 0.75)
            assert torch.equal(window.frames, again.sample(number).frames)
            found.append(window)
            # The flows belong to the frames: those of DIS, found on the window itself, are near.
            own = torch.cat(
                [
                    eqvi.model.eqvi.make_flow("dis")(window.frames[None, a], window.frames[None, b])
                    for a, b in FLOW_PAIRS[1:2]
                ]
            )
            inside = (slice(None), slice(None), slice(16, 48), slice(16, 48))
            assert (own[inside] - window.flows[None, 1][inside]).abs().median() < 1
            if augment == "none":
                place = next(
                    (i, y, x)
                    for i in range(4)
                    for y in range(33)
                    for x in range(33)
                    if torch.equal(frames[i, 0, :, y, x].float() / 255, window.frames[0, :, 0, 0])
                    and torch.equal(frames[i, :, :, y : y + 64, x : x + 64].float() / 255, window.frames)
                )
                index, y, x = place
                truth = truths[index, round(4 * window.t) - 1, :, y : y + 64, x : x + 64].float() / 255
                assert torch.equal(truth, window.truth)
        # An epoch shows each stored window once: its colours' and pixels' sums tell, whatever was done to it.
        orders = [source._order(epoch) for epoch in (1, 1, 2)]
        assert sorted(orders[0]) == [0, 1, 2, 3]
        assert orders[0] == orders[1]

    def test_two_scales_need_larger_crops(self, store: Path) -> None:
        with pytest.raises(InputError, match="crop 64 is too small for two scales"):
            recipe(stage="4", store=str(store), after="x")


class TestRecipe:
    @pytest.mark.parametrize(
        ("values", "said"),
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
            ({"batch": 0}, "batch 0 is too small"),
            ({"epochs": 0}, "epochs 0 is too small"),
            ({"score_every": 0}, "score_every 0 is too small"),
            ({"steps": -1}, "steps -1 cannot be used"),
            ({"seed": -1}, "seed -1 cannot be used"),
            ({"rate": 0.0}, "rate 0.0 cannot be used"),
            ({"rate": float("inf")}, "rate inf cannot be used"),
            ({"rate": float("nan")}, "rate nan cannot be used"),
            ({"clip": float("nan")}, "clip nan cannot be used"),
            ({"decay": float("inf")}, "decay inf cannot be used"),
            ({"average": 1.0}, "average 1.0 must be at least 0 and below 1"),
            ({"average": float("nan")}, "average nan must be"),
            ({"batch": 3, "accumulate": 2}, "batch 3 cannot be taken in 2 equal parts"),
        ],
    )
    def test_bad_values(self, values: dict[str, Any], said: str, unchecked: None) -> None:
        with pytest.raises(InputError, match=said.replace("(", r"\(")) as caught:
            Recipe.from_values({"crop": 64, "preset": "tiny-dis"} | values)
        assert "\n" not in str(caught.value)

    def test_defaults_are_the_published_recipe(self) -> None:
        made = Recipe()
        assert (made.stage, made.preset, made.crop, made.batch, made.epochs) == ("scratch", "eqvi", 512, 12, 200)
        assert (made.rate, made.schedule, made.augment, made.spacing, made.every) == (
            1e-4,
            "published",
            "published",
            4,
            4,
        )
        assert made.loss_terms() == {"laplacian": 5.0, "l1": 10.0}
        assert Recipe(stage="scratch-vgg").loss_terms() == {"laplacian": 5.0, "l1": 10.0, "vgg": 0.1}
        assert Recipe.from_values({"rate": 1}).rate == 1.0
        assert Recipe.from_values(dataclasses.asdict(made)) == made

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"stage": "flow"}, "preset tiny-dis has no flow network to train"),
            ({"stage": "2"}, "stage 2 goes on from another: give after"),
            ({"preset": "tiny"}, "preset tiny has a flow network, which this stage does not train: give flow"),
            ({"flow": "x.ckpt"}, "preset tiny-dis has no flow network: leave it out"),
            ({"preset": "tiny", "flow": "missing.ckpt"}, "missing.ckpt: there is no such checkpoint"),
            ({"stage": "2", "after": "missing.ckpt"}, "missing.ckpt: there is no such checkpoint"),
            ({"context": "missing.pth"}, "missing.pth: there is no such file"),
            ({"context": "tests"}, "tests: there is no such file"),
            ({"context": "README.md"}, r"README.md: cannot be read \(.*weights resnet18` again"),
            ({"data": "missing"}, "missing: there is no such folder"),
            ({"validation": "missing"}, "missing: there is no such folder"),
            ({"data": "y", "store": "x"}, "a store holds rendered windows"),
            ({"stage": "flow", "preset": "tiny", "data": "y"}, "stage flow needs exact flow"),
            ({"terms": {"l2": 1.0}}, "loss term 'l2' is not known"),
            ({"terms": {"l1": -1.0}}, "must be a positive number"),
            ({"terms": {"l1": "much"}}, "must be a positive number"),
            (
                {"vgg": "missing.pth", "stage": "scratch-vgg"},
                "missing.pth: there is no such file: .*ms_ssim",
            ),
            ({"stage": "2", "after": "WIDE"}, "its refinement is of other widths than this preset's"),
            ({"stage": "2", "after": "README.md"}, "README.md: not a readable checkpoint"),
        ],
    )
    def test_what_a_recipe_names_cannot_be_used(
        self, values: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None
    ) -> None:
        monkeypatch.chdir(ROOT)
        if "WIDE" in values.values():
            wide = dataclasses.replace(TINY, flow="dis", refine_width=1 / 16, motion="quadratic", residual=False)
            checkpoint.save(EQVI(wide), tmp_path / "wide.safetensors")
            values = values | {"after": str(tmp_path / "wide.safetensors")}
        if "FLOW" in values.values():
            checkpoint.save(ScopeFlow(1 / 16), tmp_path / "flow.safetensors")
            values = values | {"flow": str(tmp_path / "flow.safetensors")}
        with pytest.raises(InputError, match=said) as caught:
            train(recipe(**values), tmp_path / "run", progress=False)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()

    def test_a_batch_that_processes_cannot_share(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clean = Processes.__init__

        def three(self: Processes, device: str) -> None:
            clean(self, device)
            self.world = 3

        monkeypatch.setattr(Processes, "__init__", three)
        monkeypatch.setattr(Processes, "__enter__", lambda self: self)
        monkeypatch.setattr(Processes, "__exit__", lambda *_: None)
        monkeypatch.setattr(Processes, "agree", lambda *_: True)
        with pytest.raises(
            InputError, match=r"batch 4 cannot be shared by 3 process\(es\) in 2 part\(s\): give a multiple of 6"
        ):
            run(recipe(batch=4, accumulate=2), tmp_path)

    def test_ranks_that_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RANK", "first")
        with pytest.raises(InputError, match="RANK and WORLD_SIZE must be whole numbers"):
            Processes("cpu")
