"""What stands in for the learned parts: holes filled, each frame trusted where it saw."""

import torch

from eqvi.model.geometry import Reversed
from eqvi.model.visibility import fill_holes, round_trip_error, visibility_mask


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


def test_the_mask_trusts_the_frame_that_saw():
    zero = torch.zeros(1, 2, 8, 8)
    hole = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    hole[..., :4] = True
    seen = visibility_mask(zero, zero, zero, zero, hole, torch.zeros_like(hole))
    assert (seen[..., :4] < 0.01).all(), "a hole of frame 1's reversed flow leaves the pixel to frame 2"
    torch.testing.assert_close(seen[..., 4:], torch.full((1, 1, 8, 4), 0.5))
    neither = visibility_mask(zero, zero, zero, zero, hole, hole)
    torch.testing.assert_close(neither, torch.full((1, 1, 8, 8), 0.5))


def test_a_round_trip_that_fails_speaks_against_the_other_frame():
    zero = torch.zeros(1, 2, 8, 8)
    hole = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    flow_12 = zero.clone()
    flow_12[:, 0, :, :4] = 3.0  # what frame 1 shows there is not found again in frame 2
    flow_t2 = zero.clone()
    flow_t2[:, 0, :, :4] = 4.0  # frame 2 is sampled where the round trip holds
    mask = visibility_mask(flow_12, zero, zero, flow_t2, hole, hole)
    assert (mask[..., :4] > 0.9).all()
    assert (mask[..., 4:] == 0.5).all()
