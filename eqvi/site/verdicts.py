"""The ledger of claims as the index shows it: by verdict, each with its interval. Needs no torch."""

from pathlib import Path
from typing import Any, NamedTuple

from eqvi.errors import InputError
from eqvi.reports import claims
from eqvi.reports.claims import FAILS, HOLDS, MISSING, OPEN

#: Verdict, its name in the page, its short form and its sign: none is known by its colour alone.
KINDS = ((HOLDS, "holds", "holds", "✓"), (FAILS, "fails", "does not hold", "✗"),
         (OPEN, "open", "cannot be decided", "?"), (MISSING, "missing", "not measured", "–"))  # fmt: skip


class Interval(NamedTuple):
    """Where an interval lies about zero, in percent of the width of its picture."""

    low: float
    high: float
    value: float


class Row(NamedTuple):
    """A claim: `text` has the columns of the ledger, as they are written."""

    kind: str
    sign: str
    verdict: str
    text: Any
    interval: Interval | None


class Group(NamedTuple):
    """The claims of one verdict."""

    kind: str
    sign: str
    verdict: str
    rows: list[Row]


def groups(results: Path) -> list[Group]:
    """The ledger in ``claims.csv``.

    Args:
        results: its folder.

    Raises:
        InputError: it is missing, or holds a verdict that nobody gives.
    """
    ledger = claims.read(results)
    for verdict in set(ledger["verdict"]) - {verdict for verdict, *_ in KINDS}:
        raise InputError(f"{results / 'claims.csv'}: verdict {verdict!r} is not known: run notebook 22 again")
    lines = list(zip(ledger.itertuples(), claims.as_text(ledger).itertuples(), strict=True))
    return [
        Group(
            kind, sign, short,
            [Row(kind, sign, short, text, interval(line)) for line, text in lines if line.verdict == full],
        )
        for full, kind, short, sign in KINDS
    ]  # fmt: skip


def interval(line: Any) -> Interval | None:
    """Where a measured difference lies; None for what is no difference or has no interval."""
    values = (line.low, line.high, line.estimate)
    if line.kind != "difference" or any(value != value for value in values):  # NaN
        return None
    reach = max(map(abs, values)) or 1.0
    return Interval(*(round(50 + 46 * value / reach, 1) for value in values))
