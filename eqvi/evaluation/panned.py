"""A photograph that moves: frames and windows whose motion is known, for workloads and tests."""

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.datasets.photographs import photograph, resample
from eqvi.model.motion import FLOW_PAIRS
from eqvi.training.samples import FrameBatch

#: Pixels by which the photograph moves from one frame to the next.
PAN = 4


def panned(size: tuple[int, int], shifts: range) -> Float[Tensor, "n 3 h w"]:
    """Frames of `size` = (height, width): a photograph moved to the right `PAN` pixels for a shift of 1."""
    picture = resample(photograph("coffee"), size)[0]
    return torch.stack([picture.roll(PAN * shift, -1) for shift in shifts])


def panned_batch(count: int, side: int) -> FrameBatch:
    """A batch of windows of `side` x `side` pixels, with their flows."""
    quarters = [1 + sample % 3 for sample in range(count)]
    frames = panned((side, side), range(4))
    # A quarter of an interval is a pixel: PAN / 4 of them.
    truths = torch.stack([frames[0].roll(PAN + quarter * PAN // 4, -1) for quarter in quarters])
    flows = torch.zeros(len(FLOW_PAIRS), 2, side, side)
    flows[:, 0] = torch.tensor([float(PAN * (b - a)) for a, b in FLOW_PAIRS]).view(-1, 1, 1)
    return FrameBatch(
        frames.expand(count, -1, -1, -1, -1).contiguous(),
        truths,
        torch.tensor([quarter / 4 for quarter in quarters]),
        flows.expand(count, -1, -1, -1, -1).contiguous(),
    )
