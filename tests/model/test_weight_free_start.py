"""The paper's parts started from the weight-free method: the same frame before the first step, and all of it learns."""

import dataclasses

import pytest
import torch

import eqvi
from eqvi import EQVI, PRESETS, InputError
from eqvi.model import checkpoint

CONFIG = dataclasses.replace(PRESETS["eqvi-eighth-dis"], start="weight_free")
BASELINE = dataclasses.replace(PRESETS["baseline"], motion=CONFIG.motion)


def clip(count, height=64, width=80):
    """A picture that moves by (3, 1) pixels a frame."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    period = torch.tensor([5.0, 6, 7]).view(3, 1, 1)
    frames = [0.5 + 0.4 * torch.sin((x - 3 * s) / period + (y - s) / 7) for s in range(count)]
    return torch.stack(frames)[None]


@pytest.mark.parametrize("size", [(64, 80), (65, 97), (8, 8)])
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("t", [0.5, 0.2])
def test_a_new_model_is_the_weight_free_method(size, count, t):
    frames = clip(count, *size)
    with torch.inference_mode():
        ours, theirs = EQVI(CONFIG).eval()(frames, t), EQVI(BASELINE)(frames, t)
    # The adaptive flow filter samples the flow where it is, which rounds in the fifth digit; nothing else differs.
    torch.testing.assert_close(ours.flow_t1, theirs.flow_t1, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.mask, theirs.mask, atol=0, rtol=0)
    torch.testing.assert_close(ours.frame, theirs.frame, atol=1e-4, rtol=0)
    assert ours.residual.abs().max() == 0


def test_the_published_start_is_another():
    frames = clip(4)
    published = EQVI(dataclasses.replace(CONFIG, start="published")).eval()
    with torch.inference_mode():
        assert (published(frames, 0.5).frame - EQVI(BASELINE)(frames, 0.5).frame).abs().max() > 0.01


def test_weights_have_the_published_names_and_shapes():
    ours, published = EQVI(CONFIG).state_dict(), EQVI(dataclasses.replace(CONFIG, start="published")).state_dict()
    assert {name: value.shape for name, value in ours.items()} == {n: v.shape for n, v in published.items()}


def test_every_trained_weight_has_a_gradient_after_one_step():
    model = EQVI(CONFIG).train()
    frames = clip(4)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        (model(frames, 0.5).frame - 0.9 * frames[:, 1]).square().mean().backward()
        optimizer.step()
    without = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or p.grad.abs().max() == 0) and "residual.context" not in name
    ]
    assert without == []


def test_saved_and_loaded_it_starts_where_it_did(tmp_path):
    model = EQVI(CONFIG).eval()
    checkpoint.save(model, tmp_path / "start.safetensors")
    frames = clip(4)
    loaded = eqvi.load(tmp_path / "start.safetensors")
    with torch.inference_mode():
        assert torch.equal(loaded(frames, 0.5).frame, model(frames, 0.5).frame)


@pytest.mark.usefixtures("unchecked")
def test_a_start_that_makes_no_model_is_refused():
    with pytest.raises(InputError, match="start='noise' is not known"):
        dataclasses.replace(CONFIG, start="noise")
    with pytest.raises(InputError, match="start='weight_free' needs refine=True"):
        dataclasses.replace(PRESETS["baseline"], start="weight_free")
    with pytest.raises(InputError, match="has no published form"):
        checkpoint.to_published(EQVI(dataclasses.replace(PRESETS["eqvi-quarter"], start="weight_free")))
