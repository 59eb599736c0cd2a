"""Windows seen otherwise: mirrored, turned, backwards in time, in other colours, cropped.

Pure functions. Frames, truth, flows and t change together, by copying and changing signs alone: a flow that was exact
stays exact, and warping frame b by F_ab gives frame a afterwards as before. What they return is contiguous.
"""

import random
from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from eqvi.errors import InputError
from eqvi.model.motion import FLOW_PAIRS
from eqvi.training.samples import FrameSample

Augmentation = Literal["none", "published", "full"]

# Backwards in time frame i becomes frame 3 - i, so F_ab is what was F_(3-a)(3-b): the two halves change places.
_BACKWARDS = [FLOW_PAIRS.index((3 - a, 3 - b)) for a, b in FLOW_PAIRS]


def mirror(window: FrameSample) -> FrameSample:
    """Left becomes right: x' = W - 1 - x, so the x of every flow changes its sign."""
    return _flipped(window, axis=0)


def flip(window: FrameSample) -> FrameSample:
    """Top becomes bottom: y' = H - 1 - y, so the y of every flow changes its sign."""
    return _flipped(window, axis=1)


def transpose(window: FrameSample) -> FrameSample:
    """x and y change places, of pixels and of flows: (.., H, W) becomes (.., W, H)."""
    flows = None if window.flows is None else window.flows.flip(1).transpose(-1, -2).contiguous()
    frames, truth = (pictures.transpose(-1, -2).contiguous() for pictures in (window.frames, window.truth))
    return FrameSample(frames, truth, window.t, flows)


def reverse(window: FrameSample) -> FrameSample:
    """Backwards in time: time s becomes 1 - s, so I3 I2 I1 I0, 1 - t, and F23 F21 F20 F10 F12 F13."""
    flows = None if window.flows is None else window.flows[_BACKWARDS]
    return FrameSample(window.frames.flip(0), window.truth, 1 - window.t, flows)


def recolour(window: FrameSample, order: Sequence[int]) -> FrameSample:
    """Colour channels in another order: the new channel c is the old ``order[c]``.

    Raises:
        InputError: `order` is no permutation of 0, 1, 2.
    """
    if sorted(order) != [0, 1, 2]:
        raise InputError(f"order {tuple(order)} of the colours: give 0, 1 and 2, each once")
    return window._replace(frames=window.frames[:, list(order)], truth=window.truth[list(order)])


def crop(window: FrameSample, y: int, x: int, height: int, width: int) -> FrameSample:
    """The `height` x `width` pixels whose upper left one is (x, y); flows stay as they are, even where they lead out.

    Raises:
        InputError: they are not all within the window.
    """
    across, down = window.truth.shape[-1], window.truth.shape[-2]
    if min(y, x) < 0 or min(height, width) < 1 or y + height > down or x + width > across:
        raise InputError(f"crop of {width}x{height} at ({x}, {y}) is not within the {across}x{down} of the window")

    def part(pictures: Float[Tensor, "*any h w"]) -> Float[Tensor, "*any p q"]:
        return pictures[..., y : y + height, x : x + width].contiguous()

    flows = None if window.flows is None else part(window.flows)
    return FrameSample(part(window.frames), part(window.truth), window.t, flows)


def augment(window: FrameSample, draw: random.Random, how: Augmentation) -> FrameSample:
    """The window as it is trained on.

    Args:
        window: as it was read or rendered.
        draw: decides; as much is drawn from it whatever the window is.
        how: ``none``; ``published``, with probability 1/2 mirrored left to right and reversed in time, both together
            (spec, section 5); ``full``, mirrored, flipped, reversed and, where it is square, transposed, each with
            probability 1/2 and apart from the others, and its colours in one of the six orders.
    """
    if how == "published":
        return reverse(mirror(window)) if draw.random() < 0.5 else window
    if how == "full":
        chosen = [draw.random() < 0.5 for _ in range(4)]
        square = window.truth.shape[-1] == window.truth.shape[-2]
        for change, wanted in zip((mirror, flip, reverse, transpose), chosen, strict=True):
            if wanted and (square or change is not transpose):
                window = change(window)
        return recolour(window, draw.sample(range(3), 3))
    return window


def _flipped(window: FrameSample, axis: int) -> FrameSample:
    """Mirrored along x (`axis` 0) or y (1)."""
    flows = window.flows
    if flows is not None:
        flows = flows.flip(-1 - axis)
        flows[:, axis].neg_()
    return FrameSample(window.frames.flip(-1 - axis), window.truth.flip(-1 - axis), window.t, flows)
