"""Test cases of the evaluation: clips with input frames, target frames, and the ground truth of these.

Two kinds: data sets laid out like REDS_VTSR, with the ground truth in a folder of a higher rate; and any other clip, of
which every so many frames are the input and those between are held out.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from eqvi.datasets.checksums import fingerprint
from eqvi.datasets.reds import VTSR5, RedsClip, open_reds
from eqvi.datasets.rendered_clips import read_metadata
from eqvi.errors import InputError
from eqvi.files import sha256
from eqvi.media.clip import open_clip
from eqvi.media.companion import CONTAINERS
from eqvi.media.image import ClipFrame, Image
from eqvi.media.image_files import FORMATS, list_frames, read_image

#: Data sets laid out like REDS_VTSR: the split and the clips (None: all).
DATASETS: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "val30": ("val", None),
    "vtsr5": ("val", VTSR5),
    "rendered": ("val", None),
}

#: File endings of the videos that `open_footage` uses.
VIDEOS = (*CONTAINERS, ".avi")


class Target(NamedTuple):
    """A frame to interpolate and score: the index of the input before it, its name, its time in (0, 1) after that."""

    position: int
    frame: str
    t: Fraction


class Case(NamedTuple):
    """One clip to evaluate on.

    Attributes:
        name: of the clip.
        factor: distance of the inputs, in frames of the ground truth.
        size: (width, height) in pixels.
        targets: the frames to score, in order.
        inputs: starts reading the input frames.
        truths: starts reading the ground truth of the named frames, as names and images, in order.
        files: all files that the case reads.
        magnitudes: `eqvi.datasets.random_scenes.Magnitude` of a frame by its name; empty unless the clip was rendered.
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
    """The clips of a data set laid out like REDS_VTSR.

    Args:
        root: the folder that holds ``val``.
        dataset: a name in `DATASETS`.
        factor: 2 or 4.
        every: score every so many gaps between inputs only.
        clips: use the first so many clips only.

    Raises:
        InputError: no such data set, or as `eqvi.datasets.reds.open_reds`.
    """
    if dataset not in DATASETS:
        raise InputError(f"there is no dataset {dataset!r}: choose from {', '.join(DATASETS)}")
    split, names = DATASETS[dataset]
    opened = open_reds(root, split, factor, names)
    if dataset == "val30" and len(opened) != 30:
        raise InputError(f"{root}: holds {len(opened)} validation clips, val30 is 30 of them: fetch the rest")
    return [_from_reds(clip, every, read_metadata(root, split, clip.name)) for clip in opened[:clips]]


def open_held_out(path: Path, step: int, every: int = 1, limit: int | None = None, count: int | None = None) -> Case:
    """Any folder or video: every `step`-th frame is an input, the others are held out and scored.

    Args:
        path: folder of frames, or video file.
        step: distance of the inputs in frames, at least 2.
        every: score every so many gaps between inputs only, from the first that has a neighbour on both sides.
        limit: use the first so many frames of the clip.
        count: instead of `every`, score so many gaps spread evenly over the clip, or all where it has fewer.

    Raises:
        InputError: no usable clip, or one without a gap of `step` frames.
    """
    if step < 2:
        raise InputError(f"--step {step} is too small: give at least 2")
    clip = open_clip(path, limit=limit)
    if (clip.depth, clip.channels) != (8, 3):
        raise InputError(f"{path}: is not 8-bit RGB, which the metrics are defined for: convert it")
    # The length in a video's header is a hint only.
    stems = clip.stems or [frame.stem for frame in clip.read()]
    gaps = (min(limit or len(stems), len(stems)) - 1) // step
    if gaps < 1:
        raise InputError(f"no gap of {step} frames in {path}: give a longer clip or a smaller step")
    scored = [gap for gap in range(gaps) if gap % every == 1 % every]
    if count is not None:
        scored = sorted({(2 * index + 1) * gaps // (2 * count) for index in range(count)})
    targets = [
        Target(gap, stems[gap * step + number], Fraction(number, step)) for gap in scored for number in range(1, step)
    ]
    files = [path] if path.is_file() else list_frames(path)[0][:limit]
    return Case(
        name=_clip_name(path),
        factor=step,
        size=clip.size,
        targets=targets,
        inputs=lambda: islice(clip.read(), 0, None, step),
        truths=lambda wanted: ((frame.stem, frame.image) for frame in clip.read() if frame.stem in wanted),
        files=files,
        magnitudes={},
    )


def open_footage(
    folder: Path, step: int, every: int = 1, leave_out: Collection[str] = (), limit: int | None = None
) -> list[Case]:
    """Every video file, and every folder that holds frames, in a folder and its subfolders; as `open_held_out`.

    Args:
        folder: where to look.
        step, every, limit: as of `open_held_out`.
        leave_out: names of clips to leave out: of their folders, or of their files without the ending. A list for
            another folder, none of whose names is here, leaves out nothing.

    Raises:
        InputError: there is no clip, one cannot be used, or one name to leave out is there and another is not.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder: give one that holds clips")
    inside = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]
    paths = [path for path in inside if any(file.suffix.lower() in FORMATS for file in path.iterdir())]
    paths += [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in VIDEOS]
    names = {_clip_name(path) for path in paths}
    absent = sorted(set(leave_out) - names)
    if absent and names & set(leave_out):
        raise InputError(f"{folder}: no clip {absent[0]!r} to leave out: choose from {', '.join(sorted(names))}")
    wanted = sorted((path for path in paths if _clip_name(path) not in leave_out), key=_clip_name)
    if not wanted:
        raise InputError(f"{folder}: holds no clip: give a folder with video files or folders of frames")
    return [open_held_out(path, step, every, limit) for path in wanted]


def _clip_name(path: Path) -> str:
    """The name of a clip: of its folder, dots included, or of its file without the ending."""
    return path.resolve().name if path.is_dir() else path.resolve().stem


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


def _from_reds(clip: RedsClip, every: int, metadata: dict[str, Any] | None) -> Case:
    targets, paths = [], {}
    for index, t, path in clip.targets():
        if index % every == 1 % every:
            targets.append(Target(index, path.stem, t))
            paths[path.stem] = path
    return Case(
        name=clip.name,
        factor=clip.factor,
        size=clip.inputs.size,
        targets=targets,
        inputs=clip.inputs.frames,
        truths=lambda wanted: ((name, read_image(path)) for name, path in paths.items() if name in wanted),
        files=[*clip.inputs.paths(), *paths.values()],
        magnitudes={} if metadata is None else metadata["frames"],
    )
