"""The generated parts of README.md, results/README.md and the model card.

`PARTS` lists them; `eqvi.markdown` explains their markers.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from eqvi.errors import InputError
from eqvi.files import parse_json, sha256
from eqvi.markdown import csv_table, fill
from eqvi.paths import RESULTS, ROOT, WEIGHTS
from eqvi.reports import (
    ablation,
    claims,
    comparisons,
    detail_rows,
    error_budget,
    findings,
    flow_errors,
    gpu,
    profile,
    proved,
    published,
    speed,
    trajectory_rows,
    verdict_simulation,
)
from eqvi.reports.claim_list import LISTS
from eqvi.reports.runs import read_frames
from eqvi.reports.tables import across, markdown, signed

#: The documents that have generated parts.
DOCUMENTS = (ROOT / "README.md", RESULTS / "README.md", WEIGHTS / "README.md")


def filled(path: Path) -> str:
    """A document with its generated parts as they should be.

    Raises:
        InputError: the document is missing, or its markers cannot be followed.
    """
    _ledger.cache_clear()
    try:
        return fill(path.read_text(encoding="utf-8"), part)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except InputError as error:
        raise InputError(f"{path.relative_to(ROOT)}: {error}") from error


def part(name: str) -> str:
    """The text that belongs between the markers of that name.

    Raises:
        InputError: there is no such part.
    """
    for pattern, make in PARTS.items():
        kind, *subjects = pattern.split()
        subject = name.removeprefix(kind).split()
        if name.split()[:1] == [kind] and len(subject) == len(subjects):
            return make(*subject)
    raise InputError(f"there is no generated part {name!r}: write one of {', '.join(map(repr, PARTS))}")


def weights(folder: Path = RESULTS) -> pd.DataFrame:
    """Every file of weights and how it was trained, from the records that `eqvi.cli.ship` keeps; text columns."""
    lines = []
    for path in sorted((folder / "weights").rglob("*.safetensors")):
        name = path.relative_to(folder / "weights").with_suffix("").as_posix()
        record_file = folder / "training" / name / "run.json"
        line = {"weights": f"`{name}`", "made by": "no record of a training run"}
        if record_file.is_file():
            line |= _training(parse_json(record_file.read_text(encoding="utf-8")))
        lines.append(line | {"MB": f"{path.stat().st_size / 1e6:.2f}", "sha256": f"`{sha256(path)[:16]}`"})
    return pd.DataFrame(lines).fillna("")


def _training(record: dict[str, Any]) -> dict[str, str]:
    """The record of a training run in words."""
    recipe = record["recipe"]
    words = [f"stage {recipe['stage']}"]
    words += [f"motion {recipe['motion']}"] if recipe["motion"] else []
    terms = " + ".join(f"{weight:g} {term}" for term, weight in recipe["terms"].items())
    words += [f"trajectory {recipe['trajectory']}"] if recipe.get("trajectory") else []
    words += ["from the weight-free method"] if recipe["begin"] == "weight_free" else []
    words += [f"loss {terms}"] if terms else []
    words += [f"after {Path(recipe['after']).parent.name}"] if recipe["after"] else []
    stored = f"{recipe['windows']} kept" if recipe["store"] else "without end"
    stored += ", of eight frames" if recipe["data"] == "windows" else ""
    shares = [f"{100 * recipe[name]:.0f} % {name}" for name in ("calm", "compressed") if recipe.get(name)]
    minutes = "not recorded"
    if spent := record.get("device_time"):
        counted = "" if spent["of_steps"] == record["steps"] else f" for {spent['of_steps']} of the steps"
        minutes = f"{spent['minutes']:.0f}{counted} ({record['device']})"
    return {
        "made by": ", ".join(words),
        "steps x windows": f"{record['steps']} x {recipe['batch']} of {recipe['crop']}x{recipe['crop']}",
        "rendered windows": ", ".join([stored, *shares]),
        "seed": str(recipe["seed"]),
        "device-minutes": minutes,
    }


def _published() -> str:
    table = published.compared(RESULTS)
    table = table[table["published"].notna() | table["estimate"].notna()]
    titles = {"published": "published", "estimate": "measured, 95 % interval"}
    return markdown(table.drop(columns=["source", "run", "clips", "sign_p"]), titles=titles, estimate=".4f")


@functools.cache
def _ledger() -> pd.DataFrame:
    """The ledger, read once for all parts of a document."""
    return claims.ledger()


def _claims(whose: str) -> str:
    ledger = _ledger()
    if whose not in LISTS:
        raise InputError(f"there is no list {whose!r} of claims: write one of {', '.join(LISTS)}")
    tally = "; ".join(f"{verdict}: {number}" for verdict, number in claims.counts(ledger, whose).items())
    return f"{tally}.\n\n{markdown(claims.summary(ledger[ledger['list'] == whose]))}"


def _proved() -> str:
    table = proved.table()
    file = table["test"].str.partition("::")
    return markdown(table.assign(test="[`" + file[2] + "`](../" + file[0] + ")"))


def _means(file: str) -> str:
    return markdown(comparisons.mean_scores(read_frames(ROOT / file)), digits=2, missing="not measured")


def _gains(table: pd.DataFrame) -> str:
    return markdown(table.drop(columns="sign_p"), estimate=lambda value: signed(value, 3))


def _leads(file: str, model: str) -> str:
    leads = comparisons.leads(RESULTS, file, model).drop(columns="sign_p")
    return markdown(leads, estimate=lambda value: signed(value, 2))


def _bench(file: str) -> str:
    """The table of a benchmark, and what it says of frames in tiles."""
    record = speed.read_record(ROOT / file)
    table = markdown(speed.described(speed.summary(speed.read(ROOT / file)), record))
    return "\n\n".join((table, *speed.in_tiles(record)))


def _earned_on_gpu() -> pd.DataFrame:
    """What the rows earned that were trained on a GPU: on the scored windows, on rendered clips and real scenes."""
    learned = ablation.learned(RESULTS)
    there = ablation.earned(RESULTS, ablation.GPU_ROWS, ablation.GPU_FILES)
    windows = learned[["start"]].assign(scored_windows=[f"{earned:+.3f}" for earned in learned["earned"]])
    return windows.reset_index().merge(across(there, "data", estimate="+.3f"), on="row")


def _profile() -> str:
    """What a new frame takes on a CPU, a line a model."""
    path = RESULTS / f"{profile.FILE}.csv"
    table = profile.parts(profile.read(path), speed.read_record(path))
    return "\n".join(f"- {text}" for text in profile.sentences(table))


#: The generated parts: how a marker names each, and what makes its text.
PARTS: dict[str, Callable[..., str]] = {
    "findings": findings.as_list,
    "overview": lambda: markdown(comparisons.overview(RESULTS), digits=2, missing="not measured"),
    "published": _published,
    "claims LIST": _claims,
    "proved": _proved,
    "families": lambda: markdown(claims.families(_ledger()), strictest_level=".2g"),
    "verdict-simulation": lambda: markdown(verdict_simulation.readable(RESULTS)),
    "ablation": lambda: markdown(ablation.scores(RESULTS)),
    "earned": lambda: markdown(across(ablation.earned(RESULTS), "data", estimate="+.3f")),
    "earned-gpu": lambda: markdown(_earned_on_gpu()),
    "profile": _profile,
    "flow-errors": lambda: markdown(across(flow_errors.flow_errors(RESULTS), "part", estimate=".3f")),
    "weights": lambda: markdown(weights()),
    "budget FILE": lambda file: markdown(error_budget.budget(RESULTS, file), estimate=lambda value: signed(value, 2)),
    "trajectories FILE": lambda file: markdown(trajectory_rows.means(RESULTS, file), digits=2, missing="not measured"),
    "detail-gains FILE": lambda file: _gains(detail_rows.table(RESULTS, file)),
    "trajectory-gains FILE": lambda file: _gains(trajectory_rows.gains(RESULTS, file)),
    "trajectory-choices FILE": lambda file: _gains(trajectory_rows.choices(RESULTS, file)),
    "trajectory-clips FILE": lambda file: markdown(
        trajectory_rows.by_clip(RESULTS, file), digits=2, missing="not measured"
    ),
    "sensitivity RUN": lambda run: markdown(comparisons.sensitivity(RESULTS, run)),
    "psnr FILE": _means,
    "leads FILE MODEL": _leads,
    "gpu": gpu.section,
    "gpu-speed": gpu.sentence,
    "bench FILE": _bench,
    "table FILE": lambda file: csv_table(ROOT / file),
}
