"""A copy of REDS_VTSR held to what it should be: every clip, name, size and byte, each fault named."""

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from eqvi.datasets.checksums import RECORD, fingerprint, lookup
from eqvi.datasets.reds import LAST, SIZE, SPACING, SPLITS, find_place, rate_folder, rate_of
from eqvi.errors import InputError
from eqvi.files import reason
from eqvi.media.image_files import read_header

# The last chunk of every PNG, whose checksum Pillow does not look at.
_END = b"\0\0\0\0IEND\xaeB`\x82"


class Verdict(NamedTuple):
    """What was found in a folder such as ``val/val_15fps``, and everything that is wrong with it."""

    name: str
    found: str
    problems: list[str]


class _File(NamedTuple):
    """A frame's sha256, size in bytes, (width, height), and what is wrong with it (empty if nothing)."""

    sha256: str
    bytes: int
    size: tuple[int, int] | None
    problem: str


def inspect(root: Path, record: Path = RECORD) -> list[Verdict]:
    """Read every file of a copy and say what it holds.

    The checksums inside the PNGs are compared, which finds truncation and changed bytes; pixels are not decoded.

    Args:
        root: the folder that holds ``train`` and ``val``.
        record: what complete copies are compared with, see `eqvi.datasets.checksums`.

    Raises:
        InputError: nothing of REDS_VTSR is there.
    """
    places = [(split, rate) for split in SPLITS for rate in SPACING]
    there = [(split, rate) for split, rate in places if rate_folder(root, split, rate).is_dir()]
    if not there:
        for split, rate in places:
            if root.is_dir() and any(rate_folder(above, split, rate).is_dir() for above in root.resolve().parents):
                find_place(root, rate_folder(Path(), split, rate).as_posix())
        find_place(root, "val/val_15fps")
    verdicts = [_inspect(root, split, rate, record) for split, rate in there]
    for split in SPLITS:
        verdicts += _compared(root, split, [rate for other, rate in there if other == split])
    return verdicts


def _inspect(root: Path, split: str, rate: int, record: Path) -> Verdict:
    folder = rate_folder(root, split, rate)
    rendered = _is_rendered(root, split)
    clips, problems = _sorted_out(folder, r"[0-9]{3}", "clip")
    if not rendered:
        numbers, expected = {int(clip) for clip in clips}, range(SPLITS[split])
        lacking, beyond = sorted(set(expected) - numbers), sorted(numbers - set(expected))
        if lacking:
            problems.append(f"{len(lacking)} of {len(expected)} clips missing: {_runs(lacking, 1, 3)}")
        if beyond:
            problems.append(f"clips beyond the {len(expected)} of REDS_VTSR: {_runs(beyond, 1, 3)}")
    names: list[str] = []
    for clip in clips:
        frames, strange = _sorted_out(folder / clip, r"[0-9]{8}\.png", "frame")
        problems += [f"{clip}/{problem}" for problem in strange]
        problems += [f"{clip}: {problem}" for problem in _name_problems(frames, rate, rendered)]
        names += [f"{clip}/{frame}" for frame in frames]
    bar = tqdm(names, desc=folder.name, unit="frame", disable=None, leave=False)
    files = {name: _examined(folder / name) for name in bar}
    problems += [f"{name}: {file.problem}" for name, file in files.items() if file.problem]
    sizes = Counter(file.size for file in files.values() if file.size is not None)
    problems += _size_problems(files, sizes, rendered)
    found = f"{len(clips)} clips, {len(names)} frames" + _shown(sizes) + (", rendered" if rendered else "")
    found += f", {sum(file.bytes for file in files.values()) / 1e6:.1f} MB"
    if not rendered and not problems:
        digest = fingerprint((f"{folder.name}/{name}", file.sha256) for name, file in files.items())
        known = lookup(folder.name, record)
        found += f", sha256 {digest[:16]}..." + ("" if known is None else f", as first seen from {known.source}")
        if known is not None and known.sha256 != digest:
            found = found.rpartition(", as first")[0]
            problems.append(f"complete, but differs from the copy first seen from {known.source}: compare with another")
    return Verdict(f"{split}/{folder.name}", found, problems)


def _sorted_out(folder: Path, pattern: str, what: str) -> tuple[list[str], list[str]]:
    """Names in `folder` that match, sorted, and a complaint about every other visible one."""
    try:
        entries = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        return [], [f"cannot be read: {reason(error)}"]
    strange = [f"{name}: is no {what} of REDS_VTSR" for name in entries if not re.fullmatch(pattern, name)]
    return [name for name in entries if re.fullmatch(pattern, name)], strange


def _name_problems(frames: Sequence[str], rate: int, rendered: bool) -> Iterator[str]:
    positions = {int(frame[:8]) for frame in frames}
    told = rate_of(positions)
    if told not in (None, rate):
        yield f"holds frames at {told} a second, by their names, where {rate} are meant"
        return
    last = max(positions, default=0) if rendered else LAST
    whole = range(0, last + 1, SPACING[rate])
    lacking = [position for position in whole if position not in positions]
    beyond = sorted(positions - set(whole))
    if lacking:
        yield f"{len(lacking)} of {len(whole)} frames missing: {_runs(lacking, SPACING[rate])}"
    if beyond:
        yield f"{len(beyond)} frames that belong to no {rate} fps clip: {_runs(beyond, SPACING[rate])}"


def _size_problems(files: dict[str, _File], sizes: Counter, rendered: bool) -> Iterator[str]:
    """One line for every frame unlike the rest of its clip, and one if the whole is not of the right size."""
    clips: dict[str, Counter] = {}
    for name, file in files.items():
        if file.size is not None:
            clips.setdefault(name[:3], Counter())[file.size] += 1
    for name, file in files.items():
        usual = clips[name[:3]].most_common(1)[0][0] if name[:3] in clips else None
        if file.size not in (None, usual):
            yield f"{name}: is {_by(file.size)}, most of its clip {_by(usual)}"
    usual = sizes.most_common(1)[0][0] if sizes else SIZE
    if not rendered and usual != SIZE:
        yield f"frames are {_by(usual)}, REDS_VTSR's are {_by(SIZE)}: resized, or not REDS_VTSR"


def _examined(path: Path) -> _File:
    try:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        header = read_header(path)
        if (header.format, header.channels, header.depth) != ("PNG", 3, 8):
            return _File(digest, len(data), header.size, "is no 8-bit RGB PNG")
        with Image.open(io.BytesIO(data)) as image:
            image.verify()
        if not data.endswith(_END):
            return _File("", 0, None, "is truncated or damaged (does not end as a PNG does)")
    except InputError as error:
        return _File("", 0, None, str(error).removeprefix(f"{path}: "))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        return _File("", 0, None, f"is truncated or damaged ({reason(error)})")
    return _File(digest, len(data), header.size, "")


def _compared(root: Path, split: str, rates: Sequence[int]) -> list[Verdict]:
    """Clips that one rate of a rendered copy has and another lacks: nothing else says which there should be."""
    if not _is_rendered(root, split):
        return []
    clips = {rate: set(_sorted_out(rate_folder(root, split, rate), r"[0-9]{3}", "clip")[0]) for rate in rates}
    every = set[str]().union(*clips.values())
    return [
        Verdict(
            f"{split}/{split}_{rate}fps", "", [f"lacks clips that other rates have: {', '.join(sorted(every - own))}"]
        )
        for rate, own in clips.items()
        if every - own
    ]


def _is_rendered(root: Path, split: str) -> bool:
    """Whether these are rendered clips: they share the layout, not the length or size, and say what they are beside."""
    return (root / split / f"{split}_motion").is_dir()


def _runs(numbers: Iterable[int], spacing: int, digits: int = 8) -> str:
    """Every one by name, neighbours together: ``00000008, 00000024 to 00000040``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + spacing:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a:0{digits}d}" if a == b else f"{a:0{digits}d} to {b:0{digits}d}" for a, b in runs)


def _shown(sizes: Counter) -> str:
    return f" of {' and '.join(_by(size) for size, _ in sizes.most_common())}" if sizes else ""


def _by(size: tuple[int, int] | None) -> str:
    return "x".join(map(str, size or ()))
