"""Numbers as charts: plain (`bars`), with intervals, of one training run, or of several (`lines`). Knows no torch."""

import itertools
import math
from collections.abc import Mapping, Sequence

from eqvi.reports.statistics import Estimate
from eqvi.viz.figure import COLOURS, INK, MUTED, Picture, blank, styled

_MARKERS = "osD^vP*X"
# Dashes of the lines that a model in training is held against.
_RIVALS = ((0, (5, 1.5)), (0, (1, 1)))


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


def lines(
    series: Mapping[str, Mapping[int, float]], alt: str, xlabel: str, ylabel: str, missing: str = "not measured"
) -> Picture:
    """Numbers against steps, a line for each name, the highest at its end first in the legend.

    Args:
        series: by name, then by step; an empty one is left out.
        alt: the page in words.
        xlabel, ylabel: quantities and units.
        missing: what the page says if there is nothing to draw.
    """
    drawn = {name: values for name, values in series.items() if values}
    with styled():
        figure = blank(3.6)
        axes = figure.subplots()
        if not drawn:
            axes.text(0.5, 0.5, missing, ha="center", va="center", transform=axes.transAxes)
            axes.set(xticks=[], yticks=[])
        for order, (name, values) in enumerate(drawn.items()):
            colour, marker = COLOURS[order % len(COLOURS)], _MARKERS[order % len(_MARKERS)]
            axes.plot(
                list(values), list(values.values()), label=f"{name} {values[max(values)]:.2f}", color=colour,
                marker=marker, markersize=4.5, linewidth=1.7,
            )  # fmt: skip
        if drawn:
            handles, labels = axes.get_legend_handles_labels()
            ends = [values[max(values)] for values in drawn.values()]
            best = sorted(range(len(ends)), key=lambda index: -ends[index])
            figure.legend([handles[i] for i in best], [labels[i] for i in best], loc="outside right upper")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        figure.set_layout_engine("constrained")
    return Picture(figure, alt)


def training(
    scores: Mapping[str, Sequence[float]], curve: Mapping[str, Sequence[float]], steps: int, alt: str, ylabel: str
) -> Picture:
    """Scores of a training run at the left, its loss and learning rate at the right, against the steps.

    Args:
        scores: by column: ``step``, then the model's score, then those of rivals, which need no training.
        curve: by column: ``step``, ``total`` (the loss) and ``rate``; may be empty.
        steps: of the whole run.
        alt: the page in words.
        ylabel: what the scores are, and their unit.
    """
    taken, own, *rivals = scores
    limits = (-0.02 * steps, 1.02 * steps)
    with styled():
        figure = blank(3.5)
        plots = figure.subplot_mosaic([["score", "loss"], ["score", "rate"]], height_ratios=(2.2, 1))
        axes = plots["score"]
        label = f"model {scores[own][-1]:.2f}"
        axes.plot(scores[taken], scores[own], "o-", color=COLOURS[0], linewidth=1.9, markersize=4.5, label=label)
        for order, name in enumerate(rivals, 1):
            label, dash = f"{name} {scores[name][-1]:.2f}", _RIVALS[order - 1]
            axes.axhline(scores[name][-1], color=COLOURS[order], linestyle=dash, linewidth=1.9, label=label)
        axes.set(xlabel="step", ylabel=ylabel, xlim=limits)
        axes.set_title(f"step {max(*scores[taken], *curve['step'], 0):.0f} of {steps}", loc="left")
        axes = plots["loss"]
        axes.plot(curve["step"], curve["total"], color="#c8c8c8", linewidth=1, label="loss")
        axes.plot(curve["step"], _smoothed(curve["total"]), color=COLOURS[3], linewidth=1.9, label="loss, smoothed")
        axes.set(ylabel="loss", xlim=limits)
        axes.tick_params(labelbottom=False)
        axes = plots["rate"]
        axes.plot(curve["step"], curve["rate"], color=INK, linewidth=1.5)
        axes.set(xlabel="step", ylabel="rate", xlim=limits)
        axes.ticklabel_format(axis="y", scilimits=(0, 0))
        for axes in plots.values():
            axes.locator_params(axis="x", integer=True)
        if not curve["step"]:
            for name in ("loss", "rate"):
                plots[name].set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
                plots[name].text(0.5, 0.5, "no step yet", ha="center", va="center", color=MUTED)
        figure.legend(loc="outside lower center", ncols=5, handlelength=2.6)
        figure.set_layout_engine("constrained")
    return Picture(figure, alt)


def _smoothed(values: Sequence[float]) -> list[float]:
    """Each value's mean with those before it, over five or a twentieth of all."""
    width = max(5, len(values) // 20)
    total = [0.0, *itertools.accumulate(values)]
    return [(total[i] - total[max(0, i - width)]) / min(i, width) for i in range(1, len(total))]
