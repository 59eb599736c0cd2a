"""The motion of one pixel: its observed displacements, the curves through them, and RQFP's decision.

Drawn as plain SVG and HTML for the explorer (`eqvi.viz.small_plot`).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.errors import InputError
from eqvi.model import motion as motions
from eqvi.model.interpolation import Motion
from eqvi.viz.palette import COLOURS
from eqvi.viz.small_plot import Pen, Point, plot, stack

#: Times at which a pixel's displacement from frame 1 is observed.
OBSERVED = (-1.0, 1.0, 2.0)
#: Times at which `draw` needs the curves.
TIMES = torch.linspace(-1.15, 2.15, 67)


class PixelMotion(NamedTuple):
    """How a pixel of frame 1 moves. Every tensor has x first, in pixels.

    Attributes:
        pixel: (x, y) in frame 1.
        observed: (3, 2), displacements at `OBSERVED`: F_10, F_12, F_13.
        accelerations: (3, 2), the pairwise ones: from (-1, 1), (-1, 2) and (1, 2).
        consistent: (2,), whether all three have the same sign, for x and for y.
        alpha: (2,), the weight of the least-squares fit: 0 where not consistent.
        curves: name of the motion model to (N, 2) displacements at the times asked for.
        landing: (x, y) of the pixel at t, by the rectified model.
    """

    pixel: tuple[int, int]
    observed: Float[Tensor, "3 2"]
    accelerations: Float[Tensor, "3 2"]
    consistent: tuple[bool, bool]
    alpha: tuple[float, float]
    curves: dict[str, Float[Tensor, "n 2"]]
    landing: tuple[float, float]


def pixel_motion(motion: Motion, x: int, y: int, t: float, times: Float[Tensor, " n"] = TIMES) -> PixelMotion:
    """The motion of pixel (x, y) of frame 1 by every motion model (step 2 of `eqvi.model.eqvi`).

    Args:
        motion: all six flows of a quadruplet (as `rectified` needs them).
        x, y: the pixel.
        t: of the new frame.
        times: of the curves.

    Raises:
        InputError: the pixel lies outside the frame, or flows are missing.
    """
    if motion.flow_10 is None or motion.flow_13 is None:
        raise InputError("a pixel's motion takes all six flows: give a window of four frames and rectified motion")
    height, width = motion.flow_12.shape[-2:]
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(f"pixel ({x}, {y}) is not within the frame of {width}x{height}")
    flows = [flow[0, :, y, x].cpu() for flow in (motion.flow_10, motion.flow_12, motion.flow_13)]
    accelerations = motions.accelerations(*flows)
    consistent = motions.is_consistent(*accelerations)
    alpha = torch.where(consistent, motions.rectification_weight(*accelerations[:2]), 0)
    rectified = motions.rectified_coefficients(*flows)
    curves = {
        "linear": flows[1] * times[:, None],
        "quadratic": motions.quadratic_coefficients(*flows[:2]).at(times[:, None]),
        "least squares": motions.least_squares_coefficients(*flows).at(times[:, None]),
        "rectified": rectified.at(times[:, None]),
    }
    dx, dy = rectified.at(t).tolist()
    return PixelMotion(
        (x, y),
        torch.stack(flows),
        torch.stack(accelerations),
        (bool(consistent[0]), bool(consistent[1])),
        (float(alpha[0]), float(alpha[1])),
        curves,
        (x + dx, y + dy),
    )


def describe(motion: PixelMotion, t: float) -> str:
    """The motion in a sentence, also the alt text of `draw`."""
    (x, y), (to_x, to_y) = motion.pixel, motion.landing
    verdicts = ", ".join(
        f"in {axis} the accelerations " + (f"agree, alpha is {alpha:.2f}" if agree else "disagree, the fit is dropped")
        for axis, agree, alpha in zip("xy", motion.consistent, motion.alpha, strict=True)
    )
    return f"Pixel ({x}, {y}) of frame 1 lands at ({to_x:.1f}, {to_y:.1f}) at t = {t:g}; {verdicts}."


def marks(motion: PixelMotion) -> dict[str, Any]:
    """Positions (x, y) of the pixel: in the input frames by their time, at "t", and along the rectified "curve"."""
    x, y = motion.pixel
    moved = zip(("-1", "1", "2"), motion.observed.tolist(), strict=True)
    observed = {at: [x + dx, y + dy] for at, (dx, dy) in moved}
    curve = [[x + dx, y + dy] for dx, dy in motion.curves["rectified"].tolist()]
    return {"0": [x, y], "t": list(motion.landing), "curve": curve, **observed}


def table(motion: PixelMotion) -> str:
    """The displacements, the three accelerations, the sign test and alpha, for x and for y, as an HTML table."""
    pairs = ("a₁, from −1 and 1", "a₂, from −1 and 2", "a₃, from 1 and 2")
    cells: dict[str, Iterable[str]] = {}
    for time, values in zip(OBSERVED, motion.observed.tolist(), strict=True):
        cells[f"displacement at {time:g}"] = (f"{value:+.2f} px" for value in values)
    for pair, values in zip(pairs, motion.accelerations.tolist(), strict=True):
        cells[pair] = (f"{value:+.2f}" for value in values)
    cells["all of one sign?"] = ("yes" if agree else "no: two-point parabola" for agree in motion.consistent)
    cells["α, weight of the fit"] = (f"{value:.2f}" for value in motion.alpha)
    cells["lands at"] = (f"{value:.1f}" for value in motion.landing)
    rows = (f'<tr><th scope="row">{head}</th><td>{"</td><td>".join(row)}</td></tr>' for head, row in cells.items())
    head = '<thead><tr><td></td><th scope="col">x</th><th scope="col">y</th></tr></thead>'
    caption = f"<caption>Pixel {motion.pixel} of I₁</caption>"
    return f"<table>{caption}{head}<tbody>{''.join(rows)}</tbody></table>"


# The lowest line first; where they coincide all stay visible.
_PENS = {
    "rectified": Pen(COLOURS[0], "", 5.0, 0.6),
    "linear": Pen(COLOURS[4], "2 4"),
    "quadratic": Pen(COLOURS[1], "9 4"),
    "least squares": Pen(COLOURS[2], "9 3 2 3"),
}


def draw(motion: PixelMotion, t: float) -> str:
    """Displacement against time as SVG, x above y; `motion` has curves at `TIMES`."""
    plots = []
    for axis, name in enumerate("xy"):
        values = [(0.0, 0.0), *zip(OBSERVED, motion.observed[:, axis].tolist(), strict=True)]
        lines = {label: (TIMES.tolist(), motion.curves[label][:, axis].tolist()) for label in _PENS}
        landing = motion.landing[axis] - motion.pixel[axis]
        points = [Point(time, value) for time, value in values]
        span = float(TIMES[0]), float(TIMES[-1])
        plots.append(plot(f"displacement in {name}, px", span, lines, _PENS, points, t, landing))
    return stack(plots, _PENS, describe(motion, t))
