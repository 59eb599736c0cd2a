"""What learns: a model and its loss as one module, from a batch to named losses. `total` is what is minimised."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import FLOW_UNIT, ScopeFlow
from eqvi.training.losses import Loss
from eqvi.training.samples import FlowBatch, FrameBatch

#: PWC-Net's weights of the levels 1/64 to 1/4 (0.32, 0.08, 0.02, 0.01, 0.005 of sums over pixels), for means instead.
LEVEL_WEIGHTS = (0.32, 0.32, 0.32, 0.64, 1.28)


class FrameLearner(nn.Module):
    """EQVI held to the true frame. Flows are found once a window, forward only, and without gradient.

    Args:
        model: with its frozen parts frozen.
        loss: of the new frame.
        precision: of the learned parts' convolutions, under autocast where it is bfloat16. Flows, warps, reversal and
            losses stay in float32: bfloat16 could not tell positions of a frame's pixels apart.
    """

    def __init__(self, model: EQVI, loss: Loss, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model, self.loss, self.precision = model, loss, precision

    def forward(self, batch: FrameBatch) -> dict[str, Tensor]:
        frame = self.frame(batch)
        return self.loss(frame, batch.truth)

    def frame(self, batch: FrameBatch) -> Float[Tensor, "b 3 h w"]:
        """The new frames of a batch."""
        with torch.no_grad():
            if batch.flows is None:
                motion = self.model.estimate_motion(batch.frames)
            else:
                motion = self.model.known_motion(batch.frames, batch.flows)
        with torch.autocast(batch.frames.device.type, self.precision, enabled=self.precision != torch.float32):
            return self.model.interpolate(batch.frames, motion, batch.t).frame.float()


class FlowLearner(nn.Module):
    """A flow network held to exact flow at each of its levels.

    Args:
        model: the flow network.
        precision: as of `FrameLearner`.
    """

    def __init__(self, model: ScopeFlow, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model, self.precision = model, precision

    def forward(self, batch: FlowBatch) -> dict[str, Tensor]:
        """PWC-Net's multi-level end-point loss (Sun et al., CVPR 2018); ``epe`` is the finest level's, in pixels."""
        with torch.autocast(batch.first.device.type, self.precision, enabled=self.precision != torch.float32):
            flows = self.model.levels(self.model.features(batch.first), self.model.features(batch.second))
        errors = [mean_end_point_error(flow.float() * FLOW_UNIT, batch.flow, batch.weight) for flow in flows]
        total = torch.stack([w * e / FLOW_UNIT for w, e in zip(LEVEL_WEIGHTS, errors, strict=True)]).sum()
        return {"total": total, "epe": errors[-1]}

    def flow(self, batch: FlowBatch) -> Float[Tensor, "b 2 h w"]:
        """The flows of a batch, at full size."""
        return self.model(batch.first, batch.second)


def mean_end_point_error(
    flow: Float[Tensor, "b 2 p q"], truth: Float[Tensor, "b 2 h w"], weight: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Mean distance in pixels between a flow and the truth, which is averaged down to the flow's size.

    Args:
        flow: of any size, in pixels of the full-size image.
        truth: in the same pixels.
        weight: of each pixel of the truth.
    """
    size = (flow.shape[-2], flow.shape[-1])
    share = F.adaptive_avg_pool2d(weight, size)
    wanted = F.adaptive_avg_pool2d(truth * weight, size) / share.clamp_min(1e-6)
    # Not `norm`, whose gradient is undefined where flow and truth are equal.
    distance = ((flow - wanted).square().sum(1, keepdim=True) + 1e-12).sqrt()
    # A mean for each sample first: the loss of a batch is then that of its parts, in however many processes.
    return ((distance * share).sum((1, 2, 3)) / share.sum((1, 2, 3)).clamp_min(1e-6)).mean()
