"""A clip to read: a folder of frames or a video file, whose headers are checked before any frame is decoded."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from eqvi.errors import InputError
from eqvi.media.animation import ANIMATIONS, decode_animation, read_animation
from eqvi.media.frame_names import missing_numbers
from eqvi.media.image import ClipFrame, crop_image, resize_image
from eqvi.media.image_files import FORMATS, Header, list_frames, read_header, read_image
from eqvi.media.storage import Storage, common_storage, restored
from eqvi.media.video_reader import VideoInfo, decode, probe

_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}


@dataclass(frozen=True)
class Clip:
    """A clip whose headers have been read."""

    path: Path  # folder or video file
    size: tuple[int, int]  # (width, height) of the frames after resizing and cropping
    rate: Fraction  # frames a second; of a folder, as given to `open_clip`
    count: int | None  # number of frames, as far as known
    time_base: Fraction  # seconds a tick of the times
    depth: int  # bits a channel, 8 or 16
    channels: int  # 1 to 4, as in `eqvi.media.image.Image`
    suffix: str  # of a file that stores a frame unchanged
    stems: list[str]  # names of all frames of a folder, without suffix; empty for a video
    video: VideoInfo | None  # what the video file contains; None for a folder
    identity: str  # changes when the files do
    meaning: str  # what says that the frames' colours are not sRGB, such as an ICC profile; empty if nothing does
    notes: list[str]  # what the user should know, one line each
    holes: list[tuple[str, str]]  # names of neighbours of a folder between whose numbers others are missing
    read: Callable[[], Iterator[ClipFrame]]  # starts reading the frames


class Box(NamedTuple):
    """A part of an image; without x and y the middle."""

    width: int
    height: int
    x: int | None = None
    y: int | None = None


def open_clip(
    path: Path,
    rate: Fraction | None = None,
    size: tuple[int, int] | None = None,
    crop: Box | None = None,
    limit: int | None = None,
) -> Clip:
    """Check a folder of frames (all headers) or a video file (its first frame), without reading further.

    Args:
        path: folder or video file.
        rate: frames a second of a folder (default 30); a video has its own.
        size: (width, height) to resize the frames to.
        crop: the part of the (resized) frames to use.
        limit: use only the first so many frames.

    Raises:
        InputError: there is no clip that can be read, or its frames differ in kind.
    """
    if path.is_file() and path.suffix.lower() in ANIMATIONS:
        clip = _open_animation(path)
    else:
        clip = _open_video(path) if path.is_file() else _open_folder(path, rate or Fraction(30), limit)
    whole = size or clip.size
    box = _place(crop, whole) if crop is not None else (*whole, 0, 0)

    def read() -> Iterator[ClipFrame]:
        for frame in islice(clip.read(), limit):
            if size is not None or crop is not None:
                image = crop_image(resize_image(frame.image, whole), box)
                frame = frame._replace(image=image, path=frame.path if image is frame.image else None)
            yield frame

    count = clip.count if limit is None or clip.count is None else min(limit, clip.count)
    return dataclasses.replace(clip, size=box[:2], count=count, read=read)


def slowed(clip: Clip, times: Fraction) -> Clip:
    """The clip so many times longer."""

    def read() -> Iterator[ClipFrame]:
        for frame in clip.read():
            yield frame._replace(time=frame.time * times, duration=frame.duration * times)

    time_base = clip.time_base / times.denominator
    return dataclasses.replace(clip, rate=clip.rate / times, time_base=time_base, read=read)


def parse_size(text: str, name: str = "size", smallest: int = 1) -> tuple[int, int]:
    """(width, height) from ``1280x720``.

    Raises:
        InputError: it is written otherwise, or smaller than `smallest` either way; the message begins with `name`.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.lower(), re.ASCII)
    width, height = map(int, match.groups()) if match else (0, 0)
    if min(width, height) < smallest:
        least = f", at least {smallest}x{smallest}" if smallest > 1 else ""
        raise InputError(f"{name} {text!r} must be WIDTHxHEIGHT in pixels{least}, such as 1280x720")
    return width, height


def parse_box(text: str) -> Box:
    """A `Box` from ``512x512`` (the middle) or ``512x512+10+20`` (x and y of its upper left corner).

    Raises:
        InputError: it is anything else.
    """
    size, *corner = text.split("+")
    if len(corner) not in (0, 2) or not all(re.fullmatch(r"[0-9]{1,5}", number) for number in corner):
        raise InputError(f"crop {text!r} must be WIDTHxHEIGHT or WIDTHxHEIGHT+X+Y in pixels, such as 512x512+10+20")
    return Box(*parse_size(size), *(int(number) for number in corner))


def _open_folder(path: Path, rate: Fraction, limit: int | None) -> Clip:
    paths, ignored = list_frames(path)
    headers = [read_header(path) for path in paths[:limit]]
    storage = common_storage(headers)
    stems = [header.path.stem for header in headers]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise InputError(f"{path}: two frames are named {twice}: keep one of them")
    notes = [f"{ignored} {'entry' if ignored == 1 else 'entries'} of {path} ignored: no pictures"] if ignored else []
    notes += storage.notes
    suffix = headers[0].path.suffix.lower()
    return Clip(
        path=path,
        size=headers[0].size,
        rate=rate,
        count=len(headers),
        time_base=1 / rate,
        depth=storage.depth,
        channels=storage.channels,
        suffix=suffix if FORMATS[suffix] == storage.format else _SUFFIXES[storage.format],
        stems=stems,
        video=None,
        identity=_identity(path, paths[:limit]),
        notes=notes,
        holes=missing_numbers(stems),
        meaning=storage.meaning.partition("#")[0],
        read=lambda: _read_folder(headers, storage, rate),
    )


def _read_folder(headers: list[Header], storage: Storage, rate: Fraction) -> Iterator[ClipFrame]:
    for index, header in enumerate(headers):
        stored_so = header.orientation == 1 and FORMATS[header.path.suffix.lower()] == header.format
        path = header.path if stored_so and storage.holds(header) else None
        yield ClipFrame(restored(read_image(header.path), storage), header.path.stem, index / rate, 1 / rate, path)


def _open_animation(path: Path) -> Clip:
    animation = read_animation(path)
    return Clip(
        path=path,
        size=animation.size,
        rate=animation.rate,
        count=len(animation.durations),
        time_base=Fraction(1, 1000),
        depth=8,
        channels=animation.channels,
        suffix=".png",
        stems=[],
        video=None,
        identity=_identity(path, [path]),
        notes=[],
        holes=[],
        meaning="ICC profile" if animation.profile else "",
        read=lambda: decode_animation(animation),
    )


def _open_video(path: Path) -> Clip:
    video = probe(path)
    return Clip(
        path=path,
        size=video.size,
        rate=video.rate,
        count=video.frames,
        time_base=video.time_base,
        depth=16 if video.depth > 8 else 8,
        channels=3,
        suffix=".png",
        stems=[],
        video=video,
        identity=_identity(path, [path]),
        notes=list(video.notes),
        holes=[],
        meaning="",
        read=lambda: decode(video),
    )


def _identity(clip: Path, paths: list[Path]) -> str:
    """The clip's name and a hash of its files' names, sizes and modification times, which is quicker than contents."""
    facts = [(path.name, stat.st_size, stat.st_mtime_ns) for path in paths for stat in (path.stat(),)]
    return f"{clip.resolve().name} ({hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]})"


def _place(crop: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box (width, height, x, y) of `crop` in frames of (width, height)."""
    if crop.width > size[0] or crop.height > size[1]:
        raise InputError(f"crop {crop.width}x{crop.height} is larger than the frames, which are {size[0]}x{size[1]}")
    x = (size[0] - crop.width) // 2 if crop.x is None else crop.x
    y = (size[1] - crop.height) // 2 if crop.y is None else crop.y
    if x + crop.width > size[0] or y + crop.height > size[1]:
        raise InputError(f"crop {crop.width}x{crop.height} at +{x}+{y} does not fit in frames of {size[0]}x{size[1]}")
    return crop.width, crop.height, x, y
