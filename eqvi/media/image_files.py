"""Image files and folders of them: listing, checking, reading, writing.

PNG, JPEG and WebP with 8 bits a channel, and PNG with 16. A file appears under its name only when it is complete.
"""

import contextlib
import hashlib
import io
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
from PIL import ImageCms
from PIL.PngImagePlugin import PngInfo

from eqvi.errors import InputError
from eqvi.files import reason, replacing
from eqvi.media.image import Image, upright
from eqvi.media.png import decode_16, encode_16, read_colour_chunks, unusual

#: Suffixes of image files, and the format that each stands for.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
#: What Pillow raises for a damaged file.
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, ZeroDivisionError, MemoryError,
    AssertionError, struct.error, zlib.error, PIL.Image.DecompressionBombError,
)  # fmt: skip
_EXIF_ORIENTATION = 0x0112
# JPEG 95 without chroma subsampling and lossless WebP, so that new frames look no worse than their neighbours. A 720p
# photograph takes 65 ms at PNG level 3 (Pillow's level 6: 152 ms, 3 % smaller) and 55 ms at WebP method 0 (method 4:
# 413 ms, 16 % smaller).
_SAVE: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 3},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "method": 0},
}
#: By the number of channels: Pillow's mode, and its name in messages.
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
COLOUR_NAMES = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGB with alpha"}


class Header(NamedTuple):
    """What an image file contains, known without decoding its pixels."""

    path: Path
    format: str  # PNG, JPEG or WEBP, by the content rather than the name
    size: tuple[int, int]  # (width, height) in pixels, after the EXIF orientation is applied
    channels: int  # 1 to 4, as in `Image`
    depth: int  # 8 or 16 bits a channel
    orientation: int  # of EXIF, 1 = upright as stored
    meaning: str  # of the colours: what says that they are not sRGB, # and a hash; empty if nothing speaks of them
    converted: str  # a note where its pixels are not those stored, else empty


def natural_key(path: Path) -> tuple[list[str | int], str]:
    """Sort key by text and numbers: ``frame2`` before ``frame10``, ``001`` before ``001_0`` before ``002``."""
    # Splitting at digits alternates text and numbers, so two keys never compare a number with a text. Digits other than
    # 0 to 9 are text.
    parts = re.split(r"([0-9]+)", path.stem.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], path.name


def list_frames(folder: Path) -> tuple[list[Path], int]:
    """The image files of `folder` in natural order, and the number of other visible entries.

    Raises:
        InputError: the folder is missing, cannot be read, or contains no image.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except FileNotFoundError:
        raise InputError(f"{folder}: there is no such folder or file") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from None
    images = (entry for entry in entries if entry.suffix.lower() in FORMATS and entry.is_file())
    frames = sorted(images, key=natural_key)
    if not frames:
        raise InputError(f"{folder}: holds no pictures: give a folder of PNG, JPEG or WebP frames")
    return frames, len(entries) - len(frames)


def read_header(path: Path) -> Header:
    """Read an image file's header.

    Raises:
        InputError: the file is missing, no image, or of a kind that is not supported.
    """
    with _open(path) as file:
        return _header(path, file)


def read_headers(paths: Sequence[Path]) -> list[Header]:
    """Headers of all frames of a clip, checked to be alike.

    Raises:
        InputError: a file is no image, or two differ in size, file format, colour or depth; both are named.
    """
    headers = [read_header(path) for path in paths]
    first = headers[0]
    for other in headers[1:]:
        for what, a, b in (
            ("size", "x".join(map(str, first.size)), "x".join(map(str, other.size))),
            ("file format", first.format, other.format),
            ("colour", COLOUR_NAMES[first.channels], COLOUR_NAMES[other.channels]),
            ("depth", f"{first.depth} bit", f"{other.depth} bit"),
        ):
            if a != b:
                raise InputError(
                    f"frames differ in {what}: {first.path.name} is {a}, {other.path.name} is {b} "
                    f"(in {other.path.parent}); all frames of a clip must be alike"
                )
    return headers


def read_image(path: Path) -> Image:
    """Read an image file; its EXIF orientation is applied.

    Raises:
        InputError: the file is missing, truncated, damaged or no image.
    """
    with _open(path) as file:
        header = _header(path, file)
        try:
            file.load()
        except DAMAGE as error:
            raise InputError(f"{path}: is truncated or damaged ({reason(error)}): replace the file") from None
        profile = file.info.get("icc_profile")
        chunks = read_colour_chunks(path) if header.format == "PNG" else ()
        if file.mode == "CMYK":
            rgb, profile = _from_cmyk(file, profile), None
        else:
            rgb = file if header.depth == 16 else file.convert(_MODES[header.channels])
        # Pillow reduces 16-bit colour to 8 bits, so OpenCV decodes it, now that Pillow has found no damage.
        pixels = decode_16(path, header.channels) if header.depth == 16 else np.array(rgb)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return Image(np.ascontiguousarray(upright(pixels, header.orientation)), profile, chunks)


def write_image(path: Path, image: Image) -> None:
    """Write `image` in the format of the suffix; JPEG and WebP store 8 bits.

    Raises:
        InputError: the format cannot store the image, the place is not writable or the disk is full.
    """
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise InputError(f"{path}: {path.suffix or 'no ending'!r} is no picture format: use {', '.join(FORMATS)}")
    if file_format == "JPEG" and image.has_alpha:
        raise InputError(f"{path}: JPEG holds no alpha channel: write PNG or WebP")
    pixels = image.pixels
    with replacing(path) as partial:
        if pixels.dtype == np.uint16 and file_format == "PNG":
            partial.write_bytes(encode_16(pixels, image.profile, image.chunks))
            return
        if pixels.dtype == np.uint16:
            pixels = np.round(pixels / 257).astype(np.uint8)  # 65535 / 255 = 257
        file = PIL.Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels, _MODES[pixels.shape[2]])
        options = dict(_SAVE[file_format])
        if file_format == "PNG":
            options["pnginfo"] = PngInfo()
            for kind, content in image.chunks:
                options["pnginfo"].add(kind, content)
        file.save(partial, file_format, icc_profile=image.profile, **options)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[PIL.Image.Image]:
    try:
        file = PIL.Image.open(path, formats=tuple(set(FORMATS.values())))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except PIL.UnidentifiedImageError:
        raise InputError(f"{path}: is not a PNG, JPEG or WebP picture, whatever its name says") from None
    except DAMAGE as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None
    with file:
        yield file


def _header(path: Path, file: PIL.Image.Image) -> Header:
    if getattr(file, "is_animated", False) and file.format != "MPO":  # a JPEG with a second picture, as phones write
        raise InputError(f"{path}: is an animation: give its frames as single pictures or as a video")
    grey = file.mode in ("1", "L", "LA") or file.mode.startswith("I")
    alpha = file.mode in ("LA", "PA", "RGBA") or "transparency" in file.info
    depth = 8
    if file.format == "PNG":
        with path.open("rb") as raw:
            depth = 16 if raw.read(25)[24] == 16 else 8
            # Pillow reads 16-bit grey with alpha as RGBA; the colour type is the byte after the depth.
            grey = grey or raw.read(1)[0] == 4
    if depth == 16 and "transparency" in file.info:
        raise InputError(f"{path}: is a 16-bit PNG with a transparent colour (tRNS): store an alpha channel instead")
    # For a PNG without EXIF in front of its pixels, getexif would decode the whole image.
    orientation = file.getexif().get(_EXIF_ORIENTATION, 1) if "exif" in file.info else 1
    orientation = orientation if orientation in range(1, 9) else 1
    size = file.size if orientation < 5 else (file.size[1], file.size[0])
    file_format = "JPEG" if file.format == "MPO" else str(file.format)
    if file.mode == "CMYK":
        note = "CMYK frames are converted to sRGB"
        return Header(path, file_format, size, 3, depth, orientation, "", note)
    profile, chunks = file.info.get("icc_profile"), read_colour_chunks(path) if file_format == "PNG" else ()
    names = ", ".join((["ICC profile"] if profile else []) + unusual(chunks))
    meaning = f"{names}#{hashlib.sha256(repr((profile, chunks)).encode()).hexdigest()}" if profile or chunks else ""
    return Header(path, file_format, size, (1 if grey else 3) + alpha, depth, orientation, meaning, "")


def _from_cmyk(file: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """A CMYK picture in sRGB, by its profile if it has one that can be used."""
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            if converted := ImageCms.profileToProfile(file, source, target, outputMode="RGB"):
                return converted
    return file.convert("RGB")
