"""How many frames, how smooth: motion models with paths over 4 to 10 frames (`eqvi.evaluation.trajectory_rows`).

The rows are in ``results/trajectories_DATA.csv``, one for every frame and method.
"""

from pathlib import Path

import pandas as pd

from eqvi.reports.comparisons import gain
from eqvi.reports.runs import read_run
from eqvi.reports.statistics import estimates_frame

#: Motion models, and the numbers of frames of their paths; 0 is the paper's motion.
MOTIONS, COUNTS = ("linear", "quadratic", "least_squares", "rectified"), (0, 4, 6, 8)
#: The choice that is the default of `interpolate`, and the paper's motion that it is compared with.
CHOICE, BASELINE = "quadratic+8", "quadratic"
#: Files of rows: data, and name without ``.csv``.
FILES = {
    "real clips, x2": "trajectories_x2",
    "real clips, x4": "trajectories_x4",
    "real clips, x2, our flow network": "trajectories_network_x2",
    "rendered clips, x2": "trajectories_rendered",
}


def name_of(motion: str, count: int) -> str:
    """The method's name in the rows."""
    return f"{motion}+{count}" if count else motion


def means(folder: Path, file: str) -> pd.DataFrame:
    """Mean PSNR over clips: a row a motion model, a column a number of frames; NaN where it was not measured."""
    table = {
        _frames(count): {
            motion.replace("_", " "): read_run(folder, f"{file}:model={name_of(motion, count)}")
            .estimate("psnr")
            .estimate
            for motion in MOTIONS
        }
        for count in COUNTS
    }
    return pd.DataFrame(table).rename_axis("motion, mean PSNR in dB")


def gains(folder: Path, file: str) -> pd.DataFrame:
    """What paths earn over the same motion without them, and what RQFP earns beside them: the columns of `Estimate`.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    pairs = {
        f"{motion.replace('_', ' ')}, {count} frames over the paper's": (name_of(motion, count), motion)
        for motion in MOTIONS
        for count in COUNTS
        if count
    }
    pairs |= {
        f"rectified over quadratic, {_frames(count)}": (name_of("rectified", count), name_of("quadratic", count))
        for count in COUNTS
    }
    return _estimates(folder, file, pairs)


def choices(folder: Path, file: str) -> pd.DataFrame:
    """What other numbers of frames, widths and rules earn over the default choice: the columns of `Estimate`.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    names = [name for name in methods(folder, file) if name.startswith("quadratic") and name != CHOICE]
    return _estimates(folder, file, {name: (name, CHOICE) for name in names})


def by_clip(folder: Path, file: str, method: str = CHOICE, against: str = BASELINE) -> pd.DataFrame:
    """By clip: the PSNR of `against`, what `method` gains, and what it gains on its best and worst frame."""
    runs = [read_run(folder, f"{file}:model={name}") for name in (method, against)]
    if any(run.reason for run in runs):
        return pd.DataFrame(columns=[against, "gain", "worst frame", "best frame"], dtype="float64").rename_axis("clip")
    scores = pd.DataFrame({name: run.scores["psnr"] for name, run in zip(("method", "against"), runs, strict=True)})
    change = (scores["method"] - scores["against"]).groupby(level="clip")
    return pd.DataFrame(
        {
            against: scores["against"].groupby(level="clip").mean(),
            "gain": change.mean(),
            "worst frame": change.min(),
            "best frame": change.max(),
        }
    ).rename_axis("clip")


def methods(folder: Path, file: str) -> list[str]:
    """The names of the methods that were measured; none where there is no file."""
    path = folder / f"{file}.csv"
    return list(pd.read_csv(path, usecols=["model"])["model"].unique()) if path.is_file() else []


def _estimates(folder: Path, file: str, pairs: dict[str, tuple[str, str]]) -> pd.DataFrame:
    found = {
        title: gain(folder, f"{file}:model={one}", f"{file}:model={other}") for title, (one, other) in pairs.items()
    }
    return estimates_frame(found, "gain in PSNR, dB")


def _frames(count: int) -> str:
    return f"{count} frames" if count else "the paper's frames"
