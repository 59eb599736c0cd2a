"""Detail that bilinear warps lose: what is given back, and where nothing is."""

import dataclasses
import math

import torch

from eqvi import EQVI, PRESETS
from eqvi.model.detail import lost_detail, signal_share, surplus
from eqvi.model.geometry import backward_warp
from eqvi.model.synthesis import blend

SIZE = 96


def wave(shift, period=4.0):
    """A grating of that period in pixels, displaced by `shift` pixels to the right: (1, 3, H, W)."""
    x = torch.arange(SIZE).float() - shift
    return (0.5 + 0.4 * torch.sin(2 * math.pi * x / period)).expand(1, 3, SIZE, SIZE).contiguous()


def error(frame, truth):
    inside = (..., slice(8, -8), slice(8, -8))
    return (frame - truth)[inside].abs().max().item()


def between(noise=0.0, moved=0.5):
    """Two frames of a grating that moves by 2 `moved`; flows from the middle to them, warped frames, the truth."""
    frames = [wave(shift) + noise * torch.randn(1, 3, SIZE, SIZE) for shift in (-moved, moved)]
    flows = [torch.tensor([shift, 0.0]).view(1, 2, 1, 1).expand(1, 2, SIZE, SIZE) for shift in (-moved, moved)]
    warped = [backward_warp(frame, flow, "border") for frame, flow in zip(frames, flows, strict=True)]
    return frames, flows, warped, wave(0.0)


def test_a_grating_sampled_half_way_between_pixels_gets_its_height_back():
    frames, flows, warped, truth = between()
    mask = torch.full((1, 1, SIZE, SIZE), 0.5)
    soft = blend(*warped, mask, 0.5)
    sharp = soft + lost_detail(*map(surplus, frames, flows, warped), mask, 0.5)
    # A bilinear sample keeps cos(pi / 4) of it.
    assert abs(error(soft, truth) - 0.4 * (1 - math.cos(math.pi / 4))) < 0.01
    assert error(sharp, truth) < 0.25 * error(soft, truth)


def test_nothing_changes_where_motion_is_of_whole_pixels():
    frames, flows, warped, truth = between(moved=1.0)
    mask = torch.full((1, 1, SIZE, SIZE), 0.5)
    added = lost_detail(*map(surplus, frames, flows, warped), mask, 0.5)
    assert error(blend(*warped, mask, 0.5), truth) < 1e-5
    assert added[..., 8:-8, 8:-8].abs().max() < 1e-5


def test_the_share_of_noise_and_of_opposite_pictures_is_small():
    detail, noise = 0.1 * torch.randn(1, 3, SIZE, SIZE), 0.1 * torch.randn(2, 1, 3, SIZE, SIZE)
    assert signal_share(detail, detail).min() > 0.99
    assert signal_share(detail, -detail).max() == 0
    assert signal_share(*noise).mean() < 0.2
    # Signal and noise alike: rho = 1 / 2, g = 2 / 3.
    assert abs(signal_share(detail + noise[0], detail + noise[1]).mean() - 2 / 3) < 0.05


def test_the_option_gives_it_back_at_any_size_and_t():
    frames = torch.stack([wave(0.7 * s)[..., :65, :83] for s in range(4)], dim=1)
    soft, sharp = (
        EQVI(dataclasses.replace(PRESETS["baseline"], detail=detail)).eval()(frames, 0.3) for detail in (False, True)
    )
    assert soft.residual is None
    torch.testing.assert_close(sharp.frame, (soft.frame + sharp.residual).clamp(0, 1))
    assert torch.isfinite(sharp.frame).all()
