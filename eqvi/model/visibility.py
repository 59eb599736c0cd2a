"""What stands in for the learned refinement and mask where there are no weights.

A reversed flow has holes, where nothing landed, and it is wrong where a surface is seen in one frame only. The holes
are filled from around them, and each frame counts where its reversed flow is known and the round trip agrees. Our own
construction, in the spirit of Baker et al. 2011 (the Middlebury benchmark's interpolation); not part of the paper.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from eqvi.model.geometry import Reversed, backward_warp, resize, sampled_inside

#: The scale, in pixels, on which trust falls with the error of the round trip.
TOLERANCE = 0.5
#: What is left of it however large the error: a round trip also fails where only the flow is bad.
BENEFIT_OF_DOUBT = 0.1
#: Trust left where neither frame deserves any, so that the mask stays a ratio of positive numbers.
FLOOR = 1e-3

Flow = Float[Tensor, "b 2 h w"]
Weight = Float[Tensor, "b 1 h w"]
Hole = Bool[Tensor, "b 1 h w"]


def fill_holes(reversed_flow: Reversed) -> Flow:
    """The reversed flow with its holes filled from a pyramid of averages of what is known around them."""
    known = (reversed_flow.weight > 0).to(reversed_flow.flow.dtype)
    sums, counts = [reversed_flow.flow * known], [known]
    while min(sums[-1].shape[-2:]) > 1:
        sums.append(F.avg_pool2d(sums[-1], 2, ceil_mode=True))
        counts.append(F.avg_pool2d(counts[-1], 2, ceil_mode=True))
    filled = sums[-1] / counts[-1].clamp_min(1e-12)
    for total, count in zip(reversed(sums[:-1]), reversed(counts[:-1]), strict=True):
        around = resize(filled, (total.shape[-2], total.shape[-1]), align_corners=False)
        filled = torch.where(count > 0, total / count.clamp_min(1e-12), around)
    return filled


def round_trip_error(flow_ab: Flow, flow_ba: Flow) -> Weight:
    """|F_ab(x) + F_ba(x + F_ab(x))| in pixels: large where a pixel of a is hidden in b."""
    x, y = (flow_ab + backward_warp(flow_ba, flow_ab)).split(1, dim=1)
    return torch.hypot(x, y)  # vector_norm over the second axis takes thirty times as long on the CPU


def visibility_mask(flow_12: Flow, flow_21: Flow, flow_t1: Flow, flow_t2: Flow, hole_1: Hole, hole_2: Hole) -> Weight:
    """M in (0, 1): how much to trust warped frame 1 over warped frame 2.

    Frame 1 counts at a pixel of frame t where F_t1 is known (`hole_1` false), points inside the frame, and where what
    frame 2 shows there is found again in frame 1; frame 2 likewise.
    """
    hidden_in_2 = backward_warp(round_trip_error(flow_12, flow_21), flow_t1)
    hidden_in_1 = backward_warp(round_trip_error(flow_21, flow_12), flow_t2)
    trust_1 = ~hole_1 * sampled_inside(flow_t1) * _trust(hidden_in_1)
    trust_2 = ~hole_2 * sampled_inside(flow_t2) * _trust(hidden_in_2)
    return (trust_1 + FLOOR) / (trust_1 + trust_2 + 2 * FLOOR)


def _trust(error: Weight) -> Weight:
    return BENEFIT_OF_DOUBT + (1 - BENEFIT_OF_DOUBT) * torch.exp(-error / TOLERANCE)
