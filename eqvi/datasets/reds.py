"""REDS_VTSR, and whatever is laid out like it: ``val/val_15fps/000/00000000.png``, likewise at 30 and 60 a second.

A frame's name is its position at 120 frames a second, so the names alone tell whether a folder holds the rate that it
says, and whether a frame is missing. Both are looked at before anything is read; nothing is resized or passed over.
Source: S. Nah et al., AIM 2019 Challenge on Video Temporal Super-Resolution (ICCV Workshops 2019); CC BY 4.0.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from eqvi.errors import InputError
from eqvi.media.frame_names import REDS_RATE
from eqvi.media.image import ClipFrame
from eqvi.media.image_files import check_frames, read_image

#: Positions from one frame to the next, by frames a second.
SPACING = {15: 8, 30: 4, 60: 2}
#: Clips of each part of REDS_VTSR; each runs from position 0 to `LAST`, at `SIZE` (width, height) pixels.
SPLITS = {"train": 240, "val": 30, "test": 30}
LAST = 360
SIZE = (1280, 720)
#: The validation clips that the published table calls REDS_VTSR5.
VTSR5 = ("002", "005", "010", "017", "025")


class Reel(NamedTuple):
    """One clip at one rate.

    Attributes:
        folder: where its frames lie.
        rate: frames a second.
        positions: of its frames, at 120 a second, one `SPACING` apart.
        size: (width, height) of every frame.
    """

    folder: Path
    rate: int
    positions: range
    size: tuple[int, int]

    def path(self, position: int) -> Path:
        """The file of the frame at `position`."""
        return self.folder / f"{position:08d}.png"

    def paths(self) -> list[Path]:
        """Every frame's file, in order."""
        return [self.path(position) for position in self.positions]

    def frames(self) -> Iterator[ClipFrame]:
        """The frames themselves, read one by one, timed from the clip's beginning.

        Raises:
            InputError: a file is damaged.
        """
        for position in self.positions:
            path = self.path(position)
            time = Fraction(position - self.positions[0], REDS_RATE)
            yield ClipFrame(read_image(path), path.stem, time, Fraction(1, self.rate), path)


class Gap(NamedTuple):
    """Two neighbouring inputs and what truly lies between them.

    Attributes:
        inputs: files of the two frames with their neighbours on both sides; of the two alone in a clip's first and last
            gap, where motion is linear.
        truths: times in (0, 1) and files of the frames between.
    """

    inputs: tuple[Path, ...]
    truths: tuple[tuple[Fraction, Path], ...]


class Pair(NamedTuple):
    """A clip to be measured on: its frames at the input's rate, and at a multiple of it, which is the truth."""

    name: str
    inputs: Reel
    truth: Reel

    @property
    def factor(self) -> int:
        """Frames of the truth for every input frame."""
        return self.truth.rate // self.inputs.rate

    def gaps(self) -> Iterator[Gap]:
        """Every gap between two inputs, in order."""
        files = self.inputs.paths()
        spacing, step = SPACING[self.inputs.rate], SPACING[self.truth.rate]
        for index, start in enumerate(self.inputs.positions[:-1]):
            inside = 0 < index < len(files) - 2
            yield Gap(
                tuple(files[index - 1 : index + 3] if inside else files[index : index + 2]),
                tuple((Fraction(k, spacing), self.truth.path(start + k)) for k in range(step, spacing, step)),
            )


def rate_folder(root: Path, split: str, rate: int) -> Path:
    """Where `root` keeps the clips of a split at a rate."""
    return root / split / f"{split}_{rate}fps"


def open_pairs(root: Path, split: str = "val", factor: int = 2, names: Sequence[str] | None = None) -> list[Pair]:
    """Clips to measure on, checked from the names and headers of their files.

    Args:
        root: the folder that holds ``train`` and ``val``.
        split: ``train`` or ``val``.
        factor: 2 (15 to 30 frames a second) or 4 (15 to 60).
        names: the clips, such as `VTSR5`; all that are there if None.

    Raises:
        InputError: another split or factor, a clip or frame that is missing, a folder that holds another rate than it
            says, a file that is no 8-bit RGB PNG, or two frames of a clip that differ in size.
    """
    if factor not in (2, 4):
        raise InputError(
            f"factor {factor} has no truth in REDS_VTSR: choose 2 (15 to 30 frames a second) or 4 (15 to 60)"
        )
    if split not in ("train", "val"):
        raise InputError(f"split {split!r} has no public truth to measure on: choose train or val")
    inputs, truth = (rate_folder(root, split, rate) for rate in (15, 15 * factor))
    for folder in (inputs, truth):
        find_place(root, folder.relative_to(root).as_posix())
    there = [set(clip_names(folder)) for folder in (inputs, truth)]
    for name in sorted(there[0] ^ there[1] if names is None else set(names) - (there[0] & there[1])):
        absent = truth if name in there[0] else inputs
        raise InputError(f"{absent / name}: is missing: every clip is needed at {15} and {15 * factor} frames a second")
    return [_pair(name, inputs / name, truth / name, factor) for name in sorted(names or there[0])]


def open_reel(folder: Path, rate: int) -> Reel:
    """One clip at one rate, all its names and headers checked.

    Raises:
        InputError: as `open_pairs`.
    """
    positions = _positions(folder, rate)
    reel = Reel(folder, rate, positions, (0, 0))
    first = check_frames(reel.paths())[0]
    if (first.format, first.channels, first.depth) != ("PNG", 3, 8):
        raise InputError(f"{first.path}: is no 8-bit RGB PNG, as every frame of REDS_VTSR is: replace the clip")
    return reel._replace(size=first.size)


def clip_names(folder: Path) -> list[str]:
    """The clips in a folder such as ``val/val_15fps``, sorted.

    Raises:
        InputError: it cannot be read, holds no clip, or something that is none.
    """
    try:
        entries = sorted(e.name for e in folder.iterdir() if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from None
    strange = next((name for name in entries if not re.fullmatch(r"[0-9]{3}", name)), None)
    if strange is not None:
        raise InputError(
            f"{folder / strange}: is no clip of REDS_VTSR, which have three-digit names: move it elsewhere"
        )
    if not entries:
        raise InputError(f"{folder}: holds no clips: it should hold folders 000, 001, ...")
    return entries


def rate_of(positions: Iterable[int]) -> int | None:
    """Frames a second that the names of a clip's frames tell, by their commonest distance; None if no known rate."""
    steps = [b - a for a, b in pairwise(sorted(positions))]
    if not steps:
        return None
    commonest = max(sorted(set(steps)), key=steps.count)
    return next((rate for rate, spacing in SPACING.items() if spacing == commonest), None)


def find_place(root: Path, folder: str) -> None:
    """Say clearly where `root`, which should hold `folder`, is one too deep or not there at all.

    Raises:
        InputError: `folder` is not in it.
    """
    if (root / folder).is_dir():
        return
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder: give the one that holds train/ and val/ of REDS_VTSR")
    for above in root.resolve().parents:
        if (above / folder).is_dir():
            raise InputError(f"{root}: is inside a copy of REDS_VTSR: give {above}, which holds its train/ and val/")
    raise InputError(f"{root / folder}: is missing: fetch it with `make data DATA={root} ARCHIVES={Path(folder).name}`")


def _pair(name: str, inputs: Path, truth: Path, factor: int) -> Pair:
    pair = Pair(name, open_reel(inputs, 15), open_reel(truth, 15 * factor))
    ends = [(reel.positions[0], reel.positions[-1]) for reel in (pair.inputs, pair.truth)]
    if ends[0] != ends[1]:
        spans = [f"{folder} from {a:08d} to {b:08d}" for folder, (a, b) in zip((inputs, truth), ends, strict=True)]
        raise InputError(f"{' but '.join(spans)}: frames are missing at an end of one of them")
    if pair.inputs.size != pair.truth.size:
        sizes = [f"{reel.folder} {reel.size[0]}x{reel.size[1]}" for reel in (pair.inputs, pair.truth)]
        raise InputError(f"frames differ in size: {', '.join(sizes)}: input and truth must be alike")
    return pair


def _positions(folder: Path, rate: int) -> range:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from None
    strange = next((name for name in names if not re.fullmatch(r"[0-9]{8}\.png", name)), None)
    if strange is not None:
        raise InputError(f"{folder / strange}: is no frame of REDS_VTSR (00000000.png, ...): move it elsewhere")
    positions = [int(name[:8]) for name in names]
    if len(positions) < 2:
        raise InputError(f"{folder}: holds {len(positions)} frame(s): at least two are needed")
    found, spacing = rate_of(positions), SPACING[rate]
    if found != rate and found is not None:
        raise InputError(f"{folder}: holds frames at {found} a second, by their names; {rate} are meant here")
    whole = range(positions[0], positions[-1] + 1, spacing)
    missing = next((position for position in whole if position not in set(positions)), None)
    if missing is not None:
        raise InputError(f"{folder / f'{missing:08d}.png'}: is missing: {rate} frames a second need every {spacing}th")
    odd = next((position for position in positions if position not in whole), None)
    if odd is not None or positions[0] % spacing:
        wrong = positions[0] if odd is None else odd
        raise InputError(f"{folder / f'{wrong:08d}.png'}: does not belong here: at {rate} frames a second names are "
                         f"multiples of {spacing}")  # fmt: skip
    return whole
