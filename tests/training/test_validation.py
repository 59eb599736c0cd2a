"""Scores during training, and the baselines beside them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import CPU, run, same, small_recipe

from eqvi import metrics
from eqvi.model import checkpoint
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.distributed import Processes
from eqvi.training.initialization import initial_model
from eqvi.training.loading import open_source, validation_samples
from eqvi.training.stages import STAGES, freeze_all_but
from eqvi.training.train import Progress
from eqvi.training.validation import FlowValidation, FrameValidation, make_validation
from eqvi.training.window_samples import middle_window

pytestmark = pytest.mark.usefixtures("tiny_presets")


def test_blend_and_warp() -> None:
    recipe = small_recipe(scored=2, motion="quadratic")
    windows, model = list(map(middle_window, validation_samples(recipe))), initial_model(recipe)  # type: ignore[arg-type]
    assert isinstance(model, EQVI)
    found = FrameValidation(windows, model, CPU)(model)
    plain = EQVI(dataclasses.replace(PRESETS["baseline"], motion="quadratic"))
    expected: dict[str, list[float]] = {"blend": [], "warp": [], "psnr": []}
    for window in windows:
        frames, t, truth = window.frames[None], window.t, metrics.to_8bit(window.truth[None])
        with torch.inference_mode():
            rivals = {
                "blend": (1 - t) * frames[:, 1] + t * frames[:, 2],
                "warp": plain(frames, t).frame,
                "psnr": model(frames, t).frame,
            }
        for name, frame in rivals.items():
            error = np.square(metrics.to_8bit(frame).astype(float) - truth.astype(float)).mean()
            expected[name].append(10 * np.log10(255**2 / error))
    assert found == pytest.approx({name: np.mean(values) for name, values in expected.items()}, abs=1e-3)


def test_end_point_error() -> None:
    recipe = small_recipe(stage="flow", preset="tiny", scored=2)
    pairs, model = validation_samples(recipe), initial_model(recipe)
    assert isinstance(model, ScopeFlow)
    found = FlowValidation(pairs, CPU)(model)  # type: ignore[arg-type]
    expected: dict[str, list[float]] = {"still": [], "epe": []}
    for pair in pairs:
        with torch.inference_mode():
            flows = {"still": torch.zeros(2, 64, 64), "epe": model(pair.first[None], pair.second[None])[0]}
        for name, flow in flows.items():
            distance = np.hypot(*(flow - pair.flow).double().numpy())
            expected[name].append(np.average(distance, weights=pair.weight[0].numpy()))
    assert found["still"] == pytest.approx(np.mean(expected["still"]), rel=1e-4)
    assert found["epe"] == pytest.approx(np.mean(expected["epe"]), rel=1e-4)
    assert 0 < found["dis"] < found["still"]


def test_validation_samples_are_not_trained_on() -> None:
    windows = validation_samples(small_recipe(scored=2, seed=5))
    assert all(
        torch.equal(a.frames, b.frames)
        for a, b in zip(windows, validation_samples(small_recipe(scored=2)), strict=True)
    )
    source = open_source(small_recipe(), Processes("cpu"))
    assert not any(torch.equal(source.sample(n).frames, windows[0].frames) for n in range(2))


def test_averaged_weights_are_scored_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share, after = 0.8, []
    clean = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW) -> None:
        clean(self)
        after.append([parameter.detach().clone() for parameter in self.param_groups[0]["params"]])

    recipe = small_recipe(average=share, score_every=1)
    updates: list[Progress] = []
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        saved = run(recipe, tmp_path, on_validation=updates.append)
    mean = after[0]
    for weights in after[1:]:
        mean = [share * a + (1 - share) * b for a, b in zip(mean, weights, strict=True)]
    model = checkpoint.load(tmp_path / "weights.safetensors")
    freeze_all_but(model, STAGES["scratch"].trains)
    found = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(found, mean, strict=True))
    assert not all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, after[-1], strict=True))
    scores = make_validation(validation_samples(recipe), model, CPU)(model)
    assert updates[-1].scores == pytest.approx(scores, abs=1e-6)
    assert [progress.step for progress in updates] == [0, 1, 2, 3, 4]
    # Validation leaves the trained weights as they were.
    again = run(dataclasses.replace(recipe, score_every=4), tmp_path / "seldom")
    assert same(saved, again)


def test_examples(tmp_path: Path) -> None:
    updates: list[Progress] = []
    run(small_recipe(scored=3), tmp_path, on_validation=updates.append)
    assert len(updates[0].examples) == 2
    assert set(updates[0].examples[0].frames) == {"blend", "warp", "model"}
    assert updates[0].examples[0].truth.shape == (1, 3, 64, 64)
