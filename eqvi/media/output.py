"""Where frames go: what that takes, and the folder that an interrupted run can go on filling."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

from eqvi.errors import InputError
from eqvi.files import replacing, write_failure
from eqvi.media.clip import Clip
from eqvi.media.image import Image
from eqvi.media.image_files import FORMATS, write_image
from eqvi.media.schedule import Schedule, common_tick
from eqvi.media.settings import Settings
from eqvi.media.video_writer import CONTAINERS, Companion, Writer, choose_encoding, encode

#: Kept in an output folder: first line the settings as JSON, then the name of every file written.
RECORD = ".eqvi-run"
# The settings that frames in a folder depend on.
_MATTERS = ("factor", "fps", "drop_inputs", "size", "crop", "naming", "scene_cuts", "rounding", "limit")
# Endings that mean a file, so that a slip is not taken for the name of a folder.
_FOREIGN = {".avi", ".gif", ".m2ts", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".wmv", ".zip", ".tif", ".tiff", ".bmp"}


def is_video(path: Path) -> bool:
    """Whether an output of that name is a video file rather than a folder.

    Raises:
        InputError: the name is that of a file which cannot be written.
    """
    ending = path.suffix.lower()
    if ending in CONTAINERS:
        return True
    if not path.is_dir() and (ending in FORMATS or ending in _FOREIGN):
        raise InputError(f"{path}: give a folder, or a video file ending in {', '.join(CONTAINERS)}")
    return False


@contextlib.contextmanager
def open_video(path: Path, clip: Clip, schedule: Schedule, settings: Settings) -> Iterator[Writer]:
    """A video file to put frames into, of the colour, shape and sound of the video it is made from, if it is.

    Raises:
        InputError: the file exists, cannot be written or cannot hold the sound.
    """
    if path.exists() and not settings.overwrite:
        raise InputError(f"{path}: exists already: give --overwrite to replace it, or another name")
    source = clip.source
    rate = schedule.rate or clip.rate * settings.factor
    tick = common_tick(1 / rate, clip.time_base) if schedule.rate else clip.time_base / settings.factor
    encoding = choose_encoding(path, clip.size, clip.depth, settings.lossless, settings.crf)
    # Resized pixels are taken for square: who asks for 512x512 wants to see a square.
    aspect = source.pixel_aspect if source and not settings.size else None
    companion = Companion(source.path, source.start, settings.audio and bool(source.audio)) if source else None
    with encode(
        path,
        encoding,
        clip.size,
        rate,
        tick,
        settings.encoder_threads,
        source.colour if source else None,
        aspect,
        companion,
        cut_sound=settings.limit is not None,
    ) as writer:
        yield writer


@contextlib.contextmanager
def open_folder(path: Path, clip: Clip, settings: Settings, suffix: str, model: str) -> Iterator["FolderWriter"]:
    """A folder to put frames into: new, empty, or one that an interrupted run with the same settings left.

    Args:
        path: where to.
        clip: what the frames are made from.
        settings: with ``overwrite`` the run starts anew, removing what an earlier one wrote there.
        suffix: file ending, which chooses the format.
        model: identifies the model.

    Raises:
        InputError: the folder holds something else, or cannot be written.
    """
    overwrite = settings.overwrite
    facts = {name: value for name, value in asdict(settings).items() if name in _MATTERS}
    facts |= {"input": clip.identity, "model": model, "rate": str(clip.rate), "format": suffix}
    line = json.dumps(facts, sort_keys=True)
    try:
        path.mkdir(parents=True, exist_ok=True)
        record = path / RECORD
        before, *names = record.read_text(errors="replace").splitlines() if record.is_file() else [""]
        if before and before != line and not overwrite:
            difference = _difference(before, facts)
            raise InputError(f"{path}: {difference}: give --overwrite to start anew, or another folder")
        if not before and not overwrite and any(not entry.name.startswith(".") for entry in path.iterdir()):
            raise InputError(f"{path}: holds other files: give an empty folder, or --overwrite to write among them")
        if overwrite:
            for name in names:
                (path / Path(name).name).unlink(missing_ok=True)
        if overwrite or not before:
            with replacing(record) as partial:
                partial.write_text(line + "\n")
        with record.open("a", buffering=1) as journal:
            yield FolderWriter(path, suffix, journal)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {write_failure(error)}") from None


class FolderWriter:
    """Puts frames into a folder; made by `open_folder`."""

    def __init__(self, path: Path, suffix: str, journal: TextIO) -> None:
        self._path, self._suffix, self._journal = path, suffix, journal

    def has(self, name: str) -> bool:
        """Whether the frame of that name is there already."""
        # Files appear under their names only when complete, so being there is enough.
        return (self._path / (name + self._suffix)).exists()

    def add(self, name: str, time: Fraction, picture: Image, path: Path | None) -> None:
        """Put a frame; `path` is a file that holds exactly that picture, if there is one."""
        target = self._path / (name + self._suffix)
        # The name goes first: --overwrite may look for a file that never came, but never misses one.
        self._journal.write(target.name + "\n")
        if path is not None and FORMATS[path.suffix.lower()] == FORMATS[self._suffix]:
            with replacing(target) as partial:
                shutil.copyfile(path, partial)
        else:
            write_image(target, picture)

    def end(self, time: Fraction) -> None:
        """A folder has no length."""


#: Where frames go.
FrameWriter = FolderWriter | Writer


def _difference(before: str, facts: dict[str, Any]) -> str:
    try:
        old = json.loads(before)
        key = next(key for key in facts if old.get(key) != facts[key])
        return f"holds a run with {key} {old.get(key)}, not {facts[key]}"
    except (ValueError, StopIteration, AttributeError):
        return f"its {RECORD} cannot be read"
