"""Figures made of panels: `strip` in rows, `comparison` of frames with the truth, `diagram` of a method's stages."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from eqvi import metrics
from eqvi.viz import colours
from eqvi.viz.figure import WIDTH, Page, blank
from eqvi.viz.palette import INK, MUTED
from eqvi.viz.panels import Bar, Panel, Wheel, error, image

#: A part of a picture in pixels: x, y, width, height.
Box = tuple[int, int, int, int]

# Inches: height of the legends below the panels, without and with a wheel; width of a wheel and of a bar.
_LEGEND, _WHEEL, _BAR = (0.56, 0.72), 1.8, 2.9


def strip(panels: Mapping[str, Panel], alt: str, columns: int | None = None, box: Box | None = None) -> Page:
    """Panels in rows, each under its caption, and below them a legend for every kind of colouring.

    Args:
        panels: caption to panel, all of one size.
        alt: alt text.
        columns: panels in a row; all in one row if None.
        box: outlined in every panel and enlarged below it.
    """
    columns = columns or len(panels)
    legends = list(dict.fromkeys(panel.legend for panel in panels.values() if panel.legend))
    gap, margin, line = 0.08, 0.05, 0.17
    wide = (WIDTH - 2 * margin - gap * (columns - 1)) / columns
    shape = next(iter(panels.values())).rgb.shape
    tall = wide * shape[1] / shape[2]
    part = wide * box[3] / box[2] if box else 0.0
    captions = list(panels)
    starts = range(0, len(captions), columns)
    lines = [max(text.count("\n") for text in captions[i : i + columns]) + 1 for i in starts]
    rows = [count * line + 0.07 + tall + (gap + part if box else 0) for count in lines]
    wheel = any(isinstance(legend, Wheel) for legend in legends)
    foot = _LEGEND[wheel] + 0.1 if legends else margin
    height = margin + sum(rows) + gap * (len(rows) - 1) + foot
    with blank(height) as figure:
        for index, (caption, panel) in enumerate(panels.items()):
            row, column = divmod(index, columns)
            left = margin + column * (wide + gap)
            top = height - margin - sum(rows[:row]) - gap * row - lines[row] * line - 0.07
            axes = figure.add_axes((left / WIDTH, (top - tall) / height, wide / WIDTH, tall / height))
            axes.set_title(caption, loc="left", pad=3, linespacing=1.15)
            _draw_panel(axes, panel, box, crop=False)
            if box:
                bottom = (top - tall - gap - part) / height
                below = figure.add_axes((left / WIDTH, bottom, wide / WIDTH, part / height))
                _draw_panel(below, panel, box, crop=True)
        left = margin
        for legend in legends:
            left += _draw_legend(figure, legend, left)
    return Page(figure, alt)


def comparison(
    frames: Mapping[str, Float[Tensor, "1 3 h w"]],
    truth: Float[Tensor, "1 3 h w"],
    alt: str,
    box: Box | None = None,
    columns: int | None = None,
) -> Page:
    """New frames beside the true one, each with its PSNR; below, the box enlarged or, without a box, their errors.

    Args:
        frames: by name.
        truth: the true frame, which comes last.
        alt: alt text.
        box: the part that is enlarged.
        columns: panels in a row; all in one row if None.
    """
    panels = {}
    for name, frame in frames.items():
        decibels = metrics.psnr(metrics.to_8bit(frame), metrics.to_8bit(truth))
        panels[f"{name}\n{decibels:.2f} dB"] = image(frame)
    panels["truth"] = image(truth)
    if box is None:
        panels |= {f"error of {name.splitlines()[0]}": error(frame, truth) for name, frame in frames.items()}
    return strip(panels, alt, columns=columns or len(frames) + 1, box=box)


class Stage(NamedTuple):
    """A step of a method in a `diagram`.

    Attributes:
        title: number and name.
        equation: below the panels; may be empty.
        panels: caption to panel, filled row by row; of one size throughout a diagram.
        columns: panels side by side.
        wide: width in columns of the diagram.
    """

    title: str
    equation: str
    panels: Mapping[str, Panel]
    columns: int
    wide: int


# Inches of a diagram: a column, the gaps between panels and between stages, the margin, the heights of title, caption
# and equation, and the gap between rows.
_COLUMN, _GAP, _STEP, _MARGIN = 1.1, 0.05, 0.26, 0.06
_TITLE, _CAPTION, _EQUATION, _BETWEEN = 0.24, 0.17, 0.22, 0.42


def diagram(rows: Sequence[Sequence[Stage]], alt: str) -> Page:
    """Stages in rows, with an arrow from each to the next."""
    first = next(iter(rows[0][0].panels.values())).rgb
    tall = _COLUMN * first.shape[1] / first.shape[2]
    body = max(_stage_height(stage, tall) for row in rows for stage in row)
    height = _TITLE + body + _EQUATION
    page = 2 * _MARGIN + len(rows) * height + (len(rows) - 1) * _BETWEEN
    with blank(page) as figure:
        sheet = figure.add_axes((0, 0, 1, 1))
        sheet.set(xlim=(0, WIDTH), ylim=(page, 0))
        sheet.axis("off")
        end: tuple[float, float] | None = None  # bottom of the stage before
        for index, row in enumerate(rows):
            top, left = _MARGIN + index * (height + _BETWEEN), _MARGIN
            for number, stage in enumerate(row):
                wide = stage.wide * _COLUMN + (stage.wide - 1) * _GAP
                _draw_stage(figure, sheet, stage, left, top, wide, body)
                middle, bend = top + _TITLE + body / 2, left + wide / 2
                if number:
                    _draw_arrow(sheet, (left - _STEP + 0.03, middle), (left - 0.03, middle))
                elif end is not None:
                    between = top - _BETWEEN / 2
                    sheet.plot([end[0], end[0], bend], [end[1], between, between], color=INK, linewidth=1.3)
                    _draw_arrow(sheet, (bend, between), (bend, top - 0.02))
                end = (bend, top + height + 0.02)
                left += wide + _STEP
    return Page(figure, alt)


def _stage_height(stage: Stage, tall: float) -> float:
    """The height of a stage's panels with their captions; `tall` is a panel's that is one column wide."""
    rows = -(-len(stage.panels) // stage.columns)
    return rows * (_CAPTION + tall * (stage.wide / stage.columns)) + (rows - 1) * _GAP


def _draw_stage(figure: Figure, sheet: Axes, stage: Stage, left: float, top: float, wide: float, body: float) -> None:
    page = figure.get_size_inches()[1]
    sheet.text(left, top + 0.15, stage.title, fontsize=9, fontweight="bold", color=INK)
    sheet.text(left, top + _TITLE + body + 0.16, stage.equation, fontsize=8, color=MUTED)
    each = (wide - (stage.columns - 1) * _GAP) / stage.columns
    _, rows, columns = next(iter(stage.panels.values())).rgb.shape
    tall = each * (rows / columns)
    first = top + _TITLE + (body - _stage_height(stage, tall * stage.columns / stage.wide)) / 2
    for index, (caption, panel) in enumerate(stage.panels.items()):
        row, column = divmod(index, stage.columns)
        x, y = left + column * (each + _GAP), first + row * (_CAPTION + tall + _GAP)
        sheet.text(x, y + 0.13, caption, fontsize=8, color=INK)
        axes = figure.add_axes((x / WIDTH, 1 - (y + _CAPTION + tall) / page, each / WIDTH, tall / page))
        axes.imshow(panel.rgb.permute(1, 2, 0).numpy(), interpolation="antialiased", aspect="auto")
        _frame(axes)


def _draw_arrow(sheet: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
    sheet.annotate("", end, start, arrowprops=style)


def _draw_panel(axes: Axes, panel: Panel, box: Box | None, crop: bool) -> None:
    """The whole panel with the box outlined, or the box alone; arrows go into the enlarged one if there is one."""
    rgb = panel.rgb.detach().cpu().permute(1, 2, 0).numpy()
    axes.imshow(rgb, interpolation="nearest" if crop else "antialiased")
    if panel.arrows is not None and crop == (box is not None):
        at = panel.arrows.detach().cpu().numpy()
        axes.quiver(
            *at.T, angles="xy", scale_units="xy", scale=1, width=0.004, headwidth=3.6, headlength=4,
            minlength=0.5, color=INK, edgecolor="white", linewidth=0.5,
        )  # fmt: skip
    x, y, width, height = box if box and crop else (0, 0, rgb.shape[1], rgb.shape[0])
    axes.set(xlim=(x - 0.5, x + width - 0.5), ylim=(y + height - 0.5, y - 0.5))
    if box and not crop:
        for colour, line in (("white", 2.4), (INK, 1)):
            axes.add_patch(Rectangle(box[:2], *box[2:], fill=False, edgecolor=colour, linewidth=line))
    _frame(axes)


def _frame(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color=MUTED, linewidth=0.5)


def _draw_legend(figure: Figure, legend: Wheel | Bar, left: float) -> float:
    """Draw a legend at the bottom of the page from `left` on; returns the inches that it takes."""
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
