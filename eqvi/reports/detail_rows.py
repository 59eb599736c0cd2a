"""What parts beyond the paper are worth: flow of both ways, lost detail, finishing (modules of `eqvi.model`).

The rows are in ``results/detail_DATA.csv``, one for every frame and method of `eqvi.evaluation.methods`.
"""

from pathlib import Path

import pandas as pd

from eqvi.reports.comparisons import gains
from eqvi.reports.runs import read_run

#: Files of rows: data, and name without ``.csv``.
FILES = {"real clips, x2": "detail_x2", "real clips, x4": "detail_x4"}
#: The weight-free method of the study, and our trained model.
BASELINE, OURS = "baseline", "eqvi-quarter-dis"
#: All seeds of finishing, and what they start from.
FINISHING, START = "finishing*", f"{BASELINE}+8+two-way+detail"
PAIRS = {
    "detail, over the weight-free method": (f"{BASELINE}+detail", BASELINE),
    "detail, over the same with paths over eight frames": (f"{BASELINE}+8+detail", f"{BASELINE}+8"),
    "flows of both ways, over the same with eight frames and detail": (START, f"{BASELINE}+8+detail"),
    "our trained refinement, mask and RCSN, over the weight-free method": (OURS, BASELINE),
    "detail, over our trained model": (f"{OURS}+detail", OURS),
    "our trained model, over the weight-free method, both with detail": (f"{OURS}+detail", f"{BASELINE}+detail"),
    "our trained model, over the weight-free method with eight frames and detail": (OURS, f"{BASELINE}+8+detail"),
    "finishing, over the weight-free method with eight frames, both ways and detail": (FINISHING, START),
    "finishing, over the weight-free method": (FINISHING, BASELINE),
    "finishing, over our trained model": (FINISHING, OURS),
}


def table(folder: Path, file: str) -> pd.DataFrame:
    """What each of `PAIRS` gains in PSNR: the columns of `eqvi.reports.statistics.Estimate`.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    named = {title: (f"{file}:model={one}", f"{file}:model={other}") for title, (one, other) in PAIRS.items()}
    return gains(folder, named)


def looks(folder: Path) -> pd.DataFrame:
    """How finished frames look beside those they start from, on real clips: a row for each rate and model.

    Columns (float64):
        psnr, ssim: means over frames.
        sharpness: mean squared gradient over that of the true frames.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    lines = {}
    for rate in ("x2", "x4"):
        for model in (BASELINE, START, "finishing"):
            run = read_run(folder, f"real_clips_{rate}:model={model}")
            scores = {name: run.mean(name) for name in ("psnr", "ssim")}
            sharpness = run.scores["sharpness"].mean() / run.scores["sharpness_truth"].mean()
            lines[f"real clips, {rate}", model] = scores | {"sharpness": sharpness}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis(["clips of", "model"])
