"""How hard rendered training windows are beside real footage (``results/difficulty.csv``). Needs no torch."""

from pathlib import Path

import pandas as pd

from eqvi.errors import InputError

FILE = "difficulty"
#: What is compared, with its label; see `eqvi.evaluation.difficulty.Row`.
MEASURES = {
    "speed": "speed, px",
    "fastest": "95th percentile of speed, px",
    "acceleration": "acceleration, px",
    "jerk": "jerk, px",
    "shake_2": "shake at 2/8 cycles, px",
    "shake_4": "shake at 4/8 cycles, px",
    "occlusion": "occluded share",
    "noise": "noise, 8-bit values",
    "sharpness": "share of fine detail",
    "blocks": "steps at 8x8 blocks",
    "difference": "error of the difference, px",
    "common": "error of the common part, px",
    "psnr": "weight-free PSNR, dB",
}
#: Those whose axis is logarithmic, from a hundredth of the unit on.
LOGARITHMIC = ("speed", "fastest", "acceleration", "jerk", "shake_2", "shake_4", "difference", "common")
_NAMES = {1: "rendered", 2: "real, x2", 4: "real, x4"}


def groups(folder: Path) -> dict[str, pd.DataFrame]:
    """The rows of rendered windows and of real ones at x2 and at x4, by name; none if they were not measured.

    Raises:
        InputError: the file cannot be read.
    """
    path = folder / f"{FILE}.csv"
    if not path.is_file():
        return {}
    try:
        rows = pd.read_csv(path)
        return {_NAMES[int(factor)]: part for factor, part in rows.groupby("factor")}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}): make it again (python -m eqvi difficulty)") from error


def quantiles(folder: Path, shares: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)) -> pd.DataFrame:
    """The quantiles of every measure, a row for each measure and group, a column for each share."""
    table = {
        (label, name): rows[measure].quantile(list(shares))
        for measure, label in MEASURES.items()
        for name, rows in groups(folder).items()
    }
    columns = [f"{share:.0%}" for share in shares]
    index = pd.MultiIndex.from_tuples(list(table), names=["measure", "windows"]) if table else None
    return pd.DataFrame([values.to_list() for values in table.values()], index=index, columns=columns)
