"""Objective on windows with exact flow at t: the frame, its blend, and both parts of its motion.

Of the flows at t (`eqvi.model.matching`) the difference part F_t2 - F_t1 says which pixels of frames 1 and 2 belong
together, the common part (1 - t) F_t1 + t F_t2 where on its path a pixel stands. A frame's loss alone teaches neither
from the few samples that a small run has; their end-point errors do, after every correction, where the pixel is visible
in both frames.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.eqvi import EQVI
from eqvi.model.interpolation import Interpolation
from eqvi.model.matching import Stage
from eqvi.model.synthesis import blend
from eqvi.training.losses import Loss, charbonnier, check_terms
from eqvi.training.samples import WindowBatch

#: Terms and their weights: Charbonnier distances of the frame and of the blend, the frame's error in dB (its PSNR's
#: negative), end-point errors in pixels. In dB a window at 40 dB counts as much as one at 20, whose Charbonnier
#: distance is ten times as large: without them, what disturbs the many easy windows costs nothing.
TERMS = {"charbonnier": 1.0, "blend": 0.3, "decibel": 0.004, "difference": 0.02, "common": 0.006}
#: The terms that are not of `eqvi.training.losses.Loss`; the last two are of the motion, all others of the frame.
OWN_TERMS = ("blend", "decibel", "difference", "common")
#: The mean squared error below which a window's dB count no further.
LEAST_ERROR = 1e-5
#: Weights of the end-point errors after each correction, coarse to fine.
STAGE_WEIGHTS = (0.4, 0.4, 0.6, 0.8, 1.0)
#: End-point errors are softened below this, in pixels, and count no further than the larger one.
SOFTNESS, LARGEST = 0.1, 20.0
# Share of a pixel's surroundings that must be visible in both frames.
_VISIBLE = 0.9

Scalar = Float[Tensor, ""]


class MotionErrors(NamedTuple):
    """Mean end-point errors in pixels where the pixel is visible in both frames; over all such pixels of a batch.

    So a batch's are not the means of its parts', as all other losses are.
    """

    difference: Scalar
    common: Scalar


def motion_errors(
    flow_t1: Float[Tensor, "b 2 p q"],
    flow_t2: Float[Tensor, "b 2 p q"],
    truth: Float[Tensor, "b 2 2 h w"],
    visibility: Float[Tensor, "b 2 h w"],
    t: Float[Tensor, "b 1 1 1"],
) -> MotionErrors:
    """Errors of both parts of the motion at t.

    Args:
        flow_t1, flow_t2: in pixels of the full resolution, at 1/k of it for some k.
        truth: F_t1 and F_t2; averaged over the visible pixels to the flows' resolution.
        visibility: in frames 1 and 2.
        t: of each sample.
    """
    factor = truth.shape[-1] // flow_t1.shape[-1]
    shown = F.avg_pool2d(visibility, factor)
    pooled = F.avg_pool2d((truth * visibility[:, :, None]).flatten(1, 2), factor).unflatten(1, (2, 2))
    true_1, true_2 = (pooled / shown.clamp_min(1e-3)[:, :, None]).unbind(1)
    weight = (shown > _VISIBLE).all(1, keepdim=True).to(truth)
    total = weight.sum() + 1
    error_1, error_2 = flow_t1 - true_1, flow_t2 - true_2

    def mean(error: Tensor) -> Tensor:
        distance = (error.square().sum(1, keepdim=True) + SOFTNESS**2).sqrt() - SOFTNESS
        return (distance * weight).sum() / total

    return MotionErrors(mean(error_2 - error_1), mean((1 - t) * error_1 + t * error_2))


def decibel(frame: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"]) -> Scalar:
    """The mean over the frames of 10 log10 of their mean squared error."""
    return 10 * torch.log10((frame - truth).square().mean((1, 2, 3)) + LEAST_ERROR).mean()


class WindowObjective(nn.Module):
    """Loss of a model of any kind on windows of eight frames with exact flow.

    Args:
        model: with its frozen parts frozen.
        terms: weights by name: of `OWN_TERMS`, or of `eqvi.training.losses.Loss`.
        precision: as of `eqvi.training.objectives.FrameObjective`.
        vgg: the distance behind ``vgg`` (`eqvi.training.vgg.open_vgg`).

    Attributes:
        flow_share: by which the weights of ``difference`` and ``common`` are multiplied; the trainer lowers it.

    Raises:
        InputError: as `eqvi.training.losses.Loss`.
    """

    flow_share: Tensor

    def __init__(
        self,
        model: EQVI,
        terms: Mapping[str, float],
        precision: torch.dtype = torch.float32,
        vgg: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_terms(terms, OWN_TERMS)
        self.model, self.weights, self.precision = model, dict(terms), precision
        of_frames = {name: weight for name, weight in terms.items() if name not in OWN_TERMS}
        self.loss = Loss(of_frames, vgg) if of_frames else None
        self.register_buffer("flow_share", torch.ones(()))

    def forward(self, batch: WindowBatch) -> dict[str, Tensor]:
        """``total`` and the terms unweighted; the end-point errors are those of the last correction, in pixels."""
        result = self.interpolation(batch)
        t = batch.t.view(-1, 1, 1, 1)
        blended = blend(result.warped_1, result.warped_2, result.mask, t)
        if self.model.fusion is None:
            frame = blended if result.residual is None else blended + result.residual  # before it is clamped
        else:
            frame = result.frame
        stages = result.stages or (Stage(result.flow_t1, result.flow_t2),)
        errors = [motion_errors(stage.flow_t1, stage.flow_t2, batch.flow, batch.visibility, t) for stage in stages]
        values = {
            "charbonnier": charbonnier(frame, batch.truth),
            "blend": charbonnier(blended, batch.truth),
            "decibel": decibel(frame, batch.truth),
            "difference": errors[-1].difference,
            "common": errors[-1].common,
        }
        total = torch.zeros_like(self.flow_share)
        if self.loss is not None:
            frame_losses = self.loss(frame, batch.truth)
            total = total + frame_losses.pop("total")
            values |= frame_losses
        for name in ("blend", "decibel"):
            total = total + self.weights.get(name, 0.0) * values[name]
        for weight, error in zip(STAGE_WEIGHTS[-len(errors) :], errors, strict=True):
            for name, value in error._asdict().items():
                share = weight * self.weights.get(name, 0.0) * self.flow_share
                total = total + share * value.clamp(max=LARGEST)
        return values | {"total": total}

    def interpolation(self, batch: WindowBatch) -> Interpolation:
        """The new frames of a batch, with their intermediate results."""
        frames = middle_frames(batch, self.model)
        with torch.no_grad():
            motion = self.model.known_motion(frames, batch.flows)
        with torch.autocast(frames.device.type, self.precision, enabled=self.precision != torch.float32):
            return self.model.interpolate(frames, motion, batch.t, check=False)


def middle_frames(batch: WindowBatch, model: EQVI) -> Float[Tensor, "b n 3 h w"]:
    """As many of a window's frames as the model reads: eight, or the four in the middle."""
    return batch.frames[:, 2:6] if model.config.trajectory < 8 else batch.frames
