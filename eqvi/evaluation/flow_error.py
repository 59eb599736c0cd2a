"""The error of optical flow alone: estimators against the exact flow of rendered clips and a measured disparity.

Two pairs of frames of each gap are scored: F_12, over one interval, and F_13, over two, which RQFP needs. The frames
are those of the evaluation on rendered clips before they are rounded to 8 bits, and rows are named after the frame in
the middle of the gap, so that they can be joined with its score.
"""

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
from eqvi.evaluation.journal import write_rows
from eqvi.files import sha256
from eqvi.metrics import end_point_error
from eqvi.model.checkpoint import load_flow
from eqvi.model.classical_flow import DIS, TVL1
from eqvi.model.eqvi import SMALLEST
from eqvi.model.geometry import pad_to
from eqvi.model.raft import NETWORKS as RAFT_NETWORKS
from eqvi.model.raft import open_raft
from eqvi.model.two_way import combined
from eqvi.paths import WEIGHTS
from eqvi.provenance import surroundings
from eqvi.reports.flow_errors import NETWORK, RUN

#: F_ab from two batches of frames, each (B, 3, H, W), RGB in [0, 1]; pixels.
Estimator = Callable[[Tensor, Tensor], Tensor]

#: Gaps of a clip of six intervals that are scored: those of an evaluation of every third gap.
GAPS = (1, 4)
#: End-point error in pixels above which a flow vector counts as wrong.
WRONG = 3.0
#: The weights of our flow network.
OWN_WEIGHTS = WEIGHTS / f"{NETWORK}.safetensors"

_PACKAGES = ("torch", "numpy", "scikit-image", "opencv-python-headless")


class Row(NamedTuple):
    """The error of one estimator on one pair of frames; lengths in pixels, empty where not known.

    Attributes:
        dataset: ``rendered`` or ``stereo``.
        clip, kind: the clip and the kind of its paths; of the stereo pair ``motorcycle``, ``stereo``.
        frame: name of the frame in the middle of the gap; of the stereo pair ``00000000``.
        flow: the estimator.
        intervals: between the frames of the pair: 1 for F_12, 2 for F_13.
        epe: mean end-point error over pixels that show one motion (stereo: whose disparity is known).
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


class FramePairs(NamedTuple):
    """The frames that an estimator gets in a gap.

    Attributes:
        first: (2, 3, H, W), RGB in [0, 1]: frame 1, twice.
        second: (2, 3, H, W): frames 2 and 3.
        truth: exact F_12 and F_13.
    """

    first: Float[Tensor, "2 3 h w"]
    second: Float[Tensor, "2 3 h w"]
    truth: ExactFlow


def open_estimators(weights: Path = OWN_WEIGHTS) -> dict[str, Estimator]:
    """The estimators by name: our flow network if there are `weights`, RAFT if its weights were fetched, DIS, the same
    both ways, TV-L1, and zero flow.

    Raises:
        InputError: the weights cannot be used.
    """
    networks: dict[str, Estimator] = {NETWORK: load_flow(weights)} if weights.is_file() else {}
    if RAFT_NETWORKS["raft"].path.is_file():
        networks["raft"], _ = open_raft("raft")
    return networks | {"dis": DIS(), "dis-two-way": two_way_dis, "tvl1": TVL1(), "still": zero_flow}


def two_way_dis(image_a: Float[Tensor, "b 3 h w"], image_b: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
    """DIS flow with that of the way back combined (`eqvi.model.two_way`)."""
    dis = DIS()
    return combined(image_a, image_b, dis(image_a, image_b), dis(image_b, image_a))


def zero_flow(image_a: Float[Tensor, "b 3 h w"], image_b: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
    """No motion at all; its error is the length of the true motion."""
    return torch.zeros_like(image_a[:, :2])


def estimate_flow(
    estimator: Estimator, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 2 h w"]:
    """Flow as EQVI estimates it: without gradients, small frames padded."""
    height, width = first.shape[-2:]
    with torch.inference_mode():
        flow = estimator(pad_to(first, SMALLEST, SMALLEST), pad_to(second, SMALLEST, SMALLEST))
    return flow[..., :height, :width]


def frame_pairs(clip: RenderedClip, gap: int) -> FramePairs:
    """The two pairs of frames of a gap, counted from 0, and the exact flows between them.

    Raises:
        InputError: the clip has no such gap, or ends before its second interval.
    """
    if not 0 <= gap <= clip.intervals - 2:
        most = clip.intervals - 2
        raise InputError(f"gap {gap} has no frame two intervals on: a clip of {clip.intervals} has gaps 0 to {most}")
    start = gap - clip.intervals / 2
    times = torch.tensor([start, start + 1, start + 2])
    first, *others = expose(clip.scene, clip.camera, times).split(1)
    truth = exact_flow(clip.scene, times[:1].expand(2), times[1:])
    return FramePairs(first.expand(2, -1, -1, -1), torch.cat(others), truth)


def measure(
    clips: Mapping[str, RenderedClip], estimators: Mapping[str, Estimator], gaps: Sequence[int] = GAPS
) -> list[Row]:
    """Score every estimator on both pairs of frames of every gap.

    Raises:
        InputError: as `frame_pairs`.
    """
    return [row for name, clip in clips.items() for gap in gaps for row in _score(name, clip, gap, estimators)]


def measure_stereo(estimators: Mapping[str, Estimator], pair: StereoPair | None = None) -> list[Row]:
    """Score every estimator on scikit-image's stereo pair, or another, whose flow is a measured disparity."""
    pair = pair or stereo_pair()
    motion = _mean(pair.flow.norm(dim=1, keepdim=True)[pair.known])
    rows = []
    for name, estimator in estimators.items():
        error = end_point_error(estimate_flow(estimator, pair.left, pair.right), pair.flow)[pair.known]
        errors = (_mean(error), "", _mean(error > WRONG))
        rows.append(Row("stereo", "motorcycle", "stereo", f"{0:08d}", name, 1, *errors, motion, "", ""))
    return rows


def write(rows: Sequence[Row], parameters: Mapping[str, object], folder: Path, weights: Path = OWN_WEIGHTS) -> Path:
    """Write ``flow_error.csv``, and ``flow_error.json`` with what made it: parameters, weights of our network.

    Raises:
        InputError: the folder is not writable or the disk is full.
    """
    record = {
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
    path = folder / f"{RUN}.csv"
    write_rows(path, ("run", *Row._fields), [(RUN, *row) for row in rows], record)
    return path


def _score(name: str, clip: RenderedClip, gap: int, estimators: Mapping[str, Estimator]) -> Iterator[Row]:
    first, second, truth = frame_pairs(clip, gap)
    magnitudes = [round(value, 4) for value in magnitude(clip, gap - clip.intervals / 2)]
    frame = f"{SPACING[15] * gap + SPACING[15] // 2:08d}"
    for source, estimator in estimators.items():
        error = end_point_error(estimate_flow(estimator, first, second), truth.flow)
        for index in (0, 1):
            unmixed = error[index][~truth.mixed[index]]
            visible = error[index][~(truth.mixed[index] | truth.occluded[index])]
            errors = (_mean(unmixed), _mean(visible) if len(visible) else "", _mean(unmixed > WRONG))
            yield Row("rendered", name, clip.kind, frame, source, index + 1, *errors, *magnitudes)


def _mean(values: Tensor) -> float:
    return round(values.float().mean().item(), 4)
