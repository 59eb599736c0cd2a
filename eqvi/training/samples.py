"""What a model is trained on: windows of four frames with the true frame between the middle two."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


class FrameSample(NamedTuple):
    """One sample.

    Attributes:
        frames: (4, 3, H, W), RGB in [0, 1], at times -1, 0, 1, 2.
        truth: (3, H, W), the frame at `t`.
        t: in (0, 1).
        flows: (6, 2, H, W) in pixels, in the order of `eqvi.model.motion.FLOW_PAIRS`, where they were found beforehand.
    """

    frames: Float[Tensor, "4 3 h w"]
    truth: Float[Tensor, "3 h w"]
    t: float
    flows: Float[Tensor, "6 2 h w"] | None = None


class FrameBatch(NamedTuple):
    """Several windows.

    Attributes:
        frames: (B, 4, 3, H, W), as in `FrameSample`.
        truth: (B, 3, H, W).
        t: (B,).
        flows: (B, 6, 2, H, W), or None.
    """

    frames: Float[Tensor, "b 4 3 h w"]
    truth: Float[Tensor, "b 3 h w"]
    t: Float[Tensor, " b"]
    flows: Float[Tensor, "b 6 2 h w"] | None = None


class FlowSample(NamedTuple):
    """One sample for a flow network.

    Attributes:
        first, second: (3, H, W), RGB in [0, 1].
        flow: (2, H, W), from `first` to `second`, pixels; true even where its target is hidden or out of the frame.
        weight: (1, H, W), how far it is trusted: 1, or 0 where a pixel shows two motions.
    """

    first: Float[Tensor, "3 h w"]
    second: Float[Tensor, "3 h w"]
    flow: Float[Tensor, "2 h w"]
    weight: Float[Tensor, "1 h w"]


class FlowBatch(NamedTuple):
    """Several pairs, as in `FlowSample` with a batch dimension in front."""

    first: Float[Tensor, "b 3 h w"]
    second: Float[Tensor, "b 3 h w"]
    flow: Float[Tensor, "b 2 h w"]
    weight: Float[Tensor, "b 1 h w"]


@runtime_checkable
class SampleSource(Protocol):
    """Samples without end, each made from its number alone."""

    @property
    def epoch(self) -> int:
        """Samples in an epoch; sample `number` belongs to epoch ``number // epoch``."""

    def sample(self, number: int) -> FrameSample | FlowSample:
        """The sample of that number: the same whatever was asked for before."""

    def record(self) -> dict[str, Any]:
        """What it is made of, in plain values, for the record of a run."""


def collate(samples: Sequence[FrameSample | FlowSample]) -> FrameBatch | FlowBatch:
    """Samples of one kind and size as a batch."""
    if isinstance(samples[0], FlowSample):
        return FlowBatch(*map(torch.stack, zip(*samples, strict=True)))
    frames, truths, times, flows = zip(*samples, strict=True)
    known = None if any(flow is None for flow in flows) else torch.stack(flows)
    return FrameBatch(torch.stack(frames), torch.stack(truths), torch.tensor(times), known)
