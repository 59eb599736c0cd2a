"""Augmentation of windows: mirrored, flipped, transposed, reversed in time, in other colours, cropped.

Pure functions that transform frames, truth, flows and t together, by copying and changing signs alone: an exact flow
stays exact, and warping frame b by F_ab gives frame a before and after. Their results are contiguous.
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

# Reversed in time frame i is frame 3 - i, so F_ab is F_(3-a)(3-b).
_REVERSED = [FLOW_PAIRS.index((3 - a, 3 - b)) for a, b in FLOW_PAIRS]


def mirror(window: FrameSample) -> FrameSample:
    """Left becomes right: x' = W - 1 - x, so that the x of every flow changes its sign."""
    return _flipped(window, axis=0)


def flip(window: FrameSample) -> FrameSample:
    """Top becomes bottom: y' = H - 1 - y, so that the y of every flow changes its sign."""
    return _flipped(window, axis=1)


def transpose(window: FrameSample) -> FrameSample:
    """Exchange x and y, of pixels and of flows: (.., H, W) becomes (.., W, H)."""
    flows = None if window.flows is None else window.flows.flip(1).transpose(-1, -2).contiguous()
    frames, truth = (pictures.transpose(-1, -2).contiguous() for pictures in (window.frames, window.truth))
    return FrameSample(frames, truth, window.t, flows)


def reverse(window: FrameSample) -> FrameSample:
    """Reverse time: s becomes 1 - s, so the frames are I3 I2 I1 I0, t is 1 - t, the flows F23 F21 F20 F10 F12 F13."""
    flows = None if window.flows is None else window.flows[_REVERSED]
    return FrameSample(window.frames.flip(0), window.truth, 1 - window.t, flows)


def recolour(window: FrameSample, order: Sequence[int]) -> FrameSample:
    """Permute the colour channels: the new channel c is the old ``order[c]``.

    Raises:
        InputError: `order` is no permutation of 0, 1, 2.
    """
    if sorted(order) != [0, 1, 2]:
        raise InputError(f"order {tuple(order)} of the colours: give 0, 1 and 2, each once")
    return window._replace(frames=window.frames[:, list(order)], truth=window.truth[list(order)])


def crop(window: FrameSample, y: int, x: int, height: int, width: int) -> FrameSample:
    """Cut out `height` x `width` pixels from (x, y) on; flows keep their values, even where they lead out.

    Raises:
        InputError: they are not all within the window.
    """
    rows, columns = window.truth.shape[-2:]
    if min(y, x) < 0 or min(height, width) < 1 or y + height > rows or x + width > columns:
        raise InputError(f"crop of {width}x{height} at ({x}, {y}) is not within the {columns}x{rows} of the window")

    def part(pictures: Float[Tensor, "*any h w"]) -> Float[Tensor, "*any p q"]:
        return pictures[..., y : y + height, x : x + width].contiguous()

    flows = None if window.flows is None else part(window.flows)
    return FrameSample(part(window.frames), part(window.truth), window.t, flows)


def augment(window: FrameSample, rng: random.Random, how: Augmentation) -> FrameSample:
    """Augment a window at random.

    Args:
        window: as it was read or rendered.
        rng: source of randomness; the number of draws does not depend on the window.
        how: ``none``; ``published``, with probability 1/2 mirrored and reversed in time, both together
            (`eqvi.training.recipe`); ``full``, mirrored, flipped, reversed and, if square, transposed, each with
            probability 1/2 independently, and the colours in one of the six orders.
    """
    if how == "published":
        return reverse(mirror(window)) if rng.random() < 0.5 else window
    if how == "full":
        is_square = window.truth.shape[-1] == window.truth.shape[-2]
        for transform in (mirror, flip, reverse, transpose):
            if rng.random() < 0.5 and (is_square or transform is not transpose):
                window = transform(window)
        return recolour(window, rng.sample(range(3), 3))
    return window


def _flipped(window: FrameSample, axis: int) -> FrameSample:
    """Mirrored along x (`axis` 0) or y (1)."""
    flows = window.flows
    if flows is not None:
        flows = flows.flip(-1 - axis)
        flows[:, axis].neg_()
    return FrameSample(window.frames.flip(-1 - axis), window.truth.flip(-1 - axis), window.t, flows)
