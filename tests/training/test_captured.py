"""Training with a captured step: the steps that the loop makes, on windows that are taken in as they are rendered."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from host_traffic import HostTraffic

from eqvi.errors import InputError
from eqvi.evaluation.gpu_rendering import TOY_RUN
from eqvi.model.eqvi import EQVI
from eqvi.training import captured, run_folder
from eqvi.training.captured import CapturedStep, train_captured
from eqvi.training.device_windows import DeviceWindows
from eqvi.training.loading import window_pool
from eqvi.training.recipe import Recipe
from eqvi.training.samples import WindowBatch
from eqvi.training.train import train
from eqvi.training.trainer import CapturedGradients, Trainer
from eqvi.training.window_pool import WindowPool, fill_pool, to_sample


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """The rehearsal's run, on a pool of its own that is full."""
    toy = dataclasses.replace(TOY_RUN[1], store=str(tmp_path_factory.mktemp("pool") / "windows"), windows=3, steps=3)
    fill_pool(window_pool(toy, "train", 0), progress=False)
    return toy


def taken_in(recipe: Recipe, how: Any = "none") -> DeviceWindows:
    windows = DeviceWindows(window_pool(recipe, "train", 0), torch.device("cpu"), recipe.crop, how, 0)
    assert windows.wait_for(3, time.monotonic() + 60)
    return windows


def make_trainer(recipe: Recipe) -> Trainer:
    torch.manual_seed(0)
    return Trainer(recipe, EQVI(recipe.config()), None, 3, torch.device("cpu"))


def test_windows_on_a_device_are_those_of_the_pool(recipe: Recipe) -> None:
    windows, pool = taken_in(recipe), window_pool(recipe, "train", 0)
    assert (len(windows), windows.take_in(9)) == (3, 0)
    batch = windows.batch(8)
    samples = [to_sample(pool.window(number)) for number in range(3)]
    seen = set()
    for place in range(8):
        number = next(n for n, sample in enumerate(samples) if torch.equal(sample.frames, batch.frames[place]))
        seen.add(number)
        for name in ("truth", "flow", "visibility"):
            assert torch.equal(getattr(samples[number], name), getattr(batch, name)[place]), name
        assert batch.t[place] == pytest.approx(samples[number].t)
        # Stored in half precision after they were enlarged; here they are not rounded again.
        assert (batch.flows[place] - samples[number].flows).abs().max() < 0.02
    assert len(seen) > 1


def test_windows_are_taken_in_as_they_are_rendered(tmp_path: Path) -> None:
    pool = WindowPool(tmp_path / "pool", 2, 64)
    pool.prepare()
    windows = DeviceWindows(pool, torch.device("cpu"), 64, "full", 0)
    assert not windows.wait_for(1, time.monotonic())
    pool.window(1)
    time.sleep(0.3)
    assert windows.wait_for(1, time.monotonic() + 1)
    assert len(windows) == 1
    with pytest.raises(InputError, match="too few to begin"):
        train_captured(dataclasses.replace(TOY_RUN[1], store=str(tmp_path / "empty")), tmp_path / "run", "cpu", 0.1)


def test_a_captured_step_is_a_step_of_the_loop(recipe: Recipe) -> None:
    """Losses, gradients, weights and their average, to rounding."""
    batch = taken_in(recipe, "full").batch(2)
    plain, own = make_trainer(recipe), make_trainer(recipe)
    losses = []
    for _ in range(2):
        plain.set_rates()
        plain.optimizer.zero_grad()
        values = plain.objective(batch)
        values["total"].backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters, torch.inf)
        plain.optimizer.step()
        losses.append(values["total"].item())
        plain.step += 1
    step = CapturedStep(own, torch.device("cpu"))
    step(batch)
    step(batch)
    assert own.step == 2
    means = step.means()
    assert means["total"] == pytest.approx(sum(losses) / 2)
    assert means["gradient"] > 0
    for ours, expected in zip(own.parameters, plain.parameters, strict=True):
        assert torch.allclose(ours, expected, atol=1e-6)
    assert own.average is not None
    changed = [
        not torch.equal(average, parameter)
        for average, parameter in zip(own.average.module.parameters(), own.model.parameters(), strict=True)
    ]
    assert any(changed)
    assert own.average.n_averaged == 2


def test_gradients_neither_wait_for_the_device_nor_copy_from_the_host(recipe: Recipe) -> None:
    """What no CUDA graph could capture."""
    batch = taken_in(recipe).batch(1)
    trainer = make_trainer(recipe)
    gradients = CapturedGradients(trainer.objective, trainer.parameters, torch.device("cpu"))
    gradients(batch)
    with HostTraffic() as traffic:
        gradients._evaluate(batch)
    assert traffic.found == []


def test_a_finished_run_is_left_as_it_is(recipe: Recipe, tmp_path: Path) -> None:
    progress = train_captured(dataclasses.replace(recipe, steps=3), tmp_path, "cpu", 1e9)
    assert (progress.step, progress.steps) == (3, 3)
    assert run_folder.is_finished(tmp_path)
    assert [row["step"] for row in run_folder.read_curve(tmp_path / run_folder.CURVE_FILE)] == ["3"]
    again = train_captured(recipe, tmp_path, "cpu", 1e9)
    assert again.step == 3


def test_its_state_is_one_of_the_ordinary_loop(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = captured.CapturedStep.__call__

    def interrupted(self: CapturedStep, batch: WindowBatch) -> None:
        original(self, batch)
        monkeypatch.setattr(captured.time, "monotonic", lambda: 1e12)  # its time is over after one step

    monkeypatch.setattr(captured.CapturedStep, "__call__", interrupted)
    assert train_captured(recipe, tmp_path, "cpu", 1e9).step == 1
    monkeypatch.undo()
    assert (tmp_path / run_folder.LATEST_FILE).is_file(), "the averaged weights of where it stands"
    assert train(recipe, tmp_path, progress=False).step == 3
    assert run_folder.is_finished(tmp_path)


def test_a_loss_that_is_not_finite_ends_the_run(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captured.CapturedStep, "means", lambda self: {"total": float("nan")})
    with pytest.raises(InputError, match="before step 3: total nan: the last good state is kept"):
        train_captured(recipe, tmp_path, "cpu", 1e9)
    assert not (tmp_path / run_folder.STATE_FILE).exists()


def test_other_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trains on data windows with a store"):
        train_captured(Recipe(preset="eqvi-eighth-dis"), tmp_path, "cpu", 1.0)
