"""Numbers as charts: `bars` for plain numbers, `intervals` for estimates. Knows no torch."""

import math
from collections.abc import Mapping

from eqvi.page import COLOURS, INK, Picture, blank, styled
from eqvi.statistics import Estimate


def bars(values: Mapping[str, float], alt: str, xlabel: str, digits: int = 2) -> Picture:
    """Named numbers as horizontal bars, each with its number at its end."""
    with styled():
        figure = blank(0.75 + 0.32 * len(values))
        axes = figure.subplots()
        drawn = axes.barh(list(values), list(values.values()), color=COLOURS[0], height=0.62)
        axes.bar_label(drawn, fmt=f"%.{digits}f", padding=4)
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(xlabel)
        figure.set_layout_engine("constrained")
    return Picture(figure, alt)


def intervals(
    estimates: Mapping[str, Estimate], alt: str, xlabel: str, digits: int = 2, missing: str = "not measured"
) -> Picture:
    """Named estimates as points with their intervals; the vertical line is zero.

    Args:
        estimates: by name, from the top; an infinite interval is not drawn.
        alt: the page in words.
        xlabel: quantity and unit.
        digits: of the number beside a point.
        missing: what the page says if there is nothing to draw.
    """
    with styled():
        figure = blank(0.85 + 0.32 * max(1, len(estimates)))
        axes = figure.subplots()
        if not estimates:
            axes.text(0.5, 0.5, missing, ha="center", va="center", transform=axes.transAxes)
            axes.set(xticks=[], yticks=[])
        for row, found in enumerate(estimates.values()):
            if math.isfinite(found.low):
                axes.plot([found.low, found.high], [row, row], color=COLOURS[0], linewidth=2.2)
            axes.plot(found.value, row, "o", color=COLOURS[0], markeredgecolor="white", markersize=7)
            text = f"{found.value:+.{digits}f}"
            axes.annotate(text, (found.value, row), (0, 6), textcoords="offset points", ha="center", fontsize=8.5)
        if estimates:
            axes.axvline(0, color=INK, linewidth=1)
            axes.set_yticks(range(len(estimates)), list(estimates))
            axes.set_ylim(len(estimates) - 0.5, -0.7)
            axes.grid(visible=False, axis="y")
        axes.set_xlabel(xlabel)
        figure.set_layout_engine("constrained")
    return Picture(figure, alt)
