"""Matching at t: it starts as the weight-free method, at any size and t, and every weight of it can learn."""

import dataclasses

import pytest
import torch

import eqvi
from eqvi import EQVI, PRESETS, EQVIConfig, InputError
from eqvi.model import checkpoint
from eqvi.model.interpolation import Interpolation
from eqvi.model.matching_layers import cost_volume
from eqvi.model.timing import path_evidence
from eqvi.model.trajectories import SPACING, Position
from eqvi.model.visibility import raise_mask, scale_logit

BASELINE = dataclasses.replace(PRESETS["baseline"], trajectory=8)


def clip(count, height=64, width=80, batch=1):
    """A picture whose parts move at (3, 1) and, in a square in the middle, at (-2, 2) pixels a frame."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    period = torch.tensor([5.0, 6, 7]).view(3, 1, 1)
    frames = []
    for s in range(count):
        behind = 0.5 + 0.4 * torch.sin((x - 3 * s) / period + (y - s) / 7)
        before = 0.5 + 0.4 * torch.cos((x + 2 * s) / 4 - (y - 2 * s) / period)
        left, top = width // 3 - 2 * s, height // 3 + 2 * s
        inside = (x >= left) & (x < left + width // 4) & (y >= top) & (y < top + height // 4)
        frames.append(torch.where(inside, before, behind))
    return torch.stack(frames).expand(batch, -1, -1, -1, -1).contiguous()


@pytest.fixture(name="model")
def _model() -> EQVI:
    return EQVI(PRESETS["matching"]).eval()


@pytest.fixture(name="trained")
def _trained() -> EQVI:
    """A model whose last layers are no longer zero."""
    model = EQVI(PRESETS["matching"]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("size", [(64, 80), (65, 97), (31, 130), (8, 8)])
@pytest.mark.parametrize("count", [2, 4, 6, 8])
@pytest.mark.parametrize("t", [0.5, 0.2])
def test_a_new_model_is_the_weight_free_method_bit_for_bit(model, size, count, t):
    frames = clip(count, *size)
    with torch.inference_mode():
        ours, theirs = model(frames, t), EQVI(BASELINE)(frames, t)
    for name in ("frame", "flow_t1", "flow_t2", "warped_1", "warped_2", "mask"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    assert ours.residual.abs().max() == 0


@pytest.mark.parametrize("size", [(64, 80), (65, 97), (8, 8)])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_any_frame_size_and_window(trained, size, count):
    with torch.inference_mode():
        result = trained(clip(count, *size), 0.3)
    shapes = [tuple(field.shape) for field in result[: Interpolation._fields.index("stages")]]
    assert shapes == [(1, channels, *size) for channels in (3, 2, 2, 3, 3, 1, 3)]
    assert all(torch.isfinite(field).all() for field in result[:-1])
    sides = [stage.flow_t1.shape[-1] for stage in result.stages]
    padded = -(-max(size[1], 64) // 8) * 8
    assert sides == [padded // scale for scale in (8, 8, 4, 4, 2)]


def test_t_may_differ_between_samples(trained):
    frames = torch.cat([clip(8), clip(8).flip(-1), clip(8).flip(1)])
    t = torch.tensor([0.25, 0.5, 0.75])
    with torch.inference_mode():
        together = trained(frames, t).frame
        alone = torch.cat([trained(f[None], float(s)).frame for f, s in zip(frames, t, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_every_weight_has_a_gradient_after_one_step():
    model = EQVI(PRESETS["matching"]).train()
    frames = clip(8)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        result = model(frames[:, :8], 0.5)
        loss = (result.frame - frames[:, 3] * 0.9).square().mean()
        loss = loss + sum((stage.flow_t1 - 1).square().mean() for stage in result.stages)
        loss.backward()
        optimizer.step()
    without = [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert without == []


def test_the_cost_volume_finds_a_displacement_that_is_shared_by_both_frames():
    features = torch.randn(1, 32, 24, 24)
    # Frame 1 shows at x + (2, 1) what frame 2 shows at x - (2, 1).
    cost = cost_volume(features.roll((1, 2), (-2, -1)), features.roll((-1, -2), (-2, -1)), 3)
    best = cost.argmax(1)[..., 6:-6, 6:-6]
    assert (best == (1 + 3) * 7 + (2 + 3)).all()


def test_raising_a_mask_adds_to_its_logit():
    mask, logit = torch.rand(1, 1, 8, 8) * 0.98 + 0.01, 3 * torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(raise_mask(mask, logit), torch.sigmoid(torch.logit(mask) + logit))
    assert torch.equal(raise_mask(mask, torch.zeros_like(mask)), mask)
    torch.testing.assert_close(scale_logit(mask, torch.tensor([0.3])), torch.sigmoid(0.3 * torch.logit(mask)))
    assert torch.equal(scale_logit(mask, torch.ones(1)), mask)
    assert torch.isfinite(raise_mask(mask, 1e4 * logit)).all()


def test_saved_and_loaded_it_gives_the_same_frame(trained, tmp_path):
    path = tmp_path / "matching.safetensors"
    checkpoint.save(trained, path)
    frames = clip(8)
    with torch.inference_mode():
        assert torch.equal(eqvi.load(path)(frames, 0.5).frame, trained(frames, 0.5).frame)


def test_corrections_leave_the_common_part_and_timing_moves_it_alone(trained):
    frames = clip(8)
    with torch.inference_mode():
        still = trained(frames, 0.3).flow_t1
    with torch.inference_mode():
        torch.nn.init.zeros_(trained.matching.timing.head.weight)
        torch.nn.init.zeros_(trained.matching.timing.head.bias)
        ours, start = trained(frames, 0.3), EQVI(BASELINE)(frames, 0.3)
    common = [0.7 * result.flow_t1 + 0.3 * result.flow_t2 for result in (ours, start)]
    assert (ours.flow_t1 - start.flow_t1).abs().max() > 0.01
    torch.testing.assert_close(*common, atol=1e-4, rtol=0)
    assert (still - ours.flow_t1).abs().max() > 0.01


def test_evidence_is_nothing_on_a_straight_path_and_the_bend_on_a_bent_one():
    height, width = 64, 80
    flow = torch.full((1, 2, height, width), 2.0)
    trusted = torch.ones(1, 1, height // SPACING, width // SPACING)
    # Positions of a motion by 2 pixels an interval and a cubic bend.
    bend = {s: 0.01 * s * (s - 1) * (s + 1) for s in range(-3, 5)}
    for bent in (False, True):
        positions = {
            s: Position((2.0 * s + bent * bend[s]) * trusted.expand(-1, 2, -1, -1), trusted)
            for s in range(-3, 5)
            if s != 0
        }
        evidence = path_evidence(0.5 * flow, -0.5 * flow, positions, 0.5, height, width)
        expected = torch.full_like(evidence.differences, bent * 0.01 * 0.5 * -0.5 * 1.5)
        torch.testing.assert_close(evidence.differences, expected, atol=1e-4, rtol=2e-3)
        assert (evidence.trust == 1).all()
    nothing = path_evidence(0.5 * flow, -0.5 * flow, None, 0.5, height, width)
    assert nothing.differences.abs().max() == nothing.trust.max() == 0


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("changes", [{"refine": True}, {"multi_scale": True}, {"residual": True}])
def test_a_configuration_with_parts_that_matching_replaces_is_refused(changes):
    with pytest.raises(InputError, match="needs refine"):
        dataclasses.replace(PRESETS["matching"], **changes)
    assert EQVIConfig.from_dict(dataclasses.asdict(PRESETS["matching"])) == PRESETS["matching"]
