"""Where the time of a new frame goes, as a chart. Needs no torch."""

from collections.abc import Mapping

import pandas as pd

from eqvi.viz.figure import Page, blank
from eqvi.viz.palette import COLOURS, INK


def with_floors(parts: Mapping[str, pd.DataFrame], alt: str, xlabel: str) -> Page:
    """Times as bars, a plot for each title, and a mark on each bar for the least that it could be.

    Args:
        parts: title of the plot -> table, indexed by the bars' names, with the columns ``ms`` and ``floor_ms``.
    """
    counts = [len(table) for table in parts.values()]
    with blank(0.9 * len(parts) + 0.3 * sum(counts), "constrained") as figure:
        plots = figure.subplots(len(parts), 1, squeeze=False, height_ratios=counts)[:, 0]
        for axes, (title, table) in zip(plots, parts.items(), strict=True):
            drawn = axes.barh(list(table.index), table["ms"], color=COLOURS[0], height=0.62, label="measured")
            axes.bar_label(drawn, [f"{ms:.1f}" for ms in table["ms"]], padding=6)
            floors = [(place, ms) for place, ms in enumerate(table["floor_ms"]) if ms > 0]
            for number, (place, ms) in enumerate(floors):
                label = "floor" if number == 0 else None
                axes.plot([ms, ms], [place - 0.4, place + 0.4], color=INK, linewidth=2.2, label=label)
            axes.invert_yaxis()
            axes.margins(x=0.12)
            axes.grid(visible=False, axis="y")
            axes.set_title(title, loc="left")
        plots[0].legend(loc="lower right")
        plots[-1].set_xlabel(xlabel)
    return Page(figure, alt)
