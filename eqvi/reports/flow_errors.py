"""The errors of flow estimators as data frames, from the rows that `eqvi.evaluation.flow_error` wrote.

Means are over a clip's frames first, then over clips; the stereo pair is one clip, so it has no interval.
"""

from pathlib import Path

import pandas as pd

from eqvi.paths import WEIGHTS
from eqvi.reports.comparisons import gain
from eqvi.reports.runs import read_run
from eqvi.reports.statistics import Estimate, estimates_frame

#: The run, and our own flow network: a row of the table, a file of weights.
RUN, NETWORK = "flow_error", "flow-quarter"
#: The estimators: as rows name them, and as readers know them.
ESTIMATORS = {
    NETWORK: "our ScopeFlow, quarter width",
    "raft": "RAFT",
    "dis": "DIS",
    "dis-two-way": "DIS, both ways combined",
    "tvl1": "TV-L1",
    "still": "no motion at all",
}
#: What to say of those whose weights are not there.
_WITHOUT = {
    NETWORK: f"no results/{WEIGHTS.name}/{NETWORK}.safetensors",
    "raft": "needs `python -m eqvi download weights raft`",
}
#: What they are measured on, and which rows those are.
PARTS = {
    "one interval": "dataset=rendered,intervals=1",
    "two intervals": "dataset=rendered,intervals=2",
    "stereo pair": "dataset=stereo",
}
#: The errors of a row, in words.
COLUMNS = {"epe": "end-point error, px", "epe_visible": "the same where visible, px", "above_3px": "share above 3 px"}


def flow_errors(folder: Path, column: str = "epe") -> pd.DataFrame:
    """Every estimator's error on every part.

    Args:
        folder: of results.
        column: one of `COLUMNS`.

    Returns:
        the columns of `Estimate`, indexed by ``flow`` and ``part``.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    estimates = {}
    for name, title in ESTIMATORS.items():
        for part, rows in PARTS.items():
            one = read_run(folder, f"{RUN}:flow={name},{rows}").estimate(column)
            there = folder / WEIGHTS.name / (f"{name}.safetensors" if name == NETWORK else name)
            if one.clips is None and name in _WITHOUT and not there.exists():
                one = Estimate(reason=_WITHOUT[name])
            # The stereo pair is one clip by nature: that its interval is missing needs no words.
            estimates[title, part] = one._replace(reason="") if one.clips and part == "stereo pair" else one
    return estimates_frame(estimates, "flow", "part")


def flow_differences(folder: Path, against: str = "dis", column: str = "epe") -> pd.DataFrame:
    """How much larger every estimator's error is than another's on the same rendered clips.

    Args:
        folder: of results.
        against: one of `ESTIMATORS`, which is subtracted.
        column: one of `COLUMNS`.

    Returns:
        the columns of `Estimate`, indexed by ``difference`` and ``part``.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    estimates = {}
    for name, title in ESTIMATORS.items():
        for part in ("one interval", "two intervals") if name != against else ():
            own, other = (f"{RUN}:flow={one},{PARTS[part]}" for one in (name, against))
            estimates[f"{title} less {ESTIMATORS[against]}", part] = gain(folder, own, other, column)
    return estimates_frame(estimates, "difference", "part")
