"""The layout of a training window: eight frames, the frame between the middle two, its exact flow, estimated flows.

Frame i of a window is at time i - 3, in intervals between input frames: frames 3 and 4 (times 0 and 1) are those that
`eqvi.model.eqvi` calls 1 and 2, and the window's true frame is at t in (0, 1) between them.
"""

from typing import NamedTuple

import numpy as np

from eqvi.model.motion import LONG_PAIRS

#: Frames of a window, and their times.
FRAMES = 8
TIMES = tuple(range(1 - FRAMES // 2, FRAMES // 2 + 1))
#: Index of the frame at time 0; the model's four frames are the `FIRST` - 1 to `FIRST` + 2 of a window.
FIRST = TIMES.index(0)

#: (a, b), by index, of the 16 flows F_ab of a window. The first six are the model's `FLOW_PAIRS`; with the ten others,
#: there are both directions between all neighbours.
WINDOW_PAIRS = tuple((FIRST - 1 + a, FIRST - 1 + b) for a, b in LONG_PAIRS)


class Window(NamedTuple):
    """A training window as it is rendered and stored.

    Attributes:
        frames: uint8 (8, 3, H, W), RGB, at `TIMES`.
        truth: uint8 (3, H, W), the frame at `t`.
        t: in (0, 1).
        flow: float16 (2, 2, H, W), the exact flows F_t1 and F_t2 in pixels at the pixels of the true frame.
        visibility: uint8 (2, H, W), 1 where what the pixel shows is visible in frame 1, or frame 2, too; 0 where it is
            hidden or out of the frame there, and where the pixel shows two motions (a soft edge).
        flows: float16 (16, 2, H, W) in pixels, estimated, in the order of `WINDOW_PAIRS`.
    """

    frames: np.ndarray
    truth: np.ndarray
    t: float
    flow: np.ndarray
    visibility: np.ndarray
    flows: np.ndarray


class ExactPairs(NamedTuple):
    """Exact flow between frames of a window, to train a flow network on.

    Attributes:
        pairs: int8 (P, 2), a and b by index: one or two intervals apart, in either order.
        flow: float16 (P, 2, H, W), the exact F_ab in pixels at the pixels of frame a, even where its target is hidden
            or out of the frame; NaN where the pixel shows two motions (a soft edge).
    """

    pairs: np.ndarray
    flow: np.ndarray
