"""Picture files and folders of them: listing, checking, reading, writing.

PNG, JPEG and WebP, 8 bits a channel, and 16 for PNG. Whatever is written appears under its name only when complete.
"""

import contextlib
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import PIL.Image

from eqvi.errors import InputError
from eqvi.files import reason, replacing
from eqvi.media.image import Image, Pixels

#: File name endings that count as pictures, and the kind of file each stands for.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
# What a damaged file makes Pillow raise, besides an OSError.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, PIL.Image.DecompressionBombError)
_EXIF_ORIENTATION = 0x0112
# JPEG 95 without chroma subsampling, lossless WebP: a new frame should not look worse than its neighbours. On a 720p
# photograph PNG level 3 takes 65 ms, Pillow's level 6 takes 152 and saves 3 %; WebP method 0 takes 55 ms, method 4
# takes 413 and saves 16 %.
_SAVE: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 3},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "method": 0},
}


class Header(NamedTuple):
    """What a picture file says of itself before it is decoded.

    Attributes:
        path: the file.
        format: ``PNG``, ``JPEG`` or ``WEBP``, from the content rather than the name.
        size: (width, height) in pixels, after the EXIF orientation is applied.
        channels: 1 to 4, as in `Image`.
        depth: 8 or 16 bits a channel.
        orientation: EXIF orientation, 1 = upright as stored.
    """

    path: Path
    format: str
    size: tuple[int, int]
    channels: int
    depth: int
    orientation: int


def natural_key(path: Path) -> tuple[list[str | int], str]:
    """Sort key that counts as people do: ``frame2`` before ``frame10``, ``001`` before ``001_0`` before ``002``."""
    # Splitting on digit runs alternates text and number, so two keys never compare a number with a text.
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", path.stem.casefold())], path.name


def list_frames(folder: Path) -> tuple[list[Path], int]:
    """The pictures of `folder` in natural order, and how many other visible entries were passed over.

    Raises:
        InputError: the folder is missing, cannot be read, or holds no picture.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except FileNotFoundError:
        raise InputError(f"{folder}: there is no such folder or file") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from None
    pictures = (entry for entry in entries if entry.suffix.lower() in FORMATS and entry.is_file())
    frames = sorted(pictures, key=natural_key)
    if not frames:
        raise InputError(f"{folder}: holds no pictures: give a folder of PNG, JPEG or WebP frames")
    return frames, len(entries) - len(frames)


def read_header(path: Path) -> Header:
    """Read what is needed to tell whether frames belong together, without decoding the pixels.

    Raises:
        InputError: the file is missing, no picture, or one of a kind that is not read here.
    """
    with _opened(path) as image:
        return _header(path, image)


def check_frames(paths: Sequence[Path]) -> list[Header]:
    """Headers of all frames, made sure that they are of one kind and size before any work starts.

    Raises:
        InputError: a file is no picture, or two differ in size, file format, colour or depth; both are named.
    """
    headers = [read_header(path) for path in paths]
    first = headers[0]
    for other in headers[1:]:
        for what, a, b in (
            ("size", "x".join(map(str, first.size)), "x".join(map(str, other.size))),
            ("file format", first.format, other.format),
            ("colour", _COLOURS[first.channels], _COLOURS[other.channels]),
            ("depth", f"{first.depth} bit", f"{other.depth} bit"),
        ):
            if a != b:
                raise InputError(
                    f"frames differ in {what}: {first.path.name} is {a}, {other.path.name} is {b} "
                    f"(in {other.path.parent}); all frames of a clip must be alike"
                )
    return headers


def read_image(path: Path) -> Image:
    """Read one picture, upright.

    Raises:
        InputError: the file is missing, truncated, damaged or no picture.
    """
    with _opened(path) as image:
        header = _header(path, image)
        try:
            image.load()
        except _DAMAGE as error:
            raise InputError(f"{path}: is truncated or damaged ({reason(error)}): replace the file") from None
        profile = image.info.get("icc_profile")
        if header.depth == 16:
            # Pillow reduces 16-bit colour to 8; it has just vouched for the file, so OpenCV may decode it.
            pixels = _channels_from_opencv(path, header.channels)
        else:
            pixels = np.array(image.convert(_MODES[header.channels]))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return Image(np.ascontiguousarray(_upright(pixels, header.orientation)), profile)


def write_image(path: Path, picture: Image) -> None:
    """Write `picture` in the format that the ending of `path` names; JPEG and WebP hold 8 bits.

    Raises:
        InputError: the format cannot hold the picture, the place is not writable or the disk is full.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{path}: {path.suffix or 'no ending'!r} is no picture format: use {', '.join(FORMATS)}")
    if kind == "JPEG" and picture.has_alpha:
        raise InputError(f"{path}: JPEG holds no alpha channel: write PNG or WebP")
    pixels = picture.pixels
    with replacing(path) as partial:
        if pixels.dtype == np.uint16 and kind == "PNG":
            partial.write_bytes(_png_16(pixels, picture.profile))
            return
        if pixels.dtype == np.uint16:
            pixels = np.round(pixels / 257).astype(np.uint8)  # 65535 / 255 = 257
        image = PIL.Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels, _MODES[pixels.shape[2]])
        image.save(partial, kind, icc_profile=picture.profile, **_SAVE[kind])


_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_COLOURS = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGB with alpha"}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[PIL.Image.Image]:
    try:
        image = PIL.Image.open(path, formats=tuple(set(FORMATS.values())))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except PIL.UnidentifiedImageError:
        raise InputError(f"{path}: is not a PNG, JPEG or WebP picture, whatever its name says") from None
    except _DAMAGE as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None
    with image:
        yield image


def _header(path: Path, image: PIL.Image.Image) -> Header:
    if getattr(image, "is_animated", False):
        raise InputError(f"{path}: is an animation: give its frames as single pictures or as a video")
    grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")
    alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    depth = 8
    if image.format == "PNG":
        with path.open("rb") as file:
            depth = 16 if file.read(25)[24] == 16 else 8
            # Pillow says RGBA for 16-bit grey with alpha; the colour type is the byte after the depth.
            grey = grey or file.read(1)[0] == 4
    if depth == 16 and "transparency" in image.info:
        raise InputError(f"{path}: is a 16-bit PNG with a transparent colour (tRNS): store an alpha channel instead")
    # Asked for EXIF, Pillow would decode a whole PNG that has none in front.
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1) if "exif" in image.info else 1
    orientation = orientation if orientation in range(1, 9) else 1
    size = image.size if orientation < 5 else (image.size[1], image.size[0])
    return Header(path, str(image.format), size, (1 if grey else 3) + alpha, depth, orientation)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation; see the EXIF 2.3 standard, tag 0x0112, for the eight cases."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _channels_from_opencv(path: Path, channels: int) -> Pixels:
    decoded = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise InputError(f"{path}: is a 16-bit PNG that cannot be decoded: store it again")
    if channels == 1:
        return decoded
    order = {2: (0, 3), 3: (2, 1, 0), 4: (2, 1, 0, 3)}[channels]
    return decoded[..., order]


def _png_16(pixels: Pixels, profile: bytes | None) -> bytes:
    """A 16-bit PNG; grey with alpha becomes RGB with alpha, which is what OpenCV can write."""
    order = {1: (0,), 2: (0, 0, 0, 1), 3: (2, 1, 0), 4: (2, 1, 0, 3)}[pixels.shape[2]]
    data = bytes(cv2.imencode(".png", pixels[..., order])[1])
    if profile is None:
        return data
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]  # signature and IHDR are 33 bytes; iCCP has to follow before the pixels
