"""Where the time of a new frame goes, as data frames, from the rows that `eqvi.evaluation.profile` wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from eqvi.errors import InputError

#: The file of rows, and what no step accounts for.
FILE, REST = "profile_cpu", "rest"
#: The parts in the method's order, as rows name them and as readers know them.
PARTS = {
    "features": "1 flow: a frame's features",
    "between": "1 flow: between frames",
    "two ways": "1 flow: both ways combined",
    "positions": "2 positions over eight frames",
    "motion": "2 motion",
    "reversal": "3 flow reversal",
    "refinement": "4, 5 flow filter, refinement",
    "warps": "4 warps",
    "mask": "6 mask",
    "residual": "7 residual (RCSN)",
    "fusion": "8 MS-Fusion",
    "detail": "lost detail",
    "finishing": "finishing",
    REST: "blending and all else",
}


class PartTime(NamedTuple):
    """What a part of a model took for a new frame in one round.

    Attributes:
        model: what was profiled.
        part: one of `PARTS`.
        round: of the measurement.
        seconds: a new frame.
        gflop: of its convolutions.
        gigabytes: which its operations read and write.
    """

    model: str
    part: str
    round: int
    seconds: float
    gflop: float
    gigabytes: float


def read(path: Path) -> pd.DataFrame:
    """The rows: the fields of `PartTime` as columns.

    Raises:
        InputError: the file cannot be read, or is another.
    """
    try:
        rows = pd.read_csv(path)[list(PartTime._fields)]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: is no file of `python -m eqvi bench --profile` ({error})") from None
    if unknown := set(rows["part"]) - set(PARTS):
        raise InputError(f"{path}: has the part {min(unknown)!r}, which is none of {', '.join(PARTS)}")
    return rows


def parts(rows: pd.DataFrame, record: Mapping[str, Any]) -> pd.DataFrame:
    """The parts of each model in the method's order, indexed by ``model`` and ``part`` (in words).

    Columns:
        ms, ms_low, ms_high: a new frame's milliseconds, the median over rounds with the lowest and the highest.
        share: of the model's time.
        gflop, gigabytes: see `PartTime`.
        floor_ms: what the convolutions or the traffic take at the machine's rates, the longer of both.
        bound: which of both: ``arithmetic`` or ``memory``; empty where nothing was seen.
        distance_ms: of the time from its floor; of a part without a floor the whole time.

    All but `bound` are float64.
    """
    groups = rows.groupby(["model", "part"], sort=False)
    table = groups[["gflop", "gigabytes"]].median()
    for name, values in (("ms", groups["seconds"].median()), ("ms_low", groups["seconds"].min()),
                         ("ms_high", groups["seconds"].max())):  # fmt: skip
        table[name] = 1e3 * values
    table["share"] = table["ms"] / table.groupby("model")["ms"].transform("sum")
    rates = record["rates"]
    arithmetic = 1e3 * table["gflop"] / rates["convolution, GFLOP/s"]
    memory = 1e3 * table["gigabytes"] / rates["copy, GB/s"]
    table["floor_ms"] = arithmetic.where(arithmetic > memory, memory)
    table["bound"] = ["" if not floor else ("arithmetic" if a > m else "memory")
                      for floor, a, m in zip(table["floor_ms"], arithmetic, memory, strict=True)]  # fmt: skip
    table["distance_ms"] = table["ms"] - table["floor_ms"]
    models = list(dict.fromkeys(rows["model"]))
    order = [(model, part) for model in models for part in PARTS if (model, part) in table.index]
    table = table.loc[order].rename(index=PARTS, level="part")
    return table[["ms", "ms_low", "ms_high", "share", "gflop", "gigabytes", "floor_ms", "bound", "distance_ms"]]


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of `parts` that a page shows, as text; floors are empty where nothing was seen."""
    columns = {
        "ms (lowest to highest)": [
            f"{line.ms:.1f} ({line.ms_low:.1f} to {line.ms_high:.1f})" for line in table.itertuples()
        ],
        "share": [f"{share:.1%}" for share in table["share"]],
        "GFLOP": [f"{value:.1f}" if value else "" for value in table["gflop"]],
        "GB": [f"{value:.2f}" if value else "" for value in table["gigabytes"]],
        "floor, ms": [f"{value:.1f}" if value else "" for value in table["floor_ms"]],
        "bound by": list(table["bound"]),
    }
    return table[["model", "part"]].assign(**columns)


def sentences(table: pd.DataFrame, count: int = 3) -> list[str]:
    """For each model what a new frame takes, and the parts that are farthest from their floor.

    Args:
        table: of `parts`.
        count: how many parts are named.
    """
    texts = []
    for model in table.index.unique("model"):
        own = table.loc[model]
        farthest = own["distance_ms"].nlargest(count)
        named = [f"{part} ({distance:.0f} of {own['ms'][part]:.0f} ms)" for part, distance in farthest.items()]
        texts.append(
            f"{model}: {own['ms'].sum():.0f} ms a new frame, the floor of all parts {own['floor_ms'].sum():.0f} ms; "
            f"farthest from theirs: {', '.join(named)}."
        )
    return texts
