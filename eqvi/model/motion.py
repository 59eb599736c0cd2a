"""Motion models (step 2 of `eqvi.model.eqvi`): from displacements at -1, 1 and 2 to the displacement at t.

A pixel of frame 1 (time 0 here) moves by f(s) = v s + a s^2 / 2, observed at s = -1, 1, 2 as the flows F_10, F_12,
F_13. All functions are per pixel and per component, for tensors of any shape that broadcast; displacements in
pixels, velocity in pixels per frame interval, acceleration in pixels per interval squared. The same functions serve
frame 2, with (F_23, F_21, F_20) and 1 - t. The two-point form is QVI's (Xu et al. 2019), the rectified
one is EQVI's RQFP (Liu et al. 2020).
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eqvi.model.config import MotionKind

Field = Float[Tensor, "*shape"]

#: (a, b) of the six flows F_ab of a window, in the order in which windows, batches and `Motion` carry them.
FLOW_PAIRS = ((1, 0), (1, 2), (1, 3), (2, 3), (2, 1), (2, 0))
#: The same and the flows between all other neighbours of a window of eight frames, whose numbers are -2 to 5.
LONG_PAIRS = (
    *FLOW_PAIRS,
    *((0, 1), (3, 2), (-2, -1), (-1, -2), (-1, 0), (0, -1), (3, 4), (4, 3), (4, 5), (5, 4)),
)
#: Those that each motion model reads.
NEEDED: dict[MotionKind, tuple[tuple[int, int], ...]] = {
    "linear": ((1, 2), (2, 1)),
    "quadratic": ((1, 0), (1, 2), (2, 3), (2, 1)),
    "least_squares": FLOW_PAIRS,
    "rectified": FLOW_PAIRS,
}

#: Pairwise accelerations that differ by this many pixels get equal weight from both estimates.
RECTIFICATION_CENTRE = 5.0


class Coefficients(NamedTuple):
    """Velocity and acceleration of f(s) = v s + a s^2 / 2."""

    velocity: Field
    acceleration: Field

    def at(self, t: float | Tensor) -> Field:
        """Displacement f(t); t a number, or a tensor that broadcasts against the field."""
        return self.velocity * t + self.acceleration * (t * t / 2)


def linear(flow_12: Field, t: float | Tensor) -> Field:
    """F_1t = t F_12: constant velocity."""
    return flow_12 * t


def quadratic_coefficients(flow_10: Field, flow_12: Field) -> Coefficients:
    """The two-point estimate: v = (F_12 - F_10) / 2, a = F_10 + F_12, exact at -1 and 1."""
    return Coefficients((flow_12 - flow_10) / 2, flow_10 + flow_12)


def least_squares_coefficients(flow_10: Field, flow_12: Field, flow_13: Field) -> Coefficients:
    """The least-squares estimate over all three observations: (A'A)^-1 A' (F_10, F_12, F_13).

    A has the rows (s, s^2 / 2) for s = -1, 1, 2. Worked out by hand, A'A = [[6, 4], [4, 9/2]] with determinant 11.
    """
    velocity = (-13 * flow_10 + 5 * flow_12 + 2 * flow_13) / 22
    acceleration = (7 * flow_10 - flow_12 + 4 * flow_13) / 11
    return Coefficients(velocity, acceleration)


def accelerations(flow_10: Field, flow_12: Field, flow_13: Field) -> tuple[Field, Field, Field]:
    """The three pairwise accelerations (a1, a2, a3): from (-1, 1), from (-1, 2), from (1, 2)."""
    return flow_10 + flow_12, (2 * flow_10 + flow_13) / 3, flow_13 - 2 * flow_12


def is_consistent(a1: Field, a2: Field, a3: Field) -> Bool[Tensor, "*shape"]:
    """The sign test: all three pairwise accelerations point the same way."""
    return (a1 * a2 > 0) & (a1 * a3 > 0)


def rectification_weight(a1: Field, a2: Field) -> Field:
    """alpha = 1/2 - tanh(|a1 - a2| - 5) / 2, the weight of the least-squares estimate, in [0, 1].

    Deviation: the published code writes tanh with exponentials, which overflow to NaN beyond |a1 - a2| of about
    93 px; `torch.tanh` has the same values and is finite for any finite input.
    """
    return (1 - torch.tanh((a1 - a2).abs() - RECTIFICATION_CENTRE)) / 2


def rectified_coefficients(flow_10: Field, flow_12: Field, flow_13: Field) -> Coefficients:
    """RQFP: alpha times least squares plus 1 - alpha times two-point where the signs agree, two-point elsewhere."""
    a1, a2, a3 = accelerations(flow_10, flow_12, flow_13)
    alpha = torch.where(is_consistent(a1, a2, a3), rectification_weight(a1, a2), 0)
    fit = least_squares_coefficients(flow_10, flow_12, flow_13)
    two_point = quadratic_coefficients(flow_10, flow_12)
    return Coefficients(
        torch.lerp(two_point.velocity, fit.velocity, alpha),
        torch.lerp(two_point.acceleration, fit.acceleration, alpha),
    )


def quadratic(flow_10: Field, flow_12: Field, t: float | Tensor) -> Field:
    """F_1t of the two-point quadratic model."""
    return quadratic_coefficients(flow_10, flow_12).at(t)


def least_squares(flow_10: Field, flow_12: Field, flow_13: Field, t: float | Tensor) -> Field:
    """F_1t of the least-squares quadratic model."""
    return least_squares_coefficients(flow_10, flow_12, flow_13).at(t)


def rectified(flow_10: Field, flow_12: Field, flow_13: Field, t: float | Tensor) -> Field:
    """F_1t of the rectified quadratic model (RQFP)."""
    return rectified_coefficients(flow_10, flow_12, flow_13).at(t)


def displacement(
    kind: MotionKind, flow_10: Field | None, flow_12: Field, flow_13: Field | None, t: float | Tensor
) -> Field:
    """F_1t of the motion model `kind`; linear at a clip's ends, where there is no frame 0 (`flow_10` is None)."""
    if kind == "linear" or flow_10 is None:
        return linear(flow_12, t)
    if kind == "quadratic" or flow_13 is None:
        return quadratic(flow_10, flow_12, t)
    model = least_squares if kind == "least_squares" else rectified
    return model(flow_10, flow_12, flow_13, t)
