"""Where output frames are written: a video file, or a folder that an interrupted run can resume."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

from eqvi.errors import InputError
from eqvi.files import alone, parse_json, remove_leftovers, replacing, write_failure
from eqvi.media.companion import CONTAINERS
from eqvi.media.image import Image
from eqvi.media.image_files import FORMATS, write_image
from eqvi.media.video_writer import VideoWriter

#: File in an output folder: its first line is the run's settings as JSON, then the name of every file written.
RECORD = ".eqvi-run"
# Suffixes of files that are not written, refused so that a mistyped video does not become a folder.
_OTHER_FORMATS = {".avi", ".gif", ".m2ts", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".wmv", ".zip"}
_OTHER_FORMATS |= {".tif", ".tiff", ".bmp", *FORMATS}


def is_video(path: Path) -> bool:
    """Whether an output of that name is a video file rather than a folder.

    Raises:
        InputError: the name is that of a file which cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix in CONTAINERS:
        return True
    if not path.is_dir() and suffix in _OTHER_FORMATS:
        raise InputError(f"{path}: give a folder, or a video file ending in {', '.join(CONTAINERS)}")
    return False


@contextlib.contextmanager
def open_folder(path: Path, suffix: str, settings: Mapping[str, Any], overwrite: bool) -> Iterator["FolderWriter"]:
    """A folder to write frames to: new, empty, or left by an interrupted run with the same settings.

    Args:
        path: the folder.
        suffix: of the files, which chooses their format.
        settings: all that the frames depend on; a run with equal settings is resumed.
        overwrite: start anew, after removing what an earlier run wrote there.

    Raises:
        InputError: the folder contains something else, or cannot be written.
    """
    line, record = json.dumps(settings, sort_keys=True), path / RECORD
    with contextlib.ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone(path / "eqvi", 0, path))
            earlier, *names = _read_record(record) if record.is_file() else [""]
            if overwrite:
                for name in names:
                    (path / Path(name).name).unlink(missing_ok=True)
            elif earlier and earlier != line:
                raise InputError(
                    f"{path}: {_difference(earlier, settings)}: give --overwrite to start anew, or another folder"
                )
            elif not earlier and any(not entry.name.startswith(".") for entry in path.iterdir()):
                raise InputError(f"{path}: holds other files: give an empty folder, or --overwrite to write among them")
            for name in names:  # a frame has its lock still if the run was killed between its end and the lock's
                remove_leftovers(path / Path(name).name)
            if overwrite or not earlier:
                with replacing(record) as partial:
                    partial.write_text(line + "\n", encoding="utf-8")
            journal = stack.enter_context(record.open("a", 1, encoding="utf-8", errors="surrogateescape"))
            yield FolderWriter(path, suffix, journal)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {write_failure(error)}") from None


def _read_record(record: Path) -> list[str]:
    """The lines of a record; names that are no UTF-8 are kept as they are."""
    return record.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n").split("\n")


class FolderWriter:
    """Writes frames into a folder; from `open_folder`."""

    def __init__(self, path: Path, suffix: str, journal: TextIO) -> None:
        self._path, self._suffix, self._journal = path, suffix, journal

    def has(self, name: str) -> bool:
        """Whether the frame of that name has been written."""
        # Files appear under their names only when complete, so existence is enough.
        return (self._path / (name + self._suffix)).exists()

    def add(self, name: str, time: Fraction, image: Image, path: Path | None) -> None:
        """Write a frame; `path` is a file that contains exactly that image, if there is one."""
        target = self._path / (name + self._suffix)
        # The name is recorded first, so that the record never lacks a file that exists.
        self._journal.write(target.name + "\n")
        if path is not None and FORMATS[path.suffix.lower()] == FORMATS[self._suffix]:
            with replacing(target) as partial:
                shutil.copyfile(path, partial)
        else:
            write_image(target, image)

    def end(self, time: Fraction) -> None:
        """Nothing to do: a folder has no duration."""


#: A place to write frames to, in order: ``has``, ``add`` for every frame, ``end`` after the last one.
FrameWriter = FolderWriter | VideoWriter


def _difference(earlier: str, settings: Mapping[str, Any]) -> str:
    try:
        old = parse_json(earlier)
        key = next(key for key in settings if old.get(key) != settings[key])
        return f"holds a run with {key} {old.get(key)}, not {settings[key]}"
    except (ValueError, StopIteration, AttributeError):
        return f"its {RECORD} cannot be read"
