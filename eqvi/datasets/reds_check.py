"""Check of a copy of REDS_VTSR: every clip, name, size and byte; every problem is named."""

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from eqvi.datasets import reds
from eqvi.datasets.checksums import RECORD, fingerprint, lookup
from eqvi.errors import InputError
from eqvi.files import reason
from eqvi.media.image_files import read_header

# The last chunk of every PNG; Pillow does not verify its checksum.
_END = b"\0\0\0\0IEND\xaeB`\x82"


class FolderReport(NamedTuple):
    """The contents of a folder such as ``val/val_15fps``, in words, and its problems."""

    name: str
    contents: str
    problems: list[str]


class _Frame(NamedTuple):
    """A frame's sha256, size in bytes, (width, height), and its problem, empty if there is none."""

    sha256: str
    bytes: int
    size: tuple[int, int] | None
    problem: str


def check_copy(root: Path, record: Path = RECORD) -> list[FolderReport]:
    """Read every file of a copy and report on each of its folders.

    The checksums inside the PNGs are verified, which finds truncation and changed bytes; pixels are not decoded.

    Args:
        root: the folder that holds ``train`` and ``val``.
        record: checksums to compare complete folders with, see `eqvi.datasets.checksums`.

    Raises:
        InputError: `root` holds nothing of REDS_VTSR.
    """
    places = [(split, rate) for split in reds.CLIP_COUNTS for rate in reds.SPACING]
    present = [place for place in places if reds.rate_folder(root, *place).is_dir()]
    if not present:
        names = [reds.rate_folder(Path(), *place).as_posix() for place in places]
        above = (name for name in names if any((parent / name).is_dir() for parent in root.resolve().parents))
        reds.check_root(root, next(above, "val/val_15fps"))
    return [_check_folder(root, split, rate, record) for split, rate in present]


def _check_folder(root: Path, split: str, rate: int, record: Path) -> FolderReport:
    folder = reds.rate_folder(root, split, rate)
    # Rendered clips share the layout, not the number, length and size.
    rendered = (root / split / f"{split}_motion").is_dir()
    clips, problems = _list(folder, r"[0-9]{3}", "clip")
    if rendered:
        siblings = (reds.rate_folder(root, split, other) for other in reds.SPACING)
        every = {clip for sibling in siblings for clip in _list(sibling, r"[0-9]{3}", "clip")[0]}
        if every - set(clips):
            problems.append(f"lacks clips that other rates have: {', '.join(sorted(every - set(clips)))}")
    else:
        numbers, count = set(map(int, clips)), reds.CLIP_COUNTS[split]
        if missing := set(range(count)) - numbers:
            problems.append(f"{len(missing)} of {count} clips missing: {reds.format_ranges(missing, 1, 3)}")
        if extra := numbers - set(range(count)):
            problems.append(f"clips beyond the {count} of REDS_VTSR: {reds.format_ranges(extra, 1, 3)}")
    names: list[str] = []
    for clip in clips:
        frame_names, strange = _list(folder / clip, r"[0-9]{8}\.png", "frame")
        problems += [f"{clip}/{problem}" for problem in strange]
        positions = [int(name[:8]) for name in frame_names]
        expected = range(0, (max(positions, default=0) if rendered else reds.LAST_POSITION) + 1, reds.SPACING[rate])
        problems += [f"{clip}: {problem}" for problem in reds.name_problems(positions, rate, expected)]
        names += [f"{clip}/{name}" for name in frame_names]
    bar = tqdm(names, desc=folder.name, unit="frame", disable=None, leave=False)
    frames = {name: _check_frame(folder / name) for name in bar}
    problems += [f"{name}: {frame.problem}" for name, frame in frames.items() if frame.problem]
    sizes = Counter(frame.size for frame in frames.values() if frame.size is not None)
    problems += _size_problems(frames, sizes, rendered)
    contents = f"{len(clips)} clips, {len(names)} frames"
    contents += f" of {' and '.join(_by(size) for size, _ in sizes.most_common())}" if sizes else ""
    contents += f"{', rendered' * rendered}, {sum(frame.bytes for frame in frames.values()) / 1e6:.1f} MB"
    if not rendered and not problems:
        digest = fingerprint((f"{folder.name}/{name}", frame.sha256) for name, frame in frames.items())
        known = lookup(folder.name, record)
        contents += f", sha256 {digest[:16]}..."
        if known is not None and known.sha256 == digest:
            contents += f", as first seen from {known.source}"
        elif known is not None:
            problems.append(f"complete, but differs from the copy first seen from {known.source}: compare with another")
    return FolderReport(f"{split}/{folder.name}", contents, problems)


def _list(folder: Path, pattern: str, kind: str) -> tuple[list[str], list[str]]:
    """The names in `folder` that match, sorted, and a problem for every other visible one."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        return [], [f"cannot be read: {reason(error)}"]
    strange = [f"{name}: is no {kind} of REDS_VTSR" for name in names if not re.fullmatch(pattern, name)]
    return [name for name in names if re.fullmatch(pattern, name)], strange


def _size_problems(frames: dict[str, _Frame], sizes: Counter, rendered: bool) -> Iterator[str]:
    """A problem for every frame unlike the rest of its clip, and one if the usual size is not that of REDS_VTSR."""
    clips: dict[str, Counter] = {}
    for name, frame in frames.items():
        if frame.size is not None:
            clips.setdefault(name[:3], Counter())[frame.size] += 1
    for name, frame in frames.items():
        if frame.size is not None and frame.size != (usual := clips[name[:3]].most_common(1)[0][0]):
            yield f"{name}: is {_by(frame.size)}, most of its clip {_by(usual)}"
    usual = sizes.most_common(1)[0][0] if sizes else reds.FRAME_SIZE
    if not rendered and usual != reds.FRAME_SIZE:
        yield f"frames are {_by(usual)}, REDS_VTSR's are {_by(reds.FRAME_SIZE)}: resized, or not REDS_VTSR"


def _check_frame(path: Path) -> _Frame:
    try:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        header = read_header(path)
        if (header.format, header.channels, header.depth) != ("PNG", 3, 8):
            return _Frame(digest, len(data), header.size, "is no 8-bit RGB PNG")
        with Image.open(io.BytesIO(data)) as image:
            image.verify()
        if not data.endswith(_END):
            return _Frame("", 0, None, "is truncated or damaged (does not end as a PNG does)")
    except InputError as error:
        return _Frame("", 0, None, str(error).removeprefix(f"{path}: "))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        return _Frame("", 0, None, f"is truncated or damaged ({reason(error)})")
    return _Frame(digest, len(data), header.size, "")


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
