"""Training samples: frames with the true frame between the middle two, or two frames with exact flow."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


class FrameSample(NamedTuple):
    """A window of four frames, and the frame to predict.

    Attributes:
        frames: (4, 3, H, W), RGB in [0, 1], at times -1, 0, 1, 2.
        truth: (3, H, W), the frame at `t`.
        t: in (0, 1).
    """

    frames: Float[Tensor, "4 3 h w"]
    truth: Float[Tensor, "3 h w"]
    t: float


class FrameBatch(NamedTuple):
    """Several windows: the fields of `FrameSample` with a batch dimension in front.

    Attributes:
        flows: in pixels, in the order of `eqvi.model.motion.FLOW_PAIRS`; None: estimated in training.
    """

    frames: Float[Tensor, "b 4 3 h w"]
    truth: Float[Tensor, "b 3 h w"]
    t: Float[Tensor, " b"]
    flows: Float[Tensor, "b 6 2 h w"] | None = None


class WindowSample(NamedTuple):
    """A window of eight frames with exact flow at t, as `eqvi.datasets.windows.Window`, in tensors.

    Attributes:
        frames: (8, 3, H, W), RGB in [0, 1], at times -3 .. 4.
        truth: (3, H, W), the frame at `t`.
        t: in (0, 1).
        flow: (2, 2, H, W), the exact F_t1 and F_t2 in pixels.
        visibility: (2, H, W), 1 where what the pixel of the true frame shows is visible in frame 1, or frame 2; else 0.
        flows: (16, 2, H, W) in pixels, in the order of `eqvi.datasets.windows.WINDOW_PAIRS`: the first six are those of
            `eqvi.model.motion.FLOW_PAIRS`.
    """

    frames: Float[Tensor, "8 3 h w"]
    truth: Float[Tensor, "3 h w"]
    t: float
    flow: Float[Tensor, "2 2 h w"]
    visibility: Float[Tensor, "2 h w"]
    flows: Float[Tensor, "16 2 h w"]


class WindowBatch(NamedTuple):
    """Several windows: the fields of `WindowSample` with a batch dimension in front."""

    frames: Float[Tensor, "b 8 3 h w"]
    truth: Float[Tensor, "b 3 h w"]
    t: Float[Tensor, " b"]
    flow: Float[Tensor, "b 2 2 h w"]
    visibility: Float[Tensor, "b 2 h w"]
    flows: Float[Tensor, "b 16 2 h w"]


class FlowSample(NamedTuple):
    """Two frames with the flow between them.

    Attributes:
        first, second: (3, H, W), RGB in [0, 1].
        flow: (2, H, W), from `first` to `second`, pixels; true even where its target is hidden or out of the frame.
        weight: (1, H, W), of each pixel in the loss: 1, or 0 where it shows two motions.
    """

    first: Float[Tensor, "3 h w"]
    second: Float[Tensor, "3 h w"]
    flow: Float[Tensor, "2 h w"]
    weight: Float[Tensor, "1 h w"]


class FlowBatch(NamedTuple):
    """Several pairs: the fields of `FlowSample` with a batch dimension in front."""

    first: Float[Tensor, "b 3 h w"]
    second: Float[Tensor, "b 3 h w"]
    flow: Float[Tensor, "b 2 h w"]
    weight: Float[Tensor, "b 1 h w"]


Sample = FrameSample | WindowSample | FlowSample
Batch = FrameBatch | WindowBatch | FlowBatch


@runtime_checkable
class SampleSource(Protocol):
    """An endless dataset: sample `number` depends on the number alone, and belongs to epoch ``number // epoch``."""

    @property
    def epoch(self) -> int:
        """Samples in an epoch."""

    def sample(self, number: int) -> Sample:
        """The sample of that number."""

    def record(self) -> dict[str, Any]:
        """What the samples are made of, in plain values, for the record of a run."""


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one kind and size as a batch."""
    kinds = {FlowSample: FlowBatch, WindowSample: WindowBatch, FrameSample: FrameBatch}
    columns = zip(*samples, strict=True)
    fields = (torch.tensor(c) if isinstance(c[0], float) else torch.stack(c) for c in columns)
    return kinds[type(samples[0])](*fields)
