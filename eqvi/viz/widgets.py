"""The explorer's own widgets: a grid of pictures to click into, a divider between two frames, a film strip.

They carry what is shown and report what the user does; `eqvi.viz.explorer` decides. Their front end is one plain
JavaScript file beside this one, which needs no build. A picture is sent to the browser as a dict: see `tile`.
"""

from pathlib import Path
from typing import Any

import anywidget
import traitlets
from traitlets import Dict, Int, Unicode

from eqvi.viz import result_layers
from eqvi.viz.result_layers import Layer

Tile = dict[str, Any]
#: Headings of a grid, from top to bottom.
GROUPS = RESULT, EFFECTS, MOTION, INPUTS = (
    "new frame at t",
    "what each switch changes; dB gained where it is on",
    "motion at t",
    "input frames and their flows",
)


def tile(name: str, layer: Layer, group: str = "", at: str = "") -> Tile:
    """A layer as the browser gets it.

    Args:
        name: its title, unique in a grid.
        layer: what is shown.
        group: heading that it stands under, of `GROUPS`.
        at: the time that it shows, to which marks belong: "-1", "0", "1", "2" or "t".
    """
    legend, low, high = result_layers.legend(layer.panel) or (b"", "", "")
    arrows = layer.panel.arrows
    return {
        "name": name, "group": group, "at": at, "note": layer.note, "alt": layer.alt,
        "data": result_layers.webp(layer.panel), "legend": legend, "low": low, "high": high,
        "arrows": [] if arrows is None else [round(value, 1) for value in arrows.flatten().tolist()],
    }  # fmt: skip


class _Front(anywidget.AnyWidget):
    _esm = Path(__file__).with_name("explorer.js").read_text(encoding="utf-8")
    _css = Path(__file__).with_name("explorer.css").read_text(encoding="utf-8")
    #: The work in progress, shown with a turning sign; empty when there is none.
    busy = Unicode().tag(sync=True)
    #: (width, height) of the frames in pixels.
    size = traitlets.List(Int(), [1, 1]).tag(sync=True)


class Grid(_Front):
    """Pictures under headings, a slider for t, and the chosen pixel's motion.

    The browser sends ``{"kind": "ready"}`` once it is displayed, ``{"kind": "click", "name", "x", "y"}`` in pixels of
    the picture, ``{"kind": "move", "x", "y"}`` for arrow keys, ``{"kind": "hover", "name", "x", "y"}`` while the
    pointer is over a picture, and ``{"kind": "leave"}``.
    """

    shape = Unicode("grid").tag(sync=True)
    groups = traitlets.List(Unicode(), list(GROUPS)).tag(sync=True)
    #: t is step / steps.
    steps = Int(8).tag(sync=True)
    step = Int(4).tag(sync=True)
    #: The step whose pictures `moving` holds; 0: none yet.
    shown = Int().tag(sync=True)
    #: Tiles that do not depend on t, and those that do.
    fixed = traitlets.List(Dict()).tag(sync=True)
    moving = traitlets.List(Dict()).tag(sync=True)
    #: The chosen pixel by the time of the picture, and the curve it moves along.
    marks = Dict().tag(sync=True)
    #: Its motion as a sentence, as SVG and as a table in HTML.
    sentence = Unicode().tag(sync=True)
    drawing = Unicode().tag(sync=True)
    table = Unicode().tag(sync=True)
    #: The path through up to eight frames of the pixel under the pointer: marks, a sentence and SVG.
    path_marks = Dict().tag(sync=True)
    path_sentence = Unicode().tag(sync=True)
    path_drawing = Unicode().tag(sync=True)


class Divider(_Front):
    """One frame by two variants, on both sides of a line that can be dragged; beside it, their difference."""

    shape = Unicode("divider").tag(sync=True)
    shown = Int().tag(sync=True)
    left = Dict().tag(sync=True)
    right = Dict().tag(sync=True)
    change = Dict().tag(sync=True)


class FilmStrip(_Front):
    """Frames in the order of time: a strip, and a loop that plays. A click sends ``{"kind": "chosen", "index"}``."""

    shape = Unicode("film").tag(sync=True)
    frames = traitlets.List(Dict()).tag(sync=True)
