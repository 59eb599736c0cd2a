"""A quadruplet to look into: four frames, and the true frames between the middle two where they are known."""

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
from eqvi.media.image import ClipFrame, resize_image, to_tensor

#: Times of the frames through which pixels are followed: eight around the gap.
FOLLOWED = range(-3, 5)


@dataclass(frozen=True)
class Quadruplet:
    """Four consecutive frames of a clip.

    Attributes:
        name: what it shows and where it comes from, for readers.
        frames: (1, 4, 3, H, W), RGB in [0, 1], at times -1, 0, 1, 2.
        truth: the frame at t in (0, 1); None at times at which it is not known.
        around: the frames by time, from the four on up to -3 .. 4, as far as the clip has them.
    """

    name: str
    frames: Float[Tensor, "1 4 3 h w"]
    truth: Callable[[float], Float[Tensor, "1 3 h w"] | None]
    around: Callable[[], dict[int, Float[Tensor, "1 3 h w"]]]


def from_scene(scene: Scene, name: str, start: float = 0.0) -> Quadruplet:
    """Frames of a rendered scene, the second at time `start`; the truth is known at every t."""
    frames = render(scene, torch.tensor([-1.0, 0.0, 1.0, 2.0]) + start)[None]

    def around() -> dict[int, Float[Tensor, "1 3 h w"]]:
        return {s: frames[:, 1 + s] if -1 <= s <= 2 else render(scene, torch.tensor([start + s])) for s in FOLLOWED}

    return Quadruplet(name, frames, lambda t: render(scene, start + t), around)


def from_clip(path: Path, start: int | None = None, step: int = 2, longest: int = 448) -> Quadruplet:
    """Every `step`-th frame of a folder of frames or of a video file; the frames between the middle two are the truth.

    Args:
        path: folder or video file.
        start: number of the second frame in the clip, from 0; None: in the middle of the clip.
        step: frames of the clip from one frame of the quadruplet to the next. At 1 no truth is known.
        longest: largest width and height in pixels, larger frames are made smaller; 0: any.

    Raises:
        InputError: nothing usable is there, or the clip is too short.
    """
    if step < 1 or longest < 0:
        raise InputError(f"step {step} and longest {longest} cannot be used: give at least 1 and 0")
    clip = open_clip(path)
    count = clip_length(clip)
    last = count - 1 - 2 * step
    if last < step:
        raise InputError(f"{path}: holds {count} frames, a window of every {step} takes {3 * step + 1}: give less step")
    start = (step + last) // 2 if start is None else start
    if not step <= start <= last:
        raise InputError(f"{path}: a window cannot start at frame {start}: give {step} to {last}")
    frames = list(islice(clip.read(), start - step, start + 2 * step + 1))
    if len(frames) < 3 * step + 1:
        raise InputError(f"{path}: ends before frame {start + 2 * step}, though it promises {count}: give less start")
    share = min(1.0, longest / max(clip.size)) if longest else 1.0
    size = max(1, round(clip.size[0] * share)), max(1, round(clip.size[1] * share))

    def tensor(frame: ClipFrame) -> Float[Tensor, "1 3 h w"]:
        return to_tensor(resize_image(frame.image, size))

    def truth(t: float) -> Float[Tensor, "1 3 h w"] | None:
        place = Fraction(t).limit_denominator(1000) * step
        return tensor(frames[step + int(place)]) if place.denominator == 1 and 0 < place < step else None

    def around() -> dict[int, Float[Tensor, "1 3 h w"]]:
        times = [s for s in FOLLOWED if 0 <= start + s * step < count]
        begin = start + times[0] * step
        wanted = islice(open_clip(path).read(), begin, start + times[-1] * step + 1, step)
        return {s: tensor(frame) for s, frame in zip(times, wanted, strict=False)}

    every = {1: "frame", 2: "second", 3: "third"}.get(step, f"{step}th")
    name = f"{path.name}, frame {start}, every {every}"
    return Quadruplet(name, torch.stack([tensor(frame) for frame in frames[::step]], dim=1), truth, around)


def clip_length(clip: Clip) -> int:
    """Frames of a clip, counted by reading where the file does not tell."""
    return clip.count if clip.count is not None else sum(1 for _ in clip.read())
