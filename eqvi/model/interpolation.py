"""What the two stages of a model give (`eqvi.EQVI.estimate_motion`, `eqvi.EQVI.interpolate`)."""

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from eqvi.model.matching import Stage
from eqvi.model.trajectories import Position

Flow = Float[Tensor, "b 2 h w"]


class Motion(NamedTuple):
    """The optical flows of one window; they do not depend on t.

    A flow is None where the window lacks a frame (the first and the last window of a clip hold frames 1 and 2 only) or
    where the motion model does not read it.

    Attributes:
        flow_10, flow_12, flow_13: (B, 2, H, W) in pixels, seen from frame 1.
        flow_23, flow_21, flow_20: the same from frame 2.
        features: of the flow network, by the frame's number in the window (0 to 3); reused for the next window.
        half: the flows at half resolution where the model fuses two scales, else None.
        chained: every F_ab of the window, by its frames' numbers, as it was estimated, for trajectories, visibility and
            the next window; with `eqvi.model.two_way` the fields above are combined ones.
        positions: of the pixels of frames 1 and 2 in the other frames (`eqvi.model.trajectories.follow`), or None.
    """

    flow_10: Flow | None
    flow_12: Flow
    flow_13: Flow | None
    flow_23: Flow | None
    flow_21: Flow
    flow_20: Flow | None
    features: dict[int, Any]
    half: "Motion | None"
    chained: dict[tuple[int, int], Flow] = {}  # noqa: RUF012
    positions: tuple[dict[int, Position], dict[int, Position]] | None = None

    @property
    def middle(self) -> tuple[Flow, Flow]:
        """F_12 and F_21 as they were estimated; how far they disagree tells what is hidden."""
        return self.chained.get((1, 2), self.flow_12), self.chained.get((2, 1), self.flow_21)


class Interpolation(NamedTuple):
    """A new frame and the intermediate results that it consists of, those of the full scale where there are two.

    Attributes:
        frame: (B, 3, H, W), RGB in [0, 1].
        flow_t1, flow_t2: (B, 2, H, W) in pixels, as used for warping (after step 5).
        warped_1, warped_2: (B, 3, H, W), frames 1 and 2 warped to t.
        mask: (B, 1, H, W), M of step 6, before t weighs in.
        residual: (B, 3, H, W), added to the blended frame: RCSN's or matching's, the detail that warping lost, and what
            finishing adds; None without them.
        stages: with matching, the flows after each of its corrections (`eqvi.model.matching.Stage`); else empty.
    """

    frame: Float[Tensor, "b 3 h w"]
    flow_t1: Flow
    flow_t2: Flow
    warped_1: Float[Tensor, "b 3 h w"]
    warped_2: Float[Tensor, "b 3 h w"]
    mask: Float[Tensor, "b 1 h w"]
    residual: Float[Tensor, "b 3 h w"] | None
    stages: tuple[Stage, ...] = ()
