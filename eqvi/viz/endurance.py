"""Charts of `eqvi.reports.endurance`: what repeats, what faults did, what long runs hold. Needs no torch.

Everywhere `alt` is the alt text.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from eqvi.viz.charts import say
from eqvi.viz.figure import Page, blank
from eqvi.viz.palette import COLOURS, INK, MUTED

_MARKERS = "osD^v"
_HATCHES = ("", "///", "...", "xxx", "\\\\\\")
#: Half a step of 8 bits, and the distance of float32 numbers just below 1.
_HALF_GREY, _ROUNDING = 0.5 / 255, 2.0**-24


def differences(frames: pd.DataFrame, commands: pd.DataFrame, alt: str) -> Page:
    """Differences of frames on a logarithmic axis; what is identical has a place of its own at the left.

    Args:
        frames: largest differences in [0, 1], a row for each condition, a column for each model; 0 is identical.
        commands: columns ``against`` (the condition), ``commands`` and ``identical``: how many were compared.
    """
    counts = {row.against: (row.commands, row.identical) for row in commands.itertuples()}
    conditions = list(dict.fromkeys([*counts, *frames.index]))
    with blank(1.3 + 0.36 * max(1, len(conditions)), "constrained") as figure:
        same, apart = figure.subplots(1, 2, sharey=True, width_ratios=(1.5, 5))
        names = [*frames, "all bytes of commands"]
        for order, name in enumerate(names):
            style: dict[str, Any] = {
                "marker": _MARKERS[order],
                "color": COLOURS[order],
                "markeredgecolor": "white",
                "markersize": 8,
            }
            for place, condition in enumerate(conditions):
                value = frames[name].get(condition, float("nan")) if name in frames else _share_apart(counts, condition)
                if value == 0:
                    same.plot(order, place, **style)
                elif value > 0 and name in frames:
                    apart.plot(value, place, **style)
                    # Two models are often near each other: the first one's number is at the left.
                    note = {"textcoords": "offset points", "fontsize": 8.5, "va": "center"}
                    shift, side = (8, "left") if order else (-8, "right")
                    apart.annotate(f"{value:.1e}", (value, place), (shift, 0), ha=side, **note)
            apart.plot([], [], linestyle="", label=name, **style)
        for place, condition in enumerate(conditions):
            if condition in counts and _share_apart(counts, condition):
                compared, identical = counts[condition]
                same.text(len(names) - 1, place, f"{identical} of {compared}", ha="center", va="center", fontsize=8.5)
        same.set(
            xlim=(-0.7, len(names) - 0.3), xticks=[], xlabel="identical", ylim=(max(1, len(conditions)) - 0.5, -0.5)
        )
        same.set_yticks(range(len(conditions)), conditions)
        apart.set(xscale="log", xlim=(3e-8, 5e-3), xlabel="largest difference of a value in [0, 1]")
        for value, words in ((_ROUNDING, "rounding\nof float32"), (_HALF_GREY, "half a\ngrey level")):
            apart.axvline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            apart.annotate(words, (value, 1), (4, -2), xycoords=("data", "axes fraction"), textcoords="offset points",
                           va="top", color=MUTED, fontsize=8.5)  # fmt: skip
        figure.legend(loc="outside lower center", ncols=len(names))
        if not conditions:
            say(same, "not measured")
    return Page(figure, alt)


def _share_apart(counts: Mapping[str, tuple[int, int]], condition: str) -> float:
    """The share of commands that are not identical; NaN where none was compared."""
    compared, identical = counts.get(condition, (0, 0))
    return 1 - identical / compared if compared else float("nan")


def counts(table: pd.DataFrame, total: str, parts: tuple[str, ...], remark: str, alt: str) -> Page:
    """Counts by kind as horizontal bars in parts.

    Args:
        table: a row for each kind, whose name is in its first column; columns of counts.
        total: the column of the lengths of the bars.
        parts: columns that add up to it; what is missing stays white.
        remark: a column; how many of the bar's it counts stands at the end of each bar, with its name.
    """
    with blank(1.2 + 0.36 * max(1, len(table)), "constrained") as figure:
        axes = figure.subplots()
        names, start = table.iloc[:, 0].tolist(), pd.Series(0, table.index)
        for order, part in enumerate(parts):
            look: dict[str, Any] = {
                "color": COLOURS[order],
                "hatch": _HATCHES[order],
                "edgecolor": "white",
                "linewidth": 0,
            }
            axes.barh(names, table[part], left=start, height=0.62, label=part, **look)
            start = start + table[part]
        axes.barh(names, table[total], height=0.62, color="none", edgecolor=INK, linewidth=0.8)
        for place, (length, count) in enumerate(zip(table[total], table[remark], strict=True)):
            note: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8.5}
            axes.annotate(f"{count} of {length} {remark}", (length, place), (5, 0), **note)
        axes.invert_yaxis()
        axes.margins(x=0.28)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(total)
        if len(table):
            figure.legend(loc="outside lower center", ncols=len(parts), handlelength=1.6)
        else:
            say(axes, "not measured")
    return Page(figure, alt)


def long_runs(
    runs: Mapping[str, pd.DataFrame], quantities: Mapping[str, str], items: Mapping[str, str], alt: str
) -> Page:
    """Quantities of long runs against what they have done: a column of plots for each run, a row for each quantity.

    Args:
        runs: name -> looks, with the columns ``done`` and those of `quantities`.
        quantities: column -> label of its axis; all axes begin at zero.
        items: name of a run -> what it counts.
    """
    with blank(0.7 + 1.5 * len(quantities), "constrained") as figure:
        plots = figure.subplots(len(quantities), max(1, len(runs)), squeeze=False, sharex="col", sharey="row")
        for column, (name, looks) in enumerate(runs.items()):
            for row, quantity in enumerate(quantities):
                axes = plots[row, column]
                axes.step(looks["done"], looks[quantity], where="post", color=COLOURS[row], linewidth=1.7)
                axes.locator_params(axis="y", nbins=4, integer=True)
            plots[0, column].set_title(name, loc="left")
            plots[-1, column].set_xlabel(items.get(name, "items"))
        for row, (quantity, label) in enumerate(quantities.items()):
            largest = max((looks[quantity].max() for looks in runs.values()), default=1)
            plots[row, 0].set(ylabel=label, ylim=(0, 1.15 * largest))
            if not runs:
                say(plots[row, 0], "not measured")
    return Page(figure, alt)
