"""Camera paths (``results/camera_paths.csv``): how well n frames interpolate them, and their spectra. Needs no torch.

A path is (N, 2), x and y in pixels, a row for every frame of the clip. Kept are every `step`-th; times are counted in
intervals between kept frames, as everywhere.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import signal
from scipy.interpolate import BarycentricInterpolator

from eqvi.errors import InputError

CameraPath = Float[np.ndarray, "n 2"]

FILE = "camera_paths"
#: Numbers of frames that are compared.
COUNTS = (2, 4, 6, 8, 10)


def read_paths(folder: Path) -> dict[str, CameraPath]:
    """The paths by clip; none if they were not measured.

    Raises:
        InputError: the file cannot be read.
    """
    path = folder / f"{FILE}.csv"
    if not path.is_file():
        return {}
    try:
        rows = pd.read_csv(path)
        return {str(clip): part[["x", "y"]].to_numpy() for clip, part in rows.groupby("clip")}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}): make it again (python -m eqvi camera)") from error


def weights(count: int, t: float | Float[np.ndarray, " t"]) -> Float[np.ndarray, "*t n"]:
    """Lagrange's weights at t of an even number of frames around the gap from 0 to 1; an independent second form."""
    times = np.arange(1 - count // 2, count // 2 + 1)
    return BarycentricInterpolator(times, np.eye(count))(t)


def interpolation_errors(path: CameraPath, step: int, counts: Sequence[int] = COUNTS) -> dict[int, float]:
    """The rms distance in pixels of interpolated from true positions at the frames left out, by number of frames.

    Every number is measured in the same gaps, those that have the frames for the largest; NaN if there is none.
    """
    kept, most = path[::step], max(counts) // 2
    gaps = np.arange(most - 1, len(kept) - most)
    gaps = gaps[step * gaps + step - 1 < len(path)]
    errors = {}
    for count in counts:
        around = kept[gaps[:, None] + np.arange(1 - count // 2, count // 2 + 1)]
        misses = [
            np.einsum("s,gsc->gc", weights(count, inside / step), around) - path[step * gaps + inside]
            for inside in range(1, step)
        ]
        errors[count] = float(np.sqrt((np.stack(misses) ** 2).sum(-1).mean())) if len(gaps) else float("nan")
    return errors


def error_table(folder: Path, step: int, counts: Sequence[int] = COUNTS) -> pd.DataFrame:
    """`interpolation_errors` of every clip, a column for each number of frames, from the largest to the smallest."""
    errors = {clip: interpolation_errors(path, step, counts) for clip, path in read_paths(folder).items()}
    table = pd.DataFrame.from_dict(errors, orient="index", columns=list(counts), dtype="float64").rename_axis("clip")
    return table.rename(columns="{} frames".format).sort_values(f"{counts[0]} frames", ascending=False)


def spectrum(path: CameraPath, step: int) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
    """Frequencies in cycles per interval between kept frames, and the path's amplitude there, in pixels.

    The amplitude is the square root of the power (x and y together) in a band of the width of the estimate's resolution
    (Welch's method, Hann window, straight lines removed).
    """
    length = min(64, len(path))
    frequency, power = signal.welch(path, nperseg=length, detrend="linear", scaling="spectrum", axis=0)
    return frequency[1:] * step, np.sqrt(power.sum(1))[1:]


class Departure(NamedTuple):
    """A stretch of a path as its distance from the straight lines between kept frames, the common part c.

    Attributes:
        time: (N,), in intervals, 0 at the kept frame that was asked for.
        curves: by ``2 frames`` and so on, (N,) in pixels: what interpolation from so many frames says; 0 for two.
        left_out_time, left_out: (M,): where the frames left out truly are.
    """

    time: Float[np.ndarray, " n"]
    curves: dict[str, Float[np.ndarray, " n"]]
    left_out_time: Float[np.ndarray, " m"]
    left_out: Float[np.ndarray, " m"]


def departure(
    path: CameraPath, step: int, gap: int, counts: Sequence[int], axis: int, around: int = 4, fine: int = 24
) -> Departure:
    """A stretch of a path from `around` intervals before kept frame `gap` to as many after the next one.

    Args:
        path: of the camera.
        step: distance of the kept frames.
        gap: the kept frame at time 0.
        counts: of frames; every interval has the polynomial through so many frames around it.
        axis: 0 for x, 1 for y.
        around: intervals that are shown before and after.
        fine: points of a curve in an interval.

    Raises:
        InputError: the path is too short for the frames around these intervals.
    """
    kept, most = path[::step, axis], max(counts) // 2
    gaps = range(gap - around, gap + around + 1)
    if gaps[0] < most - 1 or gaps[-1] + most >= len(kept):
        raise InputError(f"gap={gap}: give one from {most - 1 + around} to {len(kept) - 1 - most - around}")
    inside = np.arange(fine) / fine

    def curve(count: int, t: Float[np.ndarray, " t"]) -> Float[np.ndarray, " n"]:
        return np.concatenate([weights(count, t) @ kept[g + 1 - count // 2 : g + 1 + count // 2] for g in gaps])

    between = np.arange(1, step) / step
    truth = np.concatenate([path[step * g + 1 : step * (g + 1), axis] for g in gaps])
    return Departure(
        np.concatenate([g - gap + inside for g in gaps]),
        {f"{count} frames": curve(count, inside) - curve(2, inside) for count in counts},
        np.concatenate([g - gap + between for g in gaps]),
        truth - curve(2, between),
    )
