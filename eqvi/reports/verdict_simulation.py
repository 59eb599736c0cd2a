"""How often the rule of `eqvi.reports.verdict_rule` errs, and what it finds, counted on simulated studies.

A study is a family of claims, each with a difference on every scene. Where there is no difference, calling one is an
error; where there is one of the smallest size of interest, calling it too small is an error. Both must happen in at
most 5 % of the studies. Where the difference is the planned one, the rule must find it as often as its power says,
which was computed beforehand.

The sign-flip test asks whether d is as likely as -d, as it is where two methods are equally good. Where most scenes
lose a little and a few gain much, that is not so although the mean is zero, and the rule then says too often that the
mean lies on the side of most scenes. The rows ``skewed`` and ``very skewed`` say how often.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from eqvi.errors import InputError
from eqvi.files import replacing
from eqvi.paths import RESULTS
from eqvi.reports.claim_list import OF_PAPER, differences
from eqvi.reports.claims import ASSUMED_SPREAD
from eqvi.reports.runs import DATA
from eqvi.reports.verdict_rule import ALPHA, INTEREST, PLANNED, decisions, power_beforehand

#: What is true in a study.
NONE, LEAST, PLAN = "no difference", "the smallest difference of interest", "a difference as large as its spread"
#: Simulated studies of a row without a difference, and of the others, which take long: every interval is needed.
STUDIES = 10_000, 2_000
FILE = "verdict_simulation.csv"
_SEED = 2020


class Study(NamedTuple):
    """A kind of study.

    Attributes:
        truth: `NONE`, `LEAST`, `PLAN`, or the claim whose published difference is true.
        shape: how differences are spread over scenes: ``normal``, ``heavy tails`` (Student's t of 3 degrees of
            freedom), ``skewed`` and ``very skewed`` (gamma distributions of skewness 1 and 2), or ``alike`` (normal,
            correlated between claims by 0.8).
        scenes: how many.
        claims: of the family.
        difference: the true mean of every claim, in dB.
        spread: the standard deviation between scenes, in dB.
    """

    truth: str
    shape: str
    scenes: int
    claims: int
    difference: float
    spread: float


def studies(folder: Path = RESULTS) -> list[Study]:
    """The rows of the table: families such as the ledger has.

    Raises:
        InputError: as `eqvi.reports.published.read_published`.
    """
    spread = 0.2
    sizes = ((6, 1), (8, 4), (9, 9), (12, 5), (24, 2))
    rows = [Study(NONE, "normal", scenes, claims, 0, spread) for scenes, claims in sizes]
    rows += [Study(NONE, shape, 9, 9, 0, spread) for shape in ("alike", "heavy tails", "skewed", "very skewed")]
    rows += [Study(LEAST, "normal", scenes, claims, INTEREST["psnr"], 0.01) for scenes, claims in ((9, 9), (24, 2))]
    rows += [Study(PLAN, "normal", scenes, claims, PLANNED * spread, spread) for scenes, claims in sizes]
    data, (_, scenes) = next(iter(DATA.items()))
    gains = [one for one in differences(folder) if (one.list, one.metric) == (OF_PAPER, "psnr")]
    return rows + [
        Study(f"as published: {one.claim}", "normal", scenes, 1, abs(one.published), ASSUMED_SPREAD)
        for one in gains
        if one.claim.endswith(data)
    ]


def draw(study: Study, number: int, seed: int = _SEED) -> np.ndarray:
    """Simulated differences, in dB: (claims, studies, scenes)."""
    random = np.random.default_rng(seed)
    size = (study.claims, number, study.scenes)
    if study.shape == "heavy tails":
        values = random.standard_t(3, size) / np.sqrt(3)
    elif study.shape.endswith("skewed"):
        shape = 1 if study.shape.startswith("very") else 4
        values = (random.gamma(shape, 1, size) - shape) / np.sqrt(shape)
    else:
        values = random.normal(0, 1, size)
    if study.shape == "alike":
        values = np.sqrt(0.8) * values[:1] + np.sqrt(0.2) * random.normal(0, 1, size)
    return study.difference + study.spread * values


def shares(study: Study, number: int) -> dict[str, float]:
    """Of that many simulated studies, what share says what: see `table`."""
    found = decisions(list(draw(study, number)), [INTEREST["psnr"]] * study.claims)
    published = (study.difference, study.spread) if study.truth not in (NONE, LEAST, PLAN) else ()
    planned = study.truth not in (NONE, LEAST)
    return {
        "uncorrected": float((found.p <= ALPHA).any(axis=-1).mean()),
        "calls_a_difference": float((found.claimed | found.other).any(axis=-1).mean()),
        "calls_one_small": float(found.small.any(axis=-1).mean()),
        "claim_at_strictest_level": float((found.p <= ALPHA / study.claims).mean()),
        "claim_found": float(found.claimed.mean()),
        "power": power_beforehand(study.scenes, study.claims, *published) if planned else float("nan"),
    }


def table(folder: Path = RESULTS) -> pd.DataFrame:
    """What the rule says of simulated studies: the fields of `Study`, and shares of studies or of claims.

    Columns:
        studies: how many were simulated.
        uncorrected: studies in which the test, without Holm's correction, calls at least one difference.
        calls_a_difference: studies in which the rule calls at least one difference; an error where there is none.
        calls_one_small: studies in which it says of at least one that it is too small; an error where it is not.
        claim_at_strictest_level: claims whose p is at most 0.05 / claims; to be compared with
        power: as it was computed beforehand; NaN where nothing is to be found.
        claim_found: claims that the rule finds.
    """
    rows = []
    for study in studies(folder):
        number = STUDIES[study.truth != NONE]
        rows.append(study._asdict() | {"studies": number} | shares(study, number))
    return pd.DataFrame(rows)


def write(rows: pd.DataFrame, folder: Path) -> Path:
    """Write the table into the folder of results.

    Raises:
        InputError: the folder cannot be written to.
    """
    path = folder / FILE
    with replacing(path) as partial:
        rows.to_csv(partial, index=False, float_format="%.4g", lineterminator="\n")
    return path


def read(folder: Path = RESULTS) -> pd.DataFrame:
    """The table as it was written.

    Raises:
        InputError: it is missing, or is another.
    """
    path = folder / FILE
    again = "run `python -m eqvi study 22_claims -p simulate True`"
    try:
        rows = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): {again}") from error
    if list(rows)[: len(Study._fields)] != list(Study._fields):
        raise InputError(f"{path} is no table of simulated studies: {again}")
    return rows


def readable(folder: Path = RESULTS) -> pd.DataFrame:
    """The table for readers, in percent (text).

    Raises:
        InputError: as `read`.
    """
    rows = read(folder)
    percent = {
        "uncorrected": "uncorrected, some difference called, %",
        "calls_a_difference": "some difference called, %",
        "calls_one_small": "some called too small, %",
        "claim_at_strictest_level": "a claim at the strictest level, %",
        "power": "its power, beforehand, %",
        "claim_found": "a claim found, %",
    }
    text = {title: [f"{100 * value:.1f}" if value == value else "" for value in rows[name]] for name, title in
            percent.items()}  # fmt: skip
    return pd.DataFrame({**rows[["truth", "shape", "scenes", "claims", "studies"]], **text})
