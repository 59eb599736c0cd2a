"""The table of flow estimators, from the rows that `eqvi.evaluation.flow_error` wrote. Knows no torch.

Means are over a clip's frames first, then over clips; the stereo pair is one clip, so it has no interval.
"""

from pathlib import Path

import numpy as np

from eqvi.markdown import markdown_table
from eqvi.paths import WEIGHTS
from eqvi.reports.runs import Run, paired, read_run
from eqvi.reports.statistics import estimate
from eqvi.reports.tables import shown

#: The run, and our own flow network: a row of the table, a file of weights.
RUN, NETWORK = "flow_error", "flow-quarter"
#: The estimators as rows call them, and as the table does.
ESTIMATORS = {
    NETWORK: "our ScopeFlow, quarter width",
    "dis": "DIS",
    "tvl1": "TV-L1",
    "still": "no motion at all",
}
#: What they are judged on, and which rows those are.
PARTS = {
    "one interval": "dataset=rendered,intervals=1",
    "two intervals": "dataset=rendered,intervals=2",
    "stereo pair": "dataset=stereo",
}
#: The errors of a row, in words.
COLUMNS = {"epe": "px off", "epe_visible": "px off where visible", "above_3px": "share above 3 px"}


def flow_errors(folder: Path, column: str = "epe") -> str:
    """Every estimator's error over one interval, over two, and on the stereo pair, as Markdown.

    Args:
        folder: of results.
        column: one of `COLUMNS`.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    rows = []
    for name, title in ESTIMATORS.items():
        runs = {part: _run(folder, name, part) for part in PARTS}
        first = runs["one interval"]
        if isinstance(first, str):
            rows.append([title, f"not measured: {first}", "", ""])
        else:
            rows.append([title, *(_cell(run, column) for run in runs.values())])
    return markdown_table(["flow", *(f"{part}: {COLUMNS[column]}" for part in PARTS)], rows)


def flow_means(folder: Path, column: str = "epe") -> dict[str, float]:
    """The mean over rendered clips of every estimator that was measured, by its name and the part.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    found = {}
    for name, title in ESTIMATORS.items():
        for part in ("one interval", "two intervals"):
            run = _run(folder, name, part)
            if isinstance(run, Run):
                found[f"{title}, {part}"] = float(np.mean(list(run.clip_means(column).values())))
    return found


def flow_differences(folder: Path, against: str = "dis", column: str = "epe") -> str:
    """How much more or less every estimator errs than another on the same rendered clips, as Markdown.

    Args:
        folder: of results.
        against: one of `ESTIMATORS`, which is subtracted.
        column: one of `COLUMNS`.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    rows = []
    parts = ("one interval", "two intervals")
    for name in ESTIMATORS:
        cells = []
        for part in parts if name != against else ():
            own, other = _run(folder, name, part), _run(folder, against, part)
            if isinstance(own, str) or isinstance(other, str):
                cells.append("not measured")
                continue
            found = estimate(paired(own, other, column))
            cells.append(f"{shown(found)}, p = {found.sign_p:.2g}")
        if cells:
            rows.append([f"{ESTIMATORS[name]} less {ESTIMATORS[against]}", *cells])
    return markdown_table(["difference", *(f"{part}: {COLUMNS[column]}, sign test" for part in parts)], rows)


def _run(folder: Path, name: str, part: str) -> Run | str:
    """An estimator's rows of one part, or what is missing."""
    run = read_run(folder, f"{RUN}:flow={name},{PARTS[part]}")
    if run is not None:
        return run
    weights = folder / WEIGHTS.name / f"{NETWORK}.safetensors"
    if name == NETWORK and not weights.is_file():
        return f"no results/{WEIGHTS.name}/{weights.name}"
    return "needs notebook 15 run"


def _cell(run: Run | str, column: str) -> str:
    if isinstance(run, str):
        return f"not measured: {run}"
    if not run.has(column):
        return "not known"
    found = estimate(list(run.clip_means(column).values()))
    # One pair by nature, not for want of clips.
    return f"{found.value:.3f}" if "dataset=stereo" in run.name else shown(found, signed=False)
