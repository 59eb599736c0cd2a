"""REDS_VTSR and data laid out like it: ``val/val_15fps/000/00000000.png``, likewise at 30 and 60 frames a second.

A frame's name is its position at 120 frames a second, so the names show whether a folder holds the rate that it should
and whether a frame is missing. Both are checked before any frame is read; no frame is resized or skipped.
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
from eqvi.media.image_files import read_headers, read_image

#: Positions from one frame to the next, by frames a second.
SPACING = {15: 8, 30: 4, 60: 2}
#: Clips in each split of REDS_VTSR. Each runs from position 0 to `LAST_POSITION`; `FRAME_SIZE` is (width, height).
CLIP_COUNTS = {"train": 240, "val": 30, "test": 30}
LAST_POSITION = 360
FRAME_SIZE = (1280, 720)
#: The validation clips that the published table calls REDS_VTSR5.
VTSR5 = ("002", "005", "010", "017", "025")


class ImageSequence(NamedTuple):
    """The frames of one clip at one rate.

    Attributes:
        folder: that holds them.
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
        """The files of all frames, in order."""
        return [self.path(position) for position in self.positions]

    def frames(self) -> Iterator[ClipFrame]:
        """Read the frames one by one; times start at 0.

        Raises:
            InputError: a file is damaged.
        """
        for position in self.positions:
            path = self.path(position)
            time = Fraction(position - self.positions[0], REDS_RATE)
            yield ClipFrame(read_image(path), path.stem, time, Fraction(1, self.rate), path)


class RedsClip(NamedTuple):
    """A clip to evaluate on: its frames at the input's rate, and at a multiple of it, which is the ground truth."""

    name: str
    inputs: ImageSequence
    truth: ImageSequence

    @property
    def factor(self) -> int:
        """Frames of the ground truth for every input frame."""
        return self.truth.rate // self.inputs.rate

    def targets(self) -> Iterator[tuple[int, Fraction, Path]]:
        """Every frame between two inputs: the index of the first input, the time in (0, 1), the file of the truth."""
        spacing, step = SPACING[self.inputs.rate], SPACING[self.truth.rate]
        for index, position in enumerate(self.inputs.positions[:-1]):
            for offset in range(step, spacing, step):
                yield index, Fraction(offset, spacing), self.truth.path(position + offset)


def rate_folder(root: Path, split: str, rate: int) -> Path:
    """The folder of all clips of a split at a rate."""
    return root / split / f"{split}_{rate}fps"


def open_reds(root: Path, split: str = "val", factor: int = 2, names: Sequence[str] | None = None) -> list[RedsClip]:
    """Clips to evaluate on; the names and headers of all their files are checked.

    Args:
        root: the folder that holds ``train`` and ``val``.
        split: ``train`` or ``val``.
        factor: 2 (15 to 30 frames a second) or 4 (15 to 60).
        names: the clips, such as `VTSR5`; None for all.

    Raises:
        InputError: another split or factor, a clip or frame that is missing, a folder that holds another rate than its
            name says, a file that is no 8-bit RGB PNG, or two frames of a clip that differ in size.
    """
    if factor not in (2, 4):
        raise InputError(f"factor {factor} has no truth in REDS_VTSR: choose 2 (15 to 30 fps) or 4 (15 to 60 fps)")
    if split not in ("train", "val"):
        raise InputError(f"split {split!r} has no public truth to measure on: choose train or val")
    inputs, truth = (rate_folder(root, split, rate) for rate in (15, 15 * factor))
    for folder in (inputs, truth):
        check_root(root, folder.relative_to(root).as_posix())
    input_names, truth_names = (set(clip_names(folder)) for folder in (inputs, truth))
    for name in sorted(input_names ^ truth_names if names is None else set(names) - (input_names & truth_names)):
        absent = truth if name in input_names else inputs
        raise InputError(f"{absent / name}: is missing: every clip is needed at 15 and {15 * factor} frames a second")
    return [_open_clip(name, inputs / name, truth / name, factor) for name in sorted(names or input_names)]


def clip_names(folder: Path) -> list[str]:
    """The names of the clips in a folder such as ``val/val_15fps``, sorted.

    Raises:
        InputError: it cannot be read, holds no clip, or something else.
    """
    try:
        entries = sorted(e.name for e in folder.iterdir() if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from None
    strange = next((name for name in entries if not re.fullmatch(r"[0-9]{3}", name)), None)
    if strange is not None:
        raise InputError(f"{folder / strange}: is no clip of REDS_VTSR (000, 001, ...): move it elsewhere")
    if not entries:
        raise InputError(f"{folder}: holds no clips: it should hold folders 000, 001, ...")
    return entries


def infer_rate(positions: Iterable[int]) -> int | None:
    """Frames a second from the most common distance of the positions of a clip's frames; None if no known rate."""
    steps = [b - a for a, b in pairwise(sorted(positions))]
    if not steps:
        return None
    commonest = max(sorted(set(steps)), key=steps.count)
    return next((rate for rate, spacing in SPACING.items() if spacing == commonest), None)


def name_problems(positions: Sequence[int], rate: int, expected: range) -> Iterator[str]:
    """What is wrong with the positions of a clip's frames: they are of another rate, or not the expected ones."""
    inferred = infer_rate(positions)
    if inferred not in (None, rate):
        yield f"holds frames at {inferred} a second, by their names, where {rate} are meant"
        return
    if extra := set(positions) - set(expected):
        yield f"{len(extra)} frames that belong to no {rate} fps clip: {format_ranges(extra, SPACING[rate])}"
    if missing := set(expected) - set(positions):
        yield f"{len(missing)} of {len(expected)} frames missing: {format_ranges(missing, SPACING[rate])}"


def format_ranges(numbers: Iterable[int], spacing: int, digits: int = 8) -> str:
    """Numbers as names, neighbours joined: ``00000008, 00000024 to 00000040``."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + spacing:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{a:0{digits}d}" if a == b else f"{a:0{digits}d} to {b:0{digits}d}" for a, b in ranges)


def check_root(root: Path, folder: str) -> None:
    """Make sure that `root` holds `folder`.

    Raises:
        InputError: it does not exist, lies inside a copy of REDS_VTSR, or lacks `folder`.
    """
    if (root / folder).is_dir():
        return
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder: give the one that holds train/ and val/ of REDS_VTSR")
    for above in root.resolve().parents:
        if (above / folder).is_dir():
            raise InputError(f"{root}: is inside a copy of REDS_VTSR: give {above}, which holds its train/ and val/")
    raise InputError(f"{root / folder}: is missing: fetch it with `make data DATA={root} ARCHIVES={Path(folder).name}`")


def _open_clip(name: str, inputs: Path, truth: Path, factor: int) -> RedsClip:
    clip = RedsClip(name, _open_sequence(inputs, 15), _open_sequence(truth, 15 * factor))
    ends = [(sequence.positions[0], sequence.positions[-1]) for sequence in (clip.inputs, clip.truth)]
    if ends[0] != ends[1]:
        spans = [f"{folder} from {a:08d} to {b:08d}" for folder, (a, b) in zip((inputs, truth), ends, strict=True)]
        raise InputError(f"{' but '.join(spans)}: frames are missing at an end of one of them")
    if clip.inputs.size != clip.truth.size:
        sizes = [f"{sequence.folder} {sequence.size[0]}x{sequence.size[1]}" for sequence in (clip.inputs, clip.truth)]
        raise InputError(f"frames differ in size: {', '.join(sizes)}: input and truth must be alike")
    return clip


def _open_sequence(folder: Path, rate: int) -> ImageSequence:
    sequence = ImageSequence(folder, rate, _positions(folder, rate), (0, 0))
    first = read_headers(sequence.paths())[0]
    if (first.format, first.channels, first.depth) != ("PNG", 3, 8):
        raise InputError(f"{first.path}: is no 8-bit RGB PNG, as every frame of REDS_VTSR is: replace the clip")
    return sequence._replace(size=first.size)


def _positions(folder: Path, rate: int) -> range:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from None
    strange = next((name for name in names if not re.fullmatch(r"[0-9]{8}\.png", name)), None)
    if strange is not None:
        raise InputError(f"{folder / strange}: is no frame of REDS_VTSR (00000000.png, ...): move it elsewhere")
    positions, spacing = [int(name[:8]) for name in names], SPACING[rate]
    if len(positions) < 2:
        raise InputError(f"{folder}: holds {len(positions)} frame(s): at least two are needed")
    expected = range(positions[0] // spacing * spacing, positions[-1] + 1, spacing)
    for problem in name_problems(positions, rate, expected):
        raise InputError(f"{folder}: {problem}")
    return expected
