"""Layouts of figures: `strip`, `curves` and `comparison` place panels or tensors on a figure."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from eqvi import metrics
from eqvi.viz import colours
from eqvi.viz.charts import bars
from eqvi.viz.figure import COLOURS, DPI, INK, MAX_BYTES, MUTED, WIDTH, Picture, blank, save, show, styled
from eqvi.viz.panels import Bar, Panel, Wheel, error, image

__all__ = ["DPI", "MAX_BYTES", "WIDTH", "Picture", "bars", "comparison", "curves", "save", "show", "strip"]

# Inches that legends take below the panels: height of the row without and with a wheel, width of a wheel and of a bar.
_LEGEND, _WHEEL, _BAR = (0.56, 0.72), 1.8, 2.9

# The marker and the dash that go with each colour.
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), "-")


def _paint(axes: Axes, panel: Panel, box: tuple[int, int, int, int] | None, cropped: bool) -> None:
    rgb = panel.rgb.detach().cpu().permute(1, 2, 0).numpy()
    x, y, width, height = box or (0, 0, rgb.shape[1], rgb.shape[0])
    axes.imshow(rgb, interpolation="nearest" if cropped else "antialiased")
    if panel.arrows is not None and cropped == (box is not None):
        at = panel.arrows.detach().cpu().numpy()
        axes.quiver(
            *at.T, angles="xy", scale_units="xy", scale=1, width=0.004, headwidth=3.6, headlength=4,
            minlength=0.5, color=INK, edgecolor="white", linewidth=0.5,
        )  # fmt: skip
    if cropped:
        axes.set_xlim(x - 0.5, x + width - 0.5)
        axes.set_ylim(y + height - 0.5, y - 0.5)
    else:
        axes.set_xlim(-0.5, rgb.shape[1] - 0.5)
        axes.set_ylim(rgb.shape[0] - 0.5, -0.5)
        if box:
            axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="white", linewidth=2.4))
            axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=INK, linewidth=1))
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color=MUTED, linewidth=0.5)


def _legend(figure: Figure, legend: Wheel | Bar, left: float) -> float:
    """Draw a legend on the bottom of the page from `left` on, and say how many inches it took."""
    page = figure.get_size_inches()[1]
    if isinstance(legend, Wheel):
        axes = figure.add_axes((left / WIDTH, 0.02 / page, 0.68 / WIDTH, 0.68 / page))
        axes.imshow(colours.wheel(160)[0].permute(1, 2, 0).numpy())
        axes.axis("off")
        rim = f"motion; the rim\nis {legend.scale:g} px"
        axes.text(1.06, 0.5, rim, va="center", transform=axes.transAxes, fontsize=8.5)
        return _WHEEL
    axes = figure.add_axes(((left + 0.08) / WIDTH, 0.42 / page, (_BAR - 0.5) / WIDTH, 0.13 / page))
    steps = colours.field_to_rgb(torch.linspace(0, 1, 256).view(1, 1, 1, -1), 0, 1, legend.ramp)[0, :, 0].T
    limits = matplotlib.colors.Normalize(legend.low, legend.high)
    ramp = matplotlib.cm.ScalarMappable(limits, matplotlib.colors.ListedColormap(steps.numpy()))
    bar = figure.colorbar(ramp, cax=axes, orientation="horizontal")
    bar.ax.tick_params(labelsize=8.5, length=2, pad=1)
    bar.set_label(legend.label, fontsize=8.5, labelpad=1)
    bar.outline.set(edgecolor=MUTED, linewidth=0.5)
    return _BAR


def strip(
    panels: Mapping[str, Panel],
    alt: str,
    columns: int | None = None,
    box: tuple[int, int, int, int] | None = None,
) -> Picture:
    """Pictures in rows, each under its caption, and below them a legend for every kind of colouring.

    Args:
        panels: caption to panel, all of one size.
        alt: the page in words.
        columns: pictures in a row; all in one row if None.
        box: (x, y, width, height) in pixels: outlined in every picture and enlarged below it.
    """
    columns = columns or len(panels)
    legends = list(dict.fromkeys(panel.legend for panel in panels.values() if panel.legend))
    gap, margin, caption = 0.08, 0.05, 0.17
    wide = (WIDTH - 2 * margin - gap * (columns - 1)) / columns
    pictures = list(panels.items())
    shape = pictures[0][1].rgb.shape
    tall = wide * shape[1] / shape[2]
    crop = wide * box[3] / box[2] if box else 0.0
    starts = range(0, len(pictures), columns)
    heads = [max(text.count("\n") for text, _ in pictures[i : i + columns]) + 1 for i in starts]
    rows = [lines * caption + 0.07 + tall + (gap + crop if box else 0) for lines in heads]
    wheel = any(isinstance(legend, Wheel) for legend in legends)
    foot = _LEGEND[wheel] + 0.1 if legends else margin
    page = margin + sum(rows) + gap * (len(rows) - 1) + foot
    with styled():
        figure = blank(page)
        for index, (text, panel) in enumerate(pictures):
            row, column = divmod(index, columns)
            left = margin + column * (wide + gap)
            top = page - margin - sum(rows[:row]) - gap * row - heads[row] * caption - 0.07
            axes = figure.add_axes((left / WIDTH, (top - tall) / page, wide / WIDTH, tall / page))
            axes.set_title(text, loc="left", pad=3, linespacing=1.15)
            _paint(axes, panel, box, cropped=False)
            if box:
                below = figure.add_axes((left / WIDTH, (top - tall - gap - crop) / page, wide / WIDTH, crop / page))
                _paint(below, panel, box, cropped=True)
        left = margin
        for legend in legends:
            left += _legend(figure, legend, left)
    return Picture(figure, alt)


def comparison(
    frames: Mapping[str, Float[Tensor, "1 3 h w"]],
    truth: Float[Tensor, "1 3 h w"],
    alt: str,
    box: tuple[int, int, int, int] | None = None,
    columns: int | None = None,
) -> Picture:
    """New frames beside the true one, each with its PSNR; below, the box enlarged or, without a box, their errors.

    Args:
        frames: by name.
        truth: the true frame, shown last.
        alt: the page in words.
        box: (x, y, width, height) in pixels.
        columns: pictures in a row; all in one row if None.
    """
    panels = {}
    for name, frame in frames.items():
        decibels = metrics.psnr(metrics.to_8bit(frame), metrics.to_8bit(truth))
        panels[f"{name}\n{decibels:.2f} dB"] = image(frame)
    panels["truth"] = image(truth)
    if box is None:
        panels |= {f"error of {name.splitlines()[0]}": error(frame, truth) for name, frame in frames.items()}
    return strip(panels, alt, columns=columns or len(frames) + 1, box=box)


def curves(
    x: Float[Tensor, " n"],
    lines: Mapping[str, Mapping[str, Float[Tensor, " n"]]],
    alt: str,
    xlabel: str,
    ylabel: str,
    points: Mapping[str, tuple[Tensor, Mapping[str, Tensor]]] | None = None,
    log: bool = False,
    truth: str | None = None,
) -> Picture:
    """Curves in one plot or several beside each other.

    Args:
        x: common abscissa.
        lines: title of the plot -> name of the line -> ordinates. A name has the same colour in every plot.
        alt: the page in words.
        xlabel, ylabel: quantity and unit.
        points: title of the plot -> (abscissas, name -> ordinates) of marks without a line.
        log: logarithmic ordinate.
        truth: name of a line that is drawn broad and pale, so that others can lie on it.
    """
    names = list(dict.fromkeys(name for plot in lines.values() for name in plot if name != truth))
    with styled():
        figure = blank(3.3)
        plots = figure.subplots(1, len(lines), squeeze=False)[0]
        for axes, (title, plot) in zip(plots, lines.items(), strict=True):
            for name, y in plot.items():
                if name == truth:
                    axes.plot(x, y, color="#c8c8c8", linewidth=7, solid_capstyle="round", label=name)
                    continue
                order = names.index(name)
                axes.plot(x, y, color=COLOURS[order], linestyle=_DASHES[order], linewidth=1.9, label=name)
            for order, (name, y) in enumerate((points or {}).get(title, (x, {}))[1].items()):
                at = (points or {})[title][0]
                axes.plot(
                    at, y, _MARKERS[order], color=INK, markerfacecolor="white", markersize=7, label=name, zorder=3
                )
            axes.set_title(title, loc="left")
            axes.set_xlabel(xlabel)
            if log:
                axes.set_yscale("log")
        plots[0].set_ylabel(ylabel)
        handles: dict[str, Any] = {}
        for axes in plots:
            handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside right center", handlelength=2.6)
        figure.set_layout_engine("constrained")
    return Picture(figure, alt)
