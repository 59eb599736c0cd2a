"""Numbers as charts: bars, intervals, lines against steps, curves, a training run. Needs no torch.

Everywhere `alt` is the alt text, and labels of axes are quantities with their units.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from eqvi.viz.figure import Page, blank
from eqvi.viz.palette import COLOURS, INK, MUTED

# The marker and the dash that go with each colour.
_MARKERS = "osD^vP*X"
_POINTS = "os^DvPX"
_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), "-")


def bars(values: Mapping[str, float], alt: str, xlabel: str, digits: int = 2) -> Page:
    """Named numbers as horizontal bars, each with its number at its end."""
    with blank(0.75 + 0.32 * len(values), "constrained") as figure:
        axes = figure.subplots()
        drawn = axes.barh(list(values), list(values.values()), color=COLOURS[0], height=0.62)
        axes.bar_label(drawn, fmt=f"%.{digits}f", padding=4)
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(xlabel)
    return Page(figure, alt)


def intervals(estimates: pd.DataFrame, alt: str, xlabel: str, digits: int = 2) -> Page:
    """Estimates as points with their intervals, a row each, named by the index; the vertical line is zero.

    Columns of `estimates` are ``estimate``, ``low`` and ``high``; a missing interval or estimate is not drawn.
    """
    rows = estimates.dropna(subset="estimate")
    with blank(0.85 + 0.32 * max(1, len(rows)), "constrained") as figure:
        axes = figure.subplots()
        for place, (value, low, high) in enumerate(rows[["estimate", "low", "high"]].itertuples(index=False)):
            if not math.isnan(low):
                axes.plot([low, high], [place, place], color=COLOURS[0], linewidth=2.2)
            axes.plot(value, place, "o", color=COLOURS[0], markeredgecolor="white", markersize=7)
            text, at = f"{value:+.{digits}f}", (value, place)
            axes.annotate(text, at, (0, 6), textcoords="offset points", ha="center", fontsize=8.5)
        if len(rows):
            axes.axvline(0, color=INK, linewidth=1)
            axes.set_yticks(range(len(rows)), list(rows.index))
            axes.set_ylim(len(rows) - 0.5, -0.7)
            axes.grid(visible=False, axis="y")
        else:
            say(axes, "not measured")
        axes.set_xlabel(xlabel)
    return Page(figure, alt)


def dots(table: pd.DataFrame, alt: str, xlabel: str) -> Page:
    """A table of numbers as marks, a row for each row, a colour and shape for each column; the vertical line is zero.

    Missing numbers, and rows without any, are not drawn.
    """
    table = table.dropna(how="all")
    apart = 0.7 / max(1, len(table.columns))  # so that equal numbers do not hide each other
    with blank(0.9 + 0.42 * max(1, len(table)), "constrained") as figure:
        axes = figure.subplots()
        for order, (name, values) in enumerate(table.items()):
            places = [row + apart * (order - (len(table.columns) - 1) / 2) for row in range(len(values))]
            axes.plot(
                values, places, _MARKERS[order], color=COLOURS[order], label=str(name), alpha=0.9,
                markeredgecolor="white", markersize=7.5,
            )  # fmt: skip
        if len(table):
            axes.axvline(0, color=INK, linewidth=1)
            axes.set_yticks(range(len(table)), list(table.index))
            axes.set_ylim(len(table) - 0.5, -0.5)
            figure.legend(loc="outside right upper")
        else:
            say(axes, "not measured")
        axes.set_xlabel(xlabel)
    return Page(figure, alt)


def stacked(
    upper: Mapping[str, tuple[ArrayLike, ArrayLike]],
    lower: Mapping[str, tuple[ArrayLike, ArrayLike]],
    alt: str,
    xlabel: str,
    ylabels: tuple[str, str],
    limit: float,
    truth: str | None = None,
) -> Page:
    """Curves in two plots below each other that share their abscissa.

    Args:
        upper, lower: name of the line -> abscissas and ordinates.
        ylabels: of both plots.
        limit: a vertical line in both plots, what lies right of it is shaded.
        truth: name of a line that is drawn broad and pale, so that others can lie on it.

    The lower plot has a logarithmic ordinate.
    """
    with blank(5.2, "constrained") as figure:
        plots = figure.subplots(2, 1, sharex=True, height_ratios=(1.25, 1))
        for axes, group, ylabel in zip(plots, (upper, lower), ylabels, strict=True):
            if truth is not None and truth in group:
                axes.plot(*group[truth], color="#c8c8c8", linewidth=7, solid_capstyle="butt", label=truth)
            for order, name in enumerate(name for name in group if name != truth):
                axes.plot(*group[name], color=COLOURS[order], linestyle=_DASHES[order], linewidth=1.9, label=name)
            axes.set_ylabel(ylabel)
            right = max(float(np.asarray(x).max()) for x, _ in upper.values())
            axes.axvspan(limit, right, color="#f0ece4", zorder=0)
            axes.axvline(limit, color=MUTED, linewidth=1)
            axes.set_xlim(0, right)
            if group:
                axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=2.6)
        if lower:
            plots[1].set_yscale("log")
        else:
            say(plots[1], "not measured")
        plots[1].set_xlabel(xlabel)
    return Page(figure, alt)


def lines(series: Mapping[str, Mapping[int, float]], alt: str, xlabel: str, ylabel: str) -> Page:
    """Numbers by name and step, a line for each name that has any, the highest at its end first in the legend."""
    measured = {name: values for name, values in series.items() if values}
    with blank(3.6, "constrained") as figure:
        axes = figure.subplots()
        for order, (name, values) in enumerate(measured.items()):
            colour, marker = COLOURS[order % len(COLOURS)], _MARKERS[order % len(_MARKERS)]
            label = f"{name} {values[max(values)]:.2f}"
            # A colour that is used a second time is dashed.
            dashes = "-" if order < len(COLOURS) else "--"
            axes.plot(
                list(values), list(values.values()), label=label, color=colour, marker=marker, markersize=4.5,
                linewidth=1.7, linestyle=dashes,
            )  # fmt: skip
        if measured:
            handles, labels = axes.get_legend_handles_labels()
            ends = [values[max(values)] for values in measured.values()]
            best = sorted(range(len(ends)), key=lambda index: -ends[index])
            figure.legend([handles[i] for i in best], [labels[i] for i in best], loc="outside right upper")
        else:
            say(axes, "not measured")
        axes.set(xlabel=xlabel, ylabel=ylabel)
    return Page(figure, alt)


def curves(
    x: ArrayLike,
    lines: Mapping[str, Mapping[str, ArrayLike]],
    alt: str,
    xlabel: str,
    ylabel: str,
    points: Mapping[str, tuple[ArrayLike, Mapping[str, ArrayLike]]] | None = None,
    log: bool = False,
    truth: str | None = None,
) -> Page:
    """Curves in one plot or in several side by side.

    Args:
        x: common abscissa, (N,).
        lines: title of the plot -> name of the line -> ordinates (N,). A name has the same colour in every plot.
        points: title of the plot -> (abscissas, name -> ordinates) of marks without a line.
        log: logarithmic ordinate.
        truth: name of a line that is drawn broad and pale, so that others can lie on it.
    """
    names = list(dict.fromkeys(name for plot in lines.values() for name in plot if name != truth))
    with blank(3.3, "constrained") as figure:
        plots = figure.subplots(1, len(lines), squeeze=False)[0]
        handles: dict[str, Any] = {}
        for axes, (title, plot) in zip(plots, lines.items(), strict=True):
            for name, y in plot.items():
                if name == truth:
                    axes.plot(x, y, color="#c8c8c8", linewidth=7, solid_capstyle="round", label=name)
                    continue
                order = names.index(name)
                axes.plot(x, y, color=COLOURS[order], linestyle=_DASHES[order], linewidth=1.9, label=name)
            at, marks = (points or {}).get(title, (x, {}))
            for order, (name, y) in enumerate(marks.items()):
                axes.plot(at, y, _POINTS[order], color=INK, mfc="white", markersize=7, label=name, zorder=3)
            axes.set_title(title, loc="left")
            axes.set_xlabel(xlabel)
            if log:
                axes.set_yscale("log")
            handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        plots[0].set_ylabel(ylabel)
        figure.legend(handles.values(), handles.keys(), loc="outside right center", handlelength=2.6)
    return Page(figure, alt)


def distributions(
    groups: Mapping[str, pd.DataFrame],
    measures: Mapping[str, str],
    alt: str,
    log: Sequence[str] = (),
    least: float = 0.01,
) -> Page:
    """Cumulative distributions, a plot for each measure, a line for each group.

    Args:
        groups: name -> rows, with a column for each measure; infinite values count as larger than all others.
        measures: column -> label of its axis.
        log: columns with a logarithmic axis, on which values below `least` are drawn at `least`.
        least: see `log`.
    """
    across = 4
    down = math.ceil(len(measures) / across)
    with blank(0.6 + 1.75 * down, "constrained") as figure:
        plots = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
        for axes, (measure, label) in zip(plots, measures.items(), strict=False):
            for order, rows in enumerate(groups.values()):
                values = np.sort(rows[measure].to_numpy(dtype=float))
                share = np.arange(1, len(values) + 1) / len(values)
                if measure in log:
                    values = np.maximum(values, least)
                shown = np.isfinite(values)
                axes.step(
                    values[shown],
                    share[shown],
                    where="post",
                    color=COLOURS[order],
                    linestyle=_DASHES[order],
                    linewidth=1.6,
                )
            if measure in log:
                axes.set_xscale("log")
            axes.set_xlabel(label)
            if not groups:
                say(axes, "not measured")
        for axes in plots[len(measures) :]:
            axes.set_visible(False)
        for row in range(down):
            plots[row * across].set_ylabel("share of windows")
        for order, name in enumerate(groups):
            plots[0].plot([], [], color=COLOURS[order], linestyle=_DASHES[order], linewidth=1.6, label=name)
        if groups:
            figure.legend(loc="outside lower center", ncols=len(groups), handlelength=2.6)
    return Page(figure, alt)


def training(
    scores: Mapping[str, Sequence[float]], curve: Mapping[str, Sequence[float]], steps: int, alt: str, ylabel: str
) -> Page:
    """Scores of a training run at the left, its loss and learning rate at the right, against the steps.

    Args:
        scores: by column: ``step``, then the model's score, then those of baselines, which need no training.
        curve: by column: ``step``, ``total`` (the loss) and ``rate``; may be empty.
        steps: of the whole run.
    """
    step, own, *baselines = scores
    limits = (-0.02 * steps, 1.02 * steps)
    with blank(3.5, "constrained") as figure:
        plots = figure.subplot_mosaic([["score", "loss"], ["score", "rate"]], height_ratios=(2.2, 1))
        axes = plots["score"]
        label = f"model {scores[own][-1]:.2f}"
        axes.plot(scores[step], scores[own], "o-", color=COLOURS[0], linewidth=1.9, markersize=4.5, label=label)
        for order, name in enumerate(baselines, 1):
            label, dash = f"{name} {scores[name][-1]:.2f}", _DASHES[order]
            axes.axhline(scores[name][-1], color=COLOURS[order], linestyle=dash, linewidth=1.9, label=label)
        axes.set(xlabel="step", ylabel=ylabel, xlim=limits)
        axes.set_title(f"step {max(*scores[step], *curve['step'], 0):.0f} of {steps}", loc="left")
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
                say(plots[name], "no step yet", MUTED)
        figure.legend(loc="outside lower center", ncols=5, handlelength=2.6)
    return Page(figure, alt)


def say(axes: Axes, text: str, colour: str = INK) -> None:
    """A text in the middle of a plot that has nothing to draw."""
    axes.text(0.5, 0.5, text, ha="center", va="center", color=colour, transform=axes.transAxes)
    axes.set(xticks=[], yticks=[])


def _smoothed(values: Sequence[float]) -> list[float]:
    """Each value's mean with those before it, over five or a twentieth of all."""
    width = max(5, len(values) // 20)
    total = [0.0, *itertools.accumulate(values)]
    return [(total[i] - total[max(0, i - width)]) / min(i, width) for i in range(1, len(total))]
