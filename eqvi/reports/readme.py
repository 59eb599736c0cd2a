"""The generated parts of README.md, results/README.md and the model card.

`PARTS` lists them; `eqvi.markdown` explains their markers.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from eqvi.errors import InputError
from eqvi.files import sha256
from eqvi.markdown import csv_table, fill
from eqvi.paths import RESULTS, ROOT, WEIGHTS
from eqvi.reports import (
    ablation,
    claims,
    comparisons,
    error_budget,
    flow_errors,
    gpu,
    proved,
    published,
    speed,
    trajectory_rows,
    verdict_simulation,
)
from eqvi.reports.claim_list import COMMAND, LISTS, OF_PAPER, OF_STUDY
from eqvi.reports.claim_list import README as CODE
from eqvi.reports.runs import NEEDS_WEIGHTS, read_frames
from eqvi.reports.tables import across, markdown, signed
from eqvi.reports.verdict_rule import FAILS, HOLDS, MISSING, OPEN

#: The documents that have generated parts.
DOCUMENTS = (ROOT / "README.md", RESULTS / "README.md", WEIGHTS / "README.md")
#: Claims of one question, first to last choice: the first that was measured stands in README.
Choice = str | tuple[str, ...]
_REAL = ("PSNR, nine real scenes, x2, DIS flow", "PSNR, real clips, x2, DIS flow")
#: What was found, for README: a sentence; the claims whose estimates stand in it, each followed by "(not decided)"
#: where it is not; and the verdicts on which the sentence itself relies. A verdict that changes makes `findings`
#: refuse, so that no sentence outlives its evidence.
FINDINGS: tuple[tuple[str, tuple[Choice, ...], dict[str, str]], ...] = (
    ("**Quadratic motion helps.** Over linear motion it gains {} in trained models and {} with nothing learned; on "
     "real footage, with nothing learned, {}.", (
        "quadratic motion beats linear motion in the trained model: PSNR, rendered clips, our weights",
        "quadratic motion beats linear motion: PSNR, rendered clips, DIS flow",
        tuple(f"quadratic motion beats linear motion: {real}" for real in _REAL),
    ), {"quadratic motion beats linear motion in the trained model: PSNR, rendered clips, our weights": HOLDS}),
    ("**RQFP does not help here.** Rectifying the parabola changes PSNR by {} in trained models, by {} in trained "
     "models on the flow of our own network instead of DIS, and by {} with nothing learned; on real footage, with "
     "nothing learned, {}.", (
        "RQFP beats plain quadratic motion in the trained model: PSNR, rendered clips, our weights",
        "RQFP beats plain quadratic motion in the trained model, on our learned flow: PSNR, rendered clips, "
        "our weights",
        "RQFP beats plain quadratic motion: PSNR, rendered clips, DIS flow",
        tuple(f"RQFP beats plain quadratic motion: {real}" for real in _REAL),
    ), {
        "RQFP beats plain quadratic motion in the trained model: PSNR, rendered clips, our weights": FAILS,
        "RQFP beats plain quadratic motion in the trained model, on our learned flow: PSNR, rendered clips, "
        "our weights": FAILS,
    }),
    ("**Where on its path a pixel stands matters more than which pixels match**, on nine real scenes "
     "([the error budget](results/README.md#the-error-budget)). Paths over eight frames, without weights, earn {} at "
     "x2 and {} at x4 there, where cameras hardly shake; on a rendered shake they earn decibels "
     "([notebook 03b](notebooks/03b_longer_trajectories.ipynb)).", (
        "paths over eight frames beat the paper's motion: PSNR, nine real scenes, x2, DIS flow",
        "paths over eight frames beat the paper's motion: PSNR, nine real scenes, x4, DIS flow",
    ), {}),
    ("**RCSN helps, MS-Fusion does not.** The residual network adds {}; the fusion of two scales, with only the "
     "fusion network trained, and briefly, changes PSNR by {}, less than matters. Training all parts together beats "
     "training by stages by {}.", (
        "RCSN beats no synthesis: PSNR, rendered clips, our weights",
        "MS-Fusion raises PSNR, rendered clips, our weights",
        "training from scratch beats stages: PSNR, rendered clips, our weights",
    ), {
        "RCSN beats no synthesis: PSNR, rendered clips, our weights": HOLDS,
        "MS-Fusion raises PSNR, rendered clips, our weights": FAILS,
        "training from scratch beats stages: PSNR, rendered clips, our weights": HOLDS,
    }),
    ("**Our weights gain {} over the same method without weights** on rendered clips. On real footage it is {} at x2 "
     "(twice the frames), and {} at x4.", (
        "our model beats the baseline without weights: PSNR, rendered clips",
        "our model beats the baseline without weights: PSNR, real clips, x2",
        "our model beats the baseline without weights: PSNR, real clips, x4",
    ), {"our model beats the baseline without weights: PSNR, rendered clips": HOLDS}),
    ("**Conventions outweigh models.** Computed in the usual ways, the PSNR of one clip's same frames spans {} from "
     "lowest to highest; the published differences made by one part, or one way of training, are {published}.", (
        "a clip's highest and lowest reading of PSNR differ by more than the largest published gain, rendered clips",
    ), {
        "a clip's highest and lowest reading of PSNR differ by more than the largest published gain, rendered clips":
        HOLDS,
    }),
)  # fmt: skip


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


def findings(folder: Path = RESULTS) -> str:
    """`FINDINGS` as a list, with estimates and intervals from the ledger, and the counts of its lists.

    Raises:
        InputError: a claim has another verdict than its sentence relies on.
    """
    ledger = claims.ledger(folder)
    by_claim = ledger.set_index("claim")
    of_models = ledger.query("kind == 'difference' and metric == 'psnr'")
    sizes = of_models.loc[of_models["source"] == CODE, "published"].abs()
    lines = []
    for sentence, choices, relied in FINDINGS:
        for claim, verdict in relied.items():
            if by_claim.loc[claim, "verdict"] != verdict:
                raise InputError(
                    f"README says of {claim!r} that it {verdict}, the ledger says {by_claim.loc[claim, 'verdict']!r}: "
                    "rewrite that sentence in eqvi/reports/readme.py"
                )
        numbers = [_finding(by_claim, choice) for choice in choices]
        lines.append(f"- {sentence.format(*numbers, published=f'{sizes.min():.3f} to {sizes.max():.3f} dB')}")
    return "\n".join([*lines, *_three_lists(ledger)])


def _finding(by_claim: pd.DataFrame, choice: Choice) -> str:
    """The estimate of the first measured claim of a choice, as it stands in a finding."""
    names = [choice] if isinstance(choice, str) else list(choice)
    rows = list(by_claim.loc[names].itertuples())
    line = next((row for row in rows if row.verdict != MISSING), rows[0])
    if line.verdict == MISSING:
        return f"not measured ({line.reason})"
    where = f" on {line.scenes} scenes" if "real" in line.data else ""
    undecided = " (too few to decide)" if pd.isna(line.p) else " (not decided)"
    return f"{_with_interval(line)}{where}{undecided if line.verdict == OPEN else ''}"


def _three_lists(ledger: pd.DataFrame) -> list[str]:
    """What of each list is decided: claims of the paper, of this study, properties. They are never added up."""
    paper = ledger[ledger["list"] == OF_PAPER]
    missing, decided = paper[paper["verdict"] == MISSING], paper[paper["verdict"] != MISSING]
    scores = (missing["kind"] == "figure").sum()
    measurable = (missing["reason"] == NEEDS_WEIGHTS).sum()
    others = "".join(f" Decided: {one.claim}: {one.verdict} ({one.reason})." for one in decided.itertuples())
    own = claims.counts(ledger, OF_STUDY)
    return [
        f"- **Claims of the paper**, about the published weights: {len(missing)} are not measured here, the {scores} "
        f"published scores among them. `{COMMAND}` measures {measurable} of them; the others need yet other data "
        f"or weights.{others}",
        f"- **Claims of this study**, about its own models and scenes: {own[HOLDS]} hold, {own[FAILS]} do not, "
        f"{own[OPEN]} are not decided, {own[MISSING]} are not measured "
        "([each with its evidence](results/README.md#claims), [the rule](notebooks/22_claims.ipynb)).",
        f"- **Properties proved by tests**: {len(proved.PROPERTIES)} ([list](results/README.md#proved-by-tests)).",
    ]


def _with_interval(line: Any) -> str:
    """A line of the ledger as estimate and interval in dB, with as many digits as the interval is wide."""
    places = 3 if line.high - line.low < 0.1 else 2
    form = f".{places}f"
    if line.kind == "span":
        return f"{line.estimate:{form}} dB [{line.low:{form}}, {line.high:{form}}]"
    return f"{signed(line.estimate, places)} dB [{signed(line.low, places)}, {signed(line.high, places)}]"


def weights(folder: Path = RESULTS) -> pd.DataFrame:
    """Every file of weights and how it was trained, from the records that `eqvi.cli.ship` keeps; text columns."""
    lines = []
    for path in sorted((folder / "weights").rglob("*.safetensors")):
        name = path.relative_to(folder / "weights").with_suffix("").as_posix()
        record_file = folder / "training" / name / "run.json"
        line = {"weights": f"`{name}`", "made by": "no record of a training run"}
        if record_file.is_file():
            line |= _training(json.loads(record_file.read_text(encoding="utf-8")))
        lines.append(line | {"MB": f"{path.stat().st_size / 1e6:.2f}", "sha256": f"`{sha256(path)[:16]}`"})
    return pd.DataFrame(lines).fillna("")


def _training(record: dict[str, Any]) -> dict[str, str]:
    """The record of a training run in words."""
    recipe = record["recipe"]
    words = [f"stage {recipe['stage']}"]
    words += [f"motion {recipe['motion']}"] if recipe["motion"] else []
    terms = " + ".join(f"{weight:g} {term}" for term, weight in recipe["terms"].items())
    words += [f"loss {terms}"] if terms else []
    words += [f"after {Path(recipe['after']).parent.name}"] if recipe["after"] else []
    stored = f"{recipe['windows']} kept" if recipe["store"] else "without end"
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


#: The generated parts: how a marker names each, and what makes its text.
PARTS: dict[str, Callable[..., str]] = {
    "findings": findings,
    "overview": lambda: markdown(comparisons.overview(RESULTS), digits=2),
    "published": _published,
    "claims LIST": _claims,
    "proved": _proved,
    "families": lambda: markdown(claims.families(_ledger()), strictest_level=".2g"),
    "verdict-simulation": lambda: markdown(verdict_simulation.readable(RESULTS)),
    "ablation": lambda: markdown(ablation.scores(RESULTS)),
    "flow-errors": lambda: markdown(across(flow_errors.flow_errors(RESULTS), "part", estimate=".3f")),
    "weights": lambda: markdown(weights()),
    "budget FILE": lambda file: markdown(error_budget.budget(RESULTS, file), estimate=lambda value: signed(value, 2)),
    "trajectories FILE": lambda file: markdown(trajectory_rows.means(RESULTS, file), digits=2, missing="not measured"),
    "trajectory-gains FILE": lambda file: _gains(trajectory_rows.gains(RESULTS, file)),
    "trajectory-choices FILE": lambda file: _gains(trajectory_rows.choices(RESULTS, file)),
    "trajectory-clips FILE": lambda file: markdown(
        trajectory_rows.by_clip(RESULTS, file), digits=2, missing="not measured"
    ),
    "sensitivity RUN": lambda run: markdown(comparisons.sensitivity(RESULTS, run)),
    "psnr FILE": _means,
    "leads FILE MODEL": _leads,
    "gpu": gpu.section,
    "bench FILE": lambda file: markdown(speed.described(speed.summary(speed.read(ROOT / file)))),
    "table FILE": lambda file: csv_table(ROOT / file),
}
