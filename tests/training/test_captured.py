"""Training with a captured step: the steps that the loop makes, on windows that are taken in as they are rendered."""

import dataclasses
import random
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from host_traffic import HostTraffic

from eqvi.errors import InputError
from eqvi.evaluation.gpu_rendering import TOY_RUNS
from eqvi.files import parse_json
from eqvi.model.eqvi import EQVI
from eqvi.training import captured, run_folder
from eqvi.training.augment import augment, crop, draw_transforms
from eqvi.training.captured import CapturedStep, train_captured
from eqvi.training.device_windows import DeviceWindows, WindowDraws
from eqvi.training.loading import window_pool
from eqvi.training.recipe import Recipe
from eqvi.training.samples import WindowBatch
from eqvi.training.shared_windows import SharedWindows
from eqvi.training.train import train
from eqvi.training.trainer import CapturedGradients, Trainer
from eqvi.training.window_pool import WindowPool, fill_pool, to_sample, unpack_window


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """The rehearsal's run, on a pool of its own that is full."""
    toy = dataclasses.replace(
        TOY_RUNS["toy_matching"], store=str(tmp_path_factory.mktemp("pool") / "windows"), windows=3, steps=3
    )
    fill_pool(window_pool(toy, "train"), progress=False)
    return toy


def taken_in(recipe: Recipe, how: Any = "none") -> WindowDraws:
    windows = DeviceWindows(window_pool(recipe, "train"), torch.device("cpu"))
    assert windows.wait_for(3, time.monotonic() + 60)
    return WindowDraws(windows, recipe.windows, recipe.crop, how, 0)


def make_trainer(recipe: Recipe) -> Trainer:
    torch.manual_seed(0)
    return Trainer(recipe, EQVI(recipe.config()), None, 3, torch.device("cpu"))


def test_windows_on_a_device_are_those_of_the_pool(recipe: Recipe) -> None:
    draws, pool = taken_in(recipe), window_pool(recipe, "train")
    assert (draws.windows.numbers, draws.windows.take_in()) == ([0, 1, 2], 0)
    batch = draws.batch(8)
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


@pytest.mark.parametrize("how", ["none", "published", "full"])
def test_batches_are_cut_out_and_augmented_as_single_samples_are(recipe: Recipe, how: Any) -> None:
    """For the same draws: every transform and colour order, of all windows of a batch together."""
    pool, side, ours, theirs = window_pool(recipe, "train"), 48, random.Random(5), random.Random(5)
    windows = taken_in(recipe).windows
    draws = WindowDraws(windows, recipe.windows, side, how, 0)
    draws._draw = ours
    batch, seen = draws.batch(24), set()
    for place in range(24):
        stored = pool.read_packed(theirs.randrange(3))
        y, x = theirs.randint(0, 64 - side), theirs.randint(0, 64 - side)
        sample = to_sample(unpack_window(stored))
        exact = F.interpolate(torch.from_numpy(stored["flows"]).float(), scale_factor=2.0, mode="bilinear")
        before = theirs.getstate()
        expected = augment(crop(sample._replace(flows=exact), y, x, side, side), theirs, how)
        after = theirs.getstate()
        theirs.setstate(before)
        seen.add(draw_transforms(theirs, how, True))
        assert theirs.getstate() == after
        for name, value in expected._asdict().items():
            torch.testing.assert_close(getattr(batch, name)[place], torch.as_tensor(value).float(), atol=1e-5, rtol=0)
            assert getattr(batch, name).dtype == torch.float32
    assert len(seen) == {"none": 1, "published": 2, "full": len(seen)}[how]
    assert how != "full" or all(len({transforms[k] for transforms in seen}) > 1 for k in range(5))


def test_a_run_draws_from_the_first_windows_of_a_pool_it_shares(recipe: Recipe) -> None:
    whole = taken_in(recipe)
    some = WindowDraws(whole.windows, 2, recipe.crop, "none", 1)
    third = to_sample(whole.windows.pool.window(2)).frames
    assert any(torch.equal(frames, third) for frames in whole.batch(16).frames)
    assert not any(torch.equal(frames, third) for frames in some.batch(16).frames)
    assert torch.equal(some.batch(4).frames, some.batch(4).frames) is False
    again = WindowDraws(whole.windows, 2, recipe.crop, "none", 1)
    assert torch.equal(again.batch(16).frames, WindowDraws(whole.windows, 2, recipe.crop, "none", 1).batch(16).frames)


def test_windows_are_taken_in_as_they_are_rendered(tmp_path: Path) -> None:
    pool = WindowPool(tmp_path / "pool", 2, 64)
    pool.prepare()
    windows = DeviceWindows(pool, torch.device("cpu"))
    assert not windows.wait_for(1, time.monotonic())
    pool.window(1)
    time.sleep(0.3)
    assert windows.wait_for(1, time.monotonic() + 5)
    assert windows.numbers == [1]
    assert not windows.wait_for(1, time.monotonic() + 0.1, of=1), "not one of the first"
    pool.window(0)
    time.sleep(0.3)
    windows.take_in()
    windows.settle()
    assert windows.numbers == [0, 1]
    assert windows.take_in() == 0


def test_a_window_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    pool = WindowPool(tmp_path / "pool", 1, 64)
    pool.prepare()
    (tmp_path / "pool" / "00000000.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"00000000\.npz: cannot be read"):
        DeviceWindows(pool, torch.device("cpu")).wait_for(1, time.monotonic() + 5)


def test_too_few_windows_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too few to begin"):
        train_captured(
            dataclasses.replace(TOY_RUNS["toy_matching"], store=str(tmp_path / "empty")), tmp_path / "run", "cpu", 0.1
        )


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


def test_runs_of_one_process_share_windows_and_what_they_are_scored_on(recipe: Recipe, tmp_path: Path) -> None:
    other = dataclasses.replace(recipe, windows=2, seed=1)
    shared = SharedWindows([recipe, other], torch.device("cpu"))
    assert shared.draws(recipe, 0).windows is shared.draws(other, 0).windows
    assert shared.scored(recipe) is shared.scored(other)
    assert shared.source(other).pool is shared.source(recipe).pool
    for name, run in (("one", recipe), ("other", other)):
        progress = train_captured(run, tmp_path / name, "cpu", 1e9, shared=shared)
        assert progress.step == 3
        record = parse_json((tmp_path / name / run_folder.RECORD_FILE).read_text())
        assert record["data"]["count"] == run.windows
    assert len(shared.scored(recipe)._weight_free) == 1
    alone = train_captured(recipe, tmp_path / "alone", "cpu", 1e9)
    scores = run_folder.read_curve(tmp_path / "one" / run_folder.SCORES_FILE)
    assert float(scores[-1]["psnr"]) == pytest.approx(alone.scores["psnr"], abs=1e-4)


def test_steps_are_fitted_to_the_time(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "TIMED", (1, 2))
    progress = train_captured(recipe, tmp_path, "cpu", 1e9, fit=True)
    assert progress.step == progress.steps == captured.MOST * recipe.steps
    record = parse_json((tmp_path / run_folder.RECORD_FILE).read_text())
    assert record["steps"] == progress.steps
    assert record["fitted"]["seconds"] == 1e9
    assert record["fitted"]["seconds_a_step"] > 0
    assert run_folder.is_finished(tmp_path)
    trainer = make_trainer(recipe)
    trainer.load_state_dict(trainer.state_dict() | {"steps": 7})
    assert trainer.steps == 7, "whatever resumes a fitted run goes as far"
    long = dataclasses.replace(recipe, steps=10_000, score_every=1000)
    # 10 s a validation, one after every 1000 steps and one at the end.
    assert captured.fitted_steps(long, 60, 0.01, 10, 110 / captured.MARGIN) == 60 + 5000
    assert captured.fitted_steps(long, 60, 0.01, 10, 1) == 61
    assert captured.fitted_steps(dataclasses.replace(long, steps=10), 60, 0.01, 1, 1e9) == 61


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
    with pytest.raises(InputError, match="trains on data windows with known flows and a store"):
        train_captured(Recipe(preset="eqvi-eighth-dis"), tmp_path, "cpu", 1.0)
