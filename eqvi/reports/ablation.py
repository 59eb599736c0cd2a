"""The ablation: models of our own that differ in one thing each, trained alike. Tables from `results/`; knows no torch.

Every row is trained several times, from other seeds. Its score is the mean over the seeds, intervals have clips as
units, and what the seeds say singly stands beside them.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eqvi.errors import InputError
from eqvi.markdown import markdown_table, read_rows
from eqvi.reports.published import obtain
from eqvi.reports.runs import Run, members, paired
from eqvi.reports.statistics import Estimate, estimate
from eqvi.reports.tables import shown

#: The file of rows that notebook 16 writes.
FILE = "ablation_rendered"


class Row(NamedTuple):
    """A row of the ablation: its motion model, its parts (yes or no), and how it was trained."""

    motion: str
    rcsn: str
    fusion: str
    trained: str


#: The rows by the names of their recipes, ``notebooks/params/family_NAME.yaml``.
ROWS = {
    "linear": Row("linear", "no", "no", "at once"),
    "quadratic": Row("quadratic", "no", "no", "at once"),
    "rqfp": Row("rectified", "no", "no", "at once"),
    "rcsn": Row("quadratic", "yes", "no", "at once"),
    "stages": Row("rectified", "yes", "no", "by stages"),
    "fusion": Row("rectified", "yes", "yes", "by stages, then the fusion net alone"),
    "scratch": Row("rectified", "yes", "no", "at once"),
    "perceptual": Row("rectified", "yes", "no", "at once, with 1 - MS-SSIM in the loss"),
}


def run_name(row: str) -> str:
    """What `eqvi.reports.runs.read_run` calls the mean over a row's seeds."""
    return f"{FILE}:model={row}_*"


def score_table(folder: Path) -> str:
    """The rows with their scores: means over seeds and clips with intervals over clips, and each seed's PSNR.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    header = ["row", "motion", "RCSN", "MS-Fusion", "trained"]
    header += ["PSNR, dB", "by seed", "SSIM", "sharpness / truth's"]
    rows = []
    for name, row in ROWS.items():
        run = obtain(folder, run_name(name))
        if isinstance(run, str):
            rows.append([name, *row, f"not measured: {run}", "", "", ""])
            continue
        psnr, ssim = (estimate(list(run.clip_means(column).values())) for column in ("psnr", "ssim"))
        sharp = run.values["sharpness"].mean() / run.values["sharpness_truth"].mean()
        seeds = [f"{_mean(folder, one):.2f}" for one in members(folder, run_name(name))]
        cells = [shown(psnr, 2, signed=False), ", ".join(seeds), shown(ssim, 4, signed=False), f"{sharp:.3f}"]
        rows.append([name, *row, *cells])
    return markdown_table(header, rows)


def gains_by_kind(folder: Path, better: str, worse: str) -> dict[str, Estimate]:
    """The gain in PSNR of one run over another on the clips of each kind of path; nothing where they are not measured.

    Args:
        folder: where results lie.
        better, worse: runs of `FILE`, for example `run_name` of two rows.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    runs = [obtain(folder, name) for name in (better, worse)]
    if any(isinstance(run, str) for run in runs):
        return {}
    first, second = (run for run in runs if isinstance(run, Run))
    kinds: dict[str, str] = first.made_by["parameters"]["kinds"]
    found = {}
    for kind in dict.fromkeys(kinds.values()):
        chosen = np.array([kinds[clip] == kind for clip, _ in first.frames])
        found[f"{kind} path"] = estimate(paired(first, second, "psnr", chosen))
    return found


def learning(folder: Path, row: str) -> dict[int, float]:
    """What a row scored while it learned: PSNR in dB by step, the mean over its seeds; empty if none was kept.

    Args:
        folder: where results lie.
        row: one of `ROWS`.

    Raises:
        InputError: a file cannot be read, or the seeds were scored at different steps.
    """
    curves = [
        {int(line["step"]): float(line["psnr"]) for line in read_rows(path)}
        for path in sorted((folder / "training" / "family").glob(f"{row}_*/scores.csv"))
    ]
    if any(curve.keys() != curves[0].keys() for curve in curves):
        raise InputError(f"{folder / 'training' / 'family'}: seeds of {row} differ in steps: train them anew")
    return {step: sum(curve[step] for curve in curves) / len(curves) for step in curves[0]} if curves else {}


def budget_table(folder: Path) -> str:
    """What each row was trained with: its seeds, steps and windows, and the run that it goes on from."""
    rows = []
    for name in ROWS:
        records = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((folder / "training" / "family").glob(f"{name}_*/run.json"))
        ]
        if not records:
            rows.append([name, "not trained", "", "", "", ""])
            continue
        recipe = records[0]["recipe"]
        seeds = ", ".join(str(record["recipe"]["seed"]) for record in records)
        before = Path(recipe["after"]).parent.name.rpartition("_")[0] or "nothing"
        rows.append([name, seeds, before, str(records[0]["steps"]), str(recipe["batch"]), str(recipe["crop"])])
    return markdown_table(["row", "seeds", "goes on from", "steps", "windows a step", "crop"], rows)


def _mean(folder: Path, name: str) -> float:
    run = obtain(folder, name)
    assert isinstance(run, Run)
    return estimate(list(run.clip_means("psnr").values())).value
