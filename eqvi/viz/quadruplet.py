"""A window to look into: four frames, and the true frames between the middle two where they are known."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.datasets.rendering import Scene, render
from eqvi.errors import InputError
from eqvi.media.clip import Clip, open_clip
from eqvi.media.image import ClipFrame, resized, to_tensor

Truth = Callable[[float], Float[Tensor, "1 3 h w"] | None]


@dataclass(frozen=True)
class Subject:
    """A window of a clip.

    Attributes:
        name: what it shows and where it comes from, for people.
        frames: (1, 4, 3, H, W), RGB in [0, 1], at times -1, 0, 1, 2.
        truth: the frame at t in (0, 1); None at times at which it is not known.
    """

    name: str
    frames: Float[Tensor, "1 4 3 h w"]
    truth: Truth


def rendered(scene: Scene, name: str, start: float = 0.0) -> Subject:
    """A window of a rendered scene whose second frame is at time `start`: the truth is known at every t."""
    frames = render(scene, torch.tensor([-1.0, 0.0, 1.0, 2.0]) + start)[None]
    return Subject(name, frames, lambda t: render(scene, start + t))


def footage(path: Path, start: int | None = None, step: int = 2, longest: int = 448) -> Subject:
    """A window of a folder of frames or a video file, of every `step`-th frame: those between are the truth.

    Args:
        path: folder or video file.
        start: number of the window's second frame in the clip, from 0; None: so that the window is in its middle.
        step: frames of the clip from one of the window's to the next. At 1 no truth is known.
        longest: of width and height in pixels, larger frames are made smaller; 0: as they are.

    Raises:
        InputError: nothing usable is there, or the clip is too short.
    """
    if step < 1 or longest < 0:
        raise InputError(f"step {step} and longest {longest} cannot be used: give at least 1 and 0")
    clip = open_clip(path)
    count = clip.count if clip.count is not None else sum(1 for _ in clip.read())
    last = count - 1 - 2 * step
    if last < step:
        raise InputError(f"{path}: holds {count} frames, a window of every {step} takes {3 * step + 1}: give less step")
    start = (step + last) // 2 if start is None else start
    if not step <= start <= last:
        raise InputError(f"{path}: a window cannot start at frame {start}: give {step} to {last}")
    taken = list(islice(clip.read(), start - step, start + 2 * step + 1))
    if len(taken) < 3 * step + 1:
        raise InputError(f"{path}: ends before frame {start + 2 * step}, though it promises {count}: give less start")
    size = _size(clip, longest)
    frames = torch.stack([_tensor(frame, size) for frame in taken[::step]], dim=1)
    between = taken[step + 1 : 2 * step]

    def truth(t: float) -> Float[Tensor, "1 3 h w"] | None:
        place = Fraction(t).limit_denominator(1000) * step
        known = place.denominator == 1 and 0 < place < step
        return _tensor(between[int(place) - 1], size) if known else None

    return Subject(f"{path.name}, frame {start}, every {_ordinal(step)}", frames, truth)


def _size(clip: Clip, longest: int) -> tuple[int, int]:
    width, height = clip.size
    share = min(1.0, longest / max(width, height)) if longest else 1.0
    return max(1, round(width * share)), max(1, round(height * share))


def _tensor(frame: ClipFrame, size: tuple[int, int]) -> Float[Tensor, "1 3 h w"]:
    return to_tensor(resized(frame.image, size))


def _ordinal(number: int) -> str:
    return {1: "frame", 2: "second", 3: "third"}.get(number, f"{number}th")
