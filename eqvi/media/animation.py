"""Animated pictures (WebP, PNG, GIF) as clips; Pillow reads them."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image

from eqvi.errors import InputError
from eqvi.files import reason
from eqvi.media.image import ClipFrame, Image
from eqvi.media.image_files import DAMAGE, FORMATS

#: Suffixes of picture files, which may hold an animation.
ANIMATIONS = (*FORMATS, ".apng", ".gif")
# Browsers show a frame for so long that says 10 ms or less.
_DEFAULT = Fraction(1, 10)


class Animation(NamedTuple):
    """An animated picture whose frames have all been looked at."""

    path: Path
    size: tuple[int, int]  # (width, height) in pixels
    channels: int  # 3, or 4 where a frame is not opaque
    durations: tuple[Fraction, ...]  # of the frames, in seconds
    profile: bytes | None  # ICC colour profile

    @property
    def rate(self) -> Fraction:
        """Frames a second, by the median duration."""
        return 1 / sorted(self.durations)[len(self.durations) // 2]


def read_animation(path: Path) -> Animation:
    """Look at all frames of an animated picture.

    Raises:
        InputError: the file is missing, damaged, or a single picture.
    """
    durations, channels, size, profile = [], 3, (0, 0), None
    with _reading(path):
        for frame in _frames(path):
            size, profile = frame.size, frame.info.get("icc_profile")
            duration = Fraction(round(frame.info.get("duration", 0)), 1000)
            durations.append(duration if duration > Fraction(1, 100) else _DEFAULT)
            if frame.has_transparency_data and np.asarray(frame.convert("RGBA"))[..., 3].min() < 255:
                channels = 4
    if len(durations) < 2:
        raise InputError(f"{path}: is a single picture: give the folder that holds the frames")
    return Animation(path, size, channels, tuple(durations), profile)


def decode_animation(animation: Animation) -> Iterator[ClipFrame]:
    """The frames in order, named by six-digit numbers from 0.

    Raises:
        InputError: the file is damaged.
    """
    time, mode = Fraction(0), "RGBA" if animation.channels == 4 else "RGB"
    for index, (frame, duration) in enumerate(zip(_frames(animation.path), animation.durations, strict=True)):
        with _reading(animation.path):
            image = Image(np.array(frame.convert(mode)), animation.profile)
        yield ClipFrame(image, f"{index:06d}", time, duration, None)
        time += duration


def _frames(path: Path) -> Iterator[PIL.Image.Image]:
    """Every frame, loaded: a later one takes its place."""
    with _reading(path), PIL.Image.open(path) as file:
        animated = getattr(file, "is_animated", False) and file.format != "MPO"
        # An animated PNG may begin with a picture for programs that know no animation.
        start = 1 if file.info.get("default_image") else 0
        for index in range(start, getattr(file, "n_frames", 1) if animated else 1):
            file.seek(index)
            file.load()
            yield file


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Within this context what Pillow says of a file is an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except PIL.UnidentifiedImageError:
        raise InputError(f"{path}: is not a picture that can be read, whatever its name says") from None
    except DAMAGE as error:
        raise InputError(f"{path}: is truncated or damaged ({reason(error)}): replace the file") from None
