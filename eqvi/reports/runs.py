"""Files of scored frames: ``results/RUN.csv``, one row a frame, and ``results/RUN.json``, what made it.

An empty cell was not measured. Means are taken over the frames of a clip first, and over clips then.
"""

import csv
import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqvi.errors import InputError

#: Columns that are names; all others are numbers.
NAMES = ("run", "dataset", "clip", "kind", "frame", "model", "flow", "t")


@dataclass(frozen=True)
class Run:
    """The scored frames of one model on one set of clips.

    Attributes:
        name: the run's; ``FILE:COLUMN=VALUE,...`` if it is a part of a file.
        path: the CSV file.
        frames: (clip, frame) of each row.
        values: numbers by column, NaN where not measured.
        made_by: the provenance file's content.
    """

    name: str
    path: Path
    frames: list[tuple[str, str]]
    values: dict[str, NDArray[np.float64]]
    made_by: dict[str, Any]

    @property
    def protocol(self) -> object:
        """The conventions that the scores follow, as the provenance file has them."""
        return self.made_by.get("protocol")

    @property
    def clips(self) -> list[str]:
        """The clips, in order."""
        return sorted({clip for clip, _ in self.frames})

    def has(self, column: str) -> bool:
        """Whether a number was measured at every frame."""
        return column in self.values and not bool(np.isnan(self.values[column]).any())

    def clip_means(self, column: str, chosen: NDArray[np.bool_] | None = None) -> dict[str, float]:
        """The mean of a column over each clip's frames, or over those of them that are `chosen`."""
        groups: dict[str, list[float]] = {}
        for index, (clip, _) in enumerate(self.frames):
            if chosen is None or chosen[index]:
                groups.setdefault(clip, []).append(float(self.values[column][index]))
        return {clip: math.fsum(groups[clip]) / len(groups[clip]) for clip in sorted(groups)}


def read_run(folder: Path, name: str) -> Run | None:
    """A run's rows; None if nobody has measured it.

    Args:
        folder: where results lie.
        name: the file's without its ending; with ``:COLUMN=VALUE,...`` only its rows that have these values. A VALUE
            that ends in ``*`` stands for all that begin so, the seeds of one model: their mean at every frame is taken.

    Raises:
        InputError: the file or its provenance cannot be read, a row is double, a number is none, a PSNR is missing, or
            one seed scored other frames than another.
    """
    stem, _, conditions = name.partition(":")
    wanted = [condition.split("=", 1) for condition in conditions.split(",") if condition]
    path = folder / f"{stem}.csv"
    if not path.is_file():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows = [row for row in reader if all(_fits(row.get(column), value) for column, value in wanted)]
        made_by = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path} has no {path.stem}.json beside it: evaluate again, what made it is unknown"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} or its .json cannot be read ({error}): evaluate again") from error
    for column in ("clip", "frame"):
        if column not in columns:
            raise InputError(f"{path} has no column {column!r}: name a file of scored frames")
    if not rows:
        return None
    pooled = next((column for column, value in wanted if value.endswith("*")), None)
    parts: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        parts.setdefault(row[pooled] if pooled else "", []).append(row)
    if pooled:
        for part in parts.values():
            part.sort(key=_frame)
    for part in parts.values():
        for before, after in pairwise(sorted(map(_frame, part))):
            if before == after:
                raise InputError(f"{path} holds clip {after[0]}, frame {after[1]} twice: evaluate again")
    first, *others = parts.values()
    frames = [_frame(row) for row in first]
    if any([_frame(row) for row in other] != frames for other in others):
        raise InputError(f"{path}: {pooled} {', '.join(parts)} score different frames: evaluate again")
    values = {
        column: np.mean([_numbers(path, column, part) for part in parts.values()], axis=0)
        for column in columns
        if column not in NAMES
    }
    return Run(name, path, frames, values, made_by)


def members(folder: Path, name: str) -> list[str]:
    """The names of the single runs, one a seed, that `read_run` takes the mean of for a NAME with ``*``.

    Raises:
        InputError: the file cannot be read.
    """
    stem, _, condition = name.partition(":")
    column, _, value = condition.partition("=")
    path = folder / f"{stem}.csv"
    if not value.endswith("*") or not path.is_file():
        return [name]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            found = {row.get(column) or "" for row in csv.DictReader(file)}
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error}): evaluate again") from error
    return [f"{stem}:{column}={one}" for one in sorted(found) if _fits(one, value)]


def check_comparable(*runs: Run) -> None:
    """Refuse runs that do not belong in one table.

    Raises:
        InputError: two of them follow other protocols.
    """
    for run in runs[1:]:
        if run.protocol != runs[0].protocol:
            difference = _difference(runs[0].protocol, run.protocol)
            raise InputError(
                f"{runs[0].path} and {run.path} follow different protocols ({difference}): evaluate one of them again"
            )


def paired(better: Run, worse: Run, column: str, chosen: NDArray[np.bool_] | None = None) -> list[float]:
    """The difference of two runs' scores on each clip.

    Args:
        better, worse: the first less the second is taken.
        column: which number.
        chosen: use these rows of `better` only.

    Raises:
        InputError: they score different frames, by other protocols, or of other data.
    """
    check_comparable(better, worse)
    if sorted(better.frames) != sorted(worse.frames):
        raise InputError(f"{better.path} and {worse.path} score different frames: evaluate one of them again")
    for key in ("data_sha256", "lpips_sha256") if column == "lpips" else ("data_sha256",):
        if better.made_by.get(key) != worse.made_by.get(key):
            raise InputError(f"{better.path} and {worse.path} differ in {key}: evaluate one of them again")
    place = {frame: index for index, frame in enumerate(worse.frames)}
    order = np.array([place[frame] for frame in better.frames])
    difference = better.values[column] - worse.values[column][order]
    subtracted = Run(better.name, better.path, better.frames, {column: difference}, {})
    return list(subtracted.clip_means(column, chosen).values())


def _fits(value: str | None, wanted: str) -> bool:
    return value is not None and (value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted)


def _frame(row: dict[str, str]) -> tuple[str, str]:
    return row["clip"], row["frame"]


def _numbers(path: Path, column: str, rows: list[dict[str, str]]) -> NDArray[np.float64]:
    numbers = np.empty(len(rows))
    for index, row in enumerate(rows):
        try:
            numbers[index] = math.nan if row[column] == "" and column != "psnr" else float(row[column])
        except (ValueError, TypeError) as error:
            where = f"clip {row['clip']}, frame {row['frame']}"
            raise InputError(f"{path}, {where}: {column}={row[column]!r} is no number: evaluate again") from error
        if math.isinf(numbers[index]):
            raise InputError(
                f"{path}, clip {row['clip']}, frame {row['frame']}: {column} is infinite, so it has no mean: "
                "leave frames out that do not differ from their truth"
            )
    return numbers


def _difference(first: object, second: object) -> str:
    """The first setting in which two protocols differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() | second.keys()):
            if first.get(key) != second.get(key):
                return f"{key}: {first.get(key)!r} and {second.get(key)!r}"
    return f"{first!r} and {second!r}"
