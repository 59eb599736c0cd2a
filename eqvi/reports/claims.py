"""The ledger: every claim about EQVI, what was measured of it here, and the verdict. Made from `results/` alone.

A claim about a difference *holds* if the 95 % interval of the difference, clips as units, lies wholly on the claimed
side, *does not hold* if it lies wholly on the other, and *cannot be decided* in between or with so few clips that no
sign test could: then the ledger says how many it would take. Where models were trained with several seeds, the
difference is that of their means over the seeds, and no verdict stands against a seed that says the opposite. A
published figure holds if it is met within `TOLERANCE`.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from eqvi.files import replacing
from eqvi.markdown import markdown_table
from eqvi.paths import RESULTS
from eqvi.reports.claim_list import FOREIGN, README, STUDY, Difference, differences
from eqvi.reports.published import Figure, figures, four_digits, obtain
from eqvi.reports.runs import members
from eqvi.reports.statistics import FEWEST_FOR_VERDICT, Estimate, clips_needed, estimate
from eqvi.reports.tables import READINGS, gain, offset, readings

HOLDS, FAILS, OPEN, MISSING = "holds", "does not hold", "cannot be decided with this data", "not measured"
#: How far a measured figure may be from the published one: less than the smallest difference that is published.
TOLERANCE = {"psnr": 0.005, "ssim": 0.0003}
#: The spread of paired differences between clips that is assumed where none was measured, in dB.
ASSUMED_SPREAD = 0.02


class Finding(NamedTuple):
    """A line of the ledger; empty where there is nothing to say. Fields are the columns of ``claims.csv``."""

    claim: str
    source: str
    evidence: str
    published: str = ""
    measured: str = ""
    low: str = ""
    high: str = ""
    clips: str = ""
    sign_p: str = ""
    spread: str = ""
    clips_needed: str = ""
    verdict: str = MISSING
    reason: str = ""


def ledger(folder: Path = RESULTS) -> list[Finding]:
    """Every claim with its verdict.

    Raises:
        InputError: results that cannot be read, or that do not belong together.
    """
    stated = figures(folder)
    return [
        *(_figure(folder, figure, column) for figure in stated for column in TOLERANCE if getattr(figure, column)),
        *(_difference(folder, claim) for claim in differences(stated)),
        *_conventions(folder, stated),
        _training_time(),
        *_out_of_reach(),
    ]


def write(folder: Path = RESULTS) -> Path:
    """Write ``claims.csv`` into the folder of results.

    Raises:
        InputError: as `ledger`, or the folder cannot be written to.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([Finding._fields, *ledger(folder)])
    path = folder / "claims.csv"
    with replacing(path) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")
    return path


def table(findings: Iterable[Finding]) -> str:
    """The ledger as Markdown."""
    header = ["claim", "published", "measured, 95 % interval", "clips", "clips needed", "verdict", "why"]
    rows = []
    for one in findings:
        interval = f" [{one.low}, {one.high}]" if one.low else ""
        measured = f"{one.measured}{interval}"
        rows.append([one.claim, one.published, measured, one.clips, one.clips_needed, one.verdict, one.reason])
    return markdown_table(header, rows)


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many claims got each verdict."""
    verdicts = [one.verdict for one in findings]
    return {verdict: verdicts.count(verdict) for verdict in (HOLDS, FAILS, OPEN, MISSING)}


def summary(findings: Sequence[Finding]) -> str:
    """The ledger as Markdown under a line that counts the verdicts, what was measured first."""
    order = (HOLDS, FAILS, OPEN, MISSING)
    findings = sorted(findings, key=lambda one: order.index(one.verdict))
    verdicts = "; ".join(f"{verdict}: {number}" for verdict, number in counts(findings).items())
    return f"{len(findings)} claims: {verdicts}.\n\n{table(findings)}"


def estimates(folder: Path, words: str) -> dict[str, Estimate]:
    """The measured gain in PSNR of every claim whose text holds some words."""
    found = {}
    for claim in differences(figures(folder)):
        if words in claim.text and claim.column == "psnr":
            measured = gain(folder, claim.run, claim.against)
            if isinstance(measured, Estimate):
                found[claim.text] = measured
    return found


def power_table(folder: Path = RESULTS, spreads: Sequence[float] = (0.01, 0.02, 0.05, 0.1)) -> str:
    """How many clips each published gain would take, by the spread of paired differences between clips in dB."""
    gains = [one for one in differences(figures(folder)) if one.column == "psnr" and one.published]
    rows = [
        [
            one.text,
            f"{one.published:+.4f}",
            *(str(clips_needed(float(one.published or 0), spread)) for spread in spreads),
        ]
        for one in gains
    ]
    return markdown_table(["claim", "published gain, dB", *(f"spread {spread:g} dB" for spread in spreads)], rows)


def _figure(folder: Path, figure: Figure, column: str) -> Finding:
    stated: str = getattr(figure, column)
    unit = " dB" if column == "psnr" else ""
    text = f"{figure.checkpoint}: {column.upper()} on {figure.data}"
    line = Finding(text, README, f"{figure.run}.csv", four_digits(stated) + unit)
    run = obtain(folder, figure.run)
    if isinstance(run, str):
        return line._replace(reason=run)
    means = estimate(list(run.clip_means(column).values()))
    far = means.value - float(stated)
    reading, value = min(readings(run, column).items(), key=lambda item: abs(item[1] - float(stated)))
    return line._replace(
        measured=f"{means.value:.4f}",
        low=f"{means.low:.4f}",
        high=f"{means.high:.4f}",
        clips=str(means.clips),
        verdict=HOLDS if abs(far) <= TOLERANCE[column] else FAILS,
        reason=f"off by {offset(far)}{unit}; the nearest reading is '{reading}', {offset(value - float(stated))}",
    )


def _difference(folder: Path, claim: Difference) -> Finding:
    files = dict.fromkeys(f"{name.partition(':')[0]}.csv" for name in (claim.run, claim.against))
    digits = 4 if claim.column in TOLERANCE else 3
    line = Finding(claim.text, claim.source, " and ".join(files))
    if claim.published is not None:
        line = line._replace(published=f"{claim.published:+.{digits}f}")
        if claim.column == "psnr":
            line = line._replace(
                spread=f"{ASSUMED_SPREAD} assumed", clips_needed=str(clips_needed(claim.published, ASSUMED_SPREAD))
            )
    found = gain(folder, claim.run, claim.against, claim.column)
    if isinstance(found, str):
        return line._replace(reason=found)
    line = _judged(line, found, claim.sign, claim.published, digits)
    return _agreed(line, seed_gains(folder, claim.run, claim.against, claim.column), digits)


def seed_gains(folder: Path, better: str, worse: str, column: str = "psnr") -> dict[str, float]:
    """The mean gain of one row of trained models over another, seed against the same seed; empty for single runs.

    Args:
        folder: where results lie.
        better, worse: names with ``*`` for the seeds, see `eqvi.reports.runs.read_run`.
        column: which number.
    """
    rivals = {name.rpartition("_")[2]: name for name in members(folder, worse)}
    pairs = {name.rpartition("_")[2]: name for name in members(folder, better)}
    if len(pairs) < 2:
        return {}
    found = {seed: gain(folder, name, rivals[seed], column) for seed, name in pairs.items() if seed in rivals}
    return {seed: one.value for seed, one in found.items() if isinstance(one, Estimate)}


def _agreed(line: Finding, seeds: dict[str, float], digits: int) -> Finding:
    """The line with what each seed says; a verdict that one of them contradicts falls."""
    if not seeds:
        return line
    said = f"seeds {', '.join(f'{value:+.{digits}f}' for value in seeds.values())}"
    signs = {value > 0 for value in seeds.values()}
    if line.verdict in (HOLDS, FAILS) and len(signs) > 1:
        return line._replace(verdict=OPEN, reason=f"the seeds disagree: {said}")
    return line._replace(reason="; ".join(filter(None, (line.reason, said))))


def _judged(
    line: Finding, found: Estimate, sign: int, published: float | None = None, digits: int = 4, beyond: float = 0.0
) -> Finding:
    """A line with what was measured and the verdict on `sign` * measured > `beyond`."""
    # The power asked for is that for the published effect; without one, for the effect that was seen.
    effect = published if published is not None else found.value - beyond
    needed = clips_needed(effect, found.spread)
    line = line._replace(
        measured=f"{found.value:+.{digits}f}",
        low=f"{found.low:+.{digits}f}" if math.isfinite(found.low) else "",
        high=f"{found.high:+.{digits}f}" if math.isfinite(found.high) else "",
        clips=str(found.clips),
        sign_p=f"{found.sign_p:.3g}",
        spread=f"{found.spread:.{digits}f}",
        clips_needed="" if needed is None else str(needed),
    )
    low, high = sorted((sign * found.low, sign * found.high))
    if found.clips < FEWEST_FOR_VERDICT:
        few = f"{found.clips} clips: a sign test on fewer than {FEWEST_FOR_VERDICT} stays above 0.05 whatever they say"
        return line._replace(verdict=OPEN, reason=few)
    if low > beyond:
        return line._replace(verdict=HOLDS)
    if high < beyond:
        return line._replace(verdict=FAILS, reason="the interval lies on the other side")
    limit = f"{beyond:g}" if beyond else "zero"
    return line._replace(verdict=OPEN, reason=f"the interval holds {limit}: the clips disagree")


def _conventions(folder: Path, stated: list[Figure]) -> list[Finding]:
    """What a choice of convention does to a figure; no published model is needed to see that."""
    name = "baseline_rendered"
    gaps = [abs(one.published) for one in differences(stated) if one.column == "psnr" and one.published is not None]
    lines = [
        Finding("truncating the output to 8 bits lowers PSNR, rendered clips", STUDY, f"{name}.csv"),
        Finding(
            "the choice of reading moves a clip's PSNR by more than the largest published gain, rendered clips",
            STUDY, f"{name}.csv", f"{max(gaps):.4f} dB",
        ),
    ]  # fmt: skip
    run = obtain(folder, name)
    if isinstance(run, str):
        return [line._replace(reason=run) for line in lines]
    kinds = [key for key in READINGS["psnr"].values() if run.has(key)]
    means = {key: run.clip_means(key) for key in kinds}
    if "psnr_truncated" in means:
        cut = [means["psnr_truncated"][clip] - means["psnr"][clip] for clip in run.clips]
        lines[0] = _judged(lines[0], estimate(cut), sign=-1)
    spans = [max(scores) - min(scores) for scores in ([means[key][clip] for key in kinds] for clip in run.clips)]
    lines[1] = _judged(lines[1], estimate(spans), sign=1, beyond=max(gaps))
    return lines


def _training_time() -> Finding:
    """Nine: an epoch's length, their number and the days they took contradict each other."""
    seconds, epochs, days = 3600, 200, (3, 5)
    product = seconds * epochs / 86_400
    return Finding(
        f"training takes {days[0]} to {days[1]} days at {seconds} s an epoch for {epochs} epochs",
        README,
        "arithmetic",
        published=f"{days[0]} to {days[1]} days",
        measured=f"{product:.1f} days",
        verdict=HOLDS if days[0] <= product <= days[1] else FAILS,
        reason=f"{epochs} x {seconds} s are {product:.1f} days",
    )


def _out_of_reach() -> list[Finding]:
    """Claims that no file of results here could decide, each with what it would take."""
    return [Finding(text, source, "none", published, reason=reason) for text, source, published, reason in FOREIGN]
