"""The error of the motion models alone (step 2 of `eqvi.model.eqvi`): F_1t against the exact flow of rendered clips.

The input is either exact flow, which isolates the error of the motion model, or flow that DIS estimates from the
frames, which adds the error of estimation.
"""

import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from eqvi.datasets.camera import expose
from eqvi.datasets.random_scenes import RenderedClip, magnitude
from eqvi.datasets.rendering import exact_flow
from eqvi.evaluation.journal import write_rows
from eqvi.metrics import end_point_error
from eqvi.model.classical_flow import DIS
from eqvi.model.config import MotionKind
from eqvi.model.motion import displacement

#: Pixels of at least this acceleration, in pixels per interval squared, count as accelerated.
ACCELERATED = 1.0


class Row(NamedTuple):
    """The error of one motion model in one gap of one clip; lengths in pixels, empty where there is no such pixel.

    Attributes:
        clip, kind, frame: the clip, the kind of its paths, the name of the gap's first frame.
        t: position between the gap's frames.
        flow: the input of the model, ``exact`` or ``dis``.
        model: one of `eqvi.model.config.MotionKind`.
        epe: mean end-point error of F_1t over all pixels.
        epe_visible: over the pixels of the first frame that the three others show as well.
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
    """Score every motion model at t in (0, 1) in every gap that has a neighbour on both sides."""
    inner = [(name, clip, gap) for name, clip in clips.items() for gap in range(1, clip.intervals - 1)]
    return [row for name, clip, gap in inner for row in _score(name, clip, gap, t)]


def write(rows: Sequence[Row], parameters: dict[str, object], folder: Path) -> Path:
    """Write ``motion_error.csv``, and ``motion_error.json`` with what made it.

    Raises:
        InputError: the folder is not writable or the disk is full.
    """
    path = folder / "motion_error.csv"
    packages = ("numpy", "opencv-python-headless", "scikit-image", "torch")
    record = {
        "run": path.stem,
        "model": "the motion model alone",
        "dataset": "rendered",
        "parameters": parameters,
        "protocol": {"error": "mean Euclidean distance of F_1t from exact flow, px", "accelerated_px": ACCELERATED},
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "device": "cpu",
    }
    header = ("run", "dataset", *Row._fields)
    write_rows(path, header, [(path.stem, "rendered", *row) for row in rows], record)
    return path


def mean_error(rows: Iterable[Row], column: str = "epe_visible", **fields: str) -> float:
    """The mean over clips of the mean over a clip's gaps of an error, over the rows with these fields; else NaN."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        value = getattr(row, column)
        if value != "" and all(getattr(row, name) == wanted for name, wanted in fields.items()):
            groups.setdefault(row.clip, []).append(value)
    means = [sum(values) / len(values) for values in groups.values()]
    return sum(means) / len(means) if means else float("nan")


def _score(name: str, clip: RenderedClip, gap: int, t: float) -> Iterator[Row]:
    start = gap - clip.intervals / 2
    others = start + torch.tensor([-1.0, 1.0, 2.0])
    truth = exact_flow(clip.scene, start, start + t).flow
    exact = exact_flow(clip.scene, torch.full((3,), start), others)
    first, *frames = expose(clip.scene, clip.camera, torch.cat((torch.tensor([start]), others))).split(1)
    inputs = {"exact": exact.flow, "dis": DIS()(first.expand(3, -1, -1, -1), torch.cat(frames))}
    visible = ~exact.occluded.any(dim=0)[0]
    accelerated = visible & ((exact.flow[0] + exact.flow[1]).norm(dim=0) >= ACCELERATED)
    magnitudes = [round(value, 4) for value in magnitude(clip, start, t)]
    for source, flows in inputs.items():
        flow_10, flow_12, flow_13 = flows.split(1)
        for model in get_args(MotionKind):
            error = end_point_error(displacement(model, flow_10, flow_12, flow_13, t), truth)[0, 0]
            errors = (_mean(error), _mean(error[visible]), _mean(error[accelerated]))
            yield Row(name, clip.kind, f"{8 * gap:08d}", t, source, model, *errors, *magnitudes)


def _mean(errors: Tensor) -> float | str:
    return round(errors.mean().item(), 4) if errors.numel() else ""
