"""Training objectives: model and loss in one module, so that DDP wraps both.

Each maps a batch to its losses by name; ``total`` is the one that is minimized.
"""

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


class FrameObjective(nn.Module):
    """Loss of EQVI's new frames. The flows are estimated without gradient, or taken from the batch.

    Args:
        model: with its frozen parts frozen.
        loss: of the new frame.
        precision: of the trained parts' convolutions, under autocast where it is bfloat16. Flows, warps, reversal and
            losses stay in float32: bfloat16 cannot tell neighbouring pixel positions of a wide frame apart.
    """

    def __init__(self, model: EQVI, loss: Loss, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model, self.loss, self.precision = model, loss, precision

    def forward(self, batch: FrameBatch) -> dict[str, Tensor]:
        return self.loss(self.frame(batch), batch.truth)

    def frame(self, batch: FrameBatch) -> Float[Tensor, "b 3 h w"]:
        """The new frames of a batch."""
        with torch.no_grad():
            if batch.flows is None:
                motion = self.model.estimate_motion(batch.frames)
            else:
                motion = self.model.known_motion(batch.frames, batch.flows)
        with torch.autocast(batch.frames.device.type, self.precision, enabled=self.precision != torch.float32):
            return self.model.interpolate(batch.frames, motion, batch.t).frame.float()


class FlowObjective(nn.Module):
    """PWC-Net's multi-level end-point loss of a flow network (Sun et al., CVPR 2018).

    Args:
        model: the flow network.
        precision: as of `FrameObjective`.
    """

    def __init__(self, model: ScopeFlow, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model, self.precision = model, precision

    def forward(self, batch: FlowBatch) -> dict[str, Tensor]:
        """``total``, and as ``epe`` the end-point error of the finest level in pixels."""
        with torch.autocast(batch.first.device.type, self.precision, enabled=self.precision != torch.float32):
            flows = self.model.levels(self.model.features(batch.first), self.model.features(batch.second))
        errors = [mean_end_point_error(flow.float() * FLOW_UNIT, batch.flow, batch.weight) for flow in flows]
        total = torch.stack([w * e / FLOW_UNIT for w, e in zip(LEVEL_WEIGHTS, errors, strict=True)]).sum()
        return {"total": total, "epe": errors[-1]}


def mean_end_point_error(
    flow: Float[Tensor, "b 2 p q"], truth: Float[Tensor, "b 2 h w"], weight: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Mean distance in pixels between a flow and the true one, which is averaged down to the flow's size.

    Args:
        flow: of any size, in pixels of the full-size image.
        truth: in the same pixels.
        weight: of each pixel of the truth.
    """
    size = (flow.shape[-2], flow.shape[-1])
    pooled_weight = F.adaptive_avg_pool2d(weight, size)
    pooled_truth = F.adaptive_avg_pool2d(truth * weight, size) / pooled_weight.clamp_min(1e-6)
    # Not `norm`, whose gradient is undefined where flow and truth are equal.
    distance = ((flow - pooled_truth).square().sum(1, keepdim=True) + 1e-12).sqrt()
    # A mean for each sample first, so that the loss of a batch is the mean over its parts, in any number of processes.
    return ((distance * pooled_weight).sum((1, 2, 3)) / pooled_weight.sum((1, 2, 3)).clamp_min(1e-6)).mean()
