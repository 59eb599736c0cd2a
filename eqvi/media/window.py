"""The window of frames that slides along a clip, and the new pictures made from it."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from eqvi.errors import InputError
from eqvi.media.image import ClipFrame, Image, Rounding, alpha_to_tensor, from_tensor, to_tensor
from eqvi.media.scene_cuts import is_cut, thumbnail
from eqvi.model.geometry import backward_warp

# Motion models take frames for evenly spaced. Rounded timestamps shift a gap by a few percent, a dropped or doubled
# frame by half or more; between the two a gap no longer counts as even.
_UNEVEN = Fraction(1, 4)


class Window(NamedTuple):
    """Two frames to interpolate between, and their neighbours where those help.

    Attributes:
        position: number of `first` in the clip.
        before, after: None at the clip's ends, beyond a scene cut, and where the neighbouring gap is not as long.
        first, second: the frames between which new ones go; no `second` after the last frame.
        cut: whether `first` and `second` belong to different shots.
        uneven: whether `before` or `after` is None only because of its distance in time.
    """

    position: int
    before: ClipFrame | None
    first: ClipFrame
    second: ClipFrame | None
    after: ClipFrame | None
    cut: bool
    uneven: bool


def windows(frames: Iterable[ClipFrame], cut: Callable[[ClipFrame, ClipFrame], bool]) -> Iterator[Window]:
    """One window for every frame of a clip, in order; at most four frames are held at a time.

    Args:
        frames: the clip.
        cut: says whether two neighbours belong to different shots; asked once for every pair, in order.
    """
    rest = iter(frames)
    held = deque(islice(rest, 2))
    before: ClipFrame | None = None
    cut_here = len(held) == 2 and cut(held[0], held[1])
    index = 0
    while held:
        held.extend(islice(rest, 1))
        first, second, after = (*held, None, None)[:3]
        assert first is not None
        cut_next = second is not None and after is not None and cut(second, after)
        if cut_here or cut_next:
            after = None
        earlier = None if cut_here else before
        uneven = False
        if second is not None and not cut_here:
            gap = second.time - first.time
            if earlier is not None and not _even(first.time - earlier.time, gap):
                earlier, uneven = None, True
            if after is not None and not _even(after.time - second.time, gap):
                after, uneven = None, True
        yield Window(index, earlier, first, second, after, cut_here, uneven)
        before, cut_here = (None if cut_here else first), cut_next
        held.popleft()
        index += 1


class CutDetector:
    """Finds scene cuts between neighbours of a clip asked about in order; see `eqvi.media.scene_cuts`."""

    def __init__(self) -> None:
        self._last: tuple[ClipFrame, NDArray[np.uint8]] | None = None

    def __call__(self, a: ClipFrame, b: ClipFrame) -> bool:
        """Whether `a` and `b` belong to different shots."""
        known = self._last is not None and self._last[0] is a
        thumb_a = self._last[1] if self._last is not None and known else thumbnail(a.image)
        thumb_b = thumbnail(b.image)
        self._last = (b, thumb_b)
        return is_cut(thumb_a, thumb_b)


class Interpolator:
    """Makes the new pictures of a clip's windows, taken in order, with any model that has EQVI's two stages.

    Frames go to the device once, motion is estimated once a window and handed on to the next one.
    """

    def __init__(self, model: Any, device: str | torch.device = "cpu", rounding: Rounding = "round") -> None:
        self._model, self._device, self._rounding = model, device, rounding
        self._tensors: dict[int, Tensor] = {}
        self._stack: Tensor | None = None
        self._motion: Any = None
        self._index = -1

    @torch.inference_mode()
    def interpolate_image(self, window: Window, t: Fraction) -> Image:
        """The picture at `t` in (0, 1) between the window's first and second frame.

        Raises:
            InputError: the device has too little memory.
        """
        with self._memory(window):
            out = self._interpolate(window, t)
            first = window.first.image
            alpha = self._alpha(window, out, float(t)) if first.has_alpha else None
            return from_tensor(out.frame, first, self._rounding, alpha)

    @torch.inference_mode()
    def interpolate(self, window: Window, t: Fraction) -> Float[Tensor, "1 3 h w"]:
        """The same in [0, 1], on the device, not yet quantised; without alpha.

        Raises:
            InputError: the device has too little memory.
        """
        with self._memory(window):
            return self._interpolate(window, t).frame

    @contextlib.contextmanager
    def _memory(self, window: Window) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            size = "x".join(map(str, window.first.image.size))
            raise InputError(f"frames of {size} overfill the memory of {self._device}: use --size or --crop") from None

    def _interpolate(self, window: Window, t: Fraction) -> Any:
        assert window.second is not None
        if window.position != self._index or self._stack is None:
            self._enter(window)
        return self._model.interpolate(self._stack, self._motion, float(t))

    def _enter(self, window: Window) -> None:
        """Estimate the motion of a new window."""
        if window.before is not None and window.after is not None:
            frames = {-1: window.before, 0: window.first, 1: window.second, 2: window.after}
        else:
            frames = {0: window.first, 1: window.second}
        keys = {window.position + place: frame.image for place, frame in frames.items() if frame is not None}
        # Frames stay for as long as a later window may need them.
        self._tensors = {index: tensor for index, tensor in self._tensors.items() if index >= window.position - 1}
        for index, picture in keys.items():
            if index not in self._tensors:
                self._tensors[index] = to_tensor(picture, self._device)
        self._stack = torch.stack([self._tensors[index] for index in keys], dim=1)
        previous = self._motion if window.position == self._index + 1 else None
        self._motion = self._model.estimate_motion(self._stack, previous=previous)
        self._index = window.position

    def _alpha(self, window: Window, out: Any, t: float) -> Float[Tensor, "1 1 h w"]:
        """Alpha moved by the flows and blended by the weights that made the frame.

        What a flow fetches from outside the frame counts for nothing; where both do, alpha is blended in place.
        """
        assert window.second is not None
        alpha_1 = alpha_to_tensor(window.first.image, self._device)
        alpha_2 = alpha_to_tensor(window.second.image, self._device)
        inside = torch.ones_like(alpha_1)
        weight_1 = (1 - t) * out.mask * backward_warp(inside, out.flow_t1)
        weight_2 = t * (1 - out.mask) * backward_warp(inside, out.flow_t2)
        total = weight_1 + weight_2
        # backward_warp fades at the rim as `inside` does, so the ratio of the two is the alpha inside.
        moved = (1 - t) * out.mask * backward_warp(alpha_1, out.flow_t1)
        moved = moved + t * (1 - out.mask) * backward_warp(alpha_2, out.flow_t2)
        still = (1 - t) * alpha_1 + t * alpha_2
        return torch.where(total > 1e-3, moved / total.clamp(min=1e-3), still)


def _even(other: Fraction, gap: Fraction) -> bool:
    return abs(other - gap) <= _UNEVEN * gap
