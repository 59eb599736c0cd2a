"""Flows of both ways combined: what the second way mends, what it cannot spoil, and what a running clip makes of it."""

import dataclasses

import pytest
import torch

import eqvi.model.eqvi as method
from eqvi import EQVI, PRESETS
from eqvi.errors import InputError
from eqvi.model.geometry import backward_warp
from eqvi.model.motion import LONG_PAIRS
from eqvi.model.two_way import combined
from tests.model.test_matching import BASELINE, clip

TWO_WAY = dataclasses.replace(BASELINE, two_way=True)
SIZE = (64, 96)


def moved(x: float, y: float = 0.0) -> torch.Tensor:
    """One flow for all pixels: (1, 2, H, W)."""
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(1, 2, *SIZE).contiguous()


@pytest.fixture(name="pair")
def _pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two grey frames of a texture that moves by 3 pixels to the right: frame b at x + 3 is frame a at x."""
    generator = torch.Generator().manual_seed(3)
    wide = torch.nn.functional.avg_pool2d(torch.rand(1, 1, SIZE[0] + 2, SIZE[1] + 5, generator=generator), 3, 1)
    return wide[..., 3:], wide[..., :-3]


def test_true_flows_stay_as_they_are(pair):
    torch.testing.assert_close(combined(*pair, moved(3), moved(-3)), moved(3))


def test_opposite_errors_cancel(pair):
    error = 0.4
    ours = combined(*pair, moved(3 + error), moved(-3 + error))  # the way back says 3 - error, which fits as well
    assert (ours - moved(3))[..., 8:-8].abs().mean() < 0.15 * error


@pytest.mark.parametrize("wrong", [1.5, 6.0, 40.0])
def test_the_way_that_fits_is_believed(pair, wrong):
    ours = combined(*pair, moved(3), moved(-3 + wrong))
    assert (ours - moved(3))[..., 8:-8].abs().mean() < 0.05 * wrong
    ours = combined(*pair, moved(3 - min(wrong, 6)), moved(-3))
    assert (ours - moved(3))[..., 8:-8].abs().mean() < 0.5 * min(wrong, 6)


def test_without_texture_a_second_opinion_that_is_far_off_counts_little():
    plain = torch.full((1, 1, *SIZE), 0.5)
    near, far = (combined(plain, plain, moved(0), moved(apart)) for apart in (-1.0, -50.0))
    assert near[..., 8:-8].mean(dim=(0, 2, 3))[0] == pytest.approx(0.475, abs=0.01)  # nearly half of 1 px
    assert far[..., 8:-8].abs().max() < 0.5


def test_the_second_way_is_read_where_the_first_one_ends():
    plain = torch.full((1, 1, *SIZE), 0.5)
    generator = torch.Generator().manual_seed(4)
    back = torch.randn(1, 2, *SIZE, generator=generator)
    flow = moved(2.25, -1.5)
    opinion = -backward_warp(back, flow, "border")
    ours = combined(plain, plain, flow, back)
    low, high = torch.minimum(flow, opinion), torch.maximum(flow, opinion)
    assert ((ours >= low - 1e-6) & (ours <= high + 1e-6)).all()


def test_a_running_clip_combines_nothing_twice_and_changes_nothing(monkeypatch):
    calls = []
    monkeypatch.setattr(method, "combined", lambda *given: calls.append(1) or combined(*given))
    model, frames, motion = EQVI(TWO_WAY).eval(), clip(10), None
    with torch.inference_mode():
        for start in range(3):
            window = frames[:, start : start + 8]
            motion = model.estimate_motion(window, motion)
            assert len(calls) == 4 + 2 * start
        alone = model.estimate_motion(window)
        for name in ("flow_10", "flow_12", "flow_23", "flow_21"):
            assert torch.equal(getattr(motion, name), getattr(alone, name)), name
        assert torch.equal(*(model.interpolate(window, each, 0.3).frame for each in (motion, alone)))


def test_from_the_first_window_of_a_clip_on():
    """Windows of 2, 4, 6 and 8 frames follow each other, as at a clip's start."""
    model, frames, motion = EQVI(TWO_WAY).eval(), clip(8), None
    with torch.inference_mode():
        for gap, reach in ((0, 1), (1, 2), (2, 3), (3, 4)):
            window = frames[:, gap + 1 - reach : gap + 1 + reach]
            motion = model.estimate_motion(window, motion)
            alone = model.estimate_motion(window)
            assert torch.equal(*(model.interpolate(window, each, 0.5).frame for each in (motion, alone)))


def test_known_flows_give_what_estimated_ones_give():
    model, frames = EQVI(TWO_WAY).eval(), clip(8)
    with torch.inference_mode():
        motion = model.estimate_motion(frames)
        raw = dict(zip(((1, 3), (2, 0)), (motion.flow_12,) * 2, strict=True)) | motion.chained  # not read
        known = model.known_motion(frames, torch.stack([raw[pair] for pair in LONG_PAIRS], dim=1))
        assert torch.equal(*(model.interpolate(frames, each, 0.5).frame for each in (motion, known)))


def test_hidden_pixels_are_told_by_the_flows_as_they_were():
    model, frames = EQVI(TWO_WAY).eval(), clip(8)
    with torch.inference_mode():
        ours = model.estimate_motion(frames)
        theirs = EQVI(BASELINE).eval().estimate_motion(frames)
    assert not torch.equal(ours.flow_12, theirs.flow_12)
    assert all(torch.equal(a, b) for a, b in zip(ours.middle, theirs.middle, strict=True))


def test_without_a_trajectory_it_is_refused():
    with pytest.raises(InputError, match="two_way=True needs a trajectory"):
        dataclasses.replace(PRESETS["baseline"], two_way=True)
