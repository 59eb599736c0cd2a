"""Markdown that is generated: tables, and the parts of a document between markers.

A generated part of a Markdown document stands between two markers that name it::

    <!-- begin: table results/reported.csv -->
    ...
    <!-- end: table results/reported.csv -->

`fill` rewrites every such part and leaves the rest alone, so a document is up to date if filling changes nothing.
"""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from eqvi.errors import InputError

_MARKER = re.compile(r"^<!-- (begin|end): (.+?) -->[ \t]*$", re.MULTILINE)


def fill(document: str, part: Callable[[str], str]) -> str:
    """A document with every generated part rewritten.

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


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], aligned: bool = False) -> str:
    """A Markdown table; a column of numbers is aligned to the right.

    Args:
        header, rows: the cells as text.
        aligned: pad the cells to columns, for a terminal.
    """
    lines = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    numeric = numeric_columns(lines, len(header))
    rule = ["---:" if right else "---" for right in numeric]
    table = [list(header), rule, *lines]
    if aligned:
        widths = [max(len(line[column]) for line in table) for column in range(len(header))]
        sides = [">" if right else "<" for right in numeric]
        table = [
            [f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)] for line in table
        ]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def numeric_columns(rows: Sequence[Sequence[str]], columns: int) -> list[bool]:
    """Which columns of a table hold numbers and empty cells only."""
    return [bool(rows) and all(_is_number(row[column]) for row in rows) for column in range(columns)]


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


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True
