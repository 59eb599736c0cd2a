"""Weight-free refinement and mask: holes are filled, each frame is trusted where it sees the pixel."""

import torch

from eqvi.model.geometry import Reversed
from eqvi.model.visibility import Trust, VisibilityMask, fill_holes, round_trip_error


def test_known_flow_is_kept_and_holes_take_what_is_around_them():
    flow = torch.full((1, 2, 33, 47), 3.0)
    weight = torch.ones(1, 1, 33, 47)
    weight[..., 10:20, 12:30] = 0
    broken = torch.where(weight > 0, flow, 99.0)
    torch.testing.assert_close(fill_holes(Reversed(broken, weight)), flow)


def test_a_flow_without_any_known_pixel_becomes_zero():
    filled = fill_holes(Reversed(torch.zeros(1, 2, 9, 7), torch.zeros(1, 1, 9, 7)))
    assert torch.equal(filled, torch.zeros(1, 2, 9, 7))


def test_the_round_trip_of_a_flow_and_its_negation_is_exact():
    there = torch.full((1, 2, 12, 12), 2.0)
    assert round_trip_error(there, -there)[..., :8, :8].max() < 1e-5


def mask_of(flow_12: torch.Tensor, flow_21: torch.Tensor, to_t1: Reversed, to_t2: Reversed) -> torch.Tensor:
    """The mask of two black frames with these flows."""
    frame = torch.zeros(1, 3, *flow_12.shape[-2:])
    refined = Trust()(frame, frame, flow_12, flow_21, to_t1, to_t2)
    return VisibilityMask()(frame, frame, refined.features)


def test_the_mask_trusts_the_frame_that_sees_the_pixel():
    zero, known = torch.zeros(1, 2, 8, 8), torch.ones(1, 1, 8, 8)
    partly = known.clone()
    partly[..., :4] = 0
    mask = mask_of(zero, zero, Reversed(zero, partly), Reversed(zero, known))
    assert (mask[..., :4] < 0.01).all(), "a hole of frame 1's reversed flow leaves the pixel to frame 2"
    torch.testing.assert_close(mask[..., 4:], torch.full((1, 1, 8, 4), 0.5))
    neither = mask_of(zero, zero, Reversed(zero, partly), Reversed(zero, partly))
    torch.testing.assert_close(neither, torch.full((1, 1, 8, 8), 0.5))


def test_a_failed_round_trip_lowers_the_trust_in_the_other_frame():
    zero, known = torch.zeros(1, 2, 8, 8), torch.ones(1, 1, 8, 8)
    flow_12 = zero.clone()
    flow_12[:, 0, :, :4] = 3.0  # what frame 1 shows there is not found again in frame 2
    flow_t2 = zero.clone()
    flow_t2[:, 0, :, :4] = 4.0  # frame 2 is sampled where the round trip agrees
    mask = mask_of(flow_12, zero, Reversed(zero, known), Reversed(flow_t2, known))
    assert (mask[..., :4] > 0.9).all()
    assert (mask[..., 4:] == 0.5).all()
