"""Warping, reversal and gradients do what their formulas say."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published import arrays

from eqvi.model.geometry import (
    backward_warp,
    gradient_magnitude,
    pad_to,
    resize,
    resize_part,
    reverse_flow,
    sampled_inside,
)


def test_warp_equals_the_released_implementation(device):
    golden = arrays("backward_warp")
    warped = backward_warp(golden["image"].to(device), golden["flow"].to(device))
    torch.testing.assert_close(warped.cpu(), golden["warped"], atol=1e-4, rtol=0)


def test_reversal_equals_the_released_implementation(device):
    golden = arrays("flow_reversal")
    reverse = reverse_flow(golden["flow_1t"].to(device))
    torch.testing.assert_close(reverse.flow.cpu(), golden["flow_t1"], atol=1e-4, rtol=0)
    torch.testing.assert_close(reverse.weight.cpu().expand_as(golden["norm"]), golden["norm"], atol=1e-4, rtol=0)
    assert (golden["norm"] == 0).any(), "the golden case should have holes"


@pytest.mark.parametrize("size", [(1, 1), (7, 1), (31, 57), (720, 1280)])
def test_zero_flow_is_identity(size):
    image = torch.rand(1, 3, *size)
    torch.testing.assert_close(backward_warp(image, torch.zeros(1, 2, *size)), image, atol=1e-4, rtol=0)


@settings(deadline=None, max_examples=30)
@given(dx=st.integers(-9, 9), dy=st.integers(-9, 9))
def test_integer_shift_is_exact(dx, dy):
    image = torch.rand(1, 2, 20, 24, dtype=torch.float64)
    flow = torch.tensor([dx, dy], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, 20, 24)
    padded = torch.nn.functional.pad(image, (10, 10, 10, 10))
    expected = padded[..., 10 + dy : 30 + dy, 10 + dx : 34 + dx]
    torch.testing.assert_close(backward_warp(image, flow), expected, atol=1e-12, rtol=0)


@settings(deadline=None, max_examples=30)
@given(dx=st.floats(-5, 5), dy=st.floats(-5, 5))
def test_reversal_of_a_constant_flow_is_its_negation(dx, dy):
    flow = torch.tensor([dx, dy], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, 16, 18)
    reverse = reverse_flow(flow)
    known = reverse.weight > 0
    assert known.any()
    torch.testing.assert_close(reverse.flow, torch.where(known, -flow, 0))


def test_reversal_leaves_holes_where_nothing_lands():
    flow = torch.zeros(1, 2, 8, 16)
    flow[:, 0, :, 8:] = 4  # the right half moves away and uncovers what lay between
    reverse = reverse_flow(flow)
    assert (reverse.weight[..., 9:12] == 0).all()
    assert (reverse.flow[..., 9:12] == 0).all()
    assert (reverse.weight[..., :8] > 0).all()


def test_reversal_is_repeatable_bit_for_bit_on_the_cpu():
    flow = 20 * torch.randn(2, 2, 64, 80)
    first, second = reverse_flow(flow), reverse_flow(flow)
    assert torch.equal(first.flow, second.flow)
    assert torch.equal(first.weight, second.weight)


def test_reversal_passes_gradients():
    flow = (2 * torch.rand(1, 2, 6, 7, dtype=torch.float64)).requires_grad_()
    # finite differences across an integer boundary are not the gradient: stay in the middle of a cell
    flow = (flow.detach().floor() + 0.25 + 0.5 * torch.rand_like(flow)).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: reverse_flow(f).flow, flow, eps=1e-6, atol=1e-5)


def test_samples_outside_count_for_nothing():
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0] = 2.5
    assert sampled_inside(flow)[0, 0, 0].tolist() == pytest.approx([1, 1, 0.5, 0, 0])


def test_outside_the_frame_there_is_nothing_or_the_rim():
    image = 1 + torch.arange(5.0).expand(1, 1, 4, 5)
    flow = torch.full((1, 2, 4, 5), 3.0) * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(backward_warp(image, flow)[0, 0, 0], torch.tensor([4.0, 5, 0, 0, 0]))
    torch.testing.assert_close(backward_warp(image, flow, outside="border")[0, 0, 0], torch.tensor([4.0, 5, 5, 5, 5]))


def test_gradient_of_a_ramp():
    x = torch.arange(12.0).expand(1, 1, 9, 12)
    inner = gradient_magnitude(0.25 * x)[..., 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, (0.5**2 + 1e-6) ** 0.5))


@pytest.mark.parametrize(("whole", "resized"), [((67, 40), (135, 80)), ((33, 17), (67, 35)), ((6, 6), (12, 12))])
def test_a_part_is_resized_to_the_part_of_the_whole(whole, resized):
    image = torch.rand(2, 3, *whole)
    expected = resize(image, resized, align_corners=False)
    rows, columns = slice(4, whole[0] - 1), slice(2, whole[1])
    begin, size = (8, 4), (resized[0] - 12, resized[1] - 4)
    part = resize_part(image[:, :, rows, columns], size, (whole, resized), ((4, 2), begin))
    there = expected[:, :, 8 : 8 + size[0], 4:]
    torch.testing.assert_close(part[:, :, 2:-2, 2:], there[:, :, 2:-2, 2:], atol=1e-5, rtol=0)
    if resized != (2 * whole[0], 2 * whole[1]):
        alone = resize(image[:, :, rows, columns], size, align_corners=False)
        assert (alone - there)[:, :, 2:-2, 2:].abs().max() > 0.01


def test_padding_replicates_the_rim():
    frames = torch.rand(2, 4, 3, 5, 6)
    padded = pad_to(frames, 8, 4)
    assert padded.shape == (2, 4, 3, 8, 6)
    assert torch.equal(padded[..., :5, :], frames)
    assert torch.equal(padded[..., 7, :], frames[..., 4, :])
    assert pad_to(frames, 5, 6) is frames
