"""The error of optical flow alone: every estimator against the exact flow of rendered clips and a measured disparity.

Two pairs of frames of a gap are judged: F_12, over one interval, and F_13, over two, which rectified motion needs. The
frames are those that the evaluation of rendered clips sees, before they are rounded to 8 bits, and rows bear the name
of the frame in the middle of the gap, so that they can be laid beside its score.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.datasets.camera import expose
from eqvi.datasets.photographs import StereoPair, stereo_pair
from eqvi.datasets.random_scenes import RenderedClip, magnitude
from eqvi.datasets.reds import SPACING
from eqvi.datasets.rendering import ExactFlow, exact_flow
from eqvi.errors import InputError
from eqvi.files import replacing, sha256
from eqvi.metrics import end_point_error
from eqvi.model.checkpoint import load_flow
from eqvi.model.classical_flow import DIS, TVL1
from eqvi.model.eqvi import SMALLEST
from eqvi.model.geometry import pad_to
from eqvi.paths import RESULTS, WEIGHTS
from eqvi.provenance import surroundings
from eqvi.reports.flow_errors import NETWORK, RUN

#: F_ab from two batches of frames, each (B, 3, H, W), RGB in [0, 1]; pixels.
Estimator = Callable[[Tensor, Tensor], Tensor]

#: Gaps of a clip of six that are judged: those that an evaluation of every third gap scores.
GAPS = (1, 4)
#: End-point error in pixels above which a flow vector counts as wrong.
WRONG = 3.0

_PACKAGES = ("torch", "numpy", "scikit-image", "opencv-python-headless")


class Row(NamedTuple):
    """The error of one estimator on one pair of frames; lengths in pixels, empty where that is not known.

    Attributes:
        dataset: ``rendered`` or ``stereo``.
        clip, kind: which clip and the kind of its paths; of the stereo pair ``motorcycle``, ``stereo``.
        frame: the name of the frame in the middle of the gap; of the stereo pair ``00000000``.
        flow: the estimator.
        intervals: from the first frame of the pair to the second: 1 for F_12, 2 for F_13.
        epe: mean distance from the true flow, over pixels that show one motion (stereo: whose disparity is known).
        epe_visible: over those of them that the second frame shows as well.
        above_3px: share of the pixels of `epe` that are off by more than `WRONG`.
        motion, acceleration, occlusion: of the gap, see `eqvi.datasets.random_scenes.Magnitude`.
    """

    dataset: str
    clip: str
    kind: str
    frame: str
    flow: str
    intervals: int
    epe: float
    epe_visible: float | str
    above_3px: float
    motion: float
    acceleration: float | str
    occlusion: float | str


class Pairs(NamedTuple):
    """What an estimator is judged on in a gap: from its first frame to the next, and to the one after.

    Attributes:
        first: (2, 3, H, W), RGB in [0, 1]: frame 1, twice.
        second: (2, 3, H, W): frames 2 and 3.
        truth: exact F_12 and F_13.
    """

    first: Float[Tensor, "2 3 h w"]
    second: Float[Tensor, "2 3 h w"]
    truth: ExactFlow


def estimators(weights: Path = WEIGHTS / f"{NETWORK}.safetensors") -> dict[str, Estimator]:
    """The estimators by name: our flow network if there are `weights`, DIS, TV-L1, and no motion at all.

    Raises:
        InputError: the weights cannot be used.
    """
    network: dict[str, Estimator] = {NETWORK: load_flow(weights)} if weights.is_file() else {}
    return network | {"dis": DIS(), "tvl1": TVL1(), "still": still}


def still(image_a: Float[Tensor, "b 3 h w"], image_b: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
    """The estimator that nothing moves for: its error is the length of the motion."""
    return torch.zeros_like(image_a[:, :2])


def estimated(
    estimator: Estimator, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 2 h w"]:
    """Flow as EQVI asks for it: without gradients, small frames padded for it."""
    height, width = first.shape[-2:]
    with torch.inference_mode():
        flow = estimator(pad_to(first, SMALLEST, SMALLEST), pad_to(second, SMALLEST, SMALLEST))
    return flow[..., :height, :width]


def pairs(clip: RenderedClip, gap: int) -> Pairs:
    """The two pairs of frames of a gap and the exact flows between them.

    Args:
        clip: as drawn.
        gap: from 0; the clip must go on for two intervals from its first frame.

    Raises:
        InputError: the clip has no such gap.
    """
    if not 0 <= gap <= clip.intervals - 2:
        most = clip.intervals - 2
        raise InputError(f"gap {gap} has no frame two intervals on: a clip of {clip.intervals} has gaps 0 to {most}")
    start = gap - clip.intervals / 2
    times = torch.tensor([start, start + 1, start + 2])
    first, *others = expose(clip.scene, clip.camera, times).split(1)
    return Pairs(first.expand(2, -1, -1, -1), torch.cat(others), exact_flow(clip.scene, times[:1].expand(2), times[1:]))


def measure(
    clips: Mapping[str, RenderedClip], judged: Mapping[str, Estimator], gaps: Sequence[int] = GAPS
) -> list[Row]:
    """Every estimator on both pairs of frames of every gap.

    Args:
        clips: by name.
        judged: estimators, by name.
        gaps: which, see `pairs`.

    Raises:
        InputError: as `pairs`.
    """
    return [row for name, clip in clips.items() for gap in gaps for row in _gap(name, clip, gap, judged)]


def measure_stereo(judged: Mapping[str, Estimator], pair: StereoPair | None = None) -> list[Row]:
    """Every estimator on the stereo pair, whose flow is a measured disparity; what is hidden in it is not known.

    Args:
        judged: estimators, by name.
        pair: instead of scikit-image's.
    """
    pair = pair or stereo_pair()
    motion = round(pair.flow.norm(dim=1, keepdim=True)[pair.known].mean().item(), 4)
    rows = []
    for name, estimator in judged.items():
        error = end_point_error(estimated(estimator, pair.left, pair.right), pair.flow)[pair.known]
        errors = (_mean(error), "", _mean(error > WRONG))
        rows.append(Row("stereo", "motorcycle", "stereo", f"{0:08d}", name, 1, *errors, motion, "", ""))
    return rows


def write(
    rows: Sequence[Row],
    parameters: Mapping[str, object],
    weights: Path = WEIGHTS / f"{NETWORK}.safetensors",
    folder: Path = RESULTS,
) -> Path:
    """Write ``flow_error.csv``, and ``flow_error.json`` with what made it.

    Args:
        rows: as measured.
        parameters: of the run: clips, seed, height, gaps.
        weights: of our network, if the rows hold it.
        folder: where to.

    Raises:
        InputError: the folder is not writable or the disk is full.
    """
    path = folder / f"{RUN}.csv"
    folder.mkdir(parents=True, exist_ok=True)
    made_by = {
        "run": RUN,
        "model": "optical flow alone",
        "dataset": "rendered, stereo",
        "weights_sha256": sha256(weights) if any(row.flow == NETWORK for row in rows) else None,
        "parameters": dict(parameters),
        "protocol": {
            "epe": "mean Euclidean distance from the true flow, px, over pixels that show one motion",
            "epe_visible": "over those of them that the second frame shows as well",
            "above_3px": f"share of the pixels of epe that are off by more than {WRONG:g} px",
            "stereo": "over pixels whose disparity was measured",
        },
        **surroundings("cpu", _PACKAGES),
    }
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("run", *Row._fields))
        writer.writerows((RUN, *row) for row in rows)
    with replacing(path.with_suffix(".json")) as beside:
        beside.write_text(json.dumps(made_by, indent=1) + "\n", encoding="utf-8")
    return path


def _gap(name: str, clip: RenderedClip, gap: int, judged: Mapping[str, Estimator]) -> Iterator[Row]:
    first, second, truth = pairs(clip, gap)
    facts = [round(value, 4) for value in magnitude(clip, gap - clip.intervals / 2)]
    frame = f"{SPACING[15] * gap + SPACING[15] // 2:08d}"
    for source, estimator in judged.items():
        error = end_point_error(estimated(estimator, first, second), truth.flow)
        for index, intervals in enumerate((1, 2)):
            one = error[index][~truth.mixed[index]]
            seen = error[index][~(truth.mixed[index] | truth.occluded[index])]
            errors = (_mean(one), _mean(seen) if len(seen) else "", _mean(one > WRONG))
            yield Row("rendered", name, clip.kind, frame, source, intervals, *errors, *facts)


def _mean(values: Tensor) -> float:
    return round(values.float().mean().item(), 4)
