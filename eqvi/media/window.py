"""The window of frames that slides along a clip, and the interpolation of new frames from it."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain, islice, pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.devices import out_of_memory
from eqvi.errors import InputError
from eqvi.media.image import ClipFrame, Image, Rounding, alpha_to_tensor, from_tensor, levels_to_tensor, to_levels
from eqvi.model.geometry import backward_warp

# Motion models assume evenly spaced frames. Rounded timestamps change a gap by a few percent, a dropped or doubled
# frame by half or more; a difference of more than this fraction counts as uneven.
_UNEVEN = Fraction(1, 4)


class Window(NamedTuple):
    """Two frames to interpolate between, and their neighbours.

    Neighbours end at the clip's ends, at a scene cut, and where a gap is not as long as the one to fill.
    """

    position: int  # number of `first` in the clip
    earlier: tuple[ClipFrame, ...]  # before `first`, the nearest first
    first: ClipFrame
    second: ClipFrame | None  # None after the clip's last frame
    later: tuple[ClipFrame, ...]  # after `second`, the nearest first
    cut: bool  # whether `first` and `second` belong to different shots
    uneven: bool  # whether a neighbour of `first` or `second` is missing only because of its distance in time


def windows(
    frames: Iterable[ClipFrame],
    is_cut: Callable[[ClipFrame, ClipFrame], bool] | None = None,
    neighbours: int = 1,
) -> Iterator[Window]:
    """One window for every frame of a clip, in order; at most 2 + 2 `neighbours` frames are in memory at a time.

    Args:
        frames: the clip.
        is_cut: whether two neighbours belong to different shots, called once for every pair, in order; None: never.
        neighbours: the most frames before the first and after the second.
    """

    def cut_between(a: ClipFrame | None, b: ClipFrame | None) -> bool:
        return is_cut is not None and a is not None and b is not None and is_cut(a, b)

    size = 2 + 2 * neighbours
    padded = chain([None] * neighbours, frames, [None] * (1 + neighbours))
    recent = deque(islice(padded, size - 1), maxlen=size)
    cuts = deque((cut_between(a, b) for a, b in pairwise(recent)), maxlen=size - 1)  # between neighbours in `recent`
    for position, newest in enumerate(padded):
        cuts.append(cut_between(recent[-1], newest))
        recent.append(newest)
        first, second, cut = recent[neighbours], recent[neighbours + 1], cuts[neighbours]
        assert first is not None
        if second is None or cut:
            yield Window(position, (), first, second, (), cut, False)
            continue
        shot, gap = list(zip(recent, cuts, strict=False)), second.time - first.time
        earlier, far_before = _even_neighbours(first, reversed(shot[:neighbours]), gap)
        after = zip(list(recent)[neighbours + 2 :], list(cuts)[neighbours + 1 :], strict=True)
        later, far_after = _even_neighbours(second, after, gap)
        yield Window(position, earlier, first, second, later, cut, far_before or far_after)


def _even_neighbours(
    frame: ClipFrame, others: Iterable[tuple[ClipFrame | None, bool]], gap: Fraction
) -> tuple[tuple[ClipFrame, ...], bool]:
    """The frames next to a frame, outwards, as far as they are of its shot and evenly spaced.

    Returns:
        Those frames, and whether the nearest one is missing because of its distance in time.
    """
    neighbours: list[ClipFrame] = []
    for other, cut in others:
        if other is None or cut:
            break
        if abs(abs(other.time - frame.time) - gap) > _UNEVEN * gap:
            return tuple(neighbours), not neighbours
        neighbours.append(other)
        frame = other
    return tuple(neighbours), False


def neighbours_of(model: Any) -> int:
    """The frames on each side of a gap that a model reads, besides the two of the gap."""
    return getattr(model, "window", 4) // 2 - 1


class Interpolator:
    """Interpolates the windows of a clip in order, with any model that has EQVI's two stages.

    Every frame is copied to the device once. Motion is estimated once a window and passed on to the next window, which
    shares flows with it.

    Args:
        model: anything with `EQVI.estimate_motion` and `EQVI.interpolate`, on `device`.
        device: where the model is.
        rounding: how `prepared_image` converts to integers.
    """

    def __init__(self, model: Any, device: str | torch.device = "cpu", rounding: Rounding = "round") -> None:
        self._model, self._device, self._rounding = model, device, rounding
        self._levels: dict[int, Tensor] = {}  # by the frame's number in the clip
        self._stack: Tensor | None = None
        self._motion: Any = None
        self._position = -1
        self._asked = threading.Lock()  # of several threads that ask for one window, one estimates its motion

    @torch.inference_mode()
    def interpolate(self, window: Window, t: Fraction) -> Float[Tensor, "1 3 h w"]:
        """The frame at `t` in (0, 1) between the window's first and second frame: RGB in [0, 1], on the device.

        Raises:
            InputError: the device has too little memory.
        """
        with self._memory_errors(window):
            return self.synthesize(window, t).frame

    def prepared_image(self, window: Window, t: Fraction) -> Callable[[], Image]:
        """What makes the same frame, in any thread, once the window's motion is estimated, which is done here: an image
        with the depth and channels of the window's first frame, alpha included.

        Raises:
            InputError: the device has too little memory; what is returned raises it as well.
        """
        with self._memory_errors(window), torch.inference_mode():
            stack, motion = self._entered(window)

        def image() -> Image:
            with self._memory_errors(window), torch.inference_mode():
                result = self._model.interpolate(stack, motion, float(t))
                first = window.first.image
                alpha = self._alpha(window, result, float(t)) if first.has_alpha else None
                return from_tensor(result.frame, first, self._rounding, alpha)

        return image

    @contextlib.contextmanager
    def _memory_errors(self, window: Window) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not out_of_memory(error):
                raise
            width, height = window.first.image.size
            raise InputError(
                f"frames of {width}x{height} overfill the memory of {self._device}: use --crop, or "
                f"--size {width // 4 * 2}x{height // 4 * 2}, which takes a quarter"
            ) from None

    def synthesize(self, window: Window, t: Fraction) -> Any:
        """The model's whole result at `t`, for callers in inference mode; motion is estimated once a window."""
        return self._model.interpolate(*self._entered(window), float(t))

    def _entered(self, window: Window) -> tuple[Float[Tensor, "1 n 3 h w"], Any]:
        """The window's frames and its motion."""
        with self._asked:
            if window.position != self._position or self._stack is None:
                self._stack = None  # two stacks at once would be the most memory of a clip
                self._stack = self._enter(window)
                self._position = window.position
            return self._stack, self._motion

    def _enter(self, window: Window) -> Float[Tensor, "1 n 3 h w"]:
        """Estimate the window's motion; returns the frames that the model still needs, with the gap in their middle."""
        assert window.second is not None
        around = min(len(window.earlier), len(window.later), neighbours_of(self._model))
        frames = [*window.earlier[:around][::-1], window.first, window.second, *window.later[:around]]
        images = {window.position - around + index: frame.image for index, frame in enumerate(frames)}
        # A later window needs none of the frames before this one's.
        self._levels = {
            index: self._levels[index] if index in self._levels else to_levels(image, self._device)
            for index, image in images.items()
        }
        stack = self._stacked(window.first.image.peak)
        previous = self._motion if window.position == self._position + 1 else None
        self._motion = self._model.estimate_motion(stack, previous=previous)
        pair_suffices = around and getattr(self._model, "pair_suffices", False)
        return stack[:, around : around + 2].clone() if pair_suffices else stack

    def _stacked(self, peak: int) -> Float[Tensor, "1 n 3 h w"]:
        """The window's frames, of which none is held twice meanwhile."""
        like = next(iter(self._levels.values()))
        stack = torch.empty(1, len(self._levels), 3, *like.shape[:2], device=self._device)
        for place, levels in enumerate(self._levels.values()):
            stack[:, place] = levels_to_tensor(levels, peak)
        return stack

    def _alpha(self, window: Window, result: Any, t: float) -> Float[Tensor, "1 1 h w"]:
        """Alpha warped by the flows and blended by the weights that made the frame.

        A flow that points outside the frame has no weight; where both do, alpha is blended without motion.
        """
        assert window.second is not None
        alpha_1 = alpha_to_tensor(window.first.image, self._device)
        alpha_2 = alpha_to_tensor(window.second.image, self._device)
        inside = torch.ones_like(alpha_1)
        weight_1 = (1 - t) * result.mask * backward_warp(inside, result.flow_t1)
        weight_2 = t * (1 - result.mask) * backward_warp(inside, result.flow_t2)
        total = weight_1 + weight_2
        # backward_warp fades out at the border for alpha as for `inside`, so the quotient is the alpha inside.
        moved = (1 - t) * result.mask * backward_warp(alpha_1, result.flow_t1)
        moved = moved + t * (1 - result.mask) * backward_warp(alpha_2, result.flow_t2)
        still = (1 - t) * alpha_1 + t * alpha_2
        return torch.where(total > 1e-3, moved / total.clamp(min=1e-3), still)
