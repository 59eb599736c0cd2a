"""Reading video files: what one contains, and its frames one by one.

Read by PyAV (FFmpeg's libraries). Times are exact fractions of a second from the file's start, taken from the frames'
own timestamps, so a variable frame rate needs no special case.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from eqvi.errors import InputError
from eqvi.media.colour import Colour, to_pixels
from eqvi.media.container import is_known, left_out, open_input, picture_stream, side_data
from eqvi.media.hdr import hdr10_parameters
from eqvi.media.image import ClipFrame, Image, upright
from eqvi.media.timestamps import read_timing

# Seconds a tick, for times that the file's own ticks are too long for.
_FINE_TICK = Fraction(1, 90000)


class VideoInfo(NamedTuple):
    """What a video file contains."""

    path: Path
    size: tuple[int, int]  # (width, height) in pixels as shown, that is upright
    rate: Fraction  # frames a second on average
    frames: int  # how many
    end: Fraction | None  # when the last frame ends, in seconds from 0; None if the stream has no duration
    start: Fraction  # seconds on the file's own clock that count as 0
    time_base: Fraction  # seconds a tick of the video's timestamps
    times: tuple[Fraction, ...] | None  # of the frames, on the file's own clock; None: each frame has its own
    orientation: int  # of the stored frames, as in EXIF; `decode` turns and mirrors them upright
    depth: int  # bits a channel
    pixel_aspect: Fraction  # width of a pixel as shown over its height
    colour: Colour
    hdr10: str  # mastering data, as x264's parameters; empty if it has none
    audio: tuple[str, ...]  # names of the audio streams' codecs
    notes: tuple[str, ...]  # what a user might not expect, one line each


def probe(path: Path) -> VideoInfo:
    """Open `path`, read its streams' headers and decode its first frame.

    Raises:
        InputError: no such file, no video in it, or none that can be decoded.
    """
    with open_input(path) as container:
        stream = picture_stream(path, container)
        first = next(_frames(path, container, stream), None)
        if first is None:
            raise InputError(f"{path}: its video stream holds no frame")
        orientation = orientation_of(first)
        size, aspect = (first.width, first.height), stream.sample_aspect_ratio or Fraction(1)
        if orientation >= 5:
            size, aspect = size[::-1], 1 / aspect
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        start = max(Fraction(0), Fraction(container.start_time or 0, av.time_base))
        tick = stream.time_base or Fraction(1, 90000)
        duration = None if stream.duration is None else stream.duration * tick
        end = None if duration is None else (stream.start_time or 0) * tick + duration - start
        notes = left_out(path, container, stream)
        if first.interlaced_frame:
            notes.append(f"{path.name} is interlaced: deinterlace it first, or both fields will be mixed")
        if any(component.is_alpha for component in first.format.components):
            notes.append(f"{path.name} has an alpha channel, which is left out")
        audio = tuple(audio.codec_context.codec.canonical_name for audio in container.streams.audio if is_known(audio))
        colour = Colour(int(first.colorspace), int(first.color_range), int(first.color_primaries), int(first.color_trc))
        colour.check(path)
        hdr10 = hdr10_parameters(first)
        depth = max(component.bits for component in first.format.components)
    with open_input(path) as container:
        timing = read_timing(container, picture_stream(path, container), rate)
    if timing.times is not None and len(timing.times) > 1:
        gaps = sorted(b - a for a, b in pairwise(timing.times))
        rate = 1 / gaps[len(gaps) // 2]
        end = None
        if timing.repaired:
            tick = min(tick, _FINE_TICK)
            notes.append(f"{path.name} has equal or missing timestamps: its frames are spaced evenly there")
    elif timing.rate and not Fraction(1, 2) < rate / timing.rate < 2:  # a header that knows no better
        rate = timing.rate
    return VideoInfo(
        path=path,
        size=size,
        rate=rate,
        frames=timing.frames,
        end=end,
        start=start,
        time_base=tick,
        times=timing.times,
        orientation=orientation,
        depth=depth,
        pixel_aspect=aspect,
        colour=colour,
        hdr10=hdr10,
        audio=audio,
        notes=tuple(notes),
    )


def orientation_of(frame: VideoFrame) -> int:
    """The orientation, as in EXIF, that a frame's display matrix asks for; 1 if it has none.

    All eight turned and mirrored ones, as FFmpeg's own tool shows them; any other angle as the nearest of them.
    """
    matrix = side_data(frame, Type.DISPLAYMATRIX)
    if matrix is None:
        return 1
    # A pixel (x, y) is shown at (a x + c y, b x + d y), apart from a translation.
    a, b, c, d = (int(matrix[index]) for index in (0, 1, 3, 4))
    transposed = abs(a) + abs(d) < abs(b) + abs(c)
    mirrored_x, mirrored_y = (c < 0, b < 0) if transposed else (a < 0, d < 0)
    order = [(False, False), (True, False), (True, True), (False, True)]
    return 1 + 4 * transposed + order.index((mirrored_x, mirrored_y))


def decode(video: VideoInfo) -> Iterator[ClipFrame]:
    """The frames of a video in order of time, upright, RGB; 16 bits a channel where the video has more than 8.

    Their names are six-digit numbers from 0. One frame is read ahead to know how long the frame before it lasts.

    Raises:
        InputError: the file is damaged, its timestamps do not rise, or its frames change size.
    """
    with open_input(video.path) as container:
        stream = picture_stream(video.path, container)
        previous: ClipFrame | None = None
        duration = 1 / video.rate
        for index, decoded in enumerate(_frames(video.path, container, stream)):
            pixels = to_pixels(decoded, video.colour, video.depth > 8)
            image = Image(np.ascontiguousarray(upright(pixels, video.orientation)))
            time = _time(video, index, decoded) - video.start
            if image.size != video.size:
                raise InputError(
                    f"{video.path}: frames change from {'x'.join(map(str, video.size))} to "
                    f"{'x'.join(map(str, image.size))} at {float(time):.2f} s: cut the video there"
                )
            if previous is not None:
                if time <= previous.time:
                    raise InputError(f"{video.path}: timestamps do not rise at {float(time):.3f} s: convert it first")
                yield previous._replace(duration=time - previous.time)
            if decoded.duration and decoded.time_base is not None:
                duration = decoded.duration * decoded.time_base
            previous = ClipFrame(image, f"{index:06d}", time, duration, None)
        if previous is not None:
            # MP4 stores the exact duration of the stream, other containers that of the last frame.
            rest = Fraction(0) if video.end is None else video.end - previous.time
            yield previous._replace(duration=rest) if rest > 0 else previous


def _time(video: VideoInfo, index: int, frame: VideoFrame) -> Fraction:
    """When a decoded frame is shown, in seconds on the file's own clock."""
    if video.times is not None and index < len(video.times):
        return video.times[index]
    if frame.pts is None or frame.time_base is None or video.times:
        # More frames than packets: the others follow at the same rate.
        return (video.times[-1] if video.times else video.start) + (index - len(video.times or ()) + 1) / video.rate
    return frame.pts * frame.time_base


def _frames(path: Path, container: InputContainer, stream: av.VideoStream) -> Iterator[VideoFrame]:
    try:
        yield from container.decode(stream)
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: cannot be decoded ({error.strerror}): the file is damaged or incomplete") from None
