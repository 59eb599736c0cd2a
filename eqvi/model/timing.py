"""Timing: where on its path a pixel stands at t, learned from paths over several numbers of frames.

The two frames around t do not show it (`eqvi.model.matching`), the paths of `eqvi.model.trajectories` do: over 4, 6 and
8 frames they give three places at t, of which sometimes one and sometimes another is the better. A small network sees
by how much each differs from the motion that the flows at t were made from, and how far it can be trusted. It gives
each difference a weight, and adds a remainder r of its own:

    e = G [ sum over n of w_n trust_n (D_n - F_1t) + 4 t (1 - t) r ],    F_t1 <- F_t1 - e,    F_t2 <- F_t2 - e

with a sum over both frames' paths, and G a Gaussian mean. So the common part moves by -e and the difference part stays.
Everything is at 1/8 of the resolution, with differences in pixels of the full one. Not part of the paper.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.blur import gaussian_blur
from eqvi.model.geometry import backward_warp, pad_to
from eqvi.model.layers import chain, conv
from eqvi.model.trajectories import SPACING, Position, at_followed, frame_times, path_displacement

#: Numbers of frames whose paths are looked at.
COUNTS = (4, 6, 8)
#: Largest difference in pixels that is looked at.
LARGEST = 8.0
#: Standard deviation of the Gaussian mean, in pixels of 1/8 of the resolution.
SIGMA = 2.0

Flow = Float[Tensor, "b 2 h w"]


class Evidence(NamedTuple):
    """What the paths of one frame's pixels say at t, warped to t, at 1/8 of the resolution.

    Attributes:
        differences: (B, 3, 2, h, w), D_n - F_1t in pixels for n of `COUNTS`; 0 where there are fewer frames.
        trust: (B, 3, h, w), of each, in [0, 1].
    """

    differences: Float[Tensor, "b n 2 h w"]
    trust: Float[Tensor, "b n h w"]


def path_evidence(
    flow_1t: Flow, flow_t1: Flow, positions: Mapping[int, Position] | None, t: float | Tensor, height: int, width: int
) -> Evidence:
    """The evidence of one frame's paths.

    Args:
        flow_1t: the displacement that the motion model gives, seen from the frame, in pixels.
        flow_t1: the same reversed, by which the evidence is warped to t.
        positions: of the frame's pixels (`eqvi.model.trajectories.follow`); None where there are two frames only.
        t: time of the new frame, counted from this one.
        height, width: of the frame, padded to multiples of 8.
    """
    displacement = at_followed(flow_1t)
    nothing = torch.zeros_like(displacement), torch.zeros_like(displacement[:, :1])
    fields: list[Tensor] = []
    for count in COUNTS:
        if positions is None or count > len(positions) + 1:
            fields += nothing
        else:
            path = path_displacement(positions, frame_times(count), t)
            fields += ((path.displacement - displacement).clamp(-LARGEST, LARGEST), path.trust)
    at_t = backward_warp(torch.cat(fields, dim=1), at_followed(flow_t1) / SPACING, "border")
    at_t = pad_to(at_t, height // SPACING, width // SPACING).unflatten(1, (len(COUNTS), 3))
    return Evidence(at_t[:, :, :2], at_t[:, :, 2])


class Timing(nn.Module):
    """A correction of the common part, from the paths of both frames' pixels; 0 in a new model.

    Args:
        width: channels of the layers.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        paths = 2 * len(COUNTS)
        self.first = conv(3 * paths + 4 + 4, width)
        self.layers = nn.ModuleList((conv(width, width, dilation=2), conv(width, width, dilation=4)))
        self.head = conv(width, paths + 2)

    def forward(
        self,
        evidence_1: Evidence,
        evidence_2: Evidence,
        flows: Float[Tensor, "b 4 h w"],
        hints: Float[Tensor, "b 4 h w"],
        t: float | Tensor,
    ) -> Flow:
        """e, in pixels of the full resolution.

        Args:
            evidence_1, evidence_2: of both frames.
            flows: F_t1 and F_t2 in pixels of this resolution.
            hints: t, both holes, and the logit of the visibility mask.
            t: as of the model.
        """
        differences = torch.cat((evidence_1.differences, evidence_2.differences), dim=1)
        trust = torch.cat((evidence_1.trust, evidence_2.trust), dim=1)
        x = chain((self.first, *self.layers), torch.cat((differences.flatten(1, 2), trust, flows / 8, hints), dim=1))
        weights, rest = self.head(x).to(differences).split((trust.shape[1], 2), dim=1)
        moved = ((weights * trust)[:, :, None] * differences).sum(1) + 4 * t * (1 - t) * rest
        return gaussian_blur(moved, SIGMA)
