"""Detail that a bilinear warp loses, given back where both frames show the same. Not part of the paper.

A bilinear sample between pixels is a mean of its neighbours: half-way between two, a wave of f cycles a pixel keeps
cos(pi f) of its height, the finest wave nothing. A new frame is sampled at such places nearly everywhere, so it is
softer than the frames around it. A bicubic sample (Keys 1981) keeps more; but it also keeps more of the noise, and of
edges that do not lie on each other. What both kernels differ by in either warped frame,

    D_i = bicubic(I_i, F_ti) - bilinear(I_i, F_ti),

is the same in both frames where it is detail and the flows meet, and unlike where it is noise or where they do not. Its
correlation, over a neighbourhood and the three channels, is

    rho = <D_1 D_2> / <(D_1^2 + D_2^2) / 2>,    0 where it is negative.

Of two pictures of one signal with noise of their own, in which the signal's share of the power is rho, the mean has the
signal's share g = 2 rho / (1 + rho): Wiener's weight for it. The new frame becomes

    I_t + g blend(D_1, D_2).

No parameter but the neighbourhood. Where nothing moves by a fraction of a pixel, nothing changes. Shapes: frames
(B, 3, H, W), flows (B, 2, H, W) in pixels.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqvi.model.geometry import Kernel, backward_warp
from eqvi.model.synthesis import blend

#: Side of the squares, in pixels, over which powers are averaged before they are interpolated in between.
SQUARE = 8
# Power below which nothing is called detail: a hundredth of a grey level.
_LEAST = (0.01 / 255) ** 2

Image = Float[Tensor, "b 3 h w"]
Flow = Float[Tensor, "b 2 h w"]
Weight = Float[Tensor, "b 1 h w"]

SHARP: Kernel = "bicubic"


def lost_detail(detail_1: Image, detail_2: Image, mask: Weight, t: float | Tensor) -> Image:
    """What is to be added to the blended frame, of the `surplus` of both frames.

    Args:
        detail_1, detail_2: D_1 and D_2.
        mask, t: as for `eqvi.model.synthesis.blend`.
    """
    return signal_share(detail_1, detail_2) * blend(detail_1, detail_2, mask, t)


def surplus(frame: Image, flow: Flow, warped: Image) -> Image:
    """D_i: what a bicubic warp by `flow` has beyond `warped`, the bilinear one."""
    return backward_warp(frame, flow, "border", SHARP) - warped


def signal_share(detail_1: Image, detail_2: Image) -> Weight:
    """g: the signal's share of the power of the mean of both, in [0, 1]."""
    common = _local_mean((detail_1 * detail_2).mean(1, keepdim=True))
    power = _local_mean((detail_1.square() + detail_2.square()).mean(1, keepdim=True) / 2)
    rho = (common / (power + _LEAST)).clamp(0, 1)
    return 2 * rho / (1 + rho)


def _local_mean(x: Weight) -> Weight:
    """The mean over squares, interpolated bilinearly between their centres."""
    means = F.avg_pool2d(x, SQUARE, ceil_mode=True)
    smooth = F.interpolate(means, scale_factor=SQUARE, mode="bilinear", align_corners=False)
    return smooth[..., : x.shape[-2], : x.shape[-1]]
