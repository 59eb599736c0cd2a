"""What a method is measured on: clips whose missing frames are known.

Either REDS_VTSR and whatever has its layout, where truth lies beside the input in a folder of a higher rate, or any
clip, of which every so many frames are kept and the rest is left out.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from eqvi.datasets.checksums import fingerprint
from eqvi.datasets.clip_metadata import read_magnitudes
from eqvi.datasets.reds import VTSR5, Pair, open_pairs
from eqvi.errors import InputError
from eqvi.files import sha256
from eqvi.media.clip import Clip, open_clip
from eqvi.media.image import ClipFrame, Image
from eqvi.media.image_files import FORMATS, list_frames, read_image
from eqvi.media.video_writer import CONTAINERS

#: Datasets in REDS_VTSR's layout: the split and the clips (None: all that are there).
DATASETS: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "val30": ("val", None),
    "vtsr5": ("val", VTSR5),
    "rendered": ("val", None),
}


#: Endings of the files that `open_footage` takes for videos.
VIDEOS = (*CONTAINERS, ".avi")


class Target(NamedTuple):
    """A frame to make and score: the gap it belongs to, its name, and its time in (0, 1) in that gap."""

    position: int
    frame: str
    t: Fraction


class Case(NamedTuple):
    """One clip to be measured on.

    Attributes:
        name: of the clip.
        factor: the spacing of the inputs, in frames of the truth.
        size: (width, height).
        targets: what is scored, in order.
        inputs: starts reading the input frames.
        truths: starts reading true pictures, by name and in order, of the frames asked for.
        files: everything that was read, for the hash.
        magnitudes: motion, acceleration, occlusion of a frame by its name, where exact flow is known; else empty.
    """

    name: str
    factor: int
    size: tuple[int, int]
    targets: list[Target]
    inputs: Callable[[], Iterator[ClipFrame]]
    truths: Callable[[Collection[str]], Iterator[tuple[str, Image]]]
    files: list[Path]
    magnitudes: dict[str, dict[str, float]]


def open_dataset(root: Path, dataset: str, factor: int = 2, every: int = 1, clips: int | None = None) -> list[Case]:
    """Clips in REDS_VTSR's layout.

    Args:
        root: the folder that holds ``val``.
        dataset: a name in `DATASETS`.
        factor: 2 or 4.
        every: score every so many gaps only.
        clips: use the first so many clips only.

    Raises:
        InputError: no such dataset, or what `eqvi.datasets.reds.open_pairs` refuses.
    """
    if dataset not in DATASETS:
        raise InputError(f"there is no dataset {dataset!r}: choose from {', '.join(DATASETS)}")
    split, names = DATASETS[dataset]
    pairs = open_pairs(root, split, factor, names)
    if dataset == "val30" and len(pairs) != 30:
        raise InputError(f"{root}: holds {len(pairs)} validation clips, val30 is 30 of them: fetch the rest")
    return [_from_pair(pair, every, read_magnitudes(root, split, pair.name)) for pair in pairs[:clips]]


def open_held_out(path: Path, step: int, every: int = 1, limit: int | None = None) -> Case:
    """Any folder or video of which every `step`-th frame is kept and the others are scored.

    Args:
        path: folder of frames, or video file.
        step: spacing of the kept frames, at least 2.
        every: score only every so many gaps, from the first that has a neighbour on both sides.
        limit: use the first so many frames of the clip.

    Raises:
        InputError: no usable clip, or none with a gap of `step` frames.
    """
    if step < 2:
        raise InputError(f"--step {step} is too small: give at least 2")
    clip = open_clip(path, limit=limit)
    if (clip.depth, clip.channels) != (8, 3):
        raise InputError(f"{path}: is not 8-bit RGB, which the metrics are defined for: convert it")
    # What a video's header says of its length is a hint only.
    stems = clip.stems or [frame.stem for frame in clip.read()]
    gaps = (min(limit or len(stems), len(stems)) - 1) // step
    if gaps < 1:
        raise InputError(f"no gap of {step} frames in {path}: give a longer clip or a smaller step")
    targets = [
        Target(gap, stems[gap * step + number], Fraction(number, step))
        for gap in range(gaps)
        if gap % every == 1 % every
        for number in range(1, step)
    ]
    files = [path] if path.is_file() else list_frames(path)[0][:limit]
    return Case(
        name=path.resolve().stem,
        factor=step,
        size=clip.size,
        targets=targets,
        inputs=lambda: islice(clip.read(), 0, None, step),
        truths=partial(_of_clip, clip),
        files=files,
        magnitudes={},
    )


def open_footage(
    folder: Path, step: int, every: int = 1, leave_out: Collection[str] = (), limit: int | None = None
) -> list[Case]:
    """Every clip in a folder or in folders within it, as of `open_held_out`: video files, and folders that hold frames.

    Args:
        folder: where to look.
        step, every, limit: as of `open_held_out`.
        leave_out: clips that are not wanted, by the names of their folders, or of their files without the ending.

    Raises:
        InputError: no clip is there, one cannot be used, or a name to leave out is of none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder: give one that holds clips")
    inside = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]
    found = [path for path in inside if any(file.suffix.lower() in FORMATS for file in path.iterdir())]
    found += [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in VIDEOS]
    names = {path.resolve().stem for path in found}
    for name in leave_out:
        if name not in names:
            raise InputError(
                f"{folder}: there is no clip {name!r} to leave out: choose from {', '.join(sorted(names))}"
            )
    wanted = sorted((path for path in found if path.resolve().stem not in leave_out), key=lambda path: path.stem)
    if not wanted:
        raise InputError(f"{folder}: holds no clip: give a folder with video files or folders of frames")
    return [open_held_out(path, step, every, limit) for path in wanted]


def data_sha256(cases: Sequence[Case]) -> str:
    """The `fingerprint` of all files that the cases read, clip by clip."""
    hashes = []
    for case in cases:
        for path in case.files:
            stat = path.stat()
            hashes.append((f"{case.name}/{path.name}", _cached_sha256(path, stat.st_size, stat.st_mtime_ns)))
    return fingerprint(hashes)


@functools.cache
def _cached_sha256(path: Path, size: int, modified_ns: int) -> str:
    """The sha256 of a file, computed once for all methods that are measured on it, unless the file changes."""
    return sha256(path)


def _from_pair(pair: Pair, every: int, magnitudes: dict[str, dict[str, float]]) -> Case:
    targets, paths = [], {}
    for position, gap in enumerate(pair.gaps()):
        if position % every == 1 % every:
            for t, path in gap.truths:
                targets.append(Target(position, path.stem, t))
                paths[path.stem] = path
    return Case(
        name=pair.name,
        factor=pair.factor,
        size=pair.inputs.size,
        targets=targets,
        inputs=pair.inputs.frames,
        truths=lambda wanted: ((name, read_image(paths[name])) for name in paths if name in wanted),
        files=[*pair.inputs.paths(), *paths.values()],
        magnitudes=magnitudes,
    )


def _of_clip(clip: Clip, wanted: Collection[str]) -> Iterator[tuple[str, Image]]:
    return ((frame.stem, frame.image) for frame in clip.read() if frame.stem in wanted)
