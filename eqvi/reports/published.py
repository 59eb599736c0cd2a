"""The figures of the published table, ``results/reported.csv``, and what was measured of them."""

import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pandas as pd

from eqvi.errors import InputError
from eqvi.reports.runs import DATA, check_comparable, read_run
from eqvi.reports.statistics import estimates_frame

METRICS = ("psnr", "ssim")
_KEYS = ["checkpoint", "RCSN", "RQFP", "MS-Fusion", "data", "source"]


def read_published(folder: Path) -> pd.DataFrame:
    """The published figures, a row for each checkpoint, set of clips and metric, in the order of the file.

    Columns:
        checkpoint: its name as published (text).
        RCSN, RQFP, MS-Fusion: whether the part is in the model (bool).
        data: one of `eqvi.reports.runs.DATA` (text).
        source: where the figure was published (text).
        metric: ``psnr`` or ``ssim`` (text).
        published: the figure (float64), in dB for ``psnr``; NaN where none was published.
        run: name of the run that measures it (text).

    Raises:
        InputError: the file is missing, or has other columns or no numbers.
    """
    path = folder / "reported.csv"
    try:
        table = pd.read_csv(path, true_values=["yes"], false_values=["no"], index_col=False)
        figures = table.astype(dict.fromkeys(METRICS, "float64")).reset_index(names="line")
        figures = figures.melt(["line", *_KEYS], list(METRICS), "metric", "published")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: it belongs to the project, fetch it again") from error
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be used ({error}): fetch the project's file again") from error
    figures = figures.sort_values(["line", "metric"], kind="stable", ignore_index=True).drop(columns="line")
    figures["run"] = [_run_name(*names) for names in zip(figures["checkpoint"], figures["data"], strict=True)]
    return figures


def compared(folder: Path) -> pd.DataFrame:
    """The published figures, each with the measured one: the columns of `read_published` and of `Estimate`.

    A column ``difference`` holds the measured figure less the published one.

    Raises:
        InputError: results that cannot be read, or of different protocols.
    """
    figures = read_published(folder)
    runs = {name: read_run(folder, name) for name in figures["run"].unique()}
    check_comparable(*(run for run in runs.values() if not run.reason))
    keys = zip(figures["run"], figures["metric"], strict=True)
    measured = estimates_frame({(name, metric): runs[name].estimate(metric) for name, metric in keys}, "run", "metric")
    figures = figures.merge(measured, on=["run", "metric"])
    return figures.assign(difference=figures["estimate"] - figures["published"])


def four_digits(figure: float) -> str:
    """A published figure as its table prints it; halves are rounded up, which a float's format would not always do."""
    return str(Decimal(repr(float(figure))).quantize(Decimal("0.0001"), ROUND_HALF_UP))


def _run_name(checkpoint: str, data: str) -> str:
    plain = re.sub(r"\(.*\)", "", checkpoint).strip().lower()
    return f"{re.sub(r'[^a-z0-9]+', '_', plain)}_{DATA[data][0]}"
