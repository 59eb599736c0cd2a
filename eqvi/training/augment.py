"""Augmentation of windows: mirrored, flipped, transposed, reversed in time, in other colours, cropped.

Pure functions that transform frames, truth, flows and t together, by copying and changing signs alone: an exact flow
stays exact, and warping frame b by F_ab gives frame a before and after. Their results are contiguous.
"""

import random
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

from jaxtyping import Float
from torch import Tensor

from eqvi.datasets.windows import FRAMES, WINDOW_PAIRS
from eqvi.errors import InputError
from eqvi.training.samples import FlowSample, FrameSample, WindowSample

Augmentation = Literal["none", "published", "full"]
_Sample = TypeVar("_Sample", FrameSample, WindowSample, FlowSample)
_Window = TypeVar("_Window", FrameSample, WindowSample)

# Reversed in time frame i of n is frame n - 1 - i, and F_ab is F_(n-1-a)(n-1-b).
REVERSED_WINDOW = [WINDOW_PAIRS.index((FRAMES - 1 - a, FRAMES - 1 - b)) for a, b in WINDOW_PAIRS]


class Transforms(NamedTuple):
    """What is done to a window, in this order; `colours` as the ``order`` of `recolour`."""

    mirrored: bool = False
    flipped: bool = False
    reversed: bool = False
    transposed: bool = False
    colours: tuple[int, ...] = (0, 1, 2)


def mirror(window: _Sample) -> _Sample:
    """Left becomes right: x' = W - 1 - x, so that the x of every flow changes its sign."""
    return _flipped(window, axis=0)


def flip(window: _Sample) -> _Sample:
    """Top becomes bottom: y' = H - 1 - y, so that the y of every flow changes its sign."""
    return _flipped(window, axis=1)


def transpose(window: _Sample) -> _Sample:
    """Exchange x and y, of pixels and of flows: (.., H, W) becomes (.., W, H)."""

    def exchanged(pictures: Tensor) -> Tensor:
        return pictures.transpose(-1, -2).contiguous()

    return _transformed(window, exchanged, lambda flows: exchanged(flows.flip(1)))


def reverse(window: _Window) -> _Window:
    """Reverse time: s becomes 1 - s, so of four frames I3 I2 I1 I0 are left, t is 1 - t, F_t2 comes before F_t1."""
    backwards = window._replace(frames=window.frames.flip(0), t=1 - window.t)
    if isinstance(backwards, FrameSample):
        return backwards
    return backwards._replace(
        flow=backwards.flow.flip(0), visibility=backwards.visibility.flip(0), flows=backwards.flows[REVERSED_WINDOW]
    )


def recolour(window: _Sample, order: Sequence[int]) -> _Sample:
    """Permute the colour channels: the new channel c is the old ``order[c]``.

    Raises:
        InputError: `order` is no permutation of 0, 1, 2.
    """
    if sorted(order) != [0, 1, 2]:
        raise InputError(f"order {tuple(order)} of the colours: give 0, 1 and 2, each once")
    if isinstance(window, FlowSample):
        return window._replace(first=window.first[list(order)], second=window.second[list(order)])
    return window._replace(frames=window.frames[:, list(order)], truth=window.truth[list(order)])


def crop(window: _Sample, y: int, x: int, height: int, width: int) -> _Sample:
    """Cut out `height` x `width` pixels from (x, y) on; flows keep their values, even where they lead out.

    Raises:
        InputError: they are not all within the window.
    """
    rows, columns = window[0].shape[-2:]
    if min(y, x) < 0 or min(height, width) < 1 or y + height > rows or x + width > columns:
        raise InputError(f"crop of {width}x{height} at ({x}, {y}) is not within the {columns}x{rows} of the window")

    def part(pictures: Float[Tensor, "*any h w"]) -> Float[Tensor, "*any p q"]:
        return pictures[..., y : y + height, x : x + width].contiguous()

    return _transformed(window, part, part)


def augment(window: _Sample, rng: random.Random, how: Augmentation) -> _Sample:
    """Augment a window at random, as `draw_transforms` says; pairs of frames keep their order, as their flow does."""
    transforms = draw_transforms(rng, how, window[0].shape[-1] == window[0].shape[-2])
    if transforms.mirrored:
        window = mirror(window)
    if transforms.flipped:
        window = flip(window)
    if transforms.reversed and not isinstance(window, FlowSample):
        window = reverse(window)
    if transforms.transposed:
        window = transpose(window)
    return recolour(window, transforms.colours) if how == "full" else window


def draw_transforms(rng: random.Random, how: Augmentation, is_square: bool) -> Transforms:
    """Draw how a window is augmented.

    Args:
        rng: source of randomness; the number of draws does not depend on the window.
        how: ``none``; ``published``, with probability 1/2 mirrored and reversed in time, both together
            (`eqvi.training.recipe`); ``full``, mirrored, flipped, reversed and, if square, transposed, each with
            probability 1/2 independently, and the colours in one of the six orders.
        is_square: whether windows are as high as wide.
    """
    if how == "published":
        chosen = rng.random() < 0.5
        return Transforms(mirrored=chosen, reversed=chosen)
    if how == "full":
        mirrored, flipped, backwards, transposed = (rng.random() < 0.5 for _ in range(4))
        return Transforms(mirrored, flipped, backwards, transposed and is_square, tuple(rng.sample(range(3), 3)))
    return Transforms()


def _flipped(window: _Sample, axis: int) -> _Sample:
    """Mirrored along x (`axis` 0) or y (1)."""

    def flipped_flows(flows: Tensor) -> Tensor:
        flows = flows.flip(-1 - axis)
        flows[:, axis].neg_()
        return flows

    return _transformed(window, lambda pictures: pictures.flip(-1 - axis), flipped_flows)


def _transformed(window: _Sample, picture: Callable[[Tensor], Tensor], flow: Callable[[Tensor], Tensor]) -> _Sample:
    """A window with one function applied to its frames and masks, and another to its flows."""
    if isinstance(window, FlowSample):
        first, second, weight = map(picture, (window.first, window.second, window.weight))
        return FlowSample(first, second, flow(window.flow[None])[0], weight)
    moved = window._replace(frames=picture(window.frames), truth=picture(window.truth))
    if isinstance(moved, FrameSample):
        return moved
    return moved._replace(flow=flow(moved.flow), visibility=picture(moved.visibility), flows=flow(moved.flows))
