"""What the paths of pixels (`eqvi.model.trajectories`) say of how well a place at t is known. Not part of the paper.

Where a pixel stands between two frames is read off its path. On a path that is straight, or bends evenly, the place is
well known; on one that bends anew from frame to frame it is a guess. How large the error is cannot be read off the
frames at t, but off the path: how much it bends, how much the bends change, how far the places by four and by all
frames lie apart, and whether the flows of the path agree. A network that reads it knows where a new frame should rather
be soft than wrong (`eqvi.model.finishing`).
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.model.trajectories import LARGEST, Position, differences, frame_times, mean_square, path_displacement

#: Added to every distance, in pixels: below it nothing is told apart.
NEAREST = 0.05

#: What is read of a path, with the centre and the scale of each in rendered windows, about.
PATH_EVIDENCE = {
    "bends": (0.1, 1.8),  # logarithm of the root mean square of its second differences in pixels
    "jerks": (0.2, 1.8),  # of its third differences
    "four or all": (-2.3, 0.8),  # of the distance between the places that four and all frames give
    "path": (0.3, 0.3),  # trust in all of its positions
}


def path_evidence(
    positions: tuple[Mapping[int, Position], Mapping[int, Position]], t: float | Tensor
) -> Float[Tensor, "b k h w"]:
    """The values of `PATH_EVIDENCE`, means of those of frame 1 and of frame 2: (B, 4, ceil(H/8), ceil(W/8)).

    Args:
        positions: of the followed pixels of frame 1, and of frame 2, whose time runs backwards.
        t: in (0, 1), a number or (B, 1, 1, 1).
    """
    seen_1, seen_2 = (_of_frame(*seen) for seen in zip(positions, (t, 1 - t), strict=True))
    return (seen_1 + seen_2) / 2


def _of_frame(positions: Mapping[int, Position], t: float | Tensor) -> Float[Tensor, "b k h w"]:
    second, third = differences(positions)
    few, many = (path_displacement(positions, frame_times(count), t) for count in (4, len(positions) + 1))
    squares = torch.cat([mean_square(fields) for fields in (second, third)], dim=1)
    if len(positions) + 1 > 4:
        difference = (many.displacement - few.displacement).clamp(-LARGEST, LARGEST)
        distance = (torch.hypot(*difference.split(1, dim=1)) + NEAREST).log()
    else:  # next to a clip's ends there are no others to compare with, which is not to agree: what is usual
        distance = torch.full_like(many.trust, PATH_EVIDENCE["four or all"][0])
    return torch.cat(((squares + NEAREST**2).log() / 2, distance, many.trust), dim=1)
