"""Text that is generated from what the project holds: tables, and where they stand in a document.

A generated part of a Markdown document stands between two markers that name it::

    <!-- begin: table results/reported.csv -->
    ...
    <!-- end: table results/reported.csv -->

`fill` writes every such part anew and leaves the rest alone, so a document is in step with the project
exactly if filling it changes nothing.
"""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from eqvi.errors import InputError

_MARKER = re.compile(r"^<!-- (begin|end): (.+?) -->[ \t]*$", re.MULTILINE)
_TARGET = re.compile(r"^([a-z][a-z-]*):[^=\n]*?## *(.+)$", re.MULTILINE)


def fill(document: str, part: Callable[[str], str]) -> str:
    """A document with every generated part written anew.

    Args:
        document: Markdown with markers.
        part: the text that belongs between the markers of that name.

    Raises:
        InputError: markers that do not pair up, or what `part` raises for a name that it does not know.
    """
    pieces, position, opened = [], 0, None
    for marker in _MARKER.finditer(document):
        edge, name = marker.groups()
        if edge == "begin" and opened is None:
            opened = name
            pieces += [document[position : marker.end()], f"\n{part(name).strip()}\n"]
        elif edge == "end" and opened == name:
            opened = None
        else:
            line = document.count("\n", 0, marker.start()) + 1
            expected = "begin" if opened is None else f"end: {opened}"
            raise InputError(f"line {line}: found the marker '{edge}: {name}' where '{expected}' belongs")
        position = marker.start() if edge == "end" else marker.end()
    if opened is not None:
        raise InputError(f"the marker 'begin: {opened}' has no 'end: {opened}'")
    return "".join([*pieces, document[position:]])


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a column of numbers stands to the right."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    numeric = [bool(lines) and all(_is_number(row[column]) for row in lines) for column in range(len(header))]
    rule = ["---:" if right else "---" for right in numeric]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(header), rule, *lines])


def csv_table(path: Path) -> str:
    """The Markdown table of a CSV file, its figures as they are written there.

    Raises:
        InputError: the file cannot be read, is empty, or has rows of different lengths.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: name a CSV file") from error
    except ValueError as error:
        raise InputError(f"{path} holds no table: write a header line and rows of comma-separated values") from error
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise InputError(f"{path}, line {number}: {len(row)} values under {len(header)} headings")
    return markdown_table(header, rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file of results, by column.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: name a CSV file") from error


def means_table(rows: Sequence[Mapping[str, object]], down: str, across: str, value: str) -> str:
    """Means of a measured value: a line for each `down`, a column for each `across`, in their order of appearance.

    Under several lines stands the mean of each column that has them all.
    """
    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        groups.setdefault((str(row[down]), str(row[across])), []).append(float(str(row[value])))
    lines, columns = (list(dict.fromkeys(key[place] for key in groups)) for place in (0, 1))
    counts = {line: max(len(groups.get((line, column), [])) for column in columns) for line in lines}
    body = [
        [line, str(counts[line])]
        + [f"{mean(groups[line, column]):.2f}" if (line, column) in groups else "not measured" for column in columns]
        for line in lines
    ]
    if len(lines) > 1:
        whole = [column for column in columns if all((line, column) in groups for line in lines)]
        means = {column: f"{mean(mean(groups[line, column]) for line in lines):.2f}" for column in whole}
        body.append(["mean", str(sum(counts.values())), *(means.get(column, "not measured") for column in columns)])
    return markdown_table([down, "frames", *columns], body)


def make_targets(makefile: str) -> list[tuple[str, str]]:
    """The targets that a Makefile explains with a ``##`` comment, each with its explanation, in its order."""
    return [(name, text) for name, text in _TARGET.findall(makefile)]


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True
