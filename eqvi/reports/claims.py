"""The ledger: every claim about EQVI, what was measured of it here, and the verdict. Made from `results/` alone.

A claim about a difference is judged by the rule of `eqvi.reports.verdict_rule`, family by family. A published figure
holds if it is met within `TOLERANCE`: same clips, same weights, so that sampling has no part in it.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eqvi.errors import InputError
from eqvi.files import replacing
from eqvi.paths import RESULTS
from eqvi.reports.claim_list import README, STUDY, Claim, differences, figures, undecidable
from eqvi.reports.comparisons import READINGS, gain, readings, scene_differences
from eqvi.reports.published import four_digits
from eqvi.reports.runs import DATA, members, per_scene, read_run
from eqvi.reports.statistics import FEWEST_FOR_VERDICT, Estimate, clips_needed, estimate, fewest_scenes
from eqvi.reports.verdict_rule import (
    ALPHA,
    FAILS,
    HOLDS,
    INTEREST,
    MISSING,
    OPEN,
    VERDICTS,
    Question,
    Verdict,
    judge,
    power_beforehand,
)  # fmt: skip

#: Largest distance of a measured figure from the published one that meets it: less than any published difference made
#: by one part or one way of training.
TOLERANCE = {"psnr": 0.005, "ssim": 0.0003}
#: The spread of paired differences between clips that is assumed where none was measured, in dB.
ASSUMED_SPREAD = 0.02
#: Columns of the ledger and of ``claims.csv``, with their dtypes. The first are fields of `Claim`; ``list`` is one of
#: `eqvi.reports.claim_list.LISTS`; ``evidence`` names files of results; ``published``, ``estimate``, ``low``, ``high``
#: and ``spread`` are in ``unit``; ``spread_of`` says whether the spread was measured or assumed; for ``p`` and what
#: follows see `eqvi.reports.verdict_rule.Verdict`; ``reason`` explains verdict and missing values.
COLUMNS = dict.fromkeys(("claim", "list", "family", *Claim._fields[1:8], "kind", "evidence"), "str") | {
    "published": "float64", "estimate": "float64", "low": "float64", "high": "float64", "unit": "str",
    "scenes": "Int64", "spread": "float64", "spread_of": "str", "p": "float64", "p_holm": "float64", "tests": "Int64",
    "power": "float64", "scenes_needed": "Int64", "verdict": "str", "reason": "str",
}  # fmt: skip
_UNITS = {"psnr": "dB", "epe_visible": "px", "days": "days"}
_DIGITS = {"psnr": 4, "ssim": 4, "days": 1}


def ledger(folder: Path = RESULTS) -> pd.DataFrame:
    """Every claim with its verdict: `COLUMNS`, a row for each claim.

    Raises:
        InputError: results that cannot be read, or that do not belong together.
    """
    lines = [_judged_figure(folder, claim) for claim in figures(folder)]
    lines += _judged_differences(folder)
    lines += [_judged_training_time(), *(_line(claim, evidence="none", reason=claim.needs) for claim in undecidable())]
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


def write(claims: pd.DataFrame, folder: Path) -> Path:
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
        for column in ("p", "p_holm", "power"):
            if pd.notna(line[column]):
                text.loc[index, column] = f"{line[column]:.2f}" if column == "power" else f"{line[column]:.2g}"
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
        "scenes": text["scenes"],
        "p, Holm": text["p_holm"],
        "power": text["power"],
        "verdict": text["verdict"],
        "scenes needed": text["scenes_needed"],
        "why": text["reason"],
    })  # fmt: skip


def counts(claims: pd.DataFrame, whose: str) -> dict[str, int]:
    """How many claims of one list have each verdict; the lists are never added up."""
    return claims.loc[claims["list"] == whose, "verdict"].value_counts().reindex(VERDICTS, fill_value=0).to_dict()


def families(claims: pd.DataFrame) -> pd.DataFrame:
    """The families of differences, indexed by list and family.

    Columns:
        claims, measured, tested: how many claims it has, have rows, and have scenes enough for a test (int64).
        strictest_level: what the smallest p of the family is compared with (float64); NaN where nothing is tested.
        fewest_scenes: on fewer that cannot be reached (Int64); NA where nothing is tested.
        reason: why nothing is tested.
    """
    of_differences = claims[claims["kind"] != "figure"]
    groups = of_differences.sort_values("list", ascending=False, kind="stable").groupby(["list", "family"], sort=False)
    table = pd.DataFrame({
        "claims": groups.size(),
        "measured": groups["estimate"].count(),
        "tested": groups["p"].count(),
    })  # fmt: skip
    tested = table["tested"].where(table["tested"] > 0)
    table["strictest_level"] = ALPHA / tested
    table["fewest_scenes"] = [fewest_scenes(int(count)) if count > 0 else None for count in table["tested"]]
    few = f"fewer than {FEWEST_FOR_VERDICT} scenes"
    table["reason"] = np.select([table["measured"] == 0, table["tested"] == 0], ["no rows", few], "")
    return table.astype({"fewest_scenes": "Int64"})


def power_table(folder: Path = RESULTS, spreads: Sequence[float] = (0.01, 0.02, 0.05, 0.1)) -> pd.DataFrame:
    """How many clips each published gain would take, tested alone, by the spread of paired differences in dB."""
    gains = _published_gains(folder)
    columns = {
        f"spread {spread:g} dB": pd.array([clips_needed(one.published, spread) for one in gains], "Int64")
        for spread in spreads
    }
    index = pd.Index([one.claim for one in gains], name="claim")
    return pd.DataFrame({"published_gain": [one.published for one in gains], **columns}, index=index)


def seed_gains(folder: Path, better: str, worse: str, metric: str = "psnr") -> dict[str, float]:
    """The mean gain of one row of trained models over another, or over one run, by seed; empty for single runs.

    Args:
        folder: where results lie.
        better, worse: names with ``*`` for the seeds, see `eqvi.reports.runs.read_run`; or that of the one run.
        metric: the column.
    """
    first, second = ({name.rpartition("_")[2]: name for name in members(folder, run)} for run in (better, worse))
    if len(first) < 2:
        return {}
    if not worse.endswith("*"):
        second = dict.fromkeys(first, worse)
    gains = {seed: gain(folder, first[seed], second[seed], metric) for seed in first if seed in second}
    return {seed: one.estimate for seed, one in gains.items() if one.clips}


def _published_gains(folder: Path) -> list[Claim]:
    return [one for one in differences(folder) if one.metric == "psnr" and not math.isnan(one.published)]


def _line(claim: Claim, measured: Estimate | None = None, **fields: Any) -> dict[str, Any]:
    """A line of the ledger, without a verdict until `fields` bring one."""
    files = dict.fromkeys(f"{name.partition(':')[0]}.csv" for name in (claim.run, claim.against) if name)
    line = claim._asdict() | {"list": claim.list, "family": claim.family} | (measured or Estimate())._asdict()
    line |= {"evidence": " and ".join(files), "unit": _UNITS.get(claim.metric, ""), "verdict": MISSING}
    line |= {"spread_of": "measured" if measured and measured.spread >= 0 else "", "scenes": line["clips"]}
    line |= dict.fromkeys(("p", "p_holm", "power"), math.nan) | dict.fromkeys(("tests", "scenes_needed"))
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
        means._replace(spread=math.nan),
        verdict=HOLDS if abs(difference) <= TOLERANCE[claim.metric] else FAILS,
        reason=f"off by {difference:+.4f}{unit}; the nearest reading is '{reading}', {value - claim.published:+.4f}",
    )


def _judged_differences(folder: Path) -> list[dict[str, Any]]:
    """The claims about differences, judged family by family, in the order of the list."""
    lines: list[dict[str, Any]] = []
    questions: dict[int, Question] = {}
    for claim, found, interest in [*_measured_differences(folder), *_conventions(folder)]:
        if isinstance(found, str):
            lines.append(_line(claim, reason=found))
            continue
        differences, beyond = claim.sign * found, claim.published if claim.kind == "span" else 0.0
        published = math.nan if claim.kind == "span" else claim.sign * claim.published
        questions[len(lines)] = Question((differences - beyond).tolist(), interest, published)
        lines.append(_line(claim, estimate(found)))
    for family in dict.fromkeys(line["family"] for line in lines):
        numbers = [number for number, line in enumerate(lines) if line["family"] == family]
        measured = [number for number in numbers if number in questions]
        for number, verdict in zip(measured, judge([questions[number] for number in measured]), strict=True):
            lines[number] |= _of_rule(verdict, lines[number], folder)
        planned = [number for number in numbers if number not in questions]
        for number in planned:
            lines[number] |= _planned(
                lines[number], sum(_clips(lines[other]) >= FEWEST_FOR_VERDICT for other in numbers)
            )
    return lines


def _measured_differences(folder: Path) -> list[tuple[Claim, pd.Series | str, float]]:
    """Each claim about two runs, its difference on every scene or what is missing, and the difference of interest."""
    return [
        (claim, scene_differences(folder, claim.run, claim.against, claim.metric), INTEREST[claim.metric])
        for claim in differences(folder)
    ]


def _of_rule(verdict: Verdict, line: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The fields of a line that the rule decides. A seed on the other side makes the claim undecided."""
    fields = verdict._asdict() | {"scenes_needed": verdict.needed}
    seeds = seed_gains(folder, line["run"], line["against"], line["metric"]) if line["against"] else {}
    if seeds:
        digits = _DIGITS.get(line["metric"], 3)
        said = f"seeds {', '.join(f'{value:+.{digits}f}' for value in seeds.values())}"
        fields["reason"] = "; ".join(filter(None, (verdict.reason, said)))
        if verdict.verdict in (HOLDS, FAILS) and len({value > 0 for value in seeds.values()}) > 1:
            fields |= {"verdict": OPEN, "reason": f"the seeds disagree: {said}"}
    return fields


def _planned(line: dict[str, Any], tests: int) -> dict[str, Any]:
    """Power and scenes of a claim about a published difference in PSNR that was not measured."""
    if line["metric"] != "psnr" or math.isnan(line["published"]) or not _clips(line):
        return {}
    return {
        "spread": ASSUMED_SPREAD,
        "spread_of": "assumed",
        "tests": tests,
        "power": power_beforehand(_clips(line), tests, line["published"], ASSUMED_SPREAD),
        "scenes_needed": clips_needed(line["published"], ASSUMED_SPREAD, max(1, tests)),
    }


def _clips(line: dict[str, Any]) -> int:
    """How many clips the data of a published difference have; 0 for other data."""
    return dict(DATA.values()).get(line["run"].rpartition("_")[2], 0)


def _conventions(folder: Path) -> list[tuple[Claim, pd.Series | str, float]]:
    """The effect of a metric's conventions, as `_measured_differences`; no published model is needed to see that."""
    largest = max(abs(one.published) for one in _published_gains(folder))
    fields = ("metric convention", "rendered clips", "", "DIS", "none", "psnr", STUDY, "baseline_rendered")
    truncation = Claim("truncating the output to 8 bits lowers PSNR, rendered clips", *fields, sign=-1)
    text = "a clip's highest and lowest reading of PSNR differ by more than the largest published gain, rendered clips"
    span = Claim(text, *fields, published=largest, kind="span")
    run = read_run(folder, "baseline_rendered")
    if run.reason:
        return [(truncation, run.reason, 0.0), (span, run.reason, 0.0)]
    means = run.scores[[column for column in READINGS["psnr"].values() if run.has(column)]]
    means = means.groupby(level="clip").mean()
    loss: pd.Series | str = f"{run.name} has no psnr_truncated"
    if run.has("psnr_truncated"):
        loss = per_scene(means["psnr_truncated"] - means["psnr"])
    return [(truncation, loss, INTEREST["psnr"]), (span, per_scene(means.max(axis=1) - means.min(axis=1)), 0.0)]


def _judged_training_time() -> dict[str, Any]:
    """The published length of an epoch, number of epochs and days of training contradict each other."""
    seconds, epochs, fewest, most = 3600, 200, 3, 5
    days = seconds * epochs / 86_400
    text = f"training takes {fewest} to {most} days at {seconds} s an epoch for {epochs} epochs"
    claim = Claim(text, "training time", "", "", "ScopeFlow", "published", "days", README, kind="figure")
    reason = f"{epochs} x {seconds} s are {days:.1f} days"
    verdict = HOLDS if fewest <= days <= most else FAILS
    return _line(claim, Estimate(estimate=days), evidence="arithmetic", verdict=verdict, reason=reason)
