"""Motion models are exact where they should be, and finite everywhere."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published import arrays

from eqvi.model import motion

small = st.floats(-50, 50)
anything = st.floats(allow_nan=False, allow_infinity=False, width=32, min_value=-(2.0**60), max_value=2.0**60)


def observed(v, a):
    """f(s) = v s + a s^2 / 2 at -1, 1, 2."""
    return [torch.tensor(v * s + a * s * s / 2, dtype=torch.float64) for s in (-1, 1, 2)]


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_rectified_equals_the_released_implementation(t, device):
    golden = {name: value.to(device) for name, value in arrays("rqfp").items()}
    flows = [golden[f"flow_{pair}"] for pair in ("10", "12", "13")]
    torch.testing.assert_close(motion.rectified(*flows, t), golden[f"flow_1t_t{t}"], atol=1e-4, rtol=0)
    consistent = motion.is_consistent(*motion.accelerations(*flows)).float().mean()
    assert 0.1 < consistent < 0.9, "the golden case should take both branches"


@given(v=small, t=st.floats(0, 1))
def test_every_model_is_exact_on_constant_velocity(v, t):
    f10, f12, f13 = observed(v, 0)
    expected = pytest.approx(v * t, abs=1e-9)
    assert motion.linear(f12, t).item() == expected
    assert motion.quadratic(f10, f12, t).item() == expected
    assert motion.least_squares(f10, f12, f13, t).item() == expected
    assert motion.rectified(f10, f12, f13, t).item() == expected


@given(v=small, a=small, t=st.floats(0, 1))
def test_quadratic_models_are_exact_on_constant_acceleration(v, a, t):
    f10, f12, f13 = observed(v, a)
    expected = pytest.approx(v * t + a * t * t / 2, abs=1e-9)
    assert motion.quadratic(f10, f12, t).item() == expected
    assert motion.least_squares(f10, f12, f13, t).item() == expected
    assert motion.rectified(f10, f12, f13, t).item() == expected


@given(v=small, a=small)
def test_the_three_pairwise_accelerations_agree_on_constant_acceleration(v, a):
    for estimate in motion.accelerations(*observed(v, a)):
        assert estimate.item() == pytest.approx(a, abs=1e-9)


def test_least_squares_is_the_normal_equations_solution():
    design = torch.tensor([[-1, 0.5], [1, 0.5], [2, 2]], dtype=torch.float64)
    flows = torch.randn(3, 40, dtype=torch.float64)
    velocity, acceleration = torch.linalg.lstsq(design, flows).solution
    fitted = motion.least_squares_coefficients(*flows)
    torch.testing.assert_close(fitted.velocity, velocity)
    torch.testing.assert_close(fitted.acceleration, acceleration)


@settings(max_examples=300)
@given(f10=anything, f12=anything, f13=anything, t=st.floats(0, 1))
def test_rectification_is_finite_for_any_input(f10, f12, f13, t):
    flows = [torch.tensor(f, dtype=torch.float32) for f in (f10, f12, f13)]
    a1, a2, _ = motion.accelerations(*flows)
    weight = motion.rectification_weight(a1, a2).item()
    assert 0 <= weight <= 1
    assert math.isfinite(motion.rectified(*flows, t).item())


def test_the_rectification_weight_falls_from_one_to_zero_about_its_centre():
    gap = torch.tensor([0.0, motion.RECTIFICATION_CENTRE, 10.0, 1e6])
    weight = motion.rectification_weight(gap, torch.zeros(4))
    torch.testing.assert_close(weight, torch.tensor([1 - 4.54e-5, 0.5, 4.54e-5, 0]), atol=1e-6, rtol=0)


def test_signs_that_differ_leave_the_two_point_estimate():
    flows = [torch.tensor(x) for x in (-2.0, 3.0, 5.0)]  # a1 = 1, a2 = 1/3, a3 = -1
    assert not motion.is_consistent(*motion.accelerations(*flows))
    assert motion.rectified(*flows, 0.5) == motion.quadratic(*flows[:2], 0.5)
