"""Video files: what one holds, and its frames one at a time.

Everything goes through PyAV (FFmpeg's libraries). Times are exact fractions of a second from the file's start, taken
from the frames' own timestamps, so that a variable frame rate is nothing special.
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
from eqvi.media.image import Image


class VideoInfo(NamedTuple):
    """What a video file holds.

    Attributes:
        path: the file.
        size: (width, height) in pixels as shown, that is after rotation.
        rate: frames a second on average.
        frames: how many, as the file says or its duration suggests; None where it says neither.
        end: when its last frame ends by what the video stream says, in seconds from 0; None where it does not.
        start: seconds on the file's own clock that count as 0.
        time_base: seconds a tick of the video's timestamps.
        rotation: degrees counterclockwise by which stored frames are turned to be shown; `decode` does so.
        depth: bits a channel.
        pixel_aspect: width of a pixel as shown over its height.
        colour: the colour tags.
        audio: names of the sound streams' codecs.
        notes: what a user might not expect, one line each.
    """

    path: Path
    size: tuple[int, int]
    rate: Fraction
    frames: int | None
    end: Fraction | None
    start: Fraction
    time_base: Fraction
    rotation: int
    depth: int
    pixel_aspect: Fraction
    colour: Colour
    audio: tuple[str, ...]
    notes: tuple[str, ...]


class Decoded(NamedTuple):
    """One frame: the picture, when it appears and for how long, in seconds from the file's start."""

    image: Image
    time: Fraction
    duration: Fraction


def probe(path: Path) -> VideoInfo:
    """Open `path`, look at its streams and decode its first frame.

    Raises:
        InputError: no such file, no video in it, or none that can be decoded.
    """
    with _opened(path) as container:
        stream = _video_stream(path, container)
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
            audio=tuple(stream.codec_context.codec.canonical_name for stream in container.streams.audio),
            notes=tuple(notes),
        )


def decode(source: VideoInfo) -> Iterator[Decoded]:
    """The frames of a video in order of time, upright, RGB; 16 bits a channel where the video has more than 8.

    One frame is held back to know how long it lasts; nothing else is read ahead.

    Raises:
        InputError: the file is damaged, its timestamps do not rise, or its frames change size.
    """
    with _opened(source.path) as container:
        stream = _video_stream(source.path, container)
        before: Decoded | None = None
        tail = 1 / source.rate
        for index, frame in enumerate(_frames(source.path, container, stream)):
            pixels = to_pixels(frame, source.colour, source.depth > 8)
            picture = Image(np.ascontiguousarray(np.rot90(pixels, source.rotation // 90)))
            # Raw streams have no timestamps; there the rate is all that is known.
            time = index / source.rate if frame.pts is None else frame.pts * source.time_base - source.start
            now = Decoded(picture, time, tail)
            if picture.size != source.size:
                raise InputError(
                    f"{source.path}: frames change from {'x'.join(map(str, source.size))} to "
                    f"{'x'.join(map(str, picture.size))} at {float(time):.2f} s: cut the video there"
                )
            if before is not None:
                if time <= before.time:
                    raise InputError(f"{source.path}: timestamps do not rise at {float(time):.3f} s: remux it first")
                yield before._replace(duration=time - before.time)
            before = now
            if frame.duration:
                tail = frame.duration * source.time_base
        if before is not None:
            # MP4 knows the length of the whole exactly, other files that of the last frame.
            rest = Fraction(0) if source.end is None else source.end - before.time
            yield before._replace(duration=rest if rest > 0 else tail)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        container = av.open(str(path), metadata_errors="replace")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file or folder") from None
    except PermissionError:
        raise InputError(f"{path}: may not be read: check its permissions") from None
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(f"{path}: is not a video that can be read ({getattr(error, 'strerror', error)})") from None
    with container:
        yield container


def _video_stream(path: Path, container: InputContainer) -> av.VideoStream:
    # A cover picture in a music file is stored as a video stream of one frame.
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise InputError(f"{path}: holds no video stream: give a video or a folder of frames")
    return streams[0]


def _frames(path: Path, container: InputContainer, stream: av.VideoStream) -> Iterator[VideoFrame]:
    try:
        yield from container.decode(stream)
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: cannot be decoded ({error.strerror}): the file is damaged or incomplete") from None
