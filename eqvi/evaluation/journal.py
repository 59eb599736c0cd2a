"""Rows of scored frames while they are made: kept after a kill, shared out to processes, put together at the end.

A run writes into the hidden folder ``.RUN.part`` beside its file: what the run is, and a journal of finished rows for
every process. Whoever finds every row there puts them together, sorted, and removes the folder. Nothing is done twice:
a row that is in any journal is passed over.
"""

import contextlib
import csv
import fcntl
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from eqvi.errors import InputError
from eqvi.files import replacing, write_failure

#: One row for every scored frame; an empty cell was not measured.
COLUMNS = (
    "run", "dataset", "clip", "frame", "t", "psnr", "ssim", "psnr_float", "psnr_truncated", "mse", "psnr_luma",
    "psnr_cropped", "ssim_7x7", "ssim_3d", "sharpness", "sharpness_truth", "lpips", "motion", "acceleration",
    "occlusion", "seconds",
)  # fmt: skip

Key = tuple[str, str, str]  # run, clip, frame


class Journal:
    """The unfinished rows of one run; use as a context, so that no other process writes the same journal.

    Args:
        out: the CSV file that the run is to become.
        what: all that the rows depend on; an interrupted run is gone on with only if it is the same.
        keys: (run, clip, frame) of every row that belongs to the file, in the order of its work.
        rank, world: which of how many processes this is.
        first: what the file calls its first column.
        restart: throw away what an interrupted run left.

    Raises:
        InputError: what lies there is of another run, is being written, or cannot be written.
    """

    def __init__(
        self,
        out: Path,
        what: Mapping[str, Any],
        keys: Iterable[Key],
        rank: int = 0,
        world: int = 1,
        first: str = "run",
        restart: bool = False,
    ) -> None:
        if not 0 <= rank < world:
            raise InputError(f"RANK={rank} and WORLD_SIZE={world} do not fit: ranks run from 0 to WORLD_SIZE - 1")
        self._out, self._keys, self._header = out, list(keys), (first, *COLUMNS[1:])
        self._folder = out.with_name(f".{out.stem}.part")
        self._path = self._folder / f"{rank}-of-{world}.csv"
        self._what = json.dumps(what, sort_keys=True)
        self._file: TextIO | None = None
        if restart and world > 1:
            raise InputError(f"one of several processes cannot start anew for all: remove {self._folder} first")
        if restart:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "Journal":
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            record = self._folder / "run.json"
            if not record.exists():
                # Each process writes its own and renames it: they are the same.
                beside = self._folder / f".{self._path.stem}.json"
                beside.write_text(self._what, encoding="utf-8")
                os.replace(beside, record)
            self._compare(record.read_text(encoding="utf-8"))
            self._file = self._path.open("a+", newline="", encoding="utf-8")
            self._claim(self._file)
            _mend(self._path)
        except OSError as error:
            raise InputError(f"{self._out}: cannot be written: {write_failure(error)}") from None
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()

    def done(self) -> dict[Key, list[str]]:
        """Every finished row, by run, clip and frame, whichever process made it."""
        rows: dict[Key, list[str]] = {}
        for path in sorted(self._folder.glob("*-of-*.csv")):
            for row in _complete(path):
                rows.setdefault((row[0], row[2], row[3]), row)
        return rows

    def share(self, rank: int, world: int) -> list[Key]:
        """The rows that belong to one process: a stretch of neighbours, so that flows can be handed on."""
        bounds = [len(self._keys) * place // world for place in (rank, rank + 1)]
        return self._keys[slice(*bounds)]

    def add(self, row: Mapping[str, str]) -> None:
        """Keep one finished row for good."""
        assert self._file is not None
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([row[column] for column in COLUMNS])
        try:
            self._file.write(line.getvalue())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InputError(f"{self._out}: cannot be written: {write_failure(error)}") from None

    def finish(self, made_by: Mapping[str, Any]) -> bool:
        """Write the CSV and the JSON file if every row is there; whether the run is complete.

        Several processes may call this at once: one of them puts the rows together.
        """
        try:
            with (self._folder / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not self._folder.exists():
                    return True  # another process has just done it
                rows = self.done()
                if any(key not in rows for key in self._keys):
                    return False
                order = {run: place for place, run in enumerate(dict.fromkeys(run for run, _, _ in self._keys))}
                keys = sorted(self._keys, key=lambda key: (key[1], key[2], order[key[0]]))
                _write(self._out, self._header, [rows[key] for key in keys], made_by)
                shutil.rmtree(self._folder)
        except FileNotFoundError:
            return True
        return True

    def _compare(self, record: str) -> None:
        if record == self._what:
            return
        try:
            before, now = json.loads(record), json.loads(self._what)
            key = next(key for key in [*now, *before] if before.get(key) != now.get(key))
        except (ValueError, AttributeError, StopIteration):
            key = "content"
        raise InputError(
            f"{self._folder}: holds an interrupted run with another {key}: give --restart (in a notebook, "
            "restart=True) to throw it away, or finish that one"
        )

    def _claim(self, file: TextIO) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise InputError(f"{self._path}: another process is writing this run: wait for it") from None


def is_complete(out: Path, made_by: Mapping[str, Any], keys: Iterable[Key]) -> bool:
    """Whether a file holds exactly these rows, made in this way by whatever commit."""
    try:
        with out.open(newline="", encoding="utf-8") as file:
            _, *rows = csv.reader(file)
        return _same_record(out, made_by) and sorted((row[0], row[2], row[3]) for row in rows) == sorted(keys)
    except (OSError, ValueError, IndexError):
        return False


def _same_record(out: Path, made_by: Mapping[str, Any]) -> bool:
    """Whether the JSON file says the same but for the commit."""
    before = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    return {**before, "commit": ""} == {**json.loads(json.dumps(made_by)), "commit": ""}


def _write(out: Path, header: Iterable[str], rows: Iterable[Iterable[str]], made_by: Mapping[str, Any]) -> None:
    """A CSV file of rows and the JSON file of what made them.

    Where that gives the rows that are there already and nothing but the commit changed, the record stays: it then says
    which commit made them first.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with contextlib.suppress(OSError, ValueError):
        if _same_record(out, made_by) and out.read_text(encoding="utf-8") == text.getvalue():
            return
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")
    with replacing(out.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(made_by, indent=1) + "\n", encoding="utf-8")


def _complete(path: Path) -> Iterator[list[str]]:
    """The rows of a journal, less a last one that a kill cut short."""
    text = path.read_text(encoding="utf-8")
    for row in csv.reader(io.StringIO(text[: text.rfind("\n") + 1])):
        if len(row) == len(COLUMNS):
            yield row


def _mend(path: Path) -> None:
    """Cut off what a kill left of a row."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
