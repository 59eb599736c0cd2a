"""Runs: scored frames in ``results/RUN.csv``, a row each, and ``results/RUN.json``, the provenance.

An empty cell was not measured. Means are taken over the frames of a clip first, then over clips; estimates and
differences are over scenes, see `per_scene`. A frame that equals its truth has an infinite PSNR, so it is left out of
all means, and of those of the other runs in the file as well.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eqvi.errors import InputError
from eqvi.files import parse_json
from eqvi.reports.statistics import Estimate, estimate

#: Columns that hold names, as text; every other column holds numbers (float64, NaN where not measured).
NAMES = ("run", "dataset", "clip", "kind", "frame", "model", "flow", "t")
#: The sets of clips of the published table: how a run's name ends, and how many clips there are.
DATA = {"REDS_VTSR val (30 clips)": ("val30", 30), "REDS_VTSR5 (5 clips)": ("vtsr5", 5)}
#: Clips that are views of one scene, and its name; every other clip is a scene of its own.
SCENES = {f"cam{view:02}": "walk" for view in (1, 2, 3, 4)}
#: What the published scores need.
NEEDS_WEIGHTS = "needs REDS_VTSR and the published weights"
#: Frames scored in a clip of REDS_VTSR at twice the rate: one between any two of 46.
GAPS = 45


@dataclass(frozen=True, eq=False)
class Run:
    """The scored frames of one model on one set of clips; none if it was not measured.

    Attributes:
        name: of the run; ``FILE:COLUMN=VALUE,...`` if it is a part of a file.
        path: the CSV file.
        scores: the numbers, a row for each frame, indexed and sorted by clip and frame; NaN where not measured.
        equal: the clips and names of frames left out of `scores`, because a run of the file equals the truth there.
        made_by: the content of the provenance file.
        reason: why there are no scores, in words that follow ``not measured:``; empty if there are.
    """

    name: str
    path: Path
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    equal: frozenset[tuple[str, str]] = frozenset()
    made_by: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    @property
    def protocol(self) -> object:
        """The conventions of the scores, from the provenance file."""
        return self.made_by.get("protocol")

    @property
    def clips(self) -> list[str]:
        """The clips' names, sorted."""
        return list(self.scores.index.unique("clip")) if len(self.scores) else []

    def has(self, column: str) -> bool:
        """Whether a number was measured at every frame."""
        return column in self.scores and not bool(self.scores[column].isna().any())

    def clip_means(self, column: str) -> pd.Series:
        """The mean of a column over the frames of each clip, by clip."""
        return self.scores[column].groupby(level="clip").mean()

    def mean(self, column: str) -> float:
        """The mean of a column over frames, then over clips."""
        return float(self.clip_means(column).mean())

    def estimate(self, column: str) -> Estimate:
        """The mean of a column over scenes with its interval, or why there is none."""
        if not self.has(column):
            return Estimate(reason=self.reason or f"{self.name} has no {column}")
        return estimate(per_scene(self.scores[column]))

    def worst(self, count: int) -> pd.DataFrame:
        """The frames of the lowest PSNR, lowest first."""
        return self.scores.sort_values("psnr", kind="stable").head(count)


def per_scene(values: pd.Series) -> pd.Series:
    """The mean over each scene of numbers that are indexed by ``clip`` and perhaps ``frame``: over clips first.

    Raises:
        InputError: two clips have one name.
    """
    clips = values.groupby(level="clip").mean() if values.index.nlevels > 1 else values
    double = [clip for clip, count in Counter(clips.index).items() if count > 1]
    if double:
        raise InputError(f"two scenes are named {double[0]!r}: a scene counts once, rename one or leave it out")
    return clips.groupby([SCENES.get(clip, clip) for clip in clips.index]).mean().rename_axis("scene")


def read_frames(path: Path) -> pd.DataFrame:
    """All rows of a CSV file of scored frames: `NAMES` as text, all other columns as float64.

    Raises:
        InputError: it cannot be read, has no columns ``clip`` and ``frame``, or holds something that is no number.
    """
    return _with_numbers(path, _read_text(path))


def read_run(folder: Path, name: str) -> Run:
    """The scores of a run, or the reason why there are none.

    Args:
        folder: where results lie.
        name: of the file without its ending; with ``:COLUMN=VALUE,...`` only its rows that have these values. A VALUE
            that ends in ``*`` selects all that begin so, the seeds of one model: their mean at every frame is taken.

    Raises:
        InputError: the file or its provenance cannot be read, a row is double, a value is no number, a PSNR is
            missing, or one seed scored other frames than another.
    """
    stem, _, conditions = name.partition(":")
    path = folder / f"{stem}.csv"
    if not path.is_file():
        return Run(name, path, reason=f"needs {needs(name)}")
    rows, seeds = _read_text(path), None
    key = ["clip", "frame"]
    scores = [column for column in rows if column.startswith("psnr")]
    infinite = rows[rows[scores].isin(["inf", "-inf"]).any(axis=1)]
    equal = frozenset(map(tuple, infinite[key].to_numpy()))
    for condition in filter(None, conditions.split(",")):
        column, _, value = condition.partition("=")
        cells = rows[column] if column in rows else pd.Series("", rows.index)
        rows = rows[cells.str.startswith(value[:-1]) if value.endswith("*") else cells == value]
        seeds = column if value.endswith("*") else seeds
    try:
        made_by = parse_json(path.with_suffix(".json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} has no {stem}.json beside it: evaluate again, its provenance is unknown") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} or its .json cannot be read ({error}): evaluate again") from error
    if rows.empty:
        return Run(name, path, reason=f"needs {needs(name)}")
    parts = dict(iter(rows.groupby(seeds))) if seeds else {"": rows}
    for part in parts.values():
        for _, row in part[part.duplicated(key)].iterrows():
            raise InputError(f"{path} holds clip {row['clip']}, frame {row['frame']} twice: evaluate again")
    frames = [set(map(tuple, part[key].to_numpy())) for part in parts.values()]
    if any(other != frames[0] for other in frames):
        raise InputError(f"{path}: {seeds} {', '.join(parts)} score different frames: evaluate again")
    numbers = _with_numbers(path, rows).set_index(key).select_dtypes("float64")
    means = numbers[~numbers.index.isin(equal)].groupby(level=key).mean(skipna=False)
    run = Run(name, path, means, equal & frames[0], made_by)
    if means.empty:
        return Run(name, path, equal=run.equal, made_by=made_by, reason="every frame equals its truth")
    for suffix, clips in DATA.values():
        if name.endswith(f"_{suffix}") and (len(run.clips), len(means) + len(run.equal)) != (clips, clips * GAPS):
            reason = f"{len(means) + len(run.equal)} of {clips * GAPS} frames, {len(run.clips)} of {clips} clips scored"
            return Run(name, path, made_by=made_by, reason=reason)
    return run


def members(folder: Path, name: str) -> list[str]:
    """The names of the single runs, one per seed, that `read_run` takes the mean of for a NAME with ``*``.

    Raises:
        InputError: the file cannot be read.
    """
    stem, _, condition = name.partition(":")
    column, _, value = condition.partition("=")
    path = folder / f"{stem}.csv"
    if not value.endswith("*") or not path.is_file():
        return [name]
    names = set(_read_text(path).get(column, ()))
    return [f"{stem}:{column}={one}" for one in sorted(names) if one.startswith(value[:-1])]


def check_comparable(*runs: Run) -> None:
    """Refuse runs that do not belong in one table.

    Raises:
        InputError: two of them follow other protocols.
    """
    for run in runs[1:]:
        if run.protocol != runs[0].protocol:
            difference = _first_difference(runs[0].protocol, run.protocol)
            raise InputError(
                f"{runs[0].path} and {run.path} follow different protocols ({difference}): evaluate one of them again"
            )


def paired(better: Run, worse: Run, column: str) -> pd.Series:
    """The scores of one run less those of another, frame by frame, but where one of them equals the truth.

    Raises:
        InputError: they score different frames, by other protocols, or of other data.
    """
    check_comparable(better, worse)
    if set(better.scores.index) | better.equal != set(worse.scores.index) | worse.equal:
        raise InputError(f"{better.path} and {worse.path} score different frames: evaluate one of them again")
    for key in ("data_sha256", "lpips_sha256") if column == "lpips" else ("data_sha256",):
        if better.made_by.get(key) != worse.made_by.get(key):
            raise InputError(f"{better.path} and {worse.path} differ in {key}: evaluate one of them again")
    both = better.scores.index.intersection(worse.scores.index, sort=None)
    return better.scores.loc[both, column] - worse.scores.loc[both, column]


def needs(name: str) -> str:
    """What a run needs that was not measured."""
    for beginning, what in (
        ("real_clips", "the public clips"),
        ("motion_error", "notebook 11 run"),
        ("flow_error", "notebook 15 run"),
        ("ablation_x", "the public clips"),
        ("ablation_gpu_rendered", "a GPU's visit"),
        ("ablation_gpu", "the public clips"),
        ("ablation", "notebook 16 run"),
        ("error_budget", "`python -m eqvi evaluate --budget`"),
        ("trajectories", "`python -m eqvi evaluate --trajectories`"),
    ):
        if name.startswith(beginning):
            return what
    if not name.endswith(tuple(suffix for suffix, _ in DATA.values())):
        return "the rendered clips scored"
    return NEEDS_WEIGHTS.removeprefix("needs ") if name.startswith("stage") else "REDS_VTSR"


def _read_text(path: Path) -> pd.DataFrame:
    """The rows as text, empty where nothing is written."""
    try:
        rows = pd.read_csv(path, dtype=object, keep_default_na=False, index_col=False).fillna("")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): evaluate again") from error
    for column in ("clip", "frame"):
        if column not in rows:
            raise InputError(f"{path} has no column {column!r}: name a file of scored frames")
    return rows


def _with_numbers(path: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with every column but `NAMES` as float64."""
    columns = [column for column in rows if column not in NAMES]
    text = rows[columns]
    try:
        numbers = text.where(text != "", "nan").astype("float64")
    except ValueError:
        numbers = text.apply(pd.to_numeric, errors="coerce").astype("float64")
    scores = [column.startswith("psnr") for column in columns]  # infinite where a frame equals its truth
    bad = (numbers.isna() & (text != "")) | (np.isinf(numbers) & ~np.array(scores))
    if "psnr" in numbers:
        bad["psnr"] |= numbers["psnr"].isna()
    for line, column in zip(*np.nonzero(bad.to_numpy()), strict=True):
        where = f"{path}, clip {rows['clip'].iloc[line]}, frame {rows['frame'].iloc[line]}: {columns[column]}"
        raise InputError(f"{where}={text.iloc[line, column]!r} is no number: evaluate again")
    return rows[[column for column in rows if column in NAMES]].join(numbers)


def _first_difference(first: object, second: object) -> str:
    """The first setting in which two protocols differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() | second.keys()):
            if first.get(key) != second.get(key):
                return f"{key}: {first.get(key)!r} and {second.get(key)!r}"
    return f"{first!r} and {second!r}"
