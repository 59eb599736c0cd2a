"""The verdicts on all claims as the index shows them: by verdict, each with its interval. Imports no torch."""

from pathlib import Path
from typing import NamedTuple

from eqvi.errors import InputError
from eqvi.markdown import read_rows
from eqvi.reports.claims import FAILS, HOLDS, MISSING, OPEN, Finding

#: Verdict, its name in the page, its short form and its sign, so that none is told by colour alone.
KINDS = ((HOLDS, "holds", "holds", "✓"), (FAILS, "fails", "does not hold", "✗"),
         (OPEN, "open", "cannot be decided", "?"), (MISSING, "missing", "not measured", "–"))  # fmt: skip


class Interval(NamedTuple):
    """Position of an interval relative to zero, in percent of the width of its picture."""

    low: float
    high: float
    value: float


class Row(NamedTuple):
    """A claim."""

    kind: str
    sign: str
    verdict: str
    finding: Finding
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
        InputError: it is missing, or holds an unknown verdict.
    """
    path = results / "claims.csv"
    try:
        findings = [Finding(**row) for row in read_rows(path)]
    except TypeError as error:
        raise InputError(f"{path} is no ledger of claims: run notebook 22 again") from error
    known = {verdict for verdict, *_ in KINDS}
    for finding in findings:
        if finding.verdict not in known:
            raise InputError(f"{path}: verdict {finding.verdict!r} is not known: run notebook 22 again")
    return [
        Group(
            kind, sign, short, [Row(kind, sign, short, one, interval(one)) for one in findings if one.verdict == full]
        )
        for full, kind, short, sign in KINDS
    ]


def interval(finding: Finding) -> Interval | None:
    """The interval of a measured difference; None for what is no difference or has no interval."""
    if not (finding.low and finding.high and finding.measured[:1] in "+-"):
        return None
    low, high, value = float(finding.low), float(finding.high), float(finding.measured)
    reach = max(abs(low), abs(high), abs(value)) or 1.0
    return Interval(*(round(50 + 46 * one / reach, 1) for one in (low, high, value)))
