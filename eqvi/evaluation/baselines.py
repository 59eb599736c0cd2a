"""What EQVI is compared with: the average of the neighbours, and FFmpeg's own interpolation."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain, pairwise

import av
import av.filter
import numpy as np
from jaxtyping import Float
from torch import Tensor

from eqvi.errors import InputError
from eqvi.media.image import ClipFrame, Image, to_tensor
from eqvi.media.window import Window

#: minterpolate's setting: motion compensated, as it is by default, but never repeating a frame at a supposed cut.
MINTERPOLATE = "mi_mode=mci:scd=none"


def blend(window: Window, t: Fraction) -> Float[Tensor, "1 3 h w"]:
    """The average of the two neighbours, weighted by time."""
    assert window.second is not None
    first, second = to_tensor(window.first.image), to_tensor(window.second.image)
    return (1 - float(t)) * first + float(t) * second


class Minterpolate:
    """FFmpeg's ``minterpolate`` filter, run over a whole clip and then asked for frames in order.

    It is a filter on YUV: frames go in and come out as 4:4:4, which costs it about half a grey level. The last frame is
    given three times, or the filter would leave out the last gap.

    Args:
        frames: starts reading the clip's input frames.
        factor: frames put out for every input frame.
    """

    def __init__(self, frames: Callable[[], Iterator[ClipFrame]], factor: int) -> None:
        if "minterpolate" not in av.filter.filters_available:
            raise InputError("this FFmpeg has no minterpolate filter: install PyAV's own wheel (pip install av)")
        self._factor, self._made = factor, _filtered(frames(), factor)
        self._at = -1
        self._last: Image | None = None

    def __call__(self, window: Window, t: Fraction) -> Float[Tensor, "1 3 h w"]:
        """The frame at `t` of a window; windows and times must come in order.

        Raises:
            InputError: the filter put out no frame for that time.
        """
        wanted = window.position * self._factor + t * self._factor
        while self._at < wanted:
            self._at, self._last = next(self._made, (self._at, None))
            if self._last is None:
                break
        if self._at != wanted or self._last is None:
            raise InputError(f"minterpolate made no frame after {window.first.stem}: use another FFmpeg or method")
        return to_tensor(self._last)


def _filtered(frames: Iterator[ClipFrame], factor: int) -> Iterator[tuple[int, Image]]:
    """Number, counted at the higher rate, and picture of everything that the filter puts out."""
    first = next(frames)
    width, height = first.image.size
    graph = av.filter.Graph()
    given = f"video_size={width}x{height}:pix_fmt=rgb24:time_base=1/{factor}:frame_rate=1/1:pixel_aspect=1/1"
    steps = [
        graph.add("buffer", given),
        graph.add("format", "yuv444p"),
        graph.add("minterpolate", f"fps={factor}:{MINTERPOLATE}"),
        graph.add("format", "rgb24"),
        graph.add("buffersink"),
    ]
    for before, after in pairwise(steps):
        before.link_to(after)
    graph.configure()
    index, last = -1, first
    for index, frame in enumerate(chain([first], frames)):
        last = frame
        yield from _through(steps, frame, index * factor, factor)
    for extra in (1, 2):
        yield from _through(steps, last, (index + extra) * factor, factor)
    yield from _through(steps, None, 0, factor)


def _through(
    steps: list[av.filter.context.FilterContext], frame: ClipFrame | None, number: int, factor: int
) -> Iterator[tuple[int, Image]]:
    if frame is None:
        steps[0].push(None)
    else:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.image.pixels), format="rgb24")
        picture.pts, picture.time_base = number, Fraction(1, factor)
        steps[0].push(picture)
    while True:
        try:
            out = steps[-1].pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(out, av.VideoFrame)
        assert out.pts is not None
        assert out.time_base is not None
        yield round(out.pts * out.time_base * factor), Image(out.to_ndarray(format="rgb24"))
