"""The result file of one step of a visit to a GPU: written anew with every row, so that nothing is lost by a stop."""

import json
import math
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from eqvi.files import parse_json, replacing

#: All result files of a visit in one.
RECORDS_FILE = "records.zip"
#: What a step can end as; ``running`` stays only where the whole command was killed.
STATUSES = ("running", "done", "failed", "stopped", "skipped")


class Visit(NamedTuple):
    """What all steps of one visit share; it can be pickled.

    Attributes:
        folder: of the result files.
        device: cuda or cpu.
        toy: whether all is done at the size of a rehearsal.
        command: as the user gave it.
        runs: the training runs of step ``weights``, each an `eqvi.training.recipe.Recipe`, by name.
        ablation: those of its ablation, which come after them.
        packed: folder of the few files that are to be carried away; None: `folder`.
    """

    folder: Path
    device: str
    toy: bool
    command: str
    runs: Mapping[str, Any] = {}  # whose import takes seconds
    ablation: Mapping[str, Any] = {}
    packed: Path | None = None


def pack_records(visit: Visit) -> Path:
    """Write all result files and the log into one, `RECORDS_FILE`.

    Raises:
        InputError: it cannot be written.
    """
    target = (visit.packed or visit.folder) / RECORDS_FILE
    with replacing(target) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted([*visit.folder.glob("*.json"), *visit.folder.glob("log.txt")]):
            packed.write(path, path.name)
    return target


class Record:
    """A step's result file, ``FOLDER/STEP.json``.

    Args:
        visit: that the step belongs to.
        step: its name.
        limit: seconds that it may take.
    """

    def __init__(self, visit: Visit, step: str, limit: float) -> None:
        self.path = visit.folder / f"{step}.json"
        self.values: dict[str, Any] = {
            "step": step, "status": "running", "why": "", "seconds": 0.0, "limit_s": round(limit, 1),
            "command": visit.command, "device_kind": visit.device, "toy": visit.toy,
            "provenance": {}, "tables": {},
        }  # fmt: skip
        self._started = time.monotonic()

    @classmethod
    def read(cls, visit: Visit, step: str, limit: float) -> "Record":
        """The record as the step's own process left it, or an empty one."""
        record = cls(visit, step, limit)
        if record.path.is_file():
            record.values = parse_json(record.path.read_text(encoding="utf-8"))
        return record

    def add(self, table: str, **row: Any) -> None:
        """Add a row to one of the step's tables and write the file."""
        self.values["tables"].setdefault(table, []).append({name: _plain(value) for name, value in row.items()})
        self.write()

    def note(self, **values: Any) -> None:
        """Set values beside the tables and write the file."""
        self.values |= {name: _plain(value) for name, value in values.items()}
        self.write()

    def close(self, status: str, why: str = "", seconds: float | None = None) -> None:
        """Say how the step ended and write the file."""
        spent = time.monotonic() - self._started if seconds is None else seconds
        self.note(status=status, why=why, seconds=round(spent, 2))

    def write(self) -> None:
        """Write the file whole.

        Raises:
            InputError: the place is not writable or the disk is full.
        """
        with replacing(self.path) as partial:
            partial.write_text(json.dumps(self.values, indent=1) + "\n", encoding="utf-8")

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table so far."""
        return self.values["tables"].get(table, [])


class Task(NamedTuple):
    """What a step's function is given: the visit, its record, and when to end."""

    visit: Visit
    record: Record
    deadline: float

    def left(self) -> float:
        """Seconds until the step should end by itself."""
        return self.deadline - time.monotonic()

    def say(self, text: str) -> None:
        """Print a line and add it to the visit's log."""
        say(self.visit.folder, f"  {self.record.values['step']}: {text}")


def say(folder: Path, text: str) -> None:
    """Print a line and add it to ``FOLDER/log.txt``."""
    print(text, flush=True)
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        log.write(text + "\n")


def _plain(value: Any) -> Any:
    """A value that JSON can hold; numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
