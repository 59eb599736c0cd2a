"""One pixel's motion as a drawing: its curves in plain SVG, and what the rectification decides as a table in HTML.

Matplotlib takes a third of a second for such a plot, this takes a millisecond. The drawing is dark on white, like every
figure of the study, and no line is known by its colour alone.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch

from eqvi.viz.figure import COLOURS, INK, MUTED
from eqvi.viz.pixel_motion import OBSERVED, Trace

#: Times at which the curves are drawn.
TIMES = torch.linspace(-1.15, 2.15, 67)

# A colour and a dash for each curve, the broadest first: where they coincide the ones below stay visible.
_LINES = {
    "linear": (COLOURS[4], "2 4", 2.2),
    "quadratic": (COLOURS[1], "9 4", 2.2),
    "least squares": (COLOURS[2], "9 3 2 3", 2.2),
    "rectified": (COLOURS[0], "", 5.0),
}
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 330, 230, 46, 26, 38
_PAIRS = ("a₁, from −1 and 1", "a₂, from −1 and 2", "a₃, from 1 and 2")


def curves(found: Trace, t: float) -> str:
    """Displacement against time as SVG, x in the left plot and y in the right one; `found` has curves at `TIMES`."""
    whole = 2 * _WIDTH + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {_HEIGHT + 24}" role="img" '
        f'aria-label="{sentence(found, t)}" font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{whole}" height="{_HEIGHT + 24}" fill="white"/>',
    ]
    for axis, name in enumerate("xy"):
        parts.append(f'<g transform="translate({axis * (_WIDTH + 20)} 0)">{_plot(found, t, axis, name)}</g>')
    parts.append(_key())
    return "".join(parts) + "</svg>"


def table(found: Trace) -> str:
    """The three accelerations, the sign test and alpha, for x and for y, as an HTML table."""

    def row(head: str, cells: Iterable[str]) -> str:
        return f'<tr><th scope="row">{head}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'

    rows = [
        row(f"displacement at {time:g}", (f"{value:+.2f} px" for value in moved))
        for time, moved in zip(OBSERVED, found.observed.tolist(), strict=True)
    ]
    rows += [
        row(pair, (f"{value:+.2f}" for value in values))
        for pair, values in zip(_PAIRS, found.accelerations.tolist(), strict=True)
    ]
    rows.append(row("all of one sign?", ("yes" if agree else "no: two-point parabola" for agree in found.consistent)))
    rows.append(row("α, weight of the fit", (f"{value:.2f}" for value in found.alpha)))
    rows.append(row("lands at", (f"{value:.1f}" for value in found.landing)))
    x, y = found.pixel
    return (
        f"<table><caption>Pixel ({x}, {y}) of I₁</caption>"
        f'<thead><tr><td></td><th scope="col">x</th><th scope="col">y</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def sentence(found: Trace, t: float) -> str:
    """The drawing in words."""
    (x, y), (to_x, to_y) = found.pixel, found.landing
    verdicts = ", ".join(
        f"in {axis} the accelerations " + (f"agree, alpha is {alpha:.2f}" if agree else "disagree, the fit is dropped")
        for axis, agree, alpha in zip("xy", found.consistent, found.alpha, strict=True)
    )
    return f"Pixel ({x}, {y}) of frame 1 lands at ({to_x:.1f}, {to_y:.1f}) at t = {t:g}; {verdicts}."


def marks(found: Trace) -> dict[str, Any]:
    """Where the pixel is, (x, y): in the given frames by their time, at "t", and along the rectified "curve"."""
    x, y = found.pixel
    moved = zip(("-1", "1", "2"), found.observed.tolist(), strict=True)
    observed = {at: [x + dx, y + dy] for at, (dx, dy) in moved}
    curve = [[x + dx, y + dy] for dx, dy in found.curves["rectified"].tolist()]
    return {"0": [x, y], "t": list(found.landing), "curve": curve, **observed}


def _plot(found: Trace, t: float, axis: int, name: str) -> str:
    lines = {label: line[:, axis].tolist() for label, line in found.curves.items()}
    marks = [(0.0, 0.0), *zip(OBSERVED, found.observed[:, axis].tolist(), strict=True)]
    values = [value for line in lines.values() for value in line] + [value for _, value in marks]
    # A pixel that hardly moves shall look so: at least four pixels are shown.
    middle, reach = (max(values) + min(values)) / 2, max(max(values) - min(values), 4.0) * 0.55
    first, last = float(TIMES[0]), float(TIMES[-1])

    def across(time: float) -> float:
        return _LEFT + (time - first) / (last - first) * (_WIDTH - _LEFT - 8)

    def down(value: float) -> float:
        return _TOP + (middle + reach - value) / (2 * reach) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f'<text x="{_LEFT}" y="16" font-weight="600">displacement in {name}, px</text>']
    for tick in _ticks(middle - reach, middle + reach):
        height = down(tick)
        parts.append(f'<path d="M{_LEFT} {height:.1f}H{_WIDTH - 8}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{_LEFT - 5}" y="{height + 4:.1f}" text-anchor="end">{f"{tick:g}".replace("-", "−")}</text>'
        )
    for whole in (-1, 0, 1, 2):
        parts.append(f'<path d="M{across(whole):.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        label = str(whole).replace("-", "−")
        parts.append(f'<text x="{across(whole):.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">{label}</text>')
    parts.append(f'<text x="{across(0.5):.1f}" y="{_HEIGHT - 6}" text-anchor="middle">time</text>')
    parts.append(
        f'<path d="M{across(t):.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{MUTED}" stroke-dasharray="3 3"/>'
        f'<text x="{across(t) + 3:.1f}" y="{_TOP + 10}" fill="{MUTED}">t</text>'
    )
    for label in ("rectified", "linear", "quadratic", "least squares"):
        colour, dash, broad = _LINES[label]
        places = " ".join(f"{across(s):.1f},{down(v):.1f}" for s, v in zip(TIMES.tolist(), lines[label], strict=True))
        shade = ' stroke-opacity="0.45"' if label == "rectified" else ""
        parts.append(
            f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{broad}" '
            f'stroke-dasharray="{dash}"{shade}/>'
        )
    for time, value in marks:
        parts.append(_circle(across(time), down(value)))
    landed = found.landing[axis] - found.pixel[axis]
    parts.append(_diamond(across(t), down(landed)))
    return "".join(parts)


def _circle(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="white" stroke="{INK}" stroke-width="1.6"/>'


def _diamond(x: float, y: float) -> str:
    return f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" fill="{COLOURS[5]}" stroke="{INK}" stroke-width="1.4"/>'


def _key() -> str:
    parts: list[str] = []
    x, y = float(_LEFT), _HEIGHT + 12
    for label, (colour, dash, broad) in _LINES.items():
        shade = ' stroke-opacity="0.45"' if label == "rectified" else ""
        parts.append(
            f'<path d="M{x} {y}h34" stroke="{colour}" stroke-width="{broad}" stroke-dasharray="{dash}"{shade}/>'
            f'<text x="{x + 40}" y="{y + 4}">{label}</text>'
        )
        x += 54 + 6.5 * len(label)
    parts.append(_circle(x + 4, y))
    parts.append(f'<text x="{x + 14}" y="{y + 4}">observed</text>')
    parts.append(_diamond(x + 88, y) + f'<text x="{x + 99}" y="{y + 4}">lands at t</text>')
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers within the limits."""
    rough = (high - low) / 5
    size = math.pow(10, math.floor(math.log10(rough)))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough)
    return [round(n * step, 6) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
