"""The curves of a run as CSV files that grow while it runs, and lose what a run that goes on will write again."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from eqvi.errors import InputError
from eqvi.files import replacing, write_failure


class Curve:
    """A CSV file whose first column is the step.

    Args:
        path: the file.
        steps: of the run so far: rows of later ones are left from a run that was killed, and are dropped.

    Raises:
        InputError: the file cannot be read or written.
    """

    def __init__(self, path: Path, steps: int) -> None:
        self._path, self._header = path, list[str]()
        rows = read_curve(path) if path.is_file() else []
        kept = [row for row in rows if int(row["step"]) <= steps]
        self._file: TextIO | None = None
        with replacing(path) as partial:
            partial.write_text("".join(map(self._line, kept)), encoding="utf-8")
        self._file = path.open("a", newline="", encoding="utf-8")

    def add(self, row: Mapping[str, object]) -> None:
        """Append a row; all have the same columns, ``step`` first."""
        assert self._file is not None
        try:
            self._file.write(self._line({name: str(value) for name, value in row.items()}))
            self._file.flush()
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written: {write_failure(error)}") from None

    def close(self) -> None:
        """No more rows come."""
        assert self._file is not None
        self._file.close()

    def _line(self, row: Mapping[str, str]) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._header:
            self._header = list(row)
            writer.writerow(self._header)
        writer.writerow([row[name] for name in self._header])
        return text.getvalue()


def read_curve(path: Path) -> list[dict[str, str]]:
    """The complete rows of a curve: a kill may have cut the last one short.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: name a run that has a curve") from None
    return list(csv.DictReader(line for line in lines if line.endswith("\n")))
