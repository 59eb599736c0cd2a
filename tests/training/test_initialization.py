"""The model of a run before its first step."""

from pathlib import Path

import pytest
import torch
from small_runs import same, small_recipe

from eqvi.model.eqvi import EQVI
from eqvi.training.initialization import cosine_filters, initial_model

pytestmark = pytest.mark.usefixtures("tiny_presets")


def test_a_plain_beginning_is_a_warp_blended_half_and_half() -> None:
    model = initial_model(small_recipe(stage="scratch"))
    assert isinstance(model, EQVI)
    frames = torch.rand(1, 4, 3, 64, 64)
    motion = model.estimate_motion(frames)
    recipe = model.interpolate(frames, motion, 0.25)
    assert torch.equal(recipe.mask, torch.full_like(recipe.mask, 0.5))
    assert recipe.residual is not None
    assert not recipe.residual.any()
    assert torch.allclose(recipe.frame, 0.75 * recipe.warped_1 + 0.25 * recipe.warped_2, atol=1e-6)


def test_context_filters(tmp_path: Path) -> None:
    filters = cosine_filters(64).flatten(1)
    assert torch.allclose(filters @ filters.T, torch.eye(64), atol=1e-5)
    model = initial_model(small_recipe())
    assert isinstance(model, EQVI)
    assert model.residual is not None
    assert torch.equal(model.residual.context.weight, cosine_filters(4))
    given = torch.randn(4, 3, 7, 7)
    torch.save({"conv1.weight": given, "fc.bias": torch.zeros(2)}, tmp_path / "resnet.pth")
    model = initial_model(small_recipe(context=str(tmp_path / "resnet.pth")))
    assert isinstance(model, EQVI)
    assert model.residual is not None
    assert torch.equal(model.residual.context.weight, given)


def test_the_seed_decides_the_beginning() -> None:
    first, again, other = (initial_model(small_recipe(seed=seed, begin="published")).state_dict() for seed in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)
