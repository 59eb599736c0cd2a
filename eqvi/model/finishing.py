"""Finishing: how much each warped picture counts in the new frame, pixel by pixel, learned. Not part of the paper.

The weight-free method (`eqvi.model.visibility`, `eqvi.model.detail`) gives a frame I_t = w I_1t + (1 - w) I_2t + detail
by rules: w from the round trips of the flows, the detail's share from a correlation. Much is known that these rules do
not read: how noisy the frames are, whether frames 0 and 3, warped to t as well, show the same, how sharp a place is,
how well the paths of its pixels say where they are at t (`eqvi.model.path_evidence`). A small network reads it and adds
to I_t

    delta = a_1 b (S_1 - S_2) + a_2 w D_1 + a_3 (1 - w) D_2 + a_4 m (S_0 - I_t) + a_5 (1 - m) (S_3 - I_t)
            + a_6 s (B I_t - I_t) + a_7 s (B B B I_t - I_t),

where S_i is frame i warped to t by bicubic samples, D_i = S_i - I_it the detail that a bilinear warp loses of frame i,
m the visibility mask, b (`both`) nearly 0 where that trusts one frame alone, B a small blur, and s (`moving`) 0 where
nothing moves. The terms shift the mask, give back more or less of either frame's detail, average noise over four frames
instead of two, and soften what is known to be there but not where: the mean of all places that a moving edge may have
is nearer to the truth than a sharp edge in one of them. The network never sees or makes colours: it reads ratios of
local powers and paths, at half of the resolution, around it at an eighth, and gives the seven coefficients a, each in
(-1, 1) times `REACH`. So it cannot paint one camera's noise and blur into the frames of another, which is what a
residual network learns from few samples. Its last layer is zero in a new model, whose frames are those of the
weight-free method, bit for bit.

Frame 0 of the window is found from t by F_t0(x) = F_t1(x) + F_10(x + F_t1(x)), frame 3 by F_t3 from F_t2 and F_23.
At a clip's ends, where there is no frame 0 or 3, nothing is added. Predicting weights of pictures instead of pictures
is known of denoising and interpolation (Bako et al., "Kernel-predicting convolutional networks", SIGGRAPH 2017; Niklaus
et al., "Video frame interpolation via adaptive convolution", CVPR 2017).

Shapes: frames (B, 3, H, W), RGB in [0, 1]; flows (B, 2, H, W) in pixels; t a number or (B, 1, 1, 1).
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.blur import binomial, box, square_mean
from eqvi.model.detail import SHARP
from eqvi.model.geometry import backward_warp, pad_to, resize, sampled_inside
from eqvi.model.interpolation import Interpolation
from eqvi.model.layers import activated, conv
from eqvi.model.path_evidence import NEAREST, PATH_EVIDENCE
from eqvi.model.synthesis import Flow, Image, SynthesisInput, Weight, share_of_1
from eqvi.model.trajectories import SPACING

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
    "mismatch": (-1.8, 1.3),  # logarithm of the distance in pixels between F_t2 - F_t1 and F_12
    "flow around": (-2.5, 0.8),  # logarithm of how far it differs from its mean over the surroundings, in pixels
    **PATH_EVIDENCE,
}
#: Evidence is read up to so many scales from its centre: beyond, the network has seen little.
FARTHEST = 2.5
#: The largest coefficient of each term.
REACH = (1.0, 2.0, 2.0, 1.5, 1.5, 2.0, 2.0)
#: Distances between the pixels that each of the layers at an eighth of the resolution reads.
AROUND = (1, 1, 2, 1)
# Added to every power: 0.3 of a grey level, squared.
_LEAST = (0.3 / 255) ** 2


class Finishing(nn.Module):
    """What is added to a weight-free frame.

    Args:
        width: channels of its layers at half of the frame's resolution.
        wide: of those at an eighth, which look further around.
    """

    centre: Tensor
    scale: Tensor
    reach: Tensor

    def __init__(self, width: int = 32, wide: int = 64) -> None:
        super().__init__()
        centre, scale = torch.tensor(list(EVIDENCE.values())).T.reshape(2, -1, 1, 1)
        for name, values in {"centre": centre, "scale": scale, "reach": torch.tensor(REACH).view(-1, 1, 1)}.items():
            self.register_buffer(name, values, persistent=False)
        self.first = conv(len(EVIDENCE), width)
        self.down = conv(width, wide)
        self.around = nn.ModuleList(conv(wide, wide, dilation=dilation) for dilation in AROUND)
        self.up = conv(wide, width, 1)
        self.layers = nn.ModuleList((conv(width, width, 1), conv(width, width)))
        self.head = conv(width, len(REACH))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.get_parameter("bias"))

    def forward(
        self, given: SynthesisInput, start: Interpolation, details: tuple[Image, Image], t: float | Tensor
    ) -> Image:
        """The difference that it makes, (B, 3, H, W); zero where the window has no frames 0 and 3.

        Args:
            given: both frames, and frames 0 and 3 with the flows to them.
            start: the weight-free frame at t, and what it consists of.
            details: D_1 and D_2 (`eqvi.model.detail.surplus`).
            t: in (0, 1).
        """
        frame, flow_t1, flow_t2, warped_1, warped_2, mask, *_ = start
        if given.before is None or given.after is None:
            return torch.zeros_like(frame)
        with torch.no_grad():
            share = share_of_1(mask, t)
            beyond = backward_warp(torch.cat((given.before.flow, given.flow_12), dim=1), flow_t1, "border")
            to_0 = flow_t1 + beyond[:, :2]
            to_3 = flow_t2 + backward_warp(given.after.flow, flow_t2, "border")
            pictures = _Pictures(
                backward_warp(given.before.frame, to_0, "border", SHARP) - frame,
                backward_warp(given.after.frame, to_3, "border", SHARP) - frame,
                warped_1 + details[0] - (warped_2 + details[1]),
                *details,
            )
            # `norm` takes thirty times as long on the CPU
            speeds = torch.cat([torch.hypot(*flow.split(1, dim=1)) for flow in (flow_t1, flow_t2)], dim=1)
            mismatch = flow_t2 - flow_t1 - beyond[:, 2:]
            groups = (_of_pictures(pictures, frame), _of_flows(flow_t1, flow_t2, speeds, mismatch, mask, share, t))
            evidence = self._scaled(itertools.chain(*groups), given.paths)
        height, width = frame.shape[-2:]
        coefficients = self.coefficients(evidence) * self.reach
        coefficients = F.interpolate(coefficients, scale_factor=2, mode="bilinear", align_corners=False)
        added = torch.zeros_like(frame)
        terms = itertools.chain(_terms(pictures, mask, share), _softer(frame, moving(speeds)))
        for a, term in zip(coefficients[..., :height, :width].split(1, dim=1), terms, strict=True):
            added = torch.addcmul(added, a, term)
        return added

    def coefficients(self, evidence: Float[Tensor, "b e p q"]) -> Float[Tensor, "b 7 p q"]:
        """The coefficients of the terms, in (-1, 1), from the scaled evidence; both at half of the resolution."""
        x = activated(self.first, evidence)
        around = activated(self.down, halved(halved(x)))
        for layer in self.around:
            around = around + activated(layer, around)
        around = F.interpolate(self.up(around), scale_factor=4, mode="bilinear", align_corners=False)
        x = x + around[..., : x.shape[-2], : x.shape[-1]]
        for layer in self.layers:
            x = x + activated(layer, x)
        return torch.tanh(self.head(x).to(evidence)).contiguous()  # by channel, as they are read one by one

    def _scaled(
        self, groups: Iterable[Float[Tensor, "b _ h w"]], paths: Float[Tensor, "b k i j"] | None
    ) -> Float[Tensor, "b e p q"]:
        """Evidence, cut off and scaled by `EVIDENCE`, at half of the resolution; without paths, theirs is usual."""
        parts: list[Tensor] = []
        first = 0
        for group in groups:
            last = first + group.shape[1]
            parts.append(self._near(group, first, last, halved))
            first = last
        if paths is None:
            parts.append(parts[0].new_zeros(parts[0].shape[0], len(PATH_EVIDENCE), *parts[0].shape[-2:]))
        else:
            parts.append(self._near(paths, first, len(EVIDENCE), partial(_enlarged, like=parts[0])))
        return torch.cat(parts, dim=1)

    def _near(self, group: Tensor, first: int, last: int, resized: Callable[[Tensor], Tensor]) -> Tensor:
        centre, scale = self.centre[first:last], self.scale[first:last]
        near = resized(group.clamp(centre - FARTHEST * scale, centre + FARTHEST * scale))
        return (near - centre) / scale


class _Pictures(NamedTuple):
    """Differences of the warped pictures: S_0 - I_t, S_3 - I_t, S_1 - S_2, and the details D_1 and D_2."""

    of_0: Image
    of_3: Image
    between: Image
    detail_1: Image
    detail_2: Image


def both(mask: Weight) -> Weight:
    """How far frames 1 and 2 both count: 1 where the mask trusts them alike, little where it trusts one alone."""
    return 0.15 + 0.85 * 4 * mask * (1 - mask)


def moving(speeds: Float[Tensor, "b 2 h w"]) -> Weight:
    """0 where nothing moves, which is never softened, and nearly 1 where frames 1 and 2 are some pixels away."""
    return 1 - torch.exp(-speeds.sum(1, keepdim=True))


def _terms(pictures: _Pictures, mask: Weight, share: Weight) -> Iterator[Image]:
    """The pictures that the coefficients multiply, in the order of `REACH`."""
    yield both(mask) * pictures.between
    yield share * pictures.detail_1
    yield (1 - share) * pictures.detail_2
    yield mask * pictures.of_0
    yield (1 - mask) * pictures.of_3


def _softer(frame: Image, share: Weight) -> Iterator[Image]:
    """The last two terms: what the small blur changes, and the same blur three times; `share` is that of `moving`."""
    soft = binomial(frame)
    yield share * (soft - frame)
    yield share * (binomial(binomial(soft)) - frame)


def _of_pictures(pictures: _Pictures, frame: Image) -> Iterator[Float[Tensor, "b k h w"]]:
    """What the network reads of pictures, in the order of `EVIDENCE`, unscaled, several channels at a time."""
    of_0, of_3, between, detail_1, detail_2 = pictures
    fine = box(frame) - frame
    pairs = [(x, x) for x in (between, of_0, of_3, detail_1, detail_2, fine)]
    pairs += [(detail_1, detail_2), (of_0, of_3), (of_0, between), (of_3, between)]
    own = torch.cat([(x * y).sum(1, keepdim=True) for x, y in pairs], dim=1) / 3
    around = square_mean(own)
    noise, powers, products = around[:, :1] / 2 + _LEAST, around[:, 1:6] + _LEAST, around[:, 6:]
    power_0, power_3, power_1, power_2, _ = powers.split(1, dim=1)
    ratios = (powers / noise).log()
    norms = [(power_1 + power_2) / 2, (power_0 + power_3) / 2, *((2 * x * noise).sqrt() for x in (power_0, power_3))]
    correlations = products / torch.cat(norms, dim=1)
    yield noise.log() / 2
    yield ratios[:, :4]
    yield torch.cat((correlations[:, :3], -correlations[:, 3:]), dim=1)
    yield ratios[:, 4:]
    yield ((own[:, :3] + _LEAST) / torch.cat((2 * noise, power_0, power_3), dim=1)).log()


def _of_flows(
    flow_t1: Flow, flow_t2: Flow, speeds: Float[Tensor, "b 2 h w"], mismatch: Flow, mask: Weight, share: Weight,
    t: float | Tensor,
) -> Iterator[Float[Tensor, "b k h w"]]:  # fmt: skip
    """What it reads of masks and flows."""
    yield torch.cat((share, torch.zeros_like(mask) + t, mask), dim=1)
    yield torch.cat((sampled_inside(flow_t1), sampled_inside(flow_t2)), dim=1)
    yield torch.log1p(speeds)
    yield (torch.hypot(*mismatch.split(1, dim=1)) + NEAREST).log()
    uneven = (flow_t1 - square_mean(flow_t1)).square().sum(1, keepdim=True)
    yield (square_mean(uneven) + NEAREST**2).log() / 2


def _enlarged(paths: Float[Tensor, "b k i j"], like: Float[Tensor, "b _ p q"]) -> Float[Tensor, "b k p q"]:
    """What stands at every `SPACING`-th pixel, at half of the resolution."""
    height, width = (side * SPACING // 2 for side in paths.shape[-2:])
    return resize(paths, (height, width), align_corners=False)[..., : like.shape[-2], : like.shape[-1]]


def halved(x: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k p q"]:
    """The means of two by two pixels; on a CPU `avg_pool2d` takes five times as long."""
    x = pad_to(x, *(side + side % 2 for side in x.shape[-2:]))
    rows = x[..., ::2, :] + x[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) / 4
