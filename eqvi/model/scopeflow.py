"""ScopeFlow: optical flow by the network that the published EQVI uses (Bar-Haim and Wolf, CVPR 2020).

ScopeFlow is a training method; the network is IRR-PWC's (`eqvi.model.pwc`). A call computes the forward flow only,
which is all that EQVI uses. `ScopeFlow.bidirectional` also computes the backward flow and occlusion, as the published
code does at every call: the same forward flow with nearly five times the arithmetic.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from eqvi.devices import is_on_gpu
from eqvi.model.geometry import backward_warp, per_axis, resize, sampled_inside
from eqvi.model.layers import activate, conv, scaled
from eqvi.model.pwc import (
    COST_CHANNELS,
    FEATURE_CHANNELS,
    PYRAMID_CHANNELS,
    ContextNetwork,
    DenseEstimator,
    FeaturePyramid,
    KernelRefinement,
    Level,
    Pyramid,
    cost_volume,
)

#: The network works in units of 1 / 0.05 = 20 pixels (IRR's ``div_flow``).
FLOW_UNIT = 20.0

#: Pixels of the largest images of which several flows are computed side by side: a 4K frame needs the memory itself.
SIDE_BY_SIDE = 1920 * 1088


class Bidirectional(NamedTuple):
    """Flow both ways between images a and b, with occlusion logits.

    Attributes:
        flow_ab, flow_ba: (B, 2, H, W), pixels.
        occlusion_a, occlusion_b: (B, 1, H, W), logits; large where a pixel of a (b) is hidden in b (a).
    """

    flow_ab: Float[Tensor, "b 2 h w"]
    flow_ba: Float[Tensor, "b 2 h w"]
    occlusion_a: Float[Tensor, "b 1 h w"]
    occlusion_b: Float[Tensor, "b 1 h w"]


class _Decoded(NamedTuple):
    """The result of one level: the cost volume (activated) and the flow in units of 20 pixels."""

    cost: Tensor
    flow: Tensor


class OcclusionDecoder(nn.Module):
    """Occlusion from cost volumes and features, refined to full size. EQVI does not use it.

    It is here so that published checkpoints load and export with every tensor, and so that the published schedule can
    be timed.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        features = scaled(FEATURE_CHANNELS, width)
        self.estimator = DenseEstimator(COST_CHANNELS + features + 1, 1, width)
        self.context = ContextNetwork(self.estimator.channels + 1, 1, width)
        self.refinement = KernelRefinement(2 * features + 1, width)
        self.projection = conv(scaled(PYRAMID_CHANNELS[0], width), 3, kernel=1)
        self.stem = conv(11, features)
        self.residual = nn.ModuleList((conv(features, features), conv(features, features)))
        self.tail = conv(features, features)
        self.head = conv(features, 1)

    def decode(
        self, cost: Tensor, first: Level, second: Level, occlusion: Tensor, flow: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """One coarse level: occlusion of the first image, given the flow just decoded."""
        features, residual = self.estimator(cost, first.projected, occlusion)
        occlusion = occlusion + residual
        occlusion = occlusion + self.context(features, occlusion)
        difference = first.projected - warp_inside(second.projected, flow, size)
        return self.refinement((occlusion, first.projected, difference), occlusion)

    def enlarge(self, occlusion: Tensor, guide: Tensor) -> Tensor:
        """Double the occlusion's size, guided by (image, other image warped, flow, other flow warped)."""
        occlusion = F.interpolate(occlusion, scale_factor=2, mode="nearest")
        if _size(occlusion) != _size(guide):
            occlusion = resize(occlusion, _size(guide), align_corners=False)
        start = activate(self.stem(torch.cat((occlusion, guide), dim=1)))
        x = start
        for _ in range(3):
            first, second = self.residual
            x = x + 0.1 * second(activate(first(x)))
        return activate(self.head(start + activate(self.tail(x)))) + occlusion

    def view(self, features: Tensor) -> Tensor:
        """Features of the half-size level as three channels, in place of an image."""
        return activate(self.projection(features))


class ScopeFlow(nn.Module):
    """Forward optical flow, coarse to fine over five levels with one shared decoder.

    Args:
        width: channel counts as a fraction of the published ones.
        scalings: how often a level's flow is scaled to global units: 2 as published, or 1 (see `_decode`).
    """

    def __init__(self, width: float = 1.0, scalings: int = 2) -> None:
        super().__init__()
        self.scalings = scalings
        features = scaled(FEATURE_CHANNELS, width)
        self.pyramid = FeaturePyramid(width)
        self.estimator = DenseEstimator(COST_CHANNELS + features + 2, 2, width)
        self.context = ContextNetwork(self.estimator.channels + 2, 2, width)
        self.refinement = KernelRefinement(features + 3, width)
        self.occlusion = OcclusionDecoder(width)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:  # where there are numbers
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.get_parameter("bias"))

    def features(self, image: Float[Tensor, "b 3 h w"]) -> Pyramid:
        """The part of the work that depends on one image only, RGB in [0, 1]."""
        return self.pyramid(image)

    def between(self, first: Pyramid, second: Pyramid) -> Float[Tensor, "b 2 h w"]:
        """F_ab in pixels from the two images' `features`."""
        # In two steps, as published: one step gives another flow where the sizes are not multiples of 4.
        flow = resize(self.levels(first, second)[-1], _size(first.half), align_corners=True)
        return FLOW_UNIT * resize(flow, _size(first.image), align_corners=True)

    def between_all(self, pairs: Sequence[tuple[Pyramid, Pyramid]]) -> list[Float[Tensor, "b 2 h w"]]:
        """`between` of several pairs; on a CUDA device side by side, where they are not too large for that."""
        images = [first.image for first, _ in pairs]
        if len(pairs) < 2 or not is_on_gpu(images[0]) or images[0].shape[-2] * images[0].shape[-1] > SIDE_BY_SIDE:
            return [self.between(first, second) for first, second in pairs]
        first, second = (tree_map(lambda *parts: torch.cat(parts), *side) for side in zip(*pairs, strict=True))
        return list(self.between(first, second).split([image.shape[0] for image in images]))

    def levels(self, first: Pyramid, second: Pyramid) -> list[Float[Tensor, "b 2 _h _w"]]:
        """F_ab as decoded at every level, coarse to fine, in units of `FLOW_UNIT` pixels of the full-size image."""
        flow: Tensor | None = None
        flows = []
        for a, b in zip(first.levels, second.levels, strict=True):
            flow = self._decode(a, b, flow, _size(first.image)).flow
            flows.append(flow)
        return flows

    def forward(self, image_a: Float[Tensor, "b 3 h w"], image_b: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
        """F_ab in pixels between two images, RGB in [0, 1]."""
        return self.between(self.features(image_a), self.features(image_b))

    def _decode(self, a: Level, b: Level, flow: Tensor | None, size: tuple[int, int]) -> _Decoded:
        """Refine the next coarser level's flow (None at the coarsest) for an image of `size`, in units of 20 pixels."""
        if flow is None:
            flow, second = torch.zeros_like(a.image[:, :2]), b.features
        else:
            flow = resize(flow, _size(a.image), align_corners=True)
            second = warp_inside(b.features, flow, size)
        cost = activate(cost_volume(a.features, second))
        to_level = FLOW_UNIT * per_axis(a.image.shape[-1] / size[1], a.image.shape[-2] / size[0], like=flow)
        local = flow * to_level
        features, residual = self.estimator(cost, a.projected, local)
        local = local + residual
        local = local + self.context(features, local)
        # As published, the flow is scaled to global units before the refinement and, by an in-place operation, once
        # more after it. The published weights were trained so and depend on it. Scaled once, as networks of our own
        # may be, a level that adds nothing passes the coarser flow on unchanged.
        rough = local / to_level
        error = a.image - warp_inside(b.image, rough, size)
        centred = rough - rough.mean((2, 3), keepdim=True)
        guide = (centred, torch.linalg.vector_norm(error, dim=1, keepdim=True), a.projected)
        fine = self.refinement(guide, rough)
        return _Decoded(cost, fine / to_level if self.scalings == 2 else fine)

    def bidirectional(self, first: Pyramid, second: Pyramid) -> Bidirectional:
        """Flow both ways and occlusion: the work of one published ScopeFlow call."""
        size = _size(first.image)
        flow_ab: Tensor | None = None
        flow_ba: Tensor | None = None
        hidden_a = hidden_b = torch.zeros_like(first.levels[0].image[:, :1])
        for a, b in zip(first.levels, second.levels, strict=True):
            hidden_a, hidden_b = (resize(h, _size(a.image), align_corners=True) for h in (hidden_a, hidden_b))
            cost_a, flow_ab = self._decode(a, b, flow_ab, size)
            cost_b, flow_ba = self._decode(b, a, flow_ba, size)
            hidden_a = self.occlusion.decode(cost_a, a, b, hidden_a, flow_ab, size)
            hidden_b = self.occlusion.decode(cost_b, b, a, hidden_b, flow_ba, size)
        assert flow_ab is not None
        assert flow_ba is not None
        finest = ((first.half, second.half, self.occlusion.view), (first.image, second.image, nn.Identity()))
        for own, other, view in finest:
            there, back = (resize(flow, _size(own), align_corners=True) for flow in (flow_ab, flow_ba))
            hidden_a = self.occlusion.enlarge(hidden_a, _guide(own, other, there, back, view, size))
            hidden_b = self.occlusion.enlarge(hidden_b, _guide(other, own, back, there, view, size))
            flow_ab, flow_ba = there, back
        return Bidirectional(FLOW_UNIT * flow_ab, FLOW_UNIT * flow_ba, hidden_a, hidden_b)


def _guide(
    own: Tensor, other: Tensor, there: Tensor, back: Tensor, view: Callable[[Tensor], Tensor], size: tuple[int, int]
) -> Tensor:
    """What guides the enlargement of `own`'s occlusion: both views of it and the flow's round trip, side by side."""
    warped = view(warp_inside(other, there, size))
    return torch.cat((view(own), warped, there, warp_inside(back, there, size)), dim=1)


def warp_inside(field: Tensor, flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Warp a level's `field` by a flow in units of 20 pixels of an image of `size`; zero where not wholly inside."""
    # Normalised by the image's extent, not the level's: the displacement is the same fraction of either.
    height, width = _size(field)
    scale = per_axis((width - 1) / max(size[1] - 1, 1), (height - 1) / max(size[0] - 1, 1), like=flow)
    pixels = flow * (FLOW_UNIT * scale)
    return backward_warp(field, pixels) * (sampled_inside(pixels) >= 0.99999)


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]
