"""Baselines other than EQVI: the average of the neighbours, and FFmpeg's motion-compensated interpolation."""

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

#: Settings of minterpolate: motion compensated, which is its default, and no repeated frames at supposed scene cuts.
MINTERPOLATE = "mi_mode=mci:scd=none"


def blend(window: Window, t: Fraction) -> Float[Tensor, "1 3 h w"]:
    """The average of the two neighbours, weighted by time."""
    assert window.second is not None
    first, second = to_tensor(window.first.image), to_tensor(window.second.image)
    return (1 - float(t)) * first + float(t) * second


class Minterpolate:
    """FFmpeg's ``minterpolate`` filter on a whole clip, which is then read in order.

    The filter works on YUV 4:4:4; the conversion costs it about half a grey level. The last frame is repeated twice,
    because the filter would leave out the last gap otherwise.

    Args:
        frames: starts reading the clip's input frames.
        factor: output frames for every input frame.
    """

    def __init__(self, frames: Callable[[], Iterator[ClipFrame]], factor: int) -> None:
        if "minterpolate" not in av.filter.filters_available:
            raise InputError("this FFmpeg has no minterpolate filter: install PyAV's own wheel (pip install av)")
        self._factor, self._output = factor, _filtered(frames(), factor)
        self._number = -1
        self._image: Image | None = None

    def __call__(self, window: Window, t: Fraction) -> Float[Tensor, "1 3 h w"]:
        """The frame at `t` of a window; windows and times must come in order.

        Raises:
            InputError: the filter put out no frame for that time.
        """
        wanted = (window.position + t) * self._factor
        while self._number < wanted:
            self._number, self._image = next(self._output, (self._number, None))
            if self._image is None:
                break
        if self._number != wanted or self._image is None:
            raise InputError(f"minterpolate made no frame after {window.first.stem}: use another FFmpeg or method")
        return to_tensor(self._image)


def _filtered(frames: Iterator[ClipFrame], factor: int) -> Iterator[tuple[int, Image]]:
    """Number at the higher rate and image of every output frame."""
    last = next(frames).image
    width, height = last.size
    graph = av.filter.Graph()
    source = f"video_size={width}x{height}:pix_fmt=rgb24:time_base=1/{factor}:frame_rate=1/1:pixel_aspect=1/1"
    steps = [
        graph.add("buffer", source),
        graph.add("format", "yuv444p"),
        graph.add("minterpolate", f"fps={factor}:{MINTERPOLATE}"),
        graph.add("format", "rgb24"),
        graph.add("buffersink"),
    ]
    for before, after in pairwise(steps):
        before.link_to(after)
    graph.configure()

    index = -1
    for index, image in enumerate(chain([last], (frame.image for frame in frames))):
        last = image
        yield from _pushed(steps, image, index, factor)
    for extra in (1, 2):
        yield from _pushed(steps, last, index + extra, factor)
    yield from _pushed(steps, None, 0, factor)


def _pushed(
    steps: list[av.filter.context.FilterContext], image: Image | None, index: int, factor: int
) -> Iterator[tuple[int, Image]]:
    """Put an input frame, or the end, into the filter; yields what it puts out."""
    frame = None
    if image is not None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image.pixels), format="rgb24")
        frame.pts, frame.time_base = index * factor, Fraction(1, factor)
    steps[0].push(frame)
    while True:
        try:
            output = steps[-1].pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(output, av.VideoFrame)
        assert output.pts is not None
        assert output.time_base is not None
        yield round(output.pts * output.time_base * factor), Image(output.to_ndarray(format="rgb24"))
