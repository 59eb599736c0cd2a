"""Finishing: how much each warped picture counts in the new frame, pixel by pixel, learned. Not part of the paper.

The weight-free method (`eqvi.model.visibility`, `eqvi.model.detail`) gives a frame I_t = w I_1t + (1 - w) I_2t + detail
by rules: w from the round trips of the flows, the detail's share from a correlation. Much is known that these rules do
not read: how noisy the frames are, whether frames 0 and 3, warped to t as well, show the same, how sharp a place is. A
small network reads it and adds to I_t

    delta = a_1 b (S_1 - S_2) + a_2 w D_1 + a_3 (1 - w) D_2 + a_4 m (S_0 - I_t) + a_5 (1 - m) (S_3 - I_t),

where S_i is frame i warped to t by bicubic samples, D_i = S_i - I_it the detail that a bilinear warp loses of frame i,
m the visibility mask, and b (`both`) nearly 0 where that trusts one frame alone. The terms shift the mask, give back more or less of either frame's detail, and average
noise over four frames instead of two. The network never sees or makes colours: it reads ratios of local powers, at
half of the resolution, and gives the five coefficients a, each in (-1, 1) times `REACH`. So it cannot paint one camera's noise and blur into the
frames of another, which is what a residual network learns from few samples. Its last layer is zero in a new model,
whose frames are those of the weight-free method, bit for bit.

A frame 0 of the window is found from t by F_t0(x) = F_t1(x) + F_10(x + F_t1(x)), frame 3 by F_t3 from F_t2 and F_23.
At a clip's ends, where there is no frame 0 or 3, nothing is added. Predicting weights of pictures instead of pictures
is known of denoising and interpolation (Bako et al., "Kernel-predicting convolutional networks", SIGGRAPH 2017; Niklaus
et al., "Video frame interpolation via adaptive convolution", CVPR 2017).

Shapes: frames (B, 3, H, W), RGB in [0, 1]; flows (B, 2, H, W) in pixels; t a number or (B, 1, 1, 1).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.detail import SHARP
from eqvi.model.geometry import backward_warp, sampled_inside
from eqvi.model.layers import activate, conv
from eqvi.model.synthesis import Flow, Image, SynthesisInput, Weight, share_of_1

#: Side of the squares around a pixel over which powers are averaged.
SQUARE = 7
#: What the network reads of a pixel, with the centre and the scale of each in rendered windows, about.
EVIDENCE = {
    "noise": (-5.0, 1.0),  # logarithm of the amplitude of (S_1 - S_2) / sqrt 2; what follows are ratios to its power
    "frame 0": (0.5, 0.9),
    "frame 3": (0.5, 0.9),
    "detail 1": (-2.0, 1.6),
    "detail 2": (-2.0, 1.6),
    "details of 1 and 2": (0.2, 0.3),  # a correlation, as the next three
    "0 and 3": (0.1, 0.3),  # of their differences from the frame
    "0 and 1": (0.2, 0.4),  # of the differences of 0 from the frame, and of 1 from 2
    "3 and 2": (0.2, 0.4),
    "sharpness": (0.0, 2.0),
    "pixel of 1 and 2": (-0.6, 1.1),  # this and the next two: a pixel's own power over that of its surroundings
    "pixel of 0": (-0.6, 1.1),
    "pixel of 3": (-0.6, 1.1),
    "share of frame 1": (0.5, 0.2),
    "t": (0.5, 0.2),
    "mask": (0.5, 0.2),
    "inside frame 1": (1.0, 0.4),
    "inside frame 2": (1.0, 0.4),
    "speed of 1": (0.8, 0.8),  # logarithm of 1 + the distance in pixels
    "speed of 2": (0.8, 0.8),
}
#: Evidence is read up to so many scales from its centre: beyond, the network has seen little.
FARTHEST = 2.5
#: The largest coefficient of each term.
REACH = (1.0, 2.0, 2.0, 1.5, 1.5)
# Added to every power: 0.3 of a grey level.
_LEAST = (0.3 / 255) ** 2


class Finishing(nn.Module):
    """What is added to a weight-free frame.

    Args:
        width: channels of its layers.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first = conv(len(EVIDENCE), width)
        self.layers = nn.ModuleList((conv(width, width, 1), conv(width, width)))
        self.head = conv(width, len(REACH))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.get_parameter("bias"))

    def forward(
        self, given: SynthesisInput, frame: Image, flow_t1: Flow, flow_t2: Flow, warped_1: Image, warped_2: Image,
        mask: Weight, t: float | Tensor,
    ) -> Image:  # fmt: skip
        """The difference that it makes, (B, 3, H, W); zero where the window has no frames 0 and 3.

        Args:
            given: both frames, and frames 0 and 3 with the flows to them.
            frame: the weight-free frame at t.
            flow_t1, flow_t2, warped_1, warped_2, mask: what it consists of, see `eqvi.model.eqvi.Interpolation`.
            t: in (0, 1).
        """
        if given.before is None or given.after is None:
            return torch.zeros_like(frame)
        with torch.no_grad():
            sharp = _sharp_warps(given, flow_t1, flow_t2)
            share = share_of_1(mask, t)
            terms = _terms(sharp, frame, warped_1, warped_2, mask, share)
            evidence = _evidence(sharp, frame, warped_1, warped_2, mask, share, flow_t1, flow_t2, t)
        added = torch.zeros_like(frame)
        for reach, a, term in zip(REACH, self.coefficients(evidence).split(1, dim=1), terms, strict=True):
            added = added + reach * a * term
        return added

    def coefficients(self, evidence: Float[Tensor, "b e h w"]) -> Float[Tensor, "b 5 h w"]:
        """The coefficients of the terms, in (-1, 1)."""
        height, width = evidence.shape[-2:]
        x = activate(self.first(F.avg_pool2d(evidence, 2, ceil_mode=True)))
        for layer in self.layers:
            x = x + activate(layer(x))
        a = torch.tanh(self.head(x).to(evidence))
        return F.interpolate(a, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]


def both(mask: Weight) -> Weight:
    """How far frames 1 and 2 both count: 1 where the mask trusts them alike, little where it trusts one alone."""
    return 0.15 + 0.85 * 4 * mask * (1 - mask)


def _sharp_warps(given: SynthesisInput, flow_t1: Flow, flow_t2: Flow) -> list[Image]:
    """S_0 to S_3."""
    assert given.before is not None and given.after is not None
    to_0 = flow_t1 + backward_warp(given.before.flow, flow_t1, "border")
    to_3 = flow_t2 + backward_warp(given.after.flow, flow_t2, "border")
    pictures = (given.before.frame, to_0), (given.frame_1, flow_t1), (given.frame_2, flow_t2), (given.after.frame, to_3)
    return [backward_warp(frame, flow, "border", SHARP) for frame, flow in pictures]


def _terms(
    sharp: list[Image], frame: Image, warped_1: Image, warped_2: Image, mask: Weight, share: Weight
) -> list[Image]:
    """The pictures that the coefficients multiply, in the order of `REACH`."""
    s_0, s_1, s_2, s_3 = sharp
    return [
        both(mask) * (s_1 - s_2), share * (s_1 - warped_1), (1 - share) * (s_2 - warped_2),
        mask * (s_0 - frame), (1 - mask) * (s_3 - frame),
    ]  # fmt: skip


def _evidence(
    sharp: list[Image], frame: Image, warped_1: Image, warped_2: Image, mask: Weight, share: Weight, flow_t1: Flow,
    flow_t2: Flow, t: float | Tensor,
) -> Float[Tensor, "b e h w"]:  # fmt: skip
    """What the network reads, scaled by `EVIDENCE`."""
    s_0, s_1, s_2, s_3 = sharp
    between, of_0, of_3, detail_1, detail_2 = s_1 - s_2, s_0 - frame, s_3 - frame, s_1 - warped_1, s_2 - warped_2
    blurred = F.avg_pool2d(F.pad(frame, (1,) * 4, "replicate"), 3, 1)
    noise = _mean(between.square()) / 2 + _LEAST
    power_0, power_3, power_1, power_2, sharpness = (
        _mean(x.square()) + _LEAST for x in (of_0, of_3, detail_1, detail_2, blurred - frame)
    )
    correlations = [
        2 * _mean(detail_1 * detail_2) / (power_1 + power_2), 2 * _mean(of_0 * of_3) / (power_0 + power_3),
        _mean(of_0 * between) / (2 * power_0 * noise).sqrt(), -_mean(of_3 * between) / (2 * power_3 * noise).sqrt(),
    ]  # fmt: skip
    pixels = [
        _log_ratio(x.square().mean(1, keepdim=True) + _LEAST, power)
        for x, power in ((between, 2 * noise), (of_0, power_0), (of_3, power_3))
    ]
    values = [
        noise.log() / 2, *(_log_ratio(power, noise) for power in (power_0, power_3, power_1, power_2)),
        *correlations, _log_ratio(sharpness, noise), *pixels,
        share, torch.zeros_like(mask) + t, mask, sampled_inside(flow_t1), sampled_inside(flow_t2),
        *(torch.log1p(flow.norm(dim=1, keepdim=True)) for flow in (flow_t1, flow_t2)),
    ]  # fmt: skip
    centre, scale = torch.tensor(list(EVIDENCE.values()), device=frame.device).to(frame).T.view(2, -1, 1, 1).unbind()
    return ((torch.cat(values, dim=1) - centre) / scale).clamp(-FARTHEST, FARTHEST)


def _mean(x: Image) -> Weight:
    """The mean over the channels and the square around each pixel."""
    return F.avg_pool2d(x.mean(1, keepdim=True), SQUARE, 1, SQUARE // 2, count_include_pad=False)


def _log_ratio(power: Weight, other: Weight) -> Weight:
    return (power / other).log()
