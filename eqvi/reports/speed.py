"""Speed and memory as data frames, from the rows of alternating measurements that `eqvi.evaluation.bench` wrote."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from eqvi.errors import InputError

#: What a (part, variant) is compared with: the first of these that was measured as well. The making of samples is
#: compared with the training step that consumes them.
AGAINST = {
    ("training", "ours"): (("training", "published"),),
    ("training", "stored"): (("training", "published"), ("training", "ours")),
    ("interpolation", "x2"): (("interpolation", "published"),),
    ("interpolation", "x4"): (("interpolation", "published"),),
    **{
        (part, variant): (("interpolation", "published"), ("interpolation", variant))
        for part in ("fast", "bfloat16")
        for variant in ("x2", "x4")
    },
    ("memory", "tiles"): (("memory", "whole"),),
    ("data", "rendered"): (("training", "ours"),),
    ("data", "stored"): (("training", "stored"),),
}
#: Models that `cost` tells of, by the preset of a run.
COST_MODELS = {"footage": "default for footage", "eqvi-quarter-dis": "our trained EQVI"}
#: Models that `length` tells of.
LENGTH_MODELS = COST_MODELS | {"eqvi-quarter": "a quarter of the published widths"}
_COLUMNS = ["part", "variant", "unit", "rate", "rate_low", "rate_high", "against", "ratio", "ratio_low", "ratio_high",
            "peak_mib", "memory_ratio"]  # fmt: skip


class Row(NamedTuple):
    """One measurement.

    Attributes:
        part, variant: what was measured, see `eqvi.evaluation.workloads`.
        unit: what it makes: ``samples``, ``frames`` or ``windows``.
        round: all variants of a part were measured once in each round, one after the other.
        made: how many.
        seconds: in how long.
        peak_mib: most memory in use meanwhile, MiB; None where it was not or cannot be measured.
    """

    part: str
    variant: str
    unit: str
    round: int
    made: int
    seconds: float
    peak_mib: float | None


def read(path: Path) -> pd.DataFrame:
    """The rows of a file that `eqvi.evaluation.bench` wrote: the fields of `Row` as columns.

    Raises:
        InputError: it cannot be read, or is another file.
    """
    try:
        return pd.read_csv(path, dtype={"variant": str})[list(Row._fields)].astype({"peak_mib": "float64"})
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: is no file of `python -m eqvi bench` ({error})") from None


def summary(rows: Iterable[Row] | pd.DataFrame) -> pd.DataFrame:
    """A row for every part and variant, in their order of appearance.

    Columns:
        part, variant, unit: as of `Row` (text).
        rate, rate_low, rate_high: made per second, the median over rounds with the lowest and the highest (float64).
        against: part and variant that it is compared with; NA if that was not measured, and so are the ratios.
        ratio, ratio_low, ratio_high: of the rates, both of the same round (float64).
        peak_mib: most memory over the rounds, MiB; NaN where not measured (float64).
        memory_ratio: of the peaks (float64).
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=Row._fields)
    frame = frame.astype({"peak_mib": "float64"}).assign(rate=frame["made"] / frame["seconds"])
    groups = {key: group.set_index("round") for key, group in frame.groupby(["part", "variant"], sort=False)}
    lines = []
    for key, own in groups.items():
        line = {"part": key[0], "variant": key[1], "unit": own["unit"].iloc[0], **_spread("rate", own["rate"])}
        other = next((other for other in AGAINST.get(key, ()) if other in groups), None)
        line["against"] = " ".join(other) if other else pd.NA
        if other:
            line |= _spread("ratio", (own["rate"] / groups[other]["rate"]).dropna())
            line["memory_ratio"] = own["peak_mib"].max() / groups[other]["peak_mib"].max()
        lines.append(line | {"peak_mib": own["peak_mib"].max()})
    return pd.DataFrame(lines).reindex(columns=_COLUMNS)


def read_record(path: Path) -> dict[str, Any]:
    """What stands beside the rows of `read`; empty where nothing does."""
    beside = path.with_suffix(".json")
    return json.loads(beside.read_text()) if beside.is_file() else {}


def with_floor(lines: pd.DataFrame, record: Mapping[str, Any]) -> pd.DataFrame:
    """The lines of a `summary` with how near new frames come to what is possible, and to the exact frame.

    Columns:
        floor_share: the time that a frame's convolutions take at the machine's rate of the same run and precision, as
            a share of the frame's time; NaN where not measured (float64).
        parity_db: PSNR of the frame against that of the exact arithmetic; NaN for that itself (float64).
    """
    rates = {line.variant: line.rate for line in lines[lines["part"] == "convolution"].itertuples()}
    work, parity = record.get("gflop_a_frame", {}), record.get("parity_db", {})
    shares, decibels = [], []
    for line in lines.itertuples():
        kind = "bfloat16" if line.part == "bfloat16" else "float32"
        frames = line.part in ("interpolation", "fast", "bfloat16") and kind in rates and line.variant in work
        shares.append(line.rate * work[line.variant] / rates[kind] if frames else math.nan)
        decibels.append(parity.get(line.part, math.nan) if line.variant == "x2" else math.nan)
    return lines.assign(floor_share=shares, parity_db=decibels)


def described(lines: pd.DataFrame, record: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """The lines of a `summary` as text; with a record that says so, with the columns of `with_floor`."""
    rates = [_with_range(line.rate, line.rate_low, line.rate_high, f" {line.unit}/s") for line in lines.itertuples()]
    ratios = [_with_range(line.ratio, line.ratio_low, line.ratio_high, "x") for line in lines.itertuples()]
    text = lines[["part", "variant"]].assign(**{"median (lowest to highest)": rates, "ratio, by round": ratios})
    text["of"] = lines["against"].fillna("")
    text["peak MiB"] = ["" if pd.isna(peak) else f"{peak:.0f}" for peak in lines["peak_mib"]]
    text["memory ratio"] = ["" if pd.isna(ratio) else f"{ratio:.2f}x" for ratio in lines["memory_ratio"]]
    if record and "gflop_a_frame" in record:
        extended = with_floor(lines, record)
        text["floor"] = ["" if pd.isna(share) else f"{share:.0%}" for share in extended["floor_share"]]
        text["dB to exact"] = ["" if pd.isna(value) else f"{value:.0f}" for value in extended["parity_db"]]
    return text


def cost(folder: Path) -> pd.DataFrame:
    """Seconds a new frame by its pixels, of models that were measured at several sizes, as `interpolate` computes them.

    Returns:
        A row for every size, in megapixels; a column for every model and rate: medians over rounds (float64), NaN where
        not measured. Sizes are of runs of their own, minutes or hours apart.

    Raises:
        InputError: as `read`.
    """
    cells: dict[str, dict[float, float]] = {}
    for model, parameters, line in _lines(folder, COST_MODELS):
        rate = {"whole": "x2"}.get(line.variant, line.variant)
        if line.part in ("fast", "memory") and rate in ("x2", "x4"):
            size = parameters["height"] * parameters["width"] / 1e6
            cells.setdefault(f"{model}, {rate}", {})[size] = 1 / line.rate
    return pd.DataFrame(cells).sort_index().rename_axis("megapixels")


def length(folder: Path) -> pd.DataFrame:
    """Seconds a new frame at x2 by the gaps of the clip: a column for every model, its device and frames, medians over
    rounds (float64).

    Raises:
        InputError: as `read`.
    """
    cells: dict[str, dict[int, float]] = {}
    for model, parameters, line in _lines(folder, LENGTH_MODELS):
        if line.part == "length":
            of = f"{model}, {parameters['device']}, {parameters['width']}x{parameters['height']}"
            cells.setdefault(of, {})[int(line.variant)] = 1 / line.rate
    return pd.DataFrame(cells).sort_index().rename_axis("gaps")


def _lines(folder: Path, models: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """The lines of every `summary` in a folder that is of one of these models, with its name and the parameters."""
    for path in sorted(folder.glob("bench_*.csv")):
        parameters = read_record(path).get("parameters", {})
        if model := models.get(parameters.get("preset", "")):
            for line in summary(read(path)).itertuples():
                yield model, parameters, line


def in_tiles(record: Mapping[str, Any]) -> list[str]:
    """What a run with the part ``memory`` says of frames in tiles, in a sentence; nothing of another run."""
    if "tiles" not in record:
        return []
    tiles, size = record["tiles"], record["parameters"]
    return [
        f"A frame of {size['width']}x{size['height']} in {tiles['count']} tiles differs from the whole one by at most "
        f"{tiles['largest']:.2g} grey levels, by more than 0.1 in {tiles['above']:.2g} of its values."
    ]


def _spread(name: str, values: pd.Series) -> dict[str, float]:
    return {name: values.median(), f"{name}_low": values.min(), f"{name}_high": values.max()}


def _with_range(middle: float, low: float, high: float, unit: str) -> str:
    if pd.isna(middle):
        return ""
    middle_text, low_text, high_text = (f"{one:.3g}" if one < 100 else f"{one:.0f}" for one in (middle, low, high))
    return f"{middle_text}{unit} ({low_text} to {high_text})"
