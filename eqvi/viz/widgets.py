"""The explorer's own widgets: a grid of pictures to click into, a divider between two frames, a film.

They hold what is shown and hear what is done; `eqvi.viz.explorer` decides. Their front end is one plain JavaScript file
beside this one, which nothing has to compile. A picture crosses to the browser as a dict: see `picture`.
"""

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from eqvi.viz import result_layers
from eqvi.viz.result_layers import Layer

_HERE = Path(__file__).parent
Picture = dict[str, Any]
#: Headings of a grid, from top to bottom.
GROUPS = MADE, CHANGED, MOTION, GIVEN = (
    "made at t",
    "what each switch changes; dB gained where it is on",
    "motion at t",
    "given frames, their flows",
)


def picture(name: str, layer: Layer, group: str = "", at: str = "") -> Picture:
    """A layer as the browser gets it.

    Args:
        name: its title, unique in a grid.
        layer: what is shown.
        group: heading that it stands under, of `GROUPS`.
        at: the time that it shows, to which marks belong: "-1", "0", "1", "2" or "t".
    """
    sign = result_layers.legend(layer.panel)
    arrows = layer.panel.arrows
    return {
        "name": name, "group": group, "at": at, "note": layer.note, "alt": layer.alt,
        "data": result_layers.encoded(layer.panel),
        "legend": sign[0] if sign else b"", "low": sign[1] if sign else "", "high": sign[2] if sign else "",
        "arrows": [] if arrows is None else [round(value, 1) for value in arrows.flatten().tolist()],
    }  # fmt: skip


class _Front(anywidget.AnyWidget):
    _esm = (_HERE / "explorer.js").read_text(encoding="utf-8")
    _css = (_HERE / "explorer.css").read_text(encoding="utf-8")
    #: What is being worked on, shown with a turning sign; empty when nothing is.
    busy = traitlets.Unicode().tag(sync=True)
    #: (width, height) of the frames in pixels.
    size = traitlets.List(traitlets.Int(), [1, 1]).tag(sync=True)


class Grid(_Front):
    """Pictures under headings, a slider for t, and the chosen pixel's motion.

    The browser sends ``{"kind": "ready"}`` once it is displayed, ``{"kind": "click", "name", "x", "y"}`` in pixels of
    the picture, and ``{"kind": "move", "x", "y"}`` for arrow keys.
    """

    shape = traitlets.Unicode("grid").tag(sync=True)
    groups = traitlets.List(traitlets.Unicode(), list(GROUPS)).tag(sync=True)
    #: t is step / steps.
    steps = traitlets.Int(8).tag(sync=True)
    step = traitlets.Int(4).tag(sync=True)
    #: The step whose pictures `moving` holds; 0: none yet.
    shown = traitlets.Int().tag(sync=True)
    #: Pictures that belong to the window, and those that belong to t.
    fixed = traitlets.List(traitlets.Dict()).tag(sync=True)
    moving = traitlets.List(traitlets.Dict()).tag(sync=True)
    #: The chosen pixel by the time of the picture, and the curve it moves along.
    marks = traitlets.Dict().tag(sync=True)
    #: Its motion as a sentence, as SVG and as a table in HTML.
    said = traitlets.Unicode().tag(sync=True)
    drawing = traitlets.Unicode().tag(sync=True)
    table = traitlets.Unicode().tag(sync=True)
    #: Milliseconds from a move of the slider to the painted pictures, as the browser measured them.
    took = traitlets.List(traitlets.Int()).tag(sync=True)


class Divider(_Front):
    """One frame as two variants make it, on both sides of a line that can be dragged; beside it, their difference."""

    shape = traitlets.Unicode("divider").tag(sync=True)
    shown = traitlets.Int().tag(sync=True)
    left = traitlets.Dict().tag(sync=True)
    right = traitlets.Dict().tag(sync=True)
    change = traitlets.Dict().tag(sync=True)


class Film(_Front):
    """Frames in the order of time: a strip, and a loop that plays. A click sends ``{"kind": "chosen", "index"}``."""

    shape = traitlets.Unicode("film").tag(sync=True)
    frames = traitlets.List(traitlets.Dict()).tag(sync=True)
