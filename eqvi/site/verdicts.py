"""The claims as the index shows them: those of this study and those of the paper, by verdict. Imports no torch."""

from pathlib import Path
from typing import Any, NamedTuple

from eqvi.errors import InputError
from eqvi.reports import claims
from eqvi.reports.claim_list import OF_PAPER, OF_STUDY
from eqvi.reports.verdict_rule import FAILS, HOLDS, MISSING, OPEN

#: Verdict, its name in the page, and its sign, so that none is told by colour alone.
KINDS = ((HOLDS, "holds", "✓"), (FAILS, "fails", "✗"), (OPEN, "open", "?"), (MISSING, "missing", "–"))


class Interval(NamedTuple):
    """Position of an interval relative to zero, in percent of the width of its picture."""

    low: float
    high: float
    value: float


class Group(NamedTuple):
    """The claims of one verdict: `rows` has the columns of the ledger as text, and the interval of each."""

    kind: str
    sign: str
    verdict: str
    rows: list[tuple[Any, Interval | None]]


class Lists(NamedTuple):
    """The claims of this study by verdict, all four; those of the paper by verdict, without empty groups.

    They are counted apart. `scores` is how many of the published scores were measured.
    """

    study: list[Group]
    paper: list[Group]
    scores: int


def lists(results: Path) -> Lists:
    """The claims in ``claims.csv`` of a folder of results.

    Raises:
        InputError: it is missing, or holds an unknown verdict.
    """
    ledger = claims.read(results)
    for verdict in set(ledger["verdict"]) - {verdict for verdict, *_ in KINDS}:
        raise InputError(f"{results / 'claims.csv'}: verdict {verdict!r} is not known: run notebook 22 again")
    lines = list(zip(ledger.itertuples(), claims.as_text(ledger).itertuples(), strict=True))
    study, paper = (
        [
            Group(kind, sign, verdict, [
                (text, interval(line)) for line, text in lines if (line.list, line.verdict) == (whose, verdict)
            ])
            for verdict, kind, sign in KINDS
        ]
        for whose in (OF_STUDY, OF_PAPER)
    )  # fmt: skip
    scores = ledger.query("list == @OF_PAPER and kind == 'figure' and metric in ['psnr', 'ssim']")
    return Lists(study, [group for group in paper if group.rows], int((scores["verdict"] != MISSING).sum()))


def interval(line: Any) -> Interval | None:
    """The interval of a measured difference; None for what is no difference or has no interval."""
    values = (line.low, line.high, line.estimate)
    if line.kind == "figure" or any(value != value for value in values):  # NaN
        return None
    reach = max(map(abs, values)) or 1.0
    return Interval(*(round(50 + 46 * value / reach, 1) for value in values))
