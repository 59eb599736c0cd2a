"""The motion of one pixel: its observed displacements, the curves through them, and RQFP's decision.

Drawn as plain SVG and HTML for the explorer: matplotlib takes a third of a second for such a plot, this takes a
millisecond. The drawing is dark on white, like every figure, and no line is identified by its colour alone.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.errors import InputError
from eqvi.model import motion as motions
from eqvi.model.eqvi import Motion
from eqvi.viz.figure import COLOURS, INK, MUTED

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


# A colour, a dash and a width for each curve, from the lowest to the topmost: where they coincide all stay visible.
_LINES = {
    "rectified": (COLOURS[0], "", 5.0),
    "linear": (COLOURS[4], "2 4", 2.2),
    "quadratic": (COLOURS[1], "9 4", 2.2),
    "least squares": (COLOURS[2], "9 3 2 3", 2.2),
}
# Pixels: size of a plot, what its labels take, and the gap between both plots.
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _GAP = 330, 230, 46, 26, 38, 20


def draw(motion: PixelMotion, t: float) -> str:
    """Displacement against time as SVG, x in the left plot and y in the right one; `motion` has curves at `TIMES`."""
    width, height = 2 * _WIDTH + _GAP, _HEIGHT + 24
    plots = (
        f'<g transform="translate({axis * (_WIDTH + _GAP)} 0)">{_plot(motion, t, axis, name)}</g>'
        for axis, name in enumerate("xy")
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{describe(motion, t)}" font-family="system-ui, sans-serif" font-size="12" fill="{INK}">'
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(plots)}{_key()}</svg>'
    )


def _plot(motion: PixelMotion, t: float, axis: int, name: str) -> str:
    lines = {label: motion.curves[label][:, axis].tolist() for label in _LINES}
    points = [(0.0, 0.0), *zip(OBSERVED, motion.observed[:, axis].tolist(), strict=True)]
    values = [value for line in lines.values() for value in line] + [value for _, value in points]
    # At least four pixels are shown, so that a pixel that hardly moves looks so.
    middle, reach = (max(values) + min(values)) / 2, max(max(values) - min(values), 4.0) * 0.55
    first, last = float(TIMES[0]), float(TIMES[-1])
    right, bottom = _WIDTH - 8, _HEIGHT - _BOTTOM

    def across(time: float) -> float:
        return _LEFT + (time - first) / (last - first) * (right - _LEFT)

    def down(value: float) -> float:
        return _TOP + (middle + reach - value) / (2 * reach) * (bottom - _TOP)

    parts = [f'<text x="{_LEFT}" y="16" font-weight="600">displacement in {name}, px</text>']
    for tick in _ticks(middle - reach, middle + reach):
        parts.append(f'<path d="M{_LEFT} {down(tick):.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{down(tick) + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for time in (-1, 0, 1, 2):
        x = f"{across(time):.1f}"
        parts.append(f'<path d="M{x} {_TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{_number(time)}</text>')
    parts.append(f'<text x="{across(0.5):.1f}" y="{_HEIGHT - 6}" text-anchor="middle">time</text>')
    parts.append(f'<path d="M{across(t):.1f} {_TOP}V{bottom}" stroke="{MUTED}" stroke-dasharray="3 3"/>')
    parts.append(f'<text x="{across(t) + 3:.1f}" y="{_TOP + 10}" fill="{MUTED}">t</text>')
    for label, line in lines.items():
        places = " ".join(f"{across(s):.1f},{down(v):.1f}" for s, v in zip(TIMES.tolist(), line, strict=True))
        parts.append(f'<polyline points="{places}" fill="none" {_pen(label)}/>')
    parts += [_circle(across(time), down(value)) for time, value in points]
    parts.append(_diamond(across(t), down(motion.landing[axis] - motion.pixel[axis])))
    return "".join(parts)


def _key() -> str:
    """The legend below both plots."""
    parts: list[str] = []
    x, y = float(_LEFT), _HEIGHT + 12
    for label in _LINES:
        parts.append(f'<path d="M{x} {y}h34" {_pen(label)}/><text x="{x + 40}" y="{y + 4}">{label}</text>')
        x += 54 + 6.5 * len(label)
    parts.append(_circle(x + 4, y) + f'<text x="{x + 14}" y="{y + 4}">observed</text>')
    parts.append(_diamond(x + 88, y) + f'<text x="{x + 99}" y="{y + 4}">lands at t</text>')
    return "".join(parts)


def _pen(label: str) -> str:
    colour, dash, width = _LINES[label]
    opacity = ' stroke-opacity="0.45"' if label == "rectified" else ""
    return f'stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"{opacity}'


def _circle(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="white" stroke="{INK}" stroke-width="1.6"/>'


def _diamond(x: float, y: float) -> str:
    return f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" fill="{COLOURS[5]}" stroke="{INK}" stroke-width="1.4"/>'


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers within the limits."""
    rough = (high - low) / 5
    size = math.pow(10, math.floor(math.log10(rough)))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough)
    return [round(n * step, 6) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
