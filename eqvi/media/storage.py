"""How the frames of a folder are stored, which may vary, and the one form in which all of them are processed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eqvi.errors import InputError
from eqvi.media.image import Image
from eqvi.media.image_files import COLOUR_NAMES, Header


class Storage(NamedTuple):
    """What holds all frames of a clip."""

    channels: int  # 1 to 4, as in `eqvi.media.image.Image`
    depth: int  # 8 or 16 bits a channel
    meaning: str  # of the colours, as in `Header`; empty where the frames say it differently, or not at all
    format: str  # PNG, JPEG or WEBP; PNG where the frames' vary
    notes: tuple[str, ...]  # what varies, one line each

    def holds(self, header: Header) -> bool:
        """Whether a file is stored in just this form, so that it can be copied."""
        form = (header.channels, header.depth, header.meaning, header.format)
        return form == (self.channels, self.depth, self.meaning, self.format) and header.converted == ""


def common_storage(headers: Sequence[Header]) -> Storage:
    """The least storage that loses nothing of any frame: a grey or opaque one among others becomes as they are.

    Raises:
        InputError: two frames differ in size; both are named.
    """
    first = headers[0]
    for other in headers[1:]:
        if first.size != other.size:
            sizes = ["x".join(map(str, header.size)) for header in (first, other)]
            raise InputError(
                f"frames differ in size: {first.path.name} is {sizes[0]}, {other.path.name} is {sizes[1]} "
                f"(in {other.path.parent}); all frames of a clip must be of one size"
            )
    colour, alpha = (any(test) for test in zip(*((h.channels > 2, h.channels % 2 == 0) for h in headers), strict=True))
    channels, depth = (3 if colour else 1) + alpha, max(header.depth for header in headers)
    meanings, formats = ({getattr(header, name) for header in headers} for name in ("meaning", "format"))
    notes = []
    if any((header.channels, header.depth) != (channels, depth) for header in headers):
        notes.append(f"frames vary in storage: all are taken as {COLOUR_NAMES[channels]}, {depth} bits a channel")
    if len(formats) > 1:
        notes.append(f"frames vary in format ({', '.join(sorted(formats))}): all are taken as PNG would store them")
    if len(meanings) > 1:
        notes.append("frames vary in what their colours mean (profile, gamma): that is left out of all")
    notes += sorted({header.converted for header in headers} - {""})
    meaning = meanings.pop() if len(meanings) == 1 else ""
    return Storage(channels, depth, meaning, formats.pop() if len(formats) == 1 else "PNG", tuple(notes))


def restored(image: Image, storage: Storage) -> Image:
    """An image in the form of `storage`, which can hold it."""
    pixels, colour = image.pixels, image.colour
    if storage.depth == 16 and pixels.dtype == np.uint8:
        pixels, colour = pixels.astype(np.uint16) * 257, colour.astype(np.uint16) * 257  # 65535 / 255 = 257
    if pixels.shape[2] != storage.channels:
        planes = [np.repeat(colour, 3, axis=2) if storage.channels > 2 and colour.shape[2] == 1 else colour]
        if storage.channels % 2 == 0:
            opaque = np.full_like(pixels[..., :1], np.iinfo(pixels.dtype).max)
            planes.append(pixels[..., -1:] if image.has_alpha else opaque)
        pixels = np.concatenate(planes, axis=2)
    return Image(pixels, image.profile, image.chunks) if storage.meaning else Image(pixels)
