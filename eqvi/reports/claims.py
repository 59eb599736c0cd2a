"""The ledger: every claim about EQVI, what was measured of it here, and the verdict. Made from `results/` alone.

A claim about a difference *holds* if the 95 % interval of the difference, clips as units, lies wholly on the claimed
side, *does not hold* if it lies wholly on the other, and *cannot be decided* in between or with so few clips that no
sign test could; then the ledger says how many it would take. Where models were trained with several seeds, the
difference is that of their means over the seeds, and a seed that contradicts the verdict makes it undecided. A
published figure holds if it is met within `TOLERANCE`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eqvi.errors import InputError
from eqvi.files import replacing
from eqvi.paths import RESULTS
from eqvi.reports.claim_list import README, STUDY, Claim, differences, figures, undecidable
from eqvi.reports.comparisons import READINGS, gain, readings
from eqvi.reports.published import four_digits
from eqvi.reports.runs import members, read_run
from eqvi.reports.statistics import FEWEST_FOR_VERDICT, Estimate, clips_needed, estimate

HOLDS, FAILS, OPEN, MISSING = VERDICTS = (
    "holds", "does not hold", "cannot be decided with this data", "not measured"
)  # fmt: skip
#: Largest distance of a measured figure from the published one that meets it: less than any published difference made
#: by one part or one way of training.
TOLERANCE = {"psnr": 0.005, "ssim": 0.0003}
#: The spread of paired differences between clips that is assumed where none was measured, in dB.
ASSUMED_SPREAD = 0.02
#: Columns of the ledger and of ``claims.csv``, with their dtypes. The first are fields of `Claim`; ``evidence`` names
#: files of results; ``published``, ``estimate``, ``low``, ``high`` and ``spread`` are in ``unit``;
#: ``spread_of`` says whether the spread was measured or assumed; ``reason`` explains verdict and missing values.
COLUMNS = dict.fromkeys((*Claim._fields[:8], "kind", "evidence"), "str") | {
    "published": "float64", "estimate": "float64", "low": "float64", "high": "float64", "unit": "str",
    "clips": "Int64", "sign_p": "float64", "spread": "float64", "spread_of": "str", "clips_needed": "Int64",
    "verdict": "str", "reason": "str",
}  # fmt: skip
_UNITS = {"psnr": "dB", "epe_visible": "px", "days": "days"}
_DIGITS = {"psnr": 4, "ssim": 4, "days": 1}


def ledger(folder: Path = RESULTS) -> pd.DataFrame:
    """Every claim with its verdict: `COLUMNS`, a row for each claim.

    Raises:
        InputError: results that cannot be read, or that do not belong together.
    """
    lines = [
        *(_judged_figure(folder, claim) for claim in figures(folder)),
        *(_judged_difference(folder, claim) for claim in differences(folder)),
        *_judged_conventions(folder),
        _judged_training_time(),
        *(_line(claim, evidence="none", reason=claim.needs) for claim in undecidable()),
    ]
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(COLUMNS)


def read(folder: Path = RESULTS) -> pd.DataFrame:
    """The ledger as ``claims.csv`` has it.

    Raises:
        InputError: the file is missing, or is another.
    """
    path = folder / "claims.csv"
    try:
        text = pd.read_csv(path, dtype=str, keep_default_na=False)[list(COLUMNS)]
        numbers = {name: pd.to_numeric(text[name]) for name, dtype in COLUMNS.items() if dtype != "str"}
        return text.assign(**numbers).astype(COLUMNS)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: run notebook 22") from error
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} is no ledger of claims: run notebook 22 again") from error


def write(claims: pd.DataFrame, folder: Path = RESULTS) -> Path:
    """Write ``claims.csv`` into the folder of results.

    Raises:
        InputError: the folder cannot be written to.
    """
    path = folder / "claims.csv"
    with replacing(path) as partial:
        as_text(claims).to_csv(partial, index=False, lineterminator="\n")
    return path


def as_text(claims: pd.DataFrame) -> pd.DataFrame:
    """The ledger with its numbers as they are published: four digits for PSNR and SSIM, a sign for differences."""
    text = claims.astype("str").where(claims.notna(), "").astype(object)
    for index, line in claims.iterrows():
        digits = _DIGITS.get(line["metric"], 3)
        signed = line["kind"] == "difference"
        for column in ("published", "estimate", "low", "high"):
            if pd.notna(line[column]):
                number = four_digits(line[column]) if digits == 4 and not signed else f"{line[column]:.{digits}f}"
                text.loc[index, column] = f"+{number}" if signed and line[column] >= 0 else number
        if pd.notna(line["spread"]):
            assumed = line["spread_of"] == "assumed"
            text.loc[index, "spread"] = f"{line['spread']:g}" if assumed else f"{line['spread']:.{digits}f}"
            text.loc[index, "sign_p"] = "" if assumed else f"{line['sign_p']:.3g}"
    return text


def summary(claims: pd.DataFrame) -> pd.DataFrame:
    """The ledger as text for readers, by verdict: what was measured comes first."""
    rank = claims["verdict"].map(VERDICTS.index)
    text = as_text(claims).loc[rank.sort_values(kind="stable").index].reset_index(drop=True)
    unit = text["unit"].map(lambda unit: f" {unit}" if unit else "")
    intervals = (" [" + text["low"] + ", " + text["high"] + "]").where(text["low"] != "", "")
    measured = (text["estimate"] + intervals).where(text["metric"] != "days", text["estimate"] + unit)
    return pd.DataFrame({
        "claim": text["claim"],
        "published": (text["published"] + unit).where(text["published"] != "", ""),
        "measured, 95 % interval": measured,
        "clips": text["clips"],
        "clips needed": text["clips_needed"],
        "verdict": text["verdict"],
        "why": text["reason"],
    })  # fmt: skip


def counts(claims: pd.DataFrame) -> dict[str, int]:
    """How many claims have each verdict."""
    return claims["verdict"].value_counts().reindex(VERDICTS, fill_value=0).to_dict()


def power_table(folder: Path = RESULTS, spreads: Sequence[float] = (0.01, 0.02, 0.05, 0.1)) -> pd.DataFrame:
    """How many clips each published gain would take, by the spread of paired differences between clips in dB."""
    gains = _published_gains(folder)
    columns = {
        f"spread {spread:g} dB": pd.array([clips_needed(one.published, spread) for one in gains], "Int64")
        for spread in spreads
    }
    index = pd.Index([one.claim for one in gains], name="claim")
    return pd.DataFrame({"published_gain": [one.published for one in gains], **columns}, index=index)


def seed_gains(folder: Path, better: str, worse: str, metric: str = "psnr") -> dict[str, float]:
    """The mean gain of one row of trained models over another, by seed; empty for single runs.

    Args:
        folder: where results lie.
        better, worse: names with ``*`` for the seeds, see `eqvi.reports.runs.read_run`.
        metric: the column.
    """
    first, second = ({name.rpartition("_")[2]: name for name in members(folder, run)} for run in (better, worse))
    if len(first) < 2:
        return {}
    gains = {seed: gain(folder, first[seed], second[seed], metric) for seed in first if seed in second}
    return {seed: one.estimate for seed, one in gains.items() if one.clips}


def _published_gains(folder: Path) -> list[Claim]:
    return [one for one in differences(folder) if one.metric == "psnr" and not math.isnan(one.published)]


def _line(claim: Claim, measured: Estimate | None = None, **fields: Any) -> dict[str, Any]:
    """A line of the ledger, without a verdict until `fields` bring one."""
    files = dict.fromkeys(f"{name.partition(':')[0]}.csv" for name in (claim.run, claim.against) if name)
    line = claim._asdict() | (measured or Estimate())._asdict()
    line |= {"evidence": " and ".join(files), "unit": _UNITS.get(claim.metric, ""), "verdict": MISSING}
    line |= {"spread_of": "measured" if measured and measured.spread >= 0 else "", "clips_needed": None}
    return line | fields


def _judged_figure(folder: Path, claim: Claim) -> dict[str, Any]:
    run = read_run(folder, claim.run)
    if run.reason:
        return _line(claim, reason=run.reason)
    means = run.estimate(claim.metric)
    difference = means.estimate - claim.published
    reading, value = min(readings(run, claim.metric).items(), key=lambda item: abs(item[1] - claim.published))
    unit = " dB" if claim.metric == "psnr" else ""
    return _line(
        claim,
        means._replace(sign_p=math.nan, spread=math.nan),
        verdict=HOLDS if abs(difference) <= TOLERANCE[claim.metric] else FAILS,
        reason=f"off by {difference:+.4f}{unit}; the nearest reading is '{reading}', {value - claim.published:+.4f}",
    )


def _judged_difference(folder: Path, claim: Claim) -> dict[str, Any]:
    measured = gain(folder, claim.run, claim.against, claim.metric)
    if measured.clips is None:
        line = _line(claim, measured)
        if claim.metric == "psnr" and not math.isnan(claim.published):
            line |= {"spread": ASSUMED_SPREAD, "spread_of": "assumed"}
            line["clips_needed"] = clips_needed(claim.published, ASSUMED_SPREAD)
        return line
    line = _line(claim, measured, **_verdict(measured, claim.sign, claim.published))
    seeds = seed_gains(folder, claim.run, claim.against, claim.metric)
    if seeds:
        said = f"seeds {', '.join(f'{value:+.{_DIGITS.get(claim.metric, 3)}f}' for value in seeds.values())}"
        if line["verdict"] in (HOLDS, FAILS) and len({value > 0 for value in seeds.values()}) > 1:
            line |= {"verdict": OPEN, "reason": f"the seeds disagree: {said}"}
        else:
            line["reason"] = "; ".join(filter(None, (line["reason"], said)))
    return line


def _verdict(measured: Estimate, sign: int, published: float = math.nan, beyond: float = 0.0) -> dict[str, Any]:
    """Verdict and reason on the claim that `sign` * measured > `beyond`, and the clips that would decide it."""
    # Power is computed for the published effect; without one, for the effect that was measured.
    effect = measured.estimate - beyond if math.isnan(published) else published
    low, high = sorted((sign * measured.low, sign * measured.high))
    if measured.clips is None or measured.clips < FEWEST_FOR_VERDICT:
        least = f"a sign test on fewer than {FEWEST_FOR_VERDICT} stays above 0.05 whatever they say"
        verdict, reason = OPEN, f"{measured.clips} clips: {least}"
    elif low > beyond:
        verdict, reason = HOLDS, ""
    elif high < beyond:
        verdict, reason = FAILS, "the interval lies on the other side"
    else:
        verdict, reason = OPEN, f"the interval contains {f'{beyond:g}' if beyond else 'zero'}: the clips disagree"
    return {"verdict": verdict, "reason": reason, "clips_needed": clips_needed(effect, measured.spread)}


def _judged_conventions(folder: Path) -> list[dict[str, Any]]:
    """The effect of a metric's conventions; no published model is needed to see that."""
    largest = max(abs(one.published) for one in _published_gains(folder))
    fields = ("metric convention", "rendered clips", "", "DIS", "none", "psnr", STUDY, "baseline_rendered")
    truncation = Claim("truncating the output to 8 bits lowers PSNR, rendered clips", *fields)
    text = "a clip's highest and lowest reading of PSNR differ by more than the largest published gain, rendered clips"
    reading = Claim(text, *fields, published=largest, kind="span")
    run = read_run(folder, "baseline_rendered")
    if run.reason:
        return [_line(claim, reason=run.reason) for claim in (truncation, reading)]
    columns = [column for column in READINGS["psnr"].values() if run.has(column)]
    means = run.scores[columns].groupby(level="clip").mean()
    span = estimate(means.max(axis=1) - means.min(axis=1))
    lines = [_line(truncation, reason=f"{run.name} has no psnr_truncated"),
             _line(reading, span, **_verdict(span, sign=1, beyond=largest))]  # fmt: skip
    if "psnr_truncated" in columns:
        loss = estimate(means["psnr_truncated"] - means["psnr"])
        lines[0] = _line(truncation, loss, **_verdict(loss, sign=-1))
    return lines


def _judged_training_time() -> dict[str, Any]:
    """The published length of an epoch, number of epochs and days of training contradict each other."""
    seconds, epochs, fewest, most = 3600, 200, 3, 5
    days = seconds * epochs / 86_400
    text = f"training takes {fewest} to {most} days at {seconds} s an epoch for {epochs} epochs"
    claim = Claim(text, "training time", "", "", "ScopeFlow", "published", "days", README, kind="figure")
    reason = f"{epochs} x {seconds} s are {days:.1f} days"
    verdict = HOLDS if fewest <= days <= most else FAILS
    return _line(claim, Estimate(estimate=days), evidence="arithmetic", verdict=verdict, reason=reason)
