"""Reading video files: what one contains, and its frames one by one.

Read by PyAV (FFmpeg's libraries). Times are exact fractions of a second from the file's start, taken from the frames'
own timestamps, so a variable frame rate needs no special case.
"""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame

from eqvi.errors import InputError
from eqvi.media.colour import Colour, to_pixels
from eqvi.media.image import ClipFrame, Image


class VideoInfo(NamedTuple):
    """What a video file contains."""

    path: Path
    size: tuple[int, int]  # (width, height) in pixels as shown, that is after rotation
    rate: Fraction  # frames a second on average
    frames: int | None  # how many, by the file's count or its duration; None if it has neither
    end: Fraction | None  # when the last frame ends, in seconds from 0; None if the stream has no duration
    start: Fraction  # seconds on the file's own clock that count as 0
    time_base: Fraction  # seconds a tick of the video's timestamps
    rotation: int  # degrees counterclockwise by which `decode` turns the stored frames
    depth: int  # bits a channel
    pixel_aspect: Fraction  # width of a pixel as shown over its height
    colour: Colour
    audio: tuple[str, ...]  # names of the audio streams' codecs
    notes: tuple[str, ...]  # what a user might not expect, one line each


def probe(path: Path) -> VideoInfo:
    """Open `path`, read its streams' headers and decode its first frame.

    Raises:
        InputError: no such file, no video in it, or none that can be decoded.
    """
    with _open(path) as (container, stream):
        first = next(_frames(path, container, stream), None)
        if first is None:
            raise InputError(f"{path}: its video stream holds no frame")
        rotation = round(first.rotation / 90) * 90 % 360
        size, aspect = (first.width, first.height), stream.sample_aspect_ratio or Fraction(1)
        if rotation % 180:
            size, aspect = size[::-1], 1 / aspect
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        start = max(Fraction(0), Fraction(container.start_time or 0, av.time_base))
        tick = stream.time_base or Fraction(1, 90000)
        duration = None if stream.duration is None else stream.duration * tick
        total = duration if duration is not None else Fraction(container.duration or 0, av.time_base)
        notes = []
        if first.interlaced_frame:
            notes.append(f"{path.name} is interlaced: deinterlace it first, or both fields will be mixed")
        if any(component.is_alpha for component in first.format.components):
            notes.append(f"{path.name} has an alpha channel, which is left out")
        if container.streams.subtitles:
            notes.append(f"{path.name} has subtitles, which are left out")
        return VideoInfo(
            path=path,
            size=size,
            rate=rate,
            frames=stream.frames or round(total * rate) or None,
            end=None if duration is None else (stream.start_time or 0) * tick + duration - start,
            start=start,
            time_base=tick,
            rotation=rotation,
            depth=max(component.bits for component in first.format.components),
            pixel_aspect=aspect,
            colour=Colour(
                int(first.colorspace), int(first.color_range), int(first.color_primaries), int(first.color_trc)
            ),
            audio=tuple(audio.codec_context.codec.canonical_name for audio in container.streams.audio),
            notes=tuple(notes),
        )


def decode(video: VideoInfo) -> Iterator[ClipFrame]:
    """The frames of a video in order of time, upright, RGB; 16 bits a channel where the video has more than 8.

    Their names are six-digit numbers from 0. One frame is read ahead to know how long the frame before it lasts.

    Raises:
        InputError: the file is damaged, its timestamps do not rise, or its frames change size.
    """
    with _open(video.path) as (container, stream):
        previous: ClipFrame | None = None
        duration = 1 / video.rate
        for index, decoded in enumerate(_frames(video.path, container, stream)):
            pixels = to_pixels(decoded, video.colour, video.depth > 8)
            image = Image(np.ascontiguousarray(np.rot90(pixels, video.rotation // 90)))
            # Raw streams have no timestamps, so their frames are spaced by the rate.
            time = index / video.rate if decoded.pts is None else decoded.pts * video.time_base - video.start
            if image.size != video.size:
                raise InputError(
                    f"{video.path}: frames change from {'x'.join(map(str, video.size))} to "
                    f"{'x'.join(map(str, image.size))} at {float(time):.2f} s: cut the video there"
                )
            if previous is not None:
                if time <= previous.time:
                    raise InputError(f"{video.path}: timestamps do not rise at {float(time):.3f} s: remux it first")
                yield previous._replace(duration=time - previous.time)
            if decoded.duration:
                duration = decoded.duration * video.time_base
            previous = ClipFrame(image, f"{index:06d}", time, duration, None)
        if previous is not None:
            # MP4 stores the exact duration of the stream, other containers that of the last frame.
            rest = Fraction(0) if video.end is None else video.end - previous.time
            yield previous._replace(duration=rest) if rest > 0 else previous


@contextlib.contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """The file and its first video stream."""
    try:
        container = av.open(str(path), metadata_errors="replace")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file or folder") from None
    except PermissionError:
        raise InputError(f"{path}: may not be read: check its permissions") from None
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(f"{path}: is not a video that can be read ({getattr(error, 'strerror', error)})") from None
    with container:
        # A cover picture in a music file is stored as a video stream of one frame.
        streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not streams:
            raise InputError(f"{path}: holds no video stream: give a video or a folder of frames")
        yield container, streams[0]


def _frames(path: Path, container: InputContainer, stream: av.VideoStream) -> Iterator[VideoFrame]:
    try:
        yield from container.decode(stream)
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: cannot be decoded ({error.strerror}): the file is damaged or incomplete") from None
