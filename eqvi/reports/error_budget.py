"""The error budget: what a frame gains where one mode of its flows is the true one (`eqvi.evaluation.error_budget`).

The rows are in ``results/error_budget_DATA.csv``, one for every frame and variant.
"""

from pathlib import Path

import pandas as pd

from eqvi.reports.comparisons import gain, gains_by_kind
from eqvi.reports.runs import read_run
from eqvi.reports.statistics import estimates_frame

#: Names of the rows: the weight-free model, the same with trajectories over four and over eight frames, its variants.
BASELINE, CUBIC, TRAJECTORY = "baseline", "baseline+4", "baseline+8"
DIFFERENCE, SMOOTH = "true difference", "true common part smoothed"
COMMON, BOTH = "true common part", "both true"
#: What is compared with the baseline, in the order of tables and charts.
VARIANTS = (CUBIC, TRAJECTORY, DIFFERENCE, SMOOTH, COMMON, BOTH)
#: Files of rows: data, and name without ``.csv``.
FILES = {"real clips, x2": "error_budget_x2", "real clips, x4": "error_budget_x4", "rendered": "error_budget_rendered"}


def budget(folder: Path, file: str) -> pd.DataFrame:
    """The gain in PSNR of every variant over the baseline, over clips: the columns of `Estimate`.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    base = f"{file}:model={BASELINE}"
    return estimates_frame({name: gain(folder, f"{file}:model={name}", base) for name in VARIANTS}, "what is true")


def by_clip(folder: Path, file: str) -> pd.DataFrame:
    """The baseline's PSNR on every clip and what each variant gains there, in dB; empty if not measured.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    runs = {name: read_run(folder, f"{file}:model={name}") for name in (BASELINE, *VARIANTS)}
    if any(run.reason for run in runs.values()):
        return pd.DataFrame(columns=["frames", BASELINE, *VARIANTS], dtype="float64").rename_axis("clip")
    means = pd.DataFrame({name: run.clip_means("psnr") for name, run in runs.items()})
    gains = means[list(VARIANTS)].sub(means[BASELINE], axis=0)
    gains.insert(0, BASELINE, means[BASELINE])
    gains.insert(0, "frames", runs[BASELINE].scores.groupby(level="clip").size())
    return gains.rename_axis("clip")


def by_kind(folder: Path, file: str) -> pd.DataFrame:
    """The mean gain of every variant over the baseline by kind of path, in dB: a row a kind, a column a variant.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    base = f"{file}:model={BASELINE}"
    columns = {name: gains_by_kind(folder, f"{file}:model={name}", base)["estimate"] for name in VARIANTS}
    return pd.DataFrame(columns)


def shares(folder: Path, file: str) -> pd.DataFrame:
    """What a true mode gains where the other is already true, over clips: the columns of `Estimate`.

    The gains of the two modes do not add up, since a picture that is wrong in one way hides the other. From the other
    end, the last row that is missing from ``both true`` is what the mode costs alone.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    best = f"{file}:model={BOTH}"
    pairs = {
        "the common part, the difference being true": DIFFERENCE,
        "the difference, the common part being true": COMMON,
    }
    return estimates_frame({name: gain(folder, best, f"{file}:model={less}") for name, less in pairs.items()}, "true")
