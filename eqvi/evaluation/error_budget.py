"""The error budget: what a new frame would gain if one mode of its two flows were true (step 5 of `eqvi.model.eqvi`).

The flows F_t1 and F_t2 of a frame at t are two unknowns a pixel, and they err in two modes:

    D = F_t2 - F_t1                    the difference: which pixels of frames 1 and 2 belong together
    c = (1 - t) F_t1 + t F_t2          the common part: where on the line between them such a pixel stands at t
    F_t1 = c - t D,   F_t2 = c + (1 - t) D

Both frames show D. They do not show c: for constant velocity c = 0, and only the frames around them say how far a
motion departs from it. Where the middle frame is known, so are the true flows, estimated from it by DIS; with one mode
of them in place of the model's, everything else as it was (the mask too), a frame shows what that mode costs. The
common part is also replaced smoothed: by the true one up to a Gaussian mean of its error over `SMOOTHING` pixels,
which is what a correction could give that knows the motion of regions but not of pixels.

The difference is not matching alone. F_1t and F_2t of the quadratic model come from two parabolas through different
frames; for a jerk j they disagree by j / 8 at t = 1/2, which lands in D, while c stays right. Trajectories over four
frames mend that, so their row says how much of the difference it is.

"True" is what DIS finds in the true frame: flows that make that frame from the other two. Where it shows what neither
of them does, or where DIS errs, they are no motion. Not part of the paper.
"""

import functools
import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi import metrics
from eqvi.datasets.cases import Case
from eqvi.evaluation.methods import FrameAt, Method, open_method
from eqvi.media.image import Image, to_tensor
from eqvi.media.window import Interpolator, Window
from eqvi.model.blur import gaussian_blur
from eqvi.model.classical_flow import DIS
from eqvi.model.geometry import backward_warp
from eqvi.model.interpolation import Interpolation
from eqvi.model.registry import load_model
from eqvi.model.synthesis import blend
from eqvi.reports.error_budget import BASELINE, BOTH, COMMON, CUBIC, DIFFERENCE, SMOOTH, TRAJECTORY

Flow = Float[Tensor, "b 2 h w"]
Frame = Float[Tensor, "b 3 h w"]

#: Standard deviation in pixels of the Gaussian mean of the smoothed common part.
SMOOTHING = 8.0


class Modes(NamedTuple):
    """Two flows by their modes, in pixels.

    Attributes:
        difference: F_t2 - F_t1.
        common: (1 - t) F_t1 + t F_t2.
    """

    difference: Flow
    common: Flow


def split(flow_t1: Flow, flow_t2: Flow, t: float) -> Modes:
    """The two modes of the flows of a frame at t."""
    return Modes(flow_t2 - flow_t1, (1 - t) * flow_t1 + t * flow_t2)


def join(modes: Modes, t: float) -> tuple[Flow, Flow]:
    """F_t1 and F_t2 from their modes: the inverse of `split`."""
    return modes.common - t * modes.difference, modes.common + (1 - t) * modes.difference


def variants(estimate: Modes, truth: Modes) -> dict[str, Modes]:
    """The estimated modes with one, or both, replaced by the true ones, by name."""
    shift = truth.common - estimate.common
    return {
        DIFFERENCE: estimate._replace(difference=truth.difference),
        SMOOTH: estimate._replace(common=estimate.common + gaussian_blur(shift, SMOOTHING)),
        COMMON: estimate._replace(common=truth.common),
        BOTH: truth,
    }


def true_modes(frame_1: Frame, middle: Frame, frame_2: Frame, t: float) -> Modes:
    """The modes of the flows that DIS finds from the true frame at t to frames 1 and 2."""
    flow = DIS()
    features = flow.features(middle)
    return split(flow.between(features, flow.features(frame_1)), flow.between(features, flow.features(frame_2)), t)


def variant_frames(frame_1: Frame, middle: Frame, frame_2: Frame, result: Interpolation, t: float) -> dict[str, Frame]:
    """The new frame by every variant of its flows, each with the mask of `result`.

    Args:
        frame_1, frame_2: the neighbours.
        middle: the true frame at t.
        result: of a model without weights for this t.
        t: in (0, 1).
    """
    estimate = split(result.flow_t1, result.flow_t2, t)
    made = {BASELINE: result.frame}
    for name, modes in variants(estimate, true_modes(frame_1, middle, frame_2, t)).items():
        flow_t1, flow_t2 = join(modes, t)
        warped_1, warped_2 = backward_warp(frame_1, flow_t1, "border"), backward_warp(frame_2, flow_t2, "border")
        made[name] = blend(warped_1, warped_2, result.mask, t).clamp(0, 1)
    return made


def methods(device: str = "cpu") -> list[Method]:
    """The rows of a budget as methods that are measured together: baseline, variants, trajectories for comparison.

    The variants read the truth of the case that they are opened on.
    """
    budget = _Budget(device)
    own = [
        Method(name, BASELINE, None, functools.partial(budget.open, name))
        for name in (BASELINE, DIFFERENCE, SMOOTH, COMMON, BOTH)
    ]
    return [*own, *(open_method(name, device) for name in (CUBIC, TRAJECTORY))]


def psnr(frame: Float[Tensor, "1 3 h w"], truth: metrics.RGB8) -> dict[str, float]:
    """PSNR and mean squared error, the only metrics of a budget, by column."""
    made = metrics.to_8bit(frame)
    return {"psnr": metrics.psnr(made, truth), "mse": metrics.squared_error(made, truth)}


class _Budget:
    """The variants of the present frame of the present clip: made when the first of them is asked for."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._model, _ = load_model(BASELINE, device)
        self._case: Case | None = None
        self._asked = threading.Lock()  # variants are asked for by several threads; one makes them all

    def open(self, name: str, case: Case) -> FrameAt:
        if case is not self._case:
            self._case, self._interpolator = case, Interpolator(self._model, self._device)
            self._names = {(target.position, target.t): target.frame for target in case.targets}
            self._truths: Iterator[tuple[str, Image]] = iter(())
            self._place: tuple[int, Fraction] | None = None
        return lambda window, t: self._variants(case, window, t)[name]

    def _variants(self, case: Case, window: Window, t: Fraction) -> dict[str, Tensor]:
        with self._asked:
            if self._place != (window.position, t):
                self._place = window.position, t
                assert window.second is not None
                images = window.first.image, self._truth(case, self._names[self._place]), window.second.image
                first, middle, second = (to_tensor(image, self._device) for image in images)
                with torch.inference_mode():
                    result = self._interpolator.synthesize(window, t)
                    self._frames = variant_frames(first, middle, second, result, float(t))
            return self._frames

    def _truth(self, case: Case, frame: str) -> Image:
        """The true image of a frame; reading starts anew where it is not among those ahead."""
        for name, image in self._truths:
            if name == frame:
                return image
        self._truths = case.truths(set(self._names.values()))
        return next(image for name, image in self._truths if name == frame)
