"""What the explorer can look at, by the names that people choose: clips, their windows, models."""

from pathlib import Path
from typing import NamedTuple, get_args

from eqvi.datasets.random_scenes import draw_clip
from eqvi.datasets.rendering import PathKind, Scene, demo_scene
from eqvi.errors import InputError
from eqvi.media.clip import open_clip
from eqvi.model.registry import DEFAULT_MODEL
from eqvi.viz.quadruplet import Subject, footage, rendered

#: The study's example with each kind of path, and one scene of each kind as validation clips are drawn.
SCENES = {
    **{f"portrait, {kind} path": ("portrait", kind) for kind in get_args(PathKind)},
    **{f"drawn scene, {kind} paths": ("drawn", kind) for kind in get_args(PathKind)},
}
#: Chosen instead of a scene, it is the folder or video file whose path is given.
FOOTAGE = "folder or video file"
#: Models by what people read; the value is what `eqvi.model.registry.load_model` takes.
MODELS = {
    f"{DEFAULT_MODEL} (weights of this study, not the published ones)": DEFAULT_MODEL,
    "baseline (no weights: DIS flow, reversal, visibility)": "baseline",
    "family/fusion_0 (weights of this study: every switch)": "family/fusion_0",
}
#: Every so manieth frame of footage makes a window, and what is left out between is the truth.
STEP = 2
#: The seed of the drawn scenes.
SEED = 3


class Place(NamedTuple):
    """Where a window can be: its second frame, at a time of a rendered scene or as a frame's number in footage."""

    label: str
    start: float


def places(clip: str, path: str = "") -> list[Place]:
    """The windows of a clip, in order; at most 41, spread evenly.

    Raises:
        InputError: an unknown scene, no path, or nothing usable there.
    """
    if clip in SCENES:
        return [Place(f"time {start:+g}" if start else "time 0", start) for start in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    where = _path(clip, path)
    found = open_clip(where)
    count = found.count if found.count is not None else sum(1 for _ in found.read())
    last = count - 1 - 2 * STEP
    if last < STEP:
        raise InputError(f"{where}: holds {count} frames, a window takes {3 * STEP + 1}: choose a longer clip")
    starts = range(STEP, last + 1, max(1, -(-(last + 1 - STEP) // 41)))
    return [Place(f"frame {start}", start) for start in starts]


def subject(clip: str, path: str, start: float, height: int) -> Subject:
    """A window of a clip; frames are `height` pixels high and 7/4 as wide where they are rendered, or fit into that.

    Raises:
        InputError: as `places`, or a window that the clip does not have.
    """
    width = height * 7 // 4
    if clip in SCENES:
        return rendered(_scene(*SCENES[clip], (height, width)), f"{clip}, time {start:g}", start)
    return footage(_path(clip, path), int(start), STEP, longest=width)


def _path(clip: str, path: str) -> Path:
    if clip != FOOTAGE:
        raise InputError(f"clip {clip!r} is not known: choose one of {', '.join(SCENES)}, or {FOOTAGE!r}")
    if not path.strip():
        raise InputError("no path is given: write the path of a folder of frames or of a video file")
    return Path(path.strip()).expanduser()


def _scene(kind: str, path: PathKind, size: tuple[int, int]) -> Scene:
    return demo_scene(path, size) if kind == "portrait" else draw_clip(SEED, "val", size, path).scene
