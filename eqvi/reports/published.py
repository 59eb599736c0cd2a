"""What was published: the figures of ``results/reported.csv``, the runs that measure them, and what those runs need."""

import csv
import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import NamedTuple

from eqvi.errors import InputError
from eqvi.reports.runs import Run, read_run

#: The data of the published table: how a run's name ends, how many clips there are, and how the table calls them.
DATA = {
    "REDS_VTSR val (30 clips)": ("val30", 30),
    "REDS_VTSR5 (5 clips)": ("vtsr5", 5),
}
#: Frames scored in a clip of REDS_VTSR at twice the rate: one between any two of 46.
GAPS = 45
NOT_PUBLISHED = "not published"


class Figure(NamedTuple):
    """A line of the published table for one set of clips.

    Attributes:
        checkpoint: its name as published.
        parts: whether RCSN, RQFP and MS-Fusion take part, as ``yes`` or ``no``.
        data: one of `DATA`.
        run: the run that measures it.
        psnr, ssim: as published, with the digits given there; None where not published.
    """

    checkpoint: str
    parts: tuple[str, str, str]
    data: str
    run: str
    psnr: str | None
    ssim: str | None


def figures(folder: Path) -> list[Figure]:
    """The published figures, in the order of the file.

    Raises:
        InputError: the file is missing or has other columns.
    """
    path = folder / "reported.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_figure(row) for row in csv.DictReader(file)]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: it belongs to the project, fetch it again") from error
    except KeyError as error:
        raise InputError(f"{path}: {error} is missing or unknown: fetch the project's file again") from error


def _figure(row: dict[str, str]) -> Figure:
    plain = re.sub(r"\(.*\)", "", row["checkpoint"]).strip().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain)
    psnr, ssim = (None if row[column] == NOT_PUBLISHED else row[column] for column in ("PSNR (dB)", "SSIM"))
    parts = (row["RCSN"], row["RQFP"], row["MS-Fusion"])
    return Figure(row["checkpoint"], parts, row["data"], f"{name}_{DATA[row['data']][0]}", psnr, ssim)


def four_digits(stated: str) -> str:
    """A published figure as its table has it; halves are rounded up, which a float's format would not always do."""
    return str(Decimal(stated).quantize(Decimal("0.0001"), ROUND_HALF_UP))


def obtain(folder: Path, name: str) -> Run | str:
    """A run's scores if they are whole; otherwise what is missing, in words that follow ``not measured:``.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    run = read_run(folder, name)
    if run is None:
        return f"needs {needs(name)}"
    for suffix, clips in DATA.values():
        if name.endswith(f"_{suffix}") and (len(run.clips), len(run.frames)) != (clips, clips * GAPS):
            return f"{len(run.frames)} of {clips * GAPS} frames, {len(run.clips)} of {clips} clips scored"
    return run


def needs(name: str) -> str:
    """What must be at hand to make a run."""
    if name.startswith("real_clips"):
        return "the public clips"
    if name.startswith("motion_error"):
        return "notebook 11 run"
    if name.startswith("flow_error"):
        return "notebook 15 run"
    if name.startswith("ablation"):
        return "notebook 16 run"
    if not name.endswith(tuple(suffix for suffix, _ in DATA.values())):
        return "the rendered clips scored"
    return "REDS_VTSR and the published weights" if name.startswith("stage") else "REDS_VTSR"
