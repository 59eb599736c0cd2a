"""A step is the same in any number of parts and processes, and nearly the same in bfloat16."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_runs import CPU, SCRIPT, largest, on, run, script_command, small_recipe

from eqvi.errors import InputError
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.paths import ROOT
from eqvi.training import train as training_loop
from eqvi.training.distributed import Processes
from eqvi.training.initialization import initial_model
from eqvi.training.loading import batches, open_source
from eqvi.training.objectives import FlowObjective
from eqvi.training.run_folder import read_curve
from eqvi.training.samples import collate
from eqvi.training.train import train
from eqvi.training.window_objective import WindowObjective

pytestmark = pytest.mark.usefixtures("tiny_presets")

#: Means over samples; those of the flows at t are means over the visible pixels of all.
OF_FRAMES = {"charbonnier": 1.0, "decibel": 0.004}


class TestParts:
    def test_two_parts_equal_one(self, store: Path, tmp_path: Path) -> None:
        recipe = small_recipe(**on(store), terms=OF_FRAMES, batch=4, steps=3, average=0.5)
        one = run(recipe, tmp_path / "one")
        two = run(dataclasses.replace(recipe, accumulate=2), tmp_path / "two")
        assert largest(one, run(dataclasses.replace(recipe, seed=1), tmp_path / "other")) > 0.001
        assert largest(one, two) < 1e-5

    def test_two_processes_equal_one(self, store: Path, tmp_path: Path) -> None:
        recipe = small_recipe(**on(store), terms=OF_FRAMES, batch=4, steps=3, accumulate=2, average=0.5, clip=1.0)
        one = run(recipe, tmp_path / "one")
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command = [*torchrun, str(script), *script_command(recipe, tmp_path / "two")[2:]]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        two = load_file(tmp_path / "two/weights.safetensors")
        assert largest(one, two) < 1e-5
        assert json.loads((tmp_path / "two/run.json").read_text())["processes"] == 2
        for a, b in zip(*(read_curve(tmp_path / name / "curve.csv") for name in ("one", "two")), strict=True):
            kept = [name for name in a if name not in ("difference", "common")]
            assert [float(a[name]) for name in kept] == pytest.approx([float(b[name]) for name in kept], rel=1e-4)

    @pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (1, 3), (2, 3)])
    def test_every_window_is_in_one_part(self, world: int, accumulate: int) -> None:
        recipe = small_recipe(batch=12, windows=24, accumulate=accumulate)

        class Numbers:
            epoch = 24

            def sample(self, number: int) -> Any:
                return open_source(small_recipe(), Processes("cpu")).sample(0)._replace(t=number / 1000)

            def record(self) -> dict[str, Any]:
                return {}

        seen: dict[int, list[int]] = {1: [], 2: []}
        for rank in range(world):
            processes = Processes("cpu")
            processes.rank, processes.world = rank, world
            for item, batch in enumerate(batches(Numbers(), recipe, processes, 1, 3, 0, CPU)):
                seen[1 + item // accumulate] += [round(1000 * t) for t in batch.t.tolist()]
        assert {step: sorted(numbers) for step, numbers in seen.items()} == {
            step: list(range(12 * step, 12 * step + 12)) for step in (1, 2)
        }

    def test_channels_last_changes_nothing(self, store: Path, tmp_path: Path) -> None:
        recipe = small_recipe(**on(store), begin="published")
        curves = []
        for last in (False, True):
            run(dataclasses.replace(recipe, channels_last=last), tmp_path / str(last))
            curves.append([float(row["total"]) for row in read_curve(tmp_path / str(last) / "curve.csv")])
        assert curves[0] == pytest.approx(curves[1], abs=1e-5)


class TestPrecision:
    @pytest.mark.parametrize("begins", ["plain", "published"])
    def test_bfloat16_is_near_float32(self, begins: str, store: Path) -> None:
        recipe = small_recipe(**on(store), begin=begins)
        model, source = initial_model(recipe), open_source(recipe, Processes("cpu"))
        assert isinstance(model, EQVI)
        batch = collate([source.sample(number) for number in range(2)])  # type: ignore[misc]
        totals, gradients = [], []
        for precision in (torch.float32, torch.bfloat16):
            model.zero_grad()
            total = WindowObjective(model, recipe.loss_terms(), precision)(batch)["total"]
            total.backward()
            totals.append(total.item())
            found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
            gradients.append(torch.cat(found))
            assert total.dtype == gradients[-1].dtype == torch.float32
        assert totals[1] == pytest.approx(totals[0], rel=0.03)
        assert torch.cosine_similarity(*gradients, dim=0) > 0.99

    def test_bfloat16_moves_no_position(self) -> None:
        """A refinement that changes nothing changes nothing in bfloat16 either, however wide the frame."""
        model = initial_model(small_recipe())
        assert isinstance(model, EQVI)
        # Pixels beyond 256 have no number in bfloat16.
        frames, flows = torch.rand(1, 4, 3, 64, 600), 3 * torch.randn(1, 6, 2, 64, 600)
        motion = model.known_motion(frames, flows)
        with torch.no_grad():
            expected = model.interpolate(frames, motion, 0.5)
            with torch.autocast("cpu", torch.bfloat16):
                found = model.interpolate(frames, motion, 0.5)
        assert torch.equal(found.flow_t1, expected.flow_t1)
        assert torch.equal(found.frame, expected.frame)

    def test_a_run_in_bfloat16(self, store: Path, tmp_path: Path) -> None:
        recipe = small_recipe(**on(store))
        totals = []
        for precision in ("float32", "bfloat16"):
            weights = run(dataclasses.replace(recipe, precision=precision), tmp_path / precision)
            assert all(value.dtype == torch.float32 for value in weights.values())
            totals.append([float(row["total"]) for row in read_curve(tmp_path / precision / "curve.csv")])
        assert totals[1] == pytest.approx(totals[0], rel=0.03)
        assert totals[1] != totals[0]

    def test_a_flow_network_in_bfloat16(self) -> None:
        recipe = small_recipe(stage="flow", preset="tiny")
        model, pairs = initial_model(recipe), open_source(recipe, Processes("cpu"))
        assert isinstance(model, ScopeFlow)
        batch = collate([pairs.sample(0)])
        exact, rough = (FlowObjective(model, kind)(batch)["total"] for kind in (torch.float32, torch.bfloat16))
        rough.backward()
        assert rough.item() == pytest.approx(exact.item(), rel=0.03)


def test_curves_are_refreshed_between_validations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_loop, "REFRESH_EVERY", 0.0)
    rows: list[int] = []
    curve = tmp_path / "curve.csv"
    train(small_recipe(), tmp_path, progress=False, on_refresh=lambda: rows.append(len(read_curve(curve))))
    assert rows == [1, 2, 3, 4]


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        run(small_recipe(batch=4, accumulate=2), tmp_path)


def test_a_rank_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(InputError, match="RANK=first and WORLD_SIZE=1 must be whole numbers"):
        Processes("cpu")
