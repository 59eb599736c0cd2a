"""Finishing: a mask and a residual over the weight-free method (in place of steps 5 to 7). Not part of the paper.

The flows stay as the weight-free method has them (`eqvi.model.visibility`, with trajectories if there are any). A U-Net
from half resolution down reads both frames and their features warped to t, the weight-free frame, and where reversed
flows have holes or leave the frame. It adds to the logit of the visibility mask, and a residual to the blended frame.
It is what is left of `eqvi.model.matching` without corrections of the flows. Last layers are zero in a new model, so
that its frames are those of the weight-free method, bit for bit.

Shapes: frames (B, 3, H, W); flows (B, 2, H, W) in pixels; t a number or (B, 1, 1, 1).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from eqvi.model.detail import lost_detail
from eqvi.model.geometry import backward_warp, reverse_flow, sampled_inside
from eqvi.model.matching import Flow, Image, Matched, initialize, padded
from eqvi.model.matching_layers import Encoder, MaskAndResidual, lower, with_time
from eqvi.model.synthesis import blend
from eqvi.model.trajectories import Position
from eqvi.model.visibility import HoleFilling, VisibilityMask, raise_mask


class Finishing(nn.Module):
    """Steps 3 to 7 of `eqvi.model.eqvi`: the weight-free method, its mask and frame corrected by a network."""

    def __init__(self) -> None:
        super().__init__()
        self.filling, self.visibility = HoleFilling(), VisibilityMask()
        self.encoder = Encoder(levels=2)
        self.synthesis = MaskAndResidual(frames=3, known=6)
        initialize(self)

    def forward(
        self,
        frame_1: Image,
        frame_2: Image,
        flow_12: Flow,
        flow_21: Flow,
        flow_1t: Flow,
        flow_2t: Flow,
        positions: tuple[Mapping[int, Position], Mapping[int, Position]] | None,
        t: float | Tensor,
    ) -> Matched:
        """As `eqvi.model.matching.Matching.forward`, without stages; `positions` is not read."""
        to_t1, to_t2 = reverse_flow(flow_1t), reverse_flow(flow_2t)
        flow_t1, flow_t2, trust = self.filling(frame_1, frame_2, flow_12, flow_21, to_t1, to_t2)
        warped_1, warped_2 = backward_warp(frame_1, flow_t1, "border"), backward_warp(frame_2, flow_t2, "border")
        visible = self.visibility(warped_1, warped_2, trust)
        start = blend(warped_1, warped_2, visible, t)
        start = start + lost_detail(frame_1, frame_2, flow_t1, flow_t2, warped_1, warped_2, visible, t)

        holes = torch.cat((to_t1.weight == 0, to_t2.weight == 0), dim=1).to(frame_1)
        inside = torch.cat((sampled_inside(flow_t1), sampled_inside(flow_t2)), dim=1)
        known = lower(padded(torch.cat((holes, torch.logit(visible), inside), dim=1)))
        contexts = [
            backward_warp(self.encoder(padded(frame))[1], lower(padded(flow), 4) / 4, "border")
            for frame, flow in ((frame_1, flow_t1), (frame_2, flow_t2))
        ]
        frames = [padded(frame) for frame in (warped_1, warped_2, start)]
        height, width = frame_1.shape[-2:]
        logit, residual = (x[..., :height, :width] for x in self.synthesis(frames, contexts, with_time(known, t)))
        return Matched(flow_t1, flow_t2, warped_1, warped_2, raise_mask(visible, logit), residual, ())
