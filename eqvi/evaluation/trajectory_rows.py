"""How many frames, how smooth: every motion model with paths over 4, 6, 8 and 10 frames (`eqvi.model.trajectories`).

The methods of this module differ in their displacements only. They share one flow estimate: a window of ten frames is
read once, and every method uses as many of its frames as it is about. They are named MOTION for the paper's motion and
MOTION+N with paths over N frames; other widths of the two means, and the two rules that were tried, stand behind the
default: ``quadratic+8 (25 and 8 px)``.

Two rules look at the frame itself instead of fixing a width. *Layers*: where foreground and background move apart, each
has a mean of its own; a pixel is of one or the other by the distance of its flow from the median flow. *Ungated*: paths
are trusted however wild they are.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.datasets.cases import Case
from eqvi.evaluation.methods import MOTIONS, FrameAt, Method
from eqvi.media.window import Interpolator, Window
from eqvi.model import trajectories
from eqvi.model.config import PRESETS, MotionKind
from eqvi.model.eqvi import EQVI
from eqvi.model.interpolation import Motion
from eqvi.model.registry import load_flow
from eqvi.model.trajectories import FAR_SIGMA, NEAR_SIGMA, Position, frame_times

Correct = Callable[[Tensor, Mapping[int, Position], float | Tensor], Tensor]

#: Numbers of frames; 0 is the paper's motion. Ten only for quadratic motion.
COUNTS = (0, 4, 6, 8)
LONGEST = 10
#: Widths in pixels of the two means, beside the default.
WIDTHS = ((8.0, FAR_SIGMA), *((NEAR_SIGMA, far) for far in (8.0, 25.0, 200.0)))


def correct_by_layers(
    displacement: Float[Tensor, "b 2 H W"], positions: Mapping[int, Position], t: float | Tensor
) -> Float[Tensor, "b 2 H W"]:
    """As `eqvi.model.trajectories.correct`, with a mean of its own for what moves unlike most of the frame.

    A pixel is foreground to the degree 1 - exp(-d^2 / 2) where d is the distance of its displacement to the next frame
    from the median one, in units of the median distance (at least one pixel).
    """
    step = positions[1].displacement
    median = step.flatten(2).median(dim=2).values[..., None, None]
    distance = (step - median).norm(dim=1, keepdim=True)
    scale = distance.flatten(1).median(dim=1).values.clamp_min(1).view(-1, 1, 1, 1)
    foreground = 1 - torch.exp(-((distance / scale) ** 2) / 2)
    corrected = torch.zeros_like(displacement)
    for share in (foreground, 1 - foreground):
        own = {time: position._replace(trust=position.trust * share) for time, position in positions.items()}
        change = trajectories.correct(displacement, own, t) - displacement
        corrected = corrected + change * _at_pixels(share, displacement)
    return displacement + corrected


def correct_ungated(
    displacement: Float[Tensor, "b 2 H W"], positions: Mapping[int, Position], t: float | Tensor
) -> Float[Tensor, "b 2 H W"]:
    """As `eqvi.model.trajectories.correct`, without its gate."""
    coarse = trajectories.correction(
        trajectories.at_followed(displacement), positions, len(positions) + 1, t, trajectories.SPACING
    )
    return displacement + _at_pixels(coarse, displacement)


def methods(device: str = "cpu", flow: str | None = None) -> list[Method]:
    """The methods, to be measured together.

    Args:
        device: where they compute.
        flow: see `eqvi.model.registry.load_flow`; OpenCV's DIS without one.

    Raises:
        InputError: as `eqvi.model.registry.load_flow`.
    """
    network, digest = (None, None) if flow is None else load_flow(flow)
    if network is not None:
        network = network.to(device)
    shared = _Paths(device, network)
    rows: dict[str, tuple[MotionKind, int, Correct]] = {}
    for motion in MOTIONS:
        for count in COUNTS:
            rows[f"{motion}+{count}" if count else motion] = (motion, count, trajectories.correct)
    rows[f"quadratic+{LONGEST}"] = ("quadratic", LONGEST, trajectories.correct)
    for near, far in WIDTHS:
        correct = functools.partial(trajectories.correct, sigmas=(near, far))
        rows[f"quadratic+8 ({near:g} and {far:g} px)"] = ("quadratic", 8, correct)
    rows["quadratic+8 (layers)"] = ("quadratic", 8, correct_by_layers)
    rows["quadratic+8 (ungated)"] = ("quadratic", 8, correct_ungated)
    return [
        Method(name, f"baseline, motion {motion}, trajectory {count}", digest, shared.opener(*row), LONGEST // 2 - 1)
        for name, row in rows.items()
        for motion, count, _ in (row,)
    ]


class _Paths:
    """One flow estimate a window for all methods, and one model a motion and correction."""

    def __init__(self, device: str, flow: Any) -> None:
        self._device, self._flow = device, flow
        self._case: Case | None = None
        self._estimate = self._model("rectified")  # estimates the flows of every motion model

    def _model(self, motion: MotionKind) -> EQVI:
        model = EQVI(replace(PRESETS["baseline"], motion=motion, trajectory=LONGEST)).eval().to(self._device)
        model.flow = model.flow if self._flow is None else self._flow
        return model

    def opener(self, motion: MotionKind, count: int, correct: Correct) -> Callable[[Case], FrameAt]:
        model = self._model(motion)
        model.correct = correct  # type: ignore[assignment]

        def open_case(case: Case) -> FrameAt:
            if case is not self._case:
                self._case, self._interpolator = case, Interpolator(_Shared(self._estimate), self._device)
            return lambda window, t: self._frame(model, count, window, t)

        return open_case

    @torch.inference_mode()
    def _frame(self, model: EQVI, count: int, window: Window, t: Fraction) -> Tensor:
        frames, motion = self._interpolator.synthesize(window, t)
        return model.interpolate(frames, _of_frames(motion, count), float(t)).frame


class _Shared:
    """A model whose result is a window and its motion, for others to go on with."""

    def __init__(self, model: EQVI) -> None:
        self.window = LONGEST
        self.estimate_motion = model.estimate_motion

    def interpolate(self, frames: Tensor, motion: Motion, t: float) -> Any:
        return frames, motion


def _of_frames(motion: Motion, count: int) -> Motion:
    """The motion of a window with paths over at most `count` of its frames."""
    if motion.positions is None or count == 0:
        return motion._replace(positions=None)
    times = set(frame_times(count))
    first, second = ({s: p for s, p in positions.items() if s in times} for positions in motion.positions)
    return motion._replace(positions=(first, second))


def _at_pixels(coarse: Float[Tensor, "b c h w"], like: Float[Tensor, "b 2 H W"]) -> Float[Tensor, "b c H W"]:
    return trajectories.at_pixels(coarse, like.shape[-2], like.shape[-1])
