"""Times of alternating measurements, and what they say: rates, ratios within a round, a table. Knows no torch."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from eqvi.errors import InputError
from eqvi.markdown import read_rows

#: What a (part, variant) is held against: the first of these that was measured as well. Of data it is the step that has
#: to be fed.
AGAINST = {
    ("training", "ours"): (("training", "published"),),
    ("training", "stored"): (("training", "published"), ("training", "ours")),
    ("interpolation", "x2"): (("interpolation", "published"),),
    ("interpolation", "x4"): (("interpolation", "published"),),
    ("data", "rendered"): (("training", "ours"),),
    ("data", "stored"): (("training", "stored"),),
}


class Row(NamedTuple):
    """One measurement.

    Attributes:
        part, variant: what was measured, see `eqvi.evaluation.workloads`.
        unit: what it makes: ``samples``, ``frames`` or ``windows``.
        round: all variants of a part were measured once in each round, one after the other.
        made: how many.
        seconds: in how long.
        peak_mib: most memory in use meanwhile, MiB; None where nobody asked or can tell.
    """

    part: str
    variant: str
    unit: str
    round: int
    made: int
    seconds: float
    peak_mib: float | None


class Spread(NamedTuple):
    """The median over rounds with the lowest and the highest."""

    middle: float
    low: float
    high: float


class Line(NamedTuple):
    """What the rows of a variant say together.

    Attributes:
        part, variant, unit: as of `Row`.
        rate: made a second.
        against: part and variant of the other, if that was measured as well; all that follows is None else.
        ratio: of the rates, both of the same round.
        peak_mib: most memory over the rounds, MiB.
        memory_ratio: of the peaks.
    """

    part: str
    variant: str
    unit: str
    rate: Spread
    against: str | None
    ratio: Spread | None
    peak_mib: float | None
    memory_ratio: float | None


def summary(rows: Iterable[Row]) -> list[Line]:
    """A line for every variant, in their order of appearance."""
    groups: dict[tuple[str, str], dict[int, Row]] = {}
    for row in rows:
        groups.setdefault((row.part, row.variant), {})[row.round] = row
    lines = []
    for key, own in groups.items():
        against = next((other for other in AGAINST.get(key, ()) if other in groups), None)
        rates = {number: row.made / row.seconds for number, row in own.items()}
        ratio = memory_ratio = None
        peak = _peak(own.values())
        if against is not None:
            other = groups[against]
            shared = [number for number in rates if number in other]
            ratio = _spread([rates[number] * other[number].seconds / other[number].made for number in shared])
            reference = _peak(other.values())
            memory_ratio = None if peak is None or reference is None else peak / reference
        unit, named = next(iter(own.values())).unit, " ".join(against) if against else None
        lines.append(Line(*key, unit, _spread(list(rates.values())), named, ratio, peak, memory_ratio))
    return lines


#: What the columns of `cells` are.
HEAD = ("part", "variant", "median (lowest to highest)", "ratio, by round", "of", "peak MiB", "ratio")


def cells(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """The lines as text, under `HEAD`."""
    found: list[tuple[str, ...]] = []
    for line in lines:
        ratio = "" if line.ratio is None else _written(line.ratio, "x")
        peak = "" if line.peak_mib is None else f"{line.peak_mib:.0f}"
        memory = "" if line.memory_ratio is None else f"{line.memory_ratio:.2f}x"
        rate = _written(line.rate, f" {line.unit}/s")
        found.append((line.part, line.variant, rate, ratio, line.against or "", peak, memory))
    return found


def table(lines: Sequence[Line]) -> str:
    """The lines for a terminal, in columns."""
    rows = [HEAD, *cells(lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    right = (5, 6)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def read(path: Path) -> list[Row]:
    """The rows of a file that `eqvi.evaluation.bench` wrote.

    Raises:
        InputError: it cannot be read, or is another file.
    """
    try:
        rows = [tuple(row[name] for name in Row._fields) for row in read_rows(path)]
        return [
            Row(part, variant, unit, int(number), int(made), float(seconds), float(peak) if peak else None)
            for part, variant, unit, number, made, seconds, peak in rows
        ]
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: is no file of `python -m eqvi bench` ({error})") from None


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def _peak(rows: Iterable[Row]) -> float | None:
    known = [row.peak_mib for row in rows if row.peak_mib is not None]
    return max(known) if known else None


def _written(spread: Spread, unit: str) -> str:
    middle, low, high = (f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in spread)
    return f"{middle}{unit} ({low} to {high})"
