"""What Pillow leaves to others in PNG files: 16 bits a channel, and the chunks that say what colours mean."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from eqvi.errors import InputError
from eqvi.media.image import Pixels

#: Chunks that say which colours the values mean, besides iCCP, which Pillow reads (PNG, third edition, 11.3.2).
COLOUR_CHUNKS = (b"cICP", b"cHRM", b"gAMA", b"sRGB")

# Their contents where they say no more than that colours are sRGB, as without them.
_SRGB = {
    b"cICP": bytes((1, 13, 0, 1)),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    b"gAMA": struct.pack(">I", 45455),
}

Chunks = tuple[tuple[bytes, bytes], ...]


def read_colour_chunks(path: Path) -> Chunks:
    """The `COLOUR_CHUNKS` of a PNG file, each with its content, in their order."""
    return tuple((kind, content) for kind, content in _header_chunks(path) if kind in COLOUR_CHUNKS)


def unusual(chunks: Chunks) -> list[str]:
    """The names of the chunks that say that colours are other than sRGB."""
    return [kind.decode() for kind, content in chunks if kind != b"sRGB" and content != _SRGB[kind]]


def decode_16(path: Path, channels: int) -> Pixels:
    """The pixels of a PNG file with 16 bits a channel.

    Raises:
        InputError: OpenCV cannot decode it.
    """
    decoded = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise InputError(f"{path}: is a 16-bit PNG that cannot be decoded: store it again")
    if channels == 1:
        return decoded
    return decoded[..., {2: (0, 3), 3: (2, 1, 0), 4: (2, 1, 0, 3)}[channels]]  # OpenCV's order is BGR


def encode_16(pixels: Pixels, profile: bytes | None, chunks: Chunks) -> bytes:
    """The bytes of a 16-bit PNG; OpenCV cannot write grey with alpha, which becomes RGB with alpha."""
    order = {1: (0,), 2: (0, 0, 0, 1), 3: (2, 1, 0), 4: (2, 1, 0, 3)}[pixels.shape[2]]
    data = bytes(cv2.imencode(".png", pixels[..., order])[1])
    if profile is not None:
        chunks = ((b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)), *chunks)
    return data[:33] + b"".join(map(_packed, chunks)) + data[33:]  # behind the signature and IHDR, 33 bytes


def _packed(chunk: tuple[bytes, bytes]) -> bytes:
    body = b"".join(chunk)
    return struct.pack(">I", len(chunk[1])) + body + struct.pack(">I", zlib.crc32(body))


def _header_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG file in front of its pixels."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IDAT":
                return
            yield kind, file.read(length)
            file.seek(4, 1)  # the checksum
