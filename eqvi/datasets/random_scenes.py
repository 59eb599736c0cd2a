"""Random scenes for rendered clips whose kind of motion is known, each drawn from a seed alone.

Layers cut from photographs and procedural images move in front of a photograph, all along paths of one kind, with
rotation and zoom; the camera blurs, changes its gain and adds noise. Validation scenes use other images than training
scenes (`eqvi.datasets.photographs.SPLITS`).
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, get_args

import torch

from eqvi.datasets.camera import Camera
from eqvi.datasets.photographs import SPLITS, ProceduralKind, Split, photograph_size
from eqvi.datasets.rendering import Layer, PathKind, Scene, Trajectory, exact_flow
from eqvi.errors import InputError

#: Length, in intervals between input frames, up to which motion has its full size; in longer clips it is slower.
INTERVALS = 6

#: Names of REDS_VTSR's clips have three digits.
MAX_CLIPS = 1000

# Largest velocity, acceleration, jerk and shake of the background and of foreground layers, in pixels of a frame of
# 270 lines; at least half of each is drawn. At 720 lines the velocity of a foreground layer is 27 to 53 px.
_Speeds = tuple[float, float, float, float]
_BACKGROUND: _Speeds = (6.0, 2.5, 2.0, 2.5)
_FOREGROUND: _Speeds = (20.0, 10.0, 10.0, 5.0)
_LINES = 270


@dataclass(frozen=True)
class RenderedClip:
    """A scene and the camera that takes it; time 0 is the middle of the clip.

    Attributes:
        scene, camera: what is rendered, and how.
        kind: of all its paths.
        split: whose photographs it uses.
        seed: of the drawing.
        intervals: its length in intervals between input frames; input frame n is at time n - intervals / 2.
    """

    scene: Scene
    camera: Camera
    kind: PathKind
    split: Split
    seed: int
    intervals: int


class Magnitude(NamedTuple):
    """Motion at a frame between two input frames; means over the frame.

    Attributes:
        motion: |F_12| of the two input frames, pixels.
        acceleration: |F_10 + F_12| at the first of them, pixels per interval squared.
        occlusion: share of the frame's pixels that are occluded, or out of the frame, in one of the two.
    """

    motion: float
    acceleration: float
    occlusion: float


def draw_clip(
    seed: int, split: Split, size: tuple[int, int], kind: PathKind | None = None, intervals: int = INTERVALS
) -> RenderedClip:
    """Draw a random clip.

    Args:
        seed: the same seed gives another clip in another split.
        split: whose photographs it uses.
        size: (height, width) in pixels; distances scale with the height.
        kind: of its paths; drawn as well if None.
        intervals: its length in intervals between input frames; layers stay roughly in view for so long.

    Raises:
        InputError: an unknown split or kind, a size of less than 32 pixels.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r} is not known: choose one of {', '.join(SPLITS)}")
    if kind is not None and kind not in get_args(PathKind):
        raise InputError(f"path {kind!r} is not known: choose one of {', '.join(get_args(PathKind))}")
    if min(size) < 32:
        raise InputError(f"size {size[1]}x{size[0]} is too small to show anything: give 32x32 or more")
    draw = random.Random(f"{split} {seed}")
    drawn: PathKind = draw.choice(get_args(PathKind))
    kind = kind or drawn
    # All layers share one shake, as those seen by a hand-held camera do.
    path = partial(_path, draw, kind, size[0], draw.randrange(2**31), intervals)
    background = _background(draw, split, size, path, intervals)
    # The background's own photograph would hardly be visible in front of it.
    others = [name for name in SPLITS[split] if name != background.photograph]
    foreground = [_foreground(draw, split, others, size, path, intervals) for _ in range(draw.randint(2, 3))]
    blurred = draw.random() < 0.6
    camera = Camera(
        shutter=draw.uniform(0.08, 0.25) if blurred else 0.0,
        subframes=5 if blurred else 1,
        brightening=draw.uniform(-0.2, 0.2) / intervals if draw.random() < 0.5 else 0.0,
        read_noise=draw.uniform(0.5, 1.5) / 255,
        shot_noise=draw.uniform(0, 2.0) / 255**2,
        seed=draw.randrange(2**31),
    )
    return RenderedClip(Scene(size, (background, *foreground)), camera, kind, split, seed, intervals)


def draw_clips(
    count: int, seed: int, split: Split, size: tuple[int, int], kind: PathKind | None = None, intervals: int = INTERVALS
) -> dict[str, RenderedClip]:
    """Draw clips 000, 001, ..., each from its number alone; if `kind` is None, with each kind of path in turn."""
    kinds = get_args(PathKind)
    return {
        f"{index:03d}": draw_clip(MAX_CLIPS * seed + index, split, size, kind or kinds[index % len(kinds)], intervals)
        for index in range(count)
    }


def magnitude(clip: RenderedClip, start: float, t: float = 0.5) -> Magnitude:
    """The motion at `t` in (0, 1) between the input frames at times `start` and `start` + 1 of the clip."""
    at = torch.tensor([start, start])
    flow_10, flow_12 = exact_flow(clip.scene, at, at + torch.tensor([-1.0, 1.0])).flow
    occluded = exact_flow(clip.scene, at + t, at + torch.tensor([0.0, 1.0])).occluded.any(dim=0)
    return Magnitude(
        motion=flow_12.norm(dim=0).mean().item(),
        acceleration=(flow_10 + flow_12).norm(dim=0).mean().item(),
        occlusion=occluded.float().mean().item(),
    )


def _background(
    draw: random.Random, split: Split, size: tuple[int, int], path: Callable[[_Speeds], Trajectory], intervals: int
) -> Layer:
    name = draw.choice(SPLITS[split])
    height, width = photograph_size(name)
    return Layer(
        name,
        anchor=(draw.uniform(0.4, 0.6) * width, draw.uniform(0.4, 0.6) * height),
        centre=(size[1] / 2, size[0] / 2),
        scale=round(draw.uniform(1.05, 1.5) * max(size[0] / height, size[1] / width), 2),
        channels=_channels(draw, split),
        trajectory=path(_BACKGROUND),
        spin=draw.uniform(-0.02, 0.02) * INTERVALS / intervals,
        growth=draw.uniform(-0.02, 0.02) * INTERVALS / intervals,
    )


def _foreground(
    draw: random.Random,
    split: Split,
    photographs: list[str],
    size: tuple[int, int],
    path: Callable[[_Speeds], Trajectory],
    intervals: int,
) -> Layer:
    # Seeds of procedural images are even for training and odd for validation.
    seed = 2 * draw.randrange(50_000) + (split == "val")
    name = draw.choice(photographs) if draw.random() < 0.6 else f"{draw.choice(get_args(ProceduralKind))}:{seed}"
    height, width = photograph_size(name)
    radius = draw.uniform(0.15, 0.35) * size[0]
    radii = (radius, radius * draw.uniform(0.6, 1.0))
    scale = max(0.05, round(draw.uniform(1.1, 2.0) * 2.4 * radius / min(height, width), 2))
    # The anchor is far enough inside that the whole outline lies on the photograph.
    inset = 1.2 * radius / scale
    lobes = [(draw.uniform(0.0, 0.12) / order, draw.uniform(0, 2 * math.pi)) for order in (1, 1.5, 2)]
    return Layer(
        name,
        anchor=(draw.uniform(inset, width - inset), draw.uniform(inset, height - inset)),
        centre=(draw.uniform(0.25, 0.75) * size[1], draw.uniform(0.3, 0.7) * size[0]),
        scale=scale,
        radii=radii,
        lobes=tuple(lobes),
        softness=draw.uniform(1.0, 3.0),
        channels=_channels(draw, split),
        trajectory=path(_FOREGROUND),
        spin=draw.uniform(-0.12, 0.12) * INTERVALS / intervals,
        growth=draw.uniform(-0.05, 0.05) * INTERVALS / intervals,
    )


def _channels(draw: random.Random, split: Split) -> tuple[int, int, int]:
    """The order of the colour channels: permuted in half of the training layers, never in validation."""
    first, second, third = draw.sample(range(3), 3) if split == "train" and draw.random() < 0.5 else (0, 1, 2)
    return first, second, third


def _path(draw: random.Random, kind: PathKind, height: int, shake: int, intervals: int, largest: _Speeds) -> Trajectory:
    """A path of that kind, no faster than `largest`."""

    def vector(size: float, order: int) -> tuple[float, float]:
        length = draw.uniform(0.5, 1.0) * size * height / _LINES * (INTERVALS / intervals) ** order
        angle = draw.uniform(0, 2 * math.pi)
        # Frames are wider than high, and so is the motion in them.
        return length * math.cos(angle), 0.6 * length * math.sin(angle)

    velocity, acceleration, jerk = (vector(size, order) for order, size in enumerate(largest[:3], 1))
    return Trajectory(
        velocity=velocity,
        acceleration=acceleration if kind != "linear" else (0.0, 0.0),
        jerk=jerk if kind == "cubic" else (0.0, 0.0),
        shake=largest[3] * height / _LINES if kind == "shake" else 0.0,
        seed=shake,
    )
