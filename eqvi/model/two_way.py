"""Flow seen from both frames of a pair (step 1 of `eqvi.model.eqvi`), for estimators whose two ways disagree.

A flow estimator looks for the pixels of frame a in frame b, and in another run for those of b in a. Where both frames
show a pixel the two are one motion, found twice with errors of their own. What the second run says of a pixel x of
frame a, followed there by the first, is

    F'_ab(x) = -F_ba(x + F_ab(x)).

Both are judged by what they find in frame b: e and e', mean squared differences from frame a, of the channels' mean
and over the square of `eqvi.model.blur.square_mean`, a grey level of noise added. The flow becomes their mean with
weights that fall with these, and a second opinion that is far off counts less, c = exp(-|F' - F| / 10 px):

    F_ab <- F_ab + k (F'_ab - F_ab),    k = c e / (e' + c e)

which is half-way where both fit alike and are near. In the middle of a large surface without texture they may be far
apart and fit alike; a mean of both would be neither. Fusing proposals of flow by their fit is known (Lempitsky et al.,
FusionFlow, CVPR 2008). Not part of the paper.

Shapes: frames (B, 3, H, W), RGB in [0, 1]; flows (B, 2, H, W) in pixels.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.model.blur import square_mean
from eqvi.model.geometry import backward_warp

#: Distance in pixels over which a second opinion loses its weight.
FAR = 10.0
# Noise that both are allowed: a grey level, squared.
_NOISE = (1 / 255) ** 2

Image = Float[Tensor, "b c h w"]
Flow = Float[Tensor, "b 2 h w"]


def combined(frame_a: Image, frame_b: Image, flow_ab: Flow, flow_ba: Flow) -> Flow:
    """F_ab after the flow back has had its say."""
    grey_a, grey_b = (frame.mean(dim=1, keepdim=True) for frame in (frame_a, frame_b))
    apart = -backward_warp(flow_ba, flow_ab, "border") - flow_ab
    error, error_back = (
        square_mean((backward_warp(grey_b, flow, "border") - grey_a).square()) + _NOISE
        for flow in (flow_ab, flow_ab + apart)
    )
    near = torch.exp(-torch.hypot(*apart.split(1, dim=1)) / FAR)
    return torch.addcmul(flow_ab, near * error / (error_back + near * error), apart)
