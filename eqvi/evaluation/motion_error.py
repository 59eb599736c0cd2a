"""The error of the motion model alone, apart from synthesis: F_1t against the exact flow of rendered clips.

The models are given exact flows (what the model itself gets wrong) and flows that DIS estimates from the frames as the
camera took them (what remains of that in practice).
"""

import csv
import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from eqvi.datasets.camera import expose
from eqvi.datasets.random_scenes import RenderedClip, magnitude
from eqvi.datasets.rendering import exact_flow
from eqvi.files import replacing
from eqvi.metrics import end_point_error
from eqvi.model.classical_flow import DIS
from eqvi.model.config import MotionKind
from eqvi.model.motion import displacement
from eqvi.paths import RESULTS

#: Acceleration in pixels per interval squared from which on a pixel counts as accelerated.
ACCELERATED = 1.0


class Row(NamedTuple):
    """The error of one motion model in one gap of one clip; lengths in pixels, empty where there is no such pixel.

    Attributes:
        clip, kind, frame: which clip, the kind of its paths, the position of the gap's first frame.
        t: where between the gap's frames.
        flow: ``exact`` or ``dis``, what the model was given.
        model: one of `eqvi.model.config.MotionKind`.
        epe: mean distance of F_1t from the truth, over all pixels.
        epe_visible: over those pixels of the first frame that are seen in the three others as well.
        epe_accelerated: over those of them whose |F_10 + F_12| is `ACCELERATED` or more.
        motion, acceleration, occlusion: see `eqvi.datasets.random_scenes.Magnitude`.
    """

    clip: str
    kind: str
    frame: str
    t: float
    flow: str
    model: str
    epe: float | str
    epe_visible: float | str
    epe_accelerated: float | str
    motion: float
    acceleration: float
    occlusion: float


def measure(clips: dict[str, RenderedClip], t: float) -> list[Row]:
    """Every motion model in every gap that has a neighbour on both sides.

    Args:
        clips: by name.
        t: in (0, 1).
    """
    return [
        row for name, clip in clips.items() for gap in range(1, clip.intervals - 1) for row in _gap(name, clip, gap, t)
    ]


def write(rows: Sequence[Row], parameters: dict[str, object], folder: Path = RESULTS) -> Path:
    """Write ``motion_error.csv``, and ``motion_error.json`` with what made it.

    Raises:
        InputError: the folder is not writable or the disk is full.
    """
    path = folder / "motion_error.csv"
    folder.mkdir(parents=True, exist_ok=True)
    packages = ("numpy", "opencv-python-headless", "scikit-image", "torch")
    made_by = {
        "run": path.stem,
        "model": "the motion model alone",
        "dataset": "rendered",
        "parameters": parameters,
        "protocol": {"error": "mean Euclidean distance of F_1t from exact flow, px", "accelerated_px": ACCELERATED},
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "device": "cpu",
    }
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("run", "dataset", *Row._fields))
        writer.writerows((path.stem, "rendered", *row) for row in rows)
    with replacing(path.with_suffix(".json")) as beside:
        beside.write_text(json.dumps(made_by, indent=1) + "\n", encoding="utf-8")
    return path


def mean_error(rows: Iterable[Row], column: str = "epe_visible", **chosen: str) -> float:
    """The mean of an error over clips of its means over a clip's gaps, of the rows whose fields are as `chosen`."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        value = getattr(row, column)
        if value != "" and all(getattr(row, field) == wanted for field, wanted in chosen.items()):
            groups.setdefault(row.clip, []).append(value)
    means = [sum(values) / len(values) for values in groups.values()]
    return sum(means) / len(means) if means else float("nan")


def _gap(name: str, clip: RenderedClip, gap: int, t: float) -> Iterator[Row]:
    start = gap - clip.intervals / 2
    others = start + torch.tensor([-1.0, 1.0, 2.0])
    truth = exact_flow(clip.scene, start, start + t).flow
    exact = exact_flow(clip.scene, torch.full((3,), start), others)
    first, *seen = expose(clip.scene, clip.camera, torch.cat((torch.tensor([start]), others))).split(1)
    given = {"exact": exact.flow, "dis": DIS()(first.expand(3, -1, -1, -1), torch.cat(seen))}
    visible = ~exact.occluded.any(dim=0)[0]
    accelerated = visible & ((exact.flow[0] + exact.flow[1]).norm(dim=0) >= ACCELERATED)
    motion, acceleration, occlusion = (round(value, 4) for value in magnitude(clip, start, t))
    for source, flows in given.items():
        back, there, beyond = flows.split(1)
        for model in get_args(MotionKind):
            error = end_point_error(displacement(model, back, there, beyond, t), truth)[0, 0]
            everywhere, seen_four, in_motion = _mean(error), _mean(error[visible]), _mean(error[accelerated])
            yield Row(
                name, clip.kind, f"{8 * gap:08d}", t, source, model,
                everywhere, seen_four, in_motion, motion, acceleration, occlusion,
            )  # fmt: skip


def _mean(errors: Tensor) -> float | str:
    return round(errors.mean().item(), 4) if errors.numel() else ""
