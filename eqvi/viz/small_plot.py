"""A small plot of one quantity over time, as plain SVG.

matplotlib takes a third of a second for such a plot, this takes a millisecond. Text and axes have the colour of the
text around, and nothing has a background, so it stands on a dark page as well as on a white one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eqvi.viz.palette import COLOURS

#: Size of a plot in its own units, which are about pixels.
WIDTH, HEIGHT = 330, 156
_LEFT, _TOP, _BOTTOM = 46, 22, 20
# Lines of the grid, on any background.
_FAINT = 'stroke="currentColor" stroke-opacity="0.2"'


class Pen(NamedTuple):
    """How a line looks; no two lines of a plot differ by their colour alone."""

    colour: str
    dashes: str = ""
    width: float = 2.2
    opacity: float = 1.0

    @property
    def attributes(self) -> str:
        """Of an SVG shape."""
        return (
            f'stroke="{self.colour}" stroke-width="{self.width}" stroke-dasharray="{self.dashes}" '
            f'stroke-opacity="{self.opacity}"'
        )


class Point(NamedTuple):
    """An observed value; `trust` from 0 to 1 is how solid its circle is."""

    time: float
    value: float
    trust: float = 1.0


def stack(plots: Sequence[str], pens: Mapping[str, Pen], alt: str) -> str:
    """Plots below each other, with one legend below them."""
    height = HEIGHT * len(plots) + 40
    shapes = (f'<g transform="translate(0 {HEIGHT * number})">{plot}</g>' for number, plot in enumerate(plots))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{alt}" '
        f'font-family="system-ui, sans-serif" font-size="11" fill="currentColor">{"".join(shapes)}'
        f'<g transform="translate(0 {HEIGHT * len(plots)})">{_legend(pens)}</g></svg>'
    )


def plot(
    title: str,
    span: tuple[float, float],
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    pens: Mapping[str, Pen],
    points: Sequence[Point],
    t: float,
    landing: float,
) -> str:
    """One plot.

    Args:
        title: the quantity with its unit.
        span: the first and the last time.
        lines: times and values by label, the lowest line first.
        pens: by label.
        points: observed values.
        t: a moment that is marked.
        landing: the value there.
    """
    values = [value for _, line in lines.values() for value in line] + [point.value for point in points]
    # At least four units are shown, so that what hardly moves looks so.
    middle, reach = (max(values) + min(values)) / 2, max(max(values) - min(values), 4.0) * 0.55
    first, last = span
    right, bottom = WIDTH - 8, HEIGHT - _BOTTOM

    def across(time: float) -> float:
        return _LEFT + (time - first) / (last - first) * (right - _LEFT)

    def down(value: float) -> float:
        return _TOP + (middle + reach - value) / (2 * reach) * (bottom - _TOP)

    parts = [f'<text x="{_LEFT}" y="14" font-weight="600">{title}</text>']
    for tick in _ticks(middle - reach, middle + reach):
        parts.append(f'<path d="M{_LEFT} {down(tick):.1f}H{right}" {_FAINT}/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{down(tick) + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for time in range(math.ceil(first), math.floor(last) + 1):
        x = f"{across(time):.1f}"
        parts.append(f'<path d="M{x} {_TOP}V{bottom}" {_FAINT}/>')
        parts.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{_number(time)}</text>')
    parts.append(f'<path d="M{across(t):.1f} {_TOP}V{bottom}" stroke="currentColor" stroke-dasharray="3 3"/>')
    parts.append(f'<text x="{across(t) + 3:.1f}" y="{_TOP + 10}">t</text>')
    for label, line in lines.items():
        places = " ".join(f"{across(s):.1f},{down(v):.1f}" for s, v in zip(*line, strict=True))
        parts.append(f'<polyline points="{places}" fill="none" {pens[label].attributes}/>')
    parts += [_circle(across(one.time), down(one.value), one.trust) for one in points]
    parts.append(_diamond(across(t), down(landing)))
    return "".join(parts)


def _legend(pens: Mapping[str, Pen]) -> str:
    """Up to four lines and two signs, in two rows."""
    parts = list[str]()
    for number, (label, pen) in enumerate(pens.items()):
        x, y = 4 + 108 * (number % 3), 10 + 18 * (number // 3)
        parts.append(f'<path d="M{x} {y}h22" {pen.attributes}/><text x="{x + 26}" y="{y + 4}">{label}</text>')
    parts.append(_circle(120, 28) + '<text x="129" y="32">observed</text>')
    parts.append(_diamond(228, 28) + '<text x="239" y="32">at t</text>')
    return "".join(parts)


def _circle(x: float, y: float, trust: float = 1.0) -> str:
    shape = f'cx="{x:.1f}" cy="{y:.1f}" r="4" stroke="currentColor" stroke-width="1.5"'
    return f'<circle {shape} fill="var(--jp-layout-color0, Canvas)" opacity="{0.25 + 0.75 * trust:.2f}"/>'


def _diamond(x: float, y: float) -> str:
    return f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" fill="{COLOURS[5]}" stroke="currentColor"/>'


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers within the limits."""
    rough = (high - low) / 5
    size = math.pow(10, math.floor(math.log10(rough)))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough)
    return [round(n * step, 6) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
