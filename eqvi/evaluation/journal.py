"""Rows of results on disk: journals of unfinished runs, which survive a kill, and finished CSV files.

An unfinished run lies in the hidden folder ``.RUN.part`` beside its CSV file: ``run.json`` identifies the run, and
every process appends the rows that it finishes to a journal of its own, each with its CRC-32. The process that finds
all rows there sorts them into the CSV file and removes the folder. Rows that are in any journal are not computed again.
"""

import contextlib
import csv
import io
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from eqvi.errors import InputError
from eqvi.files import exclusive, parse_json, replacing, write_failure

#: One row for every scored frame; an empty cell was not measured.
COLUMNS = (
    "run", "dataset", "clip", "frame", "t", "psnr", "ssim", "psnr_float", "psnr_truncated", "mse", "psnr_luma",
    "psnr_cropped", "ssim_7x7", "ssim_3d", "sharpness", "sharpness_truth", "lpips", "motion", "acceleration",
    "occlusion", "seconds",
)  # fmt: skip

RowKey = tuple[str, str, str]  # run, clip, frame


class Journal:
    """The rows of an unfinished run, as a context that locks this process's journal.

    Args:
        out: the CSV file of the finished run.
        identity: everything that the rows depend on; an interrupted run is resumed only if it is the same.
        keys: (run, clip, frame) of every row of the file, in working order.
        rank, world: index of this process and number of processes.
        name_column: header of the first column.
        restart: discard an interrupted run.

    Attributes:
        share: the keys that belong to this process; neighbours, so that flows can be reused.

    Raises:
        InputError: the interrupted run there is another one, another process writes it, or it cannot be written.
    """

    def __init__(
        self,
        out: Path,
        identity: Mapping[str, Any],
        keys: Sequence[RowKey],
        rank: int = 0,
        world: int = 1,
        name_column: str = "run",
        restart: bool = False,
    ) -> None:
        if not 0 <= rank < world:
            raise InputError(f"RANK={rank} and WORLD_SIZE={world} do not fit: ranks run from 0 to WORLD_SIZE - 1")
        self._folder = out.with_name(f".{out.stem}.part")
        if restart and world > 1:
            raise InputError(f"one of several processes cannot restart for all: remove {self._folder} first")
        self._out, self._keys, self._header, self._restart = out, keys, (name_column, *COLUMNS[1:]), restart
        self._path = self._folder / f"{rank}-of-{world}.csv"
        self._identity = json.dumps(identity, sort_keys=True)
        self.share = keys[len(keys) * rank // world : len(keys) * (rank + 1) // world]

    def __enter__(self) -> "Journal":
        with self._named_failures(), contextlib.ExitStack() as stack:
            if self._restart:
                if self._path.exists():
                    with exclusive(self._path.with_suffix("")):  # not while another process writes there
                        pass
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True, exist_ok=True)
            record = self._folder / "run.json"
            if not record.exists():
                # Processes that start together all write it, each by way of a file of its own, and write the same.
                own = self._path.with_suffix(".json")
                own.write_text(self._identity, encoding="utf-8")
                os.replace(own, record)
            self._compare(record.read_text(encoding="utf-8", errors="replace"))
            stack.enter_context(exclusive(self._path.with_suffix("")))
            _truncate_torn_row(self._path)
            self._file: TextIO = stack.enter_context(self._path.open("a", newline="", encoding="utf-8"))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._named_failures():  # closing writes what a full disk has not taken
            self._open.close()

    def rows(self) -> dict[RowKey, list[str]]:
        """All finished rows, of every process."""
        rows: dict[RowKey, list[str]] = {}
        for path in sorted(self._folder.glob("*-of-*.csv")):
            for row in _whole_rows(path):
                rows.setdefault((row[0], row[2], row[3]), row)
        return rows

    def append(self, row: Mapping[str, str]) -> None:
        """Write one finished row through to the disk."""
        with self._named_failures():
            text = io.StringIO()
            csv.DictWriter(text, COLUMNS, lineterminator="").writerow(row)
            self._file.write(f"{text.getvalue()},{_checksum(text.getvalue())}\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def finish(self, record: Mapping[str, Any]) -> bool:
        """Write the CSV and the JSON file if every row is there; returns whether the run is complete.

        Several processes may call this at once; one of them merges the journals.
        """
        with exclusive(self._folder / "merge", wait=True):
            if not (self._folder / "run.json").exists():  # another process has merged them
                shutil.rmtree(self._folder, ignore_errors=True)
                return True
            rows = self.rows()
            if any(key not in rows for key in self._keys):
                return False
            order = {run: place for place, run in enumerate(dict.fromkeys(run for run, _, _ in self._keys))}
            keys = sorted(self._keys, key=lambda key: (key[1], key[2], order[key[0]]))
            write_rows(self._out, self._header, [rows[key] for key in keys], record)
            shutil.rmtree(self._folder)
        return True

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"{self._out}: cannot be written: {write_failure(error)}") from None

    def _compare(self, record: str) -> None:
        if record == self._identity:
            return
        try:
            before, now = parse_json(record), parse_json(self._identity)
            key = next(key for key in [*now, *before] if before.get(key) != now.get(key))
        except (ValueError, AttributeError, StopIteration):
            key = "content"
        raise InputError(
            f"{self._folder}: holds an interrupted run with another {key}: give --restart (in a notebook, "
            "restart=True) to throw it away, or finish that one"
        )


def is_complete(out: Path, record: Mapping[str, Any], keys: Iterable[RowKey]) -> bool:
    """Whether a CSV file holds exactly these rows, and its JSON file the same record, whatever the commit."""
    try:
        with out.open(newline="", encoding="utf-8") as file:
            _, *rows = csv.reader(file)
        return _same_record(out, record) and sorted((row[0], row[2], row[3]) for row in rows) == sorted(keys)
    except (OSError, ValueError, IndexError):
        return False


def write_rows(out: Path, header: Sequence[str], rows: Iterable[Iterable[object]], record: Mapping[str, Any]) -> None:
    """Write a CSV file of rows, and beside it a JSON file that records what made them.

    If the rows are there already and nothing but the commit differs, both files stay as they are: the record names the
    commit that made the rows first.

    Raises:
        InputError: the place is not writable or the disk is full.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    with contextlib.suppress(OSError, ValueError):
        if _same_record(out, record) and out.read_text(encoding="utf-8") == text.getvalue():
            return
    for path, content in ((out, text.getvalue()), (out.with_suffix(".json"), json.dumps(record, indent=1) + "\n")):
        with replacing(path) as partial:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(content, encoding="utf-8")


def _same_record(out: Path, record: Mapping[str, Any]) -> bool:
    before = parse_json(out.with_suffix(".json").read_text(encoding="utf-8"))
    return {**before, "commit": ""} == {**json.loads(json.dumps(record)), "commit": ""}


def _whole_rows(path: Path) -> Iterator[list[str]]:
    """The rows of a journal, less a last one that a kill cut short and those that are not as they were written."""
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        text, _, checksum = line.rpartition(",")
        if checksum == _checksum(text):
            yield from csv.reader([text])


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _truncate_torn_row(path: Path) -> None:
    content = path.read_bytes() if path.exists() else b""
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)
