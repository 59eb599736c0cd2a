"""The choices of the explorer: clip, position in it, model and switches, and the controls that offer them."""

from pathlib import Path
from typing import get_args

import ipywidgets
from ipywidgets import Checkbox, Dropdown, Layout

from eqvi.datasets.random_scenes import draw_clip
from eqvi.datasets.rendering import PathKind, demo_scene
from eqvi.errors import InputError
from eqvi.media.clip import open_clip
from eqvi.model.registry import DEFAULT_MODEL
from eqvi.viz import quadruplet
from eqvi.viz.exploration import NAMES
from eqvi.viz.quadruplet import Quadruplet

#: The study's example with each kind of path, and one scene of each kind as validation clips are drawn.
SCENES = {
    **{f"portrait, {kind} path": ("portrait", kind) for kind in get_args(PathKind)},
    **{f"drawn scene, {kind} paths": ("drawn", kind) for kind in get_args(PathKind)},
}
#: The choice of a folder or video file, by its path, instead of a scene.
FOOTAGE = "folder or video file"
#: Labels of models; the value is what `eqvi.model.registry.load_model` takes.
MODELS = {
    f"{DEFAULT_MODEL} (weights of this study, not the published ones)": DEFAULT_MODEL,
    "baseline (no weights: DIS flow, reversal, visibility)": "baseline",
    "family/fusion_0 (weights of this study: every switch)": "family/fusion_0",
}
#: Every so many frames of footage one is taken; those between are the truth.
STEP = 2
#: The seed of the drawn scenes.
SEED = 3


def positions(clip: str, path: str = "") -> list[tuple[str, float]]:
    """Positions of a quadruplet in a clip, in order: a label, and the time or number of the second frame; at most 41.

    Raises:
        InputError: an unknown scene, no path, or nothing usable there.
    """
    if clip in SCENES:
        return [(f"time {start:+g}" if start else "time 0", start) for start in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    file = _path(clip, path)
    count = quadruplet.clip_length(open_clip(file))
    last = count - 1 - 2 * STEP
    if last < STEP:
        raise InputError(f"{file}: holds {count} frames, a window takes {3 * STEP + 1}: choose a longer clip")
    starts = range(STEP, last + 1, max(1, -(-(last + 1 - STEP) // 41)))
    return [(f"frame {start}", float(start)) for start in starts]


def open_quadruplet(clip: str, path: str, start: float, height: int) -> Quadruplet:
    """Four frames of a clip, `height` pixels high and 7/4 as wide where they are rendered, else fitted into that.

    Raises:
        InputError: as `positions`, or the clip has no such position.
    """
    width = height * 7 // 4
    if clip not in SCENES:
        return quadruplet.from_clip(_path(clip, path), int(start), STEP, longest=width)
    kind, motion = SCENES[clip]
    size = (height, width)
    scene = demo_scene(motion, size) if kind == "portrait" else draw_clip(SEED, "val", size, motion).scene
    return quadruplet.from_scene(scene, f"{clip}, time {start:g}", start)


def _path(clip: str, path: str) -> Path:
    if clip != FOOTAGE:
        raise InputError(f"clip {clip!r} is not known: choose one of {', '.join(SCENES)}, or {FOOTAGE!r}")
    if not path.strip():
        raise InputError("no path is given: write the path of a folder of frames or of a video file")
    return Path(path.strip()).expanduser()


class Controls:
    """The explorer's stock widgets by name, and `rows` of them to display.

    Args:
        clip, path, model: initial choices; see `eqvi.viz.explorer.Explorer`.
        steps: of t.
    """

    def __init__(self, clip: str, path: str, model: str, steps: int) -> None:
        wide = {"layout": Layout(width="460px", max_width="96%"), "style": {"description_width": "70px"}}
        narrow = {"indent": False, "layout": Layout(width="auto", margin="0 14px 0 0")}
        models = {**MODELS} if model in MODELS.values() else {model: model, **MODELS}
        first = FOOTAGE if path else clip or next(iter(SCENES))
        hint = "folder of frames or video file, then Enter"
        self.clip = Dropdown(options=[*SCENES, FOOTAGE], value=first, description="clip", **wide)
        self.path = ipywidgets.Text(path, description="path", continuous_update=False, placeholder=hint, **wide)
        self.position = ipywidgets.SelectionSlider(
            options=[("…", 0.0)], description="window", continuous_update=False, **wide
        )
        self.model = Dropdown(options=list(models.items()), value=model, description="model", **wide)
        self.switches = {name: Checkbox(description=text, **narrow) for name, text in NAMES.items()}
        self.arrows = Checkbox(description="flows as arrows", **narrow)
        self.effects = Checkbox(description="what each switch changes", **narrow)
        self.progress = ipywidgets.IntProgress(max=steps - 1, description="frames", **wide)
        self.message = ipywidgets.HTML()
        self.other = Dropdown(options=[("…", "")], description="against", **wide)
        self.step = ipywidgets.IntSlider(steps // 2, 1, steps - 1, description=f"t, in 1/{steps}", **wide)
        rows = (
            [self.clip, self.model],
            [self.position, self.path],
            [*self.switches.values(), self.arrows, self.effects],
            [self.progress, self.message],
        )
        self.rows = [ipywidgets.HBox(row, layout=Layout(flex_flow="row wrap")) for row in rows]
