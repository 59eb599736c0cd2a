"""The ablation as data frames: models of our own that differ in one part each, trained alike.

Every row starts as the weight-free method with its motion (`Row.start`), and what training earned is what it is above
that. Every row is trained several times, from other seeds. Its score is the mean over the seeds, intervals have clips
as units, and the scores of the single seeds stand beside them.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from eqvi.errors import InputError
from eqvi.files import parse_json
from eqvi.reports.comparisons import gain, scene_differences
from eqvi.reports.runs import members, read_run
from eqvi.reports.statistics import estimates_frame

#: The file of rows that notebook 16 writes.
FILE = "ablation_rendered"
#: The files of rows: data, and the rate of real scenes. Claims are made of the first two alone; the third, which was
#: measured after they had been, stands beside them.
FILES = {
    FILE: ("rendered clips", ""),
    "ablation_x2": ("nine real scenes", "x2"),
    "ablation_x4": ("nine real scenes", "x4"),
}
CLAIMED = tuple(FILES)[:2]


class Row(NamedTuple):
    """A row of the ablation: its motion model, its parts, how it was trained, and the method that it starts as."""

    motion: str
    rcsn: bool
    ms_fusion: bool
    trained: str
    start: str


#: The rows by the names of their recipes, ``notebooks/params/family_NAME.yaml``.
ROWS = {
    "linear": Row("linear", False, False, "at once", "baseline-linear"),
    "quadratic": Row("quadratic", False, False, "at once", "baseline"),
    "rqfp": Row("rectified (RQFP)", False, False, "at once", "baseline-rectified"),
    "rcsn": Row("quadratic", True, False, "at once", "baseline"),
    "trajectories": Row("quadratic, eight frames", True, False, "at once", "baseline+8"),
    "stages": Row("rectified (RQFP)", True, False, "by stages", "baseline-rectified"),
    "fusion": Row("rectified (RQFP)", True, True, "by stages, then the fusion net alone", "baseline-rectified"),
    "scratch": Row("rectified (RQFP)", True, False, "at once", "baseline-rectified"),
    "perceptual": Row("rectified (RQFP)", True, False, "at once, with 1 - MS-SSIM in the loss", "baseline-rectified"),
}
#: Rows that were only trained on a GPU.
GPU_ONLY = {
    "matching": Row("quadratic, eight frames", False, False, "at once", "baseline+8"),
    "finishing": Row("quadratic, eight frames, both ways", False, False, "at once", "baseline+8+two-way+detail"),
}
#: The rows that were trained on a GPU, with more windows: ``notebooks/params/ablation_gpu.yaml``.
GPU_ROWS = {name: row for name, row in ROWS.items() if name != "fusion"} | GPU_ONLY
#: Those that were trained with another loss as well.
OTHER_LOSS_ROWS = {name: row for name, row in GPU_ROWS.items() if name not in GPU_ONLY}
#: Where the records of runs lie, in ``training`` of the folder of results. The third is of `OTHER_LOSS_ROWS`, by a loss
#: that counts the errors of the flows at t and of the blend beside those of the frame.
FAMILY, GPU, GPU_FLOW = "family", "ablation_gpu", "ablation_gpu_flow"
_ROWS_OF = {FAMILY: ROWS, GPU: GPU_ROWS, GPU_FLOW: OTHER_LOSS_ROWS}
#: The GPU's rows on rendered clips and on real scenes.
GPU_FILES = {f"{GPU}_rendered": ("rendered clips", "")} | {
    f"{GPU}_{rate}": ("nine real scenes", rate) for rate in ("x2", "x4")
}
_SCORES = ["psnr", "warp", "difference", "warp_difference"]
#: The methods that need no training and that rows start as.
STARTS = tuple(dict.fromkeys(row.start for row in ROWS.values()))


def run_name(row: str, file: str = FILE) -> str:
    """The name by which `eqvi.reports.runs.read_run` reads the mean over a row's seeds, in any file of rows."""
    return f"{file}:model={row}_*"


def start_name(row: str, file: str = FILE) -> str:
    """The name by which `eqvi.reports.runs.read_run` reads what a row was before it was trained."""
    return f"{file}:model={(ROWS | GPU_ONLY)[row].start}"


def earned(
    folder: Path, rows: Iterable[str] = tuple(ROWS), files: Mapping[str, tuple[str, str]] = FILES
) -> pd.DataFrame:
    """What training added to each row's start, by ``row`` and ``data``: the columns of `Estimate`.

    Args:
        folder: where results lie.
        rows: names of `ROWS` or `GPU_ROWS`.
        files: `FILES` or `GPU_FILES`.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    estimates = {
        (row, ", ".join(filter(None, where))): gain(folder, run_name(row, file), start_name(row, file))
        for row in rows
        for file, where in files.items()
    }
    return estimates_frame(estimates, "row", "data")


def scores(folder: Path) -> pd.DataFrame:
    """The rows of the ablation with their scores, indexed by row.

    Columns:
        motion, rcsn, ms_fusion, trained, start: see `Row`.
        psnr, psnr_low, psnr_high, ssim, ssim_low, ssim_high: means with intervals over clips (float64).
        by_seed: PSNR of the single seeds (text).
        earned, earned_low, earned_high: what PSNR is above that of the start, with an interval over clips (float64).
        sharpness: mean squared gradient over that of the true frames (float64).
        reason: why the scores are missing (text).

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    lines = []
    for name, row in ROWS.items():
        run = read_run(folder, run_name(name))
        line = {"row": name, **row._asdict(), "reason": run.reason}
        psnr, ssim = (run.estimate(metric) for metric in ("psnr", "ssim"))
        line |= {"psnr": psnr.estimate, "psnr_low": psnr.low, "psnr_high": psnr.high}
        seeds = () if run.reason else members(folder, run_name(name))
        line["by_seed"] = ", ".join(f"{read_run(folder, seed).mean('psnr'):.2f}" for seed in seeds)
        own = gain(folder, run_name(name), start_name(name))
        line |= {"earned": own.estimate, "earned_low": own.low, "earned_high": own.high}
        line |= {"ssim": ssim.estimate, "ssim_low": ssim.low, "ssim_high": ssim.high}
        if not run.reason:
            line["sharpness"] = run.scores["sharpness"].mean() / run.scores["sharpness_truth"].mean()
        lines.append(line)
    return pd.DataFrame(lines).set_index("row")


def learning(folder: Path, row: str, trained: str = FAMILY) -> dict[int, float]:
    """What a row has earned during training, by step: its PSNR on the scored windows above that of the weight-free
    method with the same motion, in dB, the mean over its seeds; empty if it was not trained.

    Args:
        folder: where results lie.
        row: one of `ROWS` or `GPU_ROWS`.
        trained: `FAMILY`, `GPU` or `GPU_FLOW`.

    Raises:
        InputError: a file cannot be read, or the seeds were scored at different steps.
    """
    curves = [table["psnr"] - table["warp"] for table in _scores(folder, row, trained)]
    if any(not curve.index.equals(curves[0].index) for curve in curves):
        raise InputError(f"{folder / 'training' / trained}: seeds of {row} differ in steps: train them anew")
    return {} if not curves else pd.concat(curves, axis=1).mean(axis=1).to_dict()


def learned(folder: Path, trained: str = GPU) -> pd.DataFrame:
    """What the GPU's rows earned on the scored windows, by row.

    Args:
        folder: where results lie.
        trained: `GPU`, or `GPU_FLOW` with its `OTHER_LOSS_ROWS`.

    Columns:
        motion, rcsn, trained, start: see `Row`.
        earned: PSNR at the end of training above that of the weight-free method, dB, the mean over the seeds.
        by_seed: the same of each (text).
        highest, at_step: the highest mean that was seen during training, and when; of ``stages`` in its last third.
        match_before, match_error: error of the match (`difference` of `eqvi.training.window_objective`) by the
            weight-free method and at the end, px, the means over the seeds.
        reason: why the others are missing (text).

    Raises:
        InputError: as `learning`.
    """
    lines = []
    for name, row in _ROWS_OF[trained].items():
        tables, mean = _scores(folder, name, trained), learning(folder, name, trained)
        line: dict[str, object] = {"row": name, "motion": row.motion, "rcsn": row.rcsn, "trained": row.trained}
        line |= {"start": row.start, "earned": math.nan, "by_seed": "", "highest": math.nan, "at_step": pd.NA}
        line |= {"match_before": math.nan, "match_error": math.nan, "reason": "" if tables else "needs a GPU's visit"}
        if tables:
            line["earned"], line["at_step"] = list(mean.values())[-1], max(mean, key=lambda step: mean[step])
            line["highest"] = max(mean.values())
            ends = pd.DataFrame([table.iloc[-1] for table in tables])
            line["by_seed"] = ", ".join(f"{end:+.3f}" for end in ends["psnr"] - ends["warp"])
            line["match_before"], line["match_error"] = ends["warp_difference"].mean(), ends["difference"].mean()
        lines.append(line)
    return pd.DataFrame(lines).set_index("row").astype({"at_step": "Int64"})


def by_scene(folder: Path, rows: Iterable[str], file: str) -> pd.DataFrame:
    """What training added to rows of the GPU on each real scene, dB: a column for each row that was measured.

    Args:
        folder: where results lie.
        rows: names of `GPU_ROWS`.
        file: of `GPU_FILES`.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    found = {row: scene_differences(folder, run_name(row, file), start_name(row, file)) for row in rows}
    return pd.DataFrame({row: values for row, values in found.items() if not isinstance(values, str)})


def by_other_loss(folder: Path) -> pd.DataFrame:
    """What a row of `OTHER_LOSS_ROWS` has more by that loss than by one of frames alone; by ``row`` and ``data``: the
    columns of `Estimate`.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    estimates = {
        (row, ", ".join(GPU_FILES[f"{GPU}_{rate}"])): gain(
            folder, run_name(row, f"{GPU_FLOW}_{rate}"), run_name(row, f"{GPU}_{rate}")
        )
        for row in OTHER_LOSS_ROWS
        for rate in ("x2", "x4")
    }
    return estimates_frame(estimates, "row", "data")


def _scores(folder: Path, row: str, trained: str) -> list[pd.DataFrame]:
    """The scores of each seed of a row, by step."""
    paths = sorted((folder / "training" / trained).glob(f"{row}_*/scores.csv"))
    try:
        return [pd.read_csv(path, index_col="step")[_SCORES].astype("float64") for path in paths]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder / 'training' / trained}: scores of {row} cannot be read ({error})") from error


def budget(folder: Path, trained: str = FAMILY) -> pd.DataFrame:
    """What each row was trained with, indexed by row: seeds, the run it continues, steps, windows a step, crop."""
    lines = []
    for name in _ROWS_OF[trained]:
        records = [
            parse_json(path.read_text(encoding="utf-8"))
            for path in sorted((folder / "training" / trained).glob(f"{name}_*/run.json"))
        ]
        line: dict[str, object] = {"row": name, "seeds": "", "continues": ""}
        line |= dict.fromkeys(("steps", "windows_a_step", "crop"), pd.NA) | {"reason": "" if records else "not trained"}
        if records:
            recipe = records[0]["recipe"]
            line["seeds"] = ", ".join(str(record["recipe"]["seed"]) for record in records)
            line["continues"] = Path(recipe["after"]).parent.name.rpartition("_")[0] or "nothing"
            line |= {"steps": records[0]["steps"], "windows_a_step": recipe["batch"], "crop": recipe["crop"]}
        lines.append(line)
    return pd.DataFrame(lines).set_index("row").astype(dict.fromkeys(("steps", "windows_a_step", "crop"), "Int64"))
