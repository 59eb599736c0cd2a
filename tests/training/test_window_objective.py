"""Training on windows with exact flow at t: errors of both parts, terms, what learns, scores of a validation."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import eqvi
from eqvi import EQVI, PRESETS, InputError
from eqvi.datasets import windows
from eqvi.model.motion import LONG_PAIRS
from eqvi.training.recipe import Recipe
from eqvi.training.run_folder import CURVE_FILE, LATEST_FILE, WEIGHTS_FILE, read_curve
from eqvi.training.samples import WindowBatch, WindowSample, collate
from eqvi.training.stages import freeze_all_but
from eqvi.training.train import train
from eqvi.training.trainer import CapturedGradients
from eqvi.training.validation import WindowValidation
from eqvi.training.window_objective import TERMS, WindowObjective, motion_errors

SIZE = 64
ROWS = {
    "matching": PRESETS["matching"],
    "rcsn": dataclasses.replace(PRESETS["eqvi-eighth-dis"], start="weight_free"),
    "refinement": dataclasses.replace(PRESETS["eqvi-eighth-dis"], start="weight_free", residual=False),
}


def window(speed: tuple[float, float] = (3.0, -1.0), t: float = 0.5, size: int = SIZE) -> WindowSample:
    """A picture that moves evenly, with its flows, exact and as given."""
    y, x = torch.meshgrid(torch.arange(size).float(), torch.arange(size).float(), indexing="ij")
    period = torch.tensor([5.0, 6, 7]).view(3, 1, 1)

    def at(time: float) -> torch.Tensor:
        return 0.5 + 0.4 * torch.sin((x - speed[0] * time) / period + (y - speed[1] * time) / 9)

    motion = torch.tensor(speed).view(2, 1, 1).expand(2, size, size)
    flows = torch.stack([(b - a) * motion for a, b in windows.WINDOW_PAIRS])
    flow = torch.stack((-t * motion, (1 - t) * motion))
    frames = torch.stack([at(time) for time in windows.TIMES])
    return WindowSample(frames, at(t), t, flow, torch.ones(2, size, size), flows)


@pytest.fixture(name="batch")
def _batch() -> WindowBatch:
    batch = collate([window(), window((-2.0, 2.0), 0.25)])
    assert isinstance(batch, WindowBatch)
    return batch


def test_the_order_of_flows_is_the_models() -> None:
    assert tuple((a + 2, b + 2) for a, b in LONG_PAIRS) == windows.WINDOW_PAIRS


@pytest.mark.parametrize("factor", [1, 2, 8])
def test_errors_tell_the_two_parts_apart(batch: WindowBatch, factor: int) -> None:
    t = batch.t.view(-1, 1, 1, 1)
    true_1, true_2 = batch.flow[..., ::factor, ::factor].unbind(1)
    shift = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    both = motion_errors(true_1 + shift, true_2 + shift, batch.flow, batch.visibility, t)
    apart = motion_errors(true_1 - t * shift, true_2 + (1 - t) * shift, batch.flow, batch.visibility, t)
    # Softened by 0.1 px, and divided by one more than the visible pixels.
    count = 2 * (SIZE // factor) ** 2
    error = (25.01**0.5 - 0.1) * count / (count + 1)
    assert both.common.item() == pytest.approx(error, rel=1e-4)
    assert apart.difference.item() == pytest.approx(error, rel=1e-4)
    assert both.difference.item() == pytest.approx(0, abs=1e-4)
    assert apart.common.item() == pytest.approx(0, abs=1e-4)


def test_hidden_pixels_do_not_count(batch: WindowBatch) -> None:
    t = batch.t.view(-1, 1, 1, 1)
    visibility = batch.visibility.clone()
    visibility[:, 1, :, : SIZE // 2] = 0
    true_1, true_2 = (flow.clone() for flow in batch.flow.unbind(1))
    true_1[..., : SIZE // 2] += 50.0
    errors = motion_errors(true_1, true_2, batch.flow, visibility, t)
    assert max(errors).item() == pytest.approx(0, abs=1e-4)
    assert motion_errors(true_1, true_2, batch.flow, batch.visibility, t).common > 5


@pytest.mark.parametrize("row", ROWS)
def test_every_row_learns_on_windows(row: str, batch: WindowBatch) -> None:
    objective = WindowObjective(EQVI(ROWS[row]), TERMS)
    trained = [p for p in objective.parameters() if p.requires_grad]
    target = batch._replace(truth=(0.9 * batch.truth).contiguous())
    adam, distances = torch.optim.Adam(trained, lr=1e-3), []
    for _ in range(16):
        adam.zero_grad()
        losses = objective(target)
        losses["total"].backward()
        adam.step()
        distances.append(losses["charbonnier"].item())
    assert set(losses) == {*TERMS, "total"}
    # Without a residual it can only move and weigh, which makes nothing darker.
    assert distances[-1] < (0.995 if row == "refinement" else 0.6) * distances[0]


def test_fusion_alone_learns_from_the_fused_frame() -> None:
    batch = collate([window(size=2 * SIZE)])
    assert isinstance(batch, WindowBatch)
    model = EQVI(dataclasses.replace(ROWS["rcsn"], multi_scale=True))
    trained = freeze_all_but(model, ("fusion",))
    objective = WindowObjective(model, TERMS | {"ms_ssim": 1.0})
    losses = objective(batch)
    losses["total"].backward()
    assert set(losses) == {*TERMS, "ms_ssim", "total"}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


def test_the_total_is_the_weighted_terms_and_follows_the_share_of_flow(batch: WindowBatch) -> None:
    objective = WindowObjective(EQVI(ROWS["rcsn"]), {"charbonnier": 2.0, "difference": 0.5}).eval()
    with torch.no_grad():
        before = objective(batch)
        objective.flow_share.fill_(0.0)
        after = objective(batch)
    assert after["total"].item() == pytest.approx(2 * before["charbonnier"].item(), rel=1e-5)
    expected = 2 * before["charbonnier"] + 0.5 * before["difference"]
    assert before["total"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_captured_gradients_are_those_of_a_plain_step_batch_by_batch(batch: WindowBatch) -> None:
    objective = WindowObjective(EQVI(ROWS["rcsn"]), TERMS)
    trained = [p for p in objective.parameters() if p.requires_grad]
    captured = CapturedGradients(objective, trained, torch.device("cpu"))
    for number in range(2):
        given = batch._replace(truth=((0.8 + 0.1 * number) * batch.truth).contiguous())
        losses = {name: value.clone() for name, value in captured(given).items()}
        gradients = [p.grad.clone() for p in trained if p.grad is not None]
        for parameter in trained:
            parameter.grad.zero_()  # type: ignore[union-attr] # it stays where it is
        expected = objective(given)
        expected["total"].backward()
        assert {name: value.item() for name, value in losses.items()} == {n: v.item() for n, v in expected.items()}
        assert len(gradients) == len(trained)
        for ours, parameter in zip(gradients, trained, strict=True):
            torch.testing.assert_close(ours, parameter.grad)


def test_a_run_on_windows_can_be_stopped_and_gone_on_with(tmp_path: Path) -> None:
    values = {"stage": "matching", "preset": "matching", "data": "windows", "windows": 4, "crop": 64, "stored": 64}
    recipe = Recipe(**values, store=str(tmp_path / "pool"), steps=2, batch=1, scored=1, score_every=1, average=0.5)
    whole = train(recipe, tmp_path / "whole", progress=False)
    train(recipe, tmp_path / "parts", progress=False, minutes=1e-9)
    first = read_curve(tmp_path / "parts" / CURVE_FILE)
    parts = train(recipe, tmp_path / "parts", progress=False)
    assert len(first) == 1
    assert read_curve(tmp_path / "parts" / CURVE_FILE) == read_curve(tmp_path / "whole" / CURVE_FILE)
    assert parts.scores == whole.scores
    assert set(parts.scores) >= {"psnr", "warp", "difference", "common"}
    ours, theirs = (eqvi.load(tmp_path / name / WEIGHTS_FILE) for name in ("parts", "whole"))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    latest = eqvi.load(tmp_path / "whole" / LATEST_FILE)  # in half precision
    for a, b in zip(latest.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_a_validation_begins_at_the_weight_free_methods_scores() -> None:
    model = EQVI(PRESETS["matching"]).eval()
    samples = [window(), window((-2.0, 2.0), 0.25)]
    validation = WindowValidation(samples, model, torch.device("cpu"))
    scores = validation(model)
    assert scores["psnr"] == scores["warp"] > scores["blend"]
    assert scores["difference"] == scores["warp_difference"]
    assert scores["common"] == scores["warp_common"]
    example = validation.examples(model)[0]
    assert torch.equal(example.frames["model"], example.frames["warp"])
    assert torch.equal(example.truth[0], samples[0].truth)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "clips"}, "stage matching learns from exact flow, which rendered windows alone have: leave data out"),
        ({"validation": "clips"}, "validation clips: with data windows it is of rendered windows"),
        ({"stored": 257}, "stored 257 cannot be used: give an even number"),
        ({"later": -1.0}, "later -1.0 cannot be used: give at least 0"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"stage": "matching", "preset": "matching", "data": "windows", "crop": 64}
    Recipe.from_values(good)
    with pytest.raises(InputError, match=message):
        Recipe.from_values(good | changes)


@pytest.mark.usefixtures("unchecked")
def test_stage_and_preset_belong_together_and_terms_are_known() -> None:
    for stage, preset in (("matching", "eqvi-eighth-dis"), ("scratch", "matching")):
        with pytest.raises(InputError, match="stage matching and preset matching belong together"):
            Recipe(stage=stage, preset=preset, data="windows").config()
    with pytest.raises(InputError, match="loss term 'l2' is not known: choose from blend, decibel,"):
        WindowObjective(EQVI(ROWS["rcsn"]), {"l2": 1.0})
