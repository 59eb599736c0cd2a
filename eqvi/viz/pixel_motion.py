"""One pixel's motion, step by step: what was observed, the curves through it, and what the rectification decides."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.errors import InputError
from eqvi.model import motion as motions
from eqvi.model.eqvi import Motion

#: Times at which a pixel's displacement from frame 1 is observed.
OBSERVED = (-1.0, 1.0, 2.0)


class Trace(NamedTuple):
    """How a pixel of frame 1 moves. Every tensor has x first, in pixels.

    Attributes:
        pixel: (x, y) in frame 1.
        observed: (3, 2), displacements at `OBSERVED`: F_10, F_12, F_13.
        accelerations: (3, 2), the pairwise ones: from (-1, 1), (-1, 2) and (1, 2).
        consistent: (2,), whether all three point the same way, for x and for y.
        alpha: (2,), the weight of the least-squares fit: 0 where not consistent.
        curves: name of the motion model to (N, 2) displacements at the times asked for.
        landing: (x, y) where the pixel is at t, by the rectified model.
    """

    pixel: tuple[int, int]
    observed: Float[Tensor, "3 2"]
    accelerations: Float[Tensor, "3 2"]
    consistent: tuple[bool, bool]
    alpha: tuple[float, float]
    curves: dict[str, Float[Tensor, "n 2"]]
    landing: tuple[float, float]


def trace(motion: Motion, x: int, y: int, t: float, times: Float[Tensor, " n"]) -> Trace:
    """What the motion models make of the pixel (x, y) of frame 1.

    Args:
        motion: of one window of four frames, with all six flows (`rectified` asks for them).
        x, y: the pixel.
        t: of the new frame.
        times: at which the curves are wanted.

    Raises:
        InputError: the pixel lies outside the frame, or flows are missing.
    """
    if motion.flow_10 is None or motion.flow_13 is None:
        raise InputError("a pixel's trace takes all six flows: give a window of four frames and rectified motion")
    height, width = motion.flow_12.shape[-2:]
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(f"pixel ({x}, {y}) is not within the frame of {width}x{height}")
    back, there, beyond = (flow[0, :, y, x].cpu() for flow in (motion.flow_10, motion.flow_12, motion.flow_13))
    a1, a2, a3 = motions.accelerations(back, there, beyond)
    agree = motions.is_consistent(a1, a2, a3)
    alpha = torch.where(agree, motions.rectification_weight(a1, a2), 0)
    rectified = motions.rectified_coefficients(back, there, beyond)
    curves = {
        "linear": there * times[:, None],
        "quadratic": motions.quadratic_coefficients(back, there).at(times[:, None]),
        "least squares": motions.least_squares_coefficients(back, there, beyond).at(times[:, None]),
        "rectified": rectified.at(times[:, None]),
    }
    moved = rectified.at(t)
    return Trace(
        (x, y),
        torch.stack((back, there, beyond)),
        torch.stack((a1, a2, a3)),
        (bool(agree[0]), bool(agree[1])),
        (float(alpha[0]), float(alpha[1])),
        curves,
        (x + float(moved[0]), y + float(moved[1])),
    )
