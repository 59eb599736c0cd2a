"""Small files that claim or become something huge: each is refused in one line, in little memory and time."""

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from faults.children import Child
from faults.readers import _load, _read_clip, _read_json, _read_picture, _read_yaml, _unpack
from safetensors.torch import save as to_safetensors

from eqvi.cli import headless
from eqvi.errors import InputError
from eqvi.model import checkpoint
from eqvi.training import run_folder
from eqvi.training.window_pool import _read

#: Bytes beside what the package takes itself, and seconds.
MEMORY = 1 << 30
SECONDS = 20.0


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, depth: int = 8, pixels: bytes = bytes(1 << 20)) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = _chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(pixels)), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _h264(width: int, height: int) -> bytes:
    """The headers of an H.264 stream that claims frames of that size, and a slice without content."""
    bits = ""

    def golomb(value: int) -> str:
        text = f"{value + 1:b}"
        return "0" * (len(text) - 1) + text

    for value in (0, 0, 2, 16):  # numbers of the set and of bits, order of frames, reference frames
        bits += golomb(value)
    bits += "0" + golomb(width // 16 - 1) + golomb(height // 16 - 1) + "11001"
    bits += "0" * (-len(bits) % 8)
    size = int(bits, 2).to_bytes(len(bits) // 8, "big")
    start = b"\0\0\0\1"
    slices = (start + b"\x65" + bytes([0xB8, 0x40, 0x0B, 0xA2]) + bytes(40)) * 30
    return start + b"\x67\x42\x00\x3e" + size + start + b"\x68\xce\x3c\x80" + slices


def _y4m(width: int, height: int) -> bytes:
    return f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420\nFRAME\n".encode() + bytes(1000)


def _saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _wide_flow() -> bytes:
    """A checkpoint whose first tensor claims a network a billion channels wide, with one number behind it."""
    tensor = torch.zeros(1).expand(1 << 30, 3, 3, 3)
    return _saved({"state_dict": {"_model.feature_pyramid_extractor.convs.0.0.0.weight": tensor}})


def _own(metadata: dict[str, object] | str) -> bytes:
    """A file in our own format, with metadata as JSON."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    return to_safetensors({"a": torch.zeros(1)}, {checkpoint._FORMAT: text})


def _gif() -> bytes:
    size = b"\xff" * 4
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b",\0\0\0\0" + size + b"\0\x08" + bytes(90)


class _Nest:
    """Pickled as a list of lists of lists, each twice the one before."""

    def __reduce__(self) -> tuple[object, ...]:
        return bytearray, (1 << 40,)


def _zeros(size: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("val_15fps/0.png", "w") as entry:
        for _ in range(size >> 20):
            entry.write(bytes(1 << 20))
    return file.getvalue()


def _huge_array() -> bytes:
    file = io.BytesIO()
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("frames.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(100))
    return file.getvalue()


def _folder_state(path: Path) -> None:
    from small_runs import small_recipe

    run_folder.load_state(path.parent, small_recipe())


_EQVI = {"config": {"flow": "scopeflow", "flow_width": 1e6}}
_LAUGHS = b"a: &a [x, x]\n" + b"".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n".encode() for n in range(20)
)
#: File name, content and what reads it.
BOMBS: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], object]]] = {
    "PNG of 100000x100000": ("001.png", lambda: _png(100_000, 100_000), _read_picture),
    "PNG of 30000x30000 in 16 bits": ("001.png", lambda: _png(30_000, 30_000, 16), _read_picture),
    "GIF of 65535x65535": ("a.gif", lambda: _gif(), _read_clip),
    "H.264 of 16320x16320": ("a.mp4", lambda: _h264(16320, 16320), _read_clip),
    "Y4M of 100000x100000": ("a.mkv", lambda: _y4m(100_000, 100_000), _read_clip),
    "Y4M of 30000x20000": ("a.mkv", lambda: _y4m(30_000, 20_000), _read_clip),
    "checkpoint of a billion channels": ("a.ckpt", _wide_flow, _load),
    "checkpoint that allocates a terabyte": ("a.ckpt", lambda: pickle.dumps(_Nest()), _load),
    "checkpoint of a nested value": ("a.ckpt", lambda: _nested_pickle(), _load),
    "safetensors of a huge network": ("a.safetensors", lambda: _own(_EQVI), _load),
    "safetensors of a huge flow network": ("a.safetensors", lambda: _own({"flow": {"width": 1e6}}), _load),
    "safetensors with a huge header": ("a.safetensors", lambda: struct.pack("<Q", 1 << 40) + b"{}", _load),
    "safetensors with nested metadata": ("a.safetensors", lambda: _own("[" * 200_000), _load),
    "YAML of a thousand million aliases": ("a.yaml", lambda: _LAUGHS, _read_yaml),
    "YAML nested 100000 deep": ("a.yaml", lambda: b"a: " + b"[" * 100_000, _read_yaml),
    "YAML of a million digits": ("a.yaml", lambda: b"size: " + b"9" * 1_000_000, _read_yaml),
    "JSON nested 100000 deep": ("a.json", lambda: b"[" * 100_000, _read_json),
    "JSON of a million digits": ("a.json", lambda: b'{"done": ' + b"9" * 1_000_000 + b"}", _read_json),
    "notebook nested 100000 deep": ("a.ipynb", lambda: b'{"cells": ' + b"[" * 100_000, headless.parameters_of),
    "archive of 200 MB of zeros": ("a.zip", lambda: _zeros(200 << 20), _unpack),
    "array of a million million pixels": ("a.npz", _huge_array, _read),
    "state of nested lists": ("state.pt", lambda: _saved({"a": np.zeros(3)}), _folder_state),
}  # fmt: skip


def _nested_pickle() -> bytes:
    """A pickle without classes that becomes a list of 2^40 elements, by references to itself."""
    return (
        b"\x80\x02](U\x01xe"
        + b"".join(b"q" + bytes([n]) + b"](h" + bytes([n]) + b"h" + bytes([n]) + b"e" for n in range(40))
        + b"."
    )


def explode(name: str, folder: Path) -> str:
    """What a bomb does to its reader: empty if it is refused in one line."""
    file, content, read = BOMBS[name]
    folder.mkdir()
    path = folder / file
    path.write_bytes(content())
    said = folder.parent / f"{folder.name}.log"

    def action() -> int:
        try:
            read(path)
        except InputError as error:
            if "\n" in str(error) or len(str(error)) > 1500:
                raise AssertionError(f"a message of {len(str(error))} characters") from None
        return 0

    child = Child(action, said, f"bomb-{folder.name}", memory=MEMORY)
    status = child.wait(SECONDS)
    if status is None:
        child.kill()
        return f"more than {SECONDS:.0f} s"
    return "" if status == 0 else f"status {status}: {child.said()[-700:]}"
