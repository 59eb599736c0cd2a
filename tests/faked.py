"""Made-up files of scored frames, for tests of what is computed from such files."""

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eqvi.paths import RESULTS

#: What the study's rows hold.
COLUMNS = (
    "run", "dataset", "clip", "frame", "t", "psnr", "ssim", "psnr_float", "psnr_truncated", "mse", "psnr_luma",
    "psnr_cropped", "ssim_7x7", "ssim_3d", "sharpness", "sharpness_truth", "lpips", "motion", "acceleration",
    "occlusion", "seconds",
)  # fmt: skip


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file as they are written, by column."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def results(folder: Path) -> Path:
    """A folder of results that holds the published figures and nothing else."""
    shutil.copy(RESULTS / "reported.csv", folder)
    return folder


def run(
    folder: Path,
    name: str,
    psnr: Sequence[float],
    frames: int = 1,
    protocol: Mapping[str, Any] | None = None,
    data: str = "d",
    **columns: float | None,
) -> Path:
    """Write a run with one PSNR per clip, the same at each of its frames; None in a column is an empty cell."""
    rows = []
    for clip, value in enumerate(psnr):
        for frame in range(frames):
            cells = dict.fromkeys(COLUMNS, "") | {
                "run": name, "dataset": "faked", "clip": f"{clip:03}", "frame": f"{8 * frame + 4:08}", "t": "1/2",
                "psnr": f"{value:.6f}", "ssim": "0.7", "psnr_truncated": f"{value - 0.006:.6f}",
                "psnr_luma": f"{value + 1.5:.6f}", "mse": f"{255**2 / 10 ** (value / 10):.6f}",
                "motion": str(frame + clip), "occlusion": "0.01",
            } | {column: "" if number is None else str(number) for column, number in columns.items()}  # fmt: skip
            rows.append([cells[column] for column in COLUMNS])
    path = folder / f"{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    made_by = {"run": name, "protocol": protocol or {"quantisation": "rounded"}, "data_sha256": data}
    path.with_suffix(".json").write_text(json.dumps(made_by), encoding="utf-8")
    return path
