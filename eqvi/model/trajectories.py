"""Trajectories over n frames (step 2 of `eqvi.model.eqvi`): a displacement at t from more than four frames.

Two frames show which of their pixels belong together. They do not show where on its path such a pixel stands at t; only
the frames around them do. The published motion models read one more frame on each side. Here the pixels of frame 1 are
followed through n frames, at the times s = -(n/2 - 1) .. n/2 (frame 1 is at 0, frame 2 at 1), and the polynomial of
degree n - 1 through their positions p_s is evaluated at t:

    D_n(t) = sum over s of w_s(t) p_s,   w_s(t) = product over r != s of (t - r) / (s - r),   p_0 = 0

n = 2 is linear motion; n = 4 is, at t = 1/2, the mean of the two quadratics of a pair, one seen from each frame. With
growing n the weights approach the ideal low-pass interpolator: the shake of a camera is band-limited, and four samples
interpolate it badly, eight well. Positions are chained from flows between neighbours:
p_(s+1) = p_s + F_(s,s+1)(x + p_s). Their trust falls with the round-trip error and is 0 where a pixel leaves the frame.

Chained positions are noisy, so D_n does not replace the displacement of the motion model. Two corrections, averaged
over a neighbourhood with the trust as weight, are added to it:

    F_1t <- F_1t + G_25 [D_4 - F_1t] + G_80 [D_n - D_4]

G_s is a Gaussian mean of standard deviation s pixels. The first correction adds what four frames show beyond the three
that a quadratic reads, the second what n frames show beyond four. From frame 2 likewise, with time reversed and 1 - t.
The means leave no detail, so positions are followed at a quarter of the resolution (`SCALE`).

Units: displacements and positions in pixels, (B, 2, H, W), x first; trust in [0, 1], (B, 1, H, W); time in frame
intervals. Not part of the paper. Related: cubic motion over four frames (Chi et al., ECCV 2020); the ambiguity of the
position at t (Zhong et al., arXiv 2311.08007).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqvi.model.geometry import backward_warp, resize, sampled_inside

Flow = Float[Tensor, "b 2 h w"]
Trust = Float[Tensor, "b 1 h w"]

#: Standard deviations in pixels of the Gaussian means of the two corrections.
NEAR_SIGMA, FAR_SIGMA = 25.0, 80.0
#: Largest correction in pixels that a single pixel may ask for.
LARGEST = 8.0
#: Positions are followed at 1/SCALE of the resolution, which costs a sixteenth; the means leave no finer detail.
SCALE = 4
# Trust below which a mean over it counts as no evidence.
_NO_EVIDENCE = 0.02


class Position(NamedTuple):
    """Where the pixels of a frame stand at another time.

    Attributes:
        displacement: (B, 2, H, W) in pixels, from each pixel's place in its own frame.
        trust: (B, 1, H, W) in [0, 1].
    """

    displacement: Flow
    trust: Trust


def chain(flow: Callable[[int, int], Flow], origin: int, direction: int, count: int) -> list[Position]:
    """The positions of the pixels of a frame in the `count` frames after it, or before it.

    Args:
        flow: F_ab for neighbours a and b, by their numbers.
        origin: number of the frame whose pixels are followed.
        direction: 1 for the frames after it, -1 for those before.
        count: how many frames.
    """
    positions: list[Position] = []
    first = flow(origin, origin + direction) if count else None
    for step in range(count):
        a, b = origin + direction * step, origin + direction * (step + 1)
        if first is not None and not positions:
            there, trust = first, torch.ones_like(first[:, :1])
            displacement = torch.zeros_like(first)
        else:
            displacement, trust = positions[-1]
            there = backward_warp(flow(a, b), displacement, outside="border")
        moved = displacement + there
        round_trip = there + backward_warp(flow(b, a), moved, outside="border")
        error = round_trip.norm(dim=1, keepdim=True)
        positions.append(Position(moved, trust * torch.exp(-error) * sampled_inside(moved)))
    return positions


def frame_times(count: int) -> range:
    """The times of an even number of frames around the gap from 0 to 1: -(count/2 - 1) .. count/2."""
    return range(1 - count // 2, count // 2 + 1)


def lagrange_weights(times: Sequence[float], t: float | Tensor) -> list[float | Tensor]:
    """The weights, at `t`, of values sampled at `times`: those of the polynomial of degree len(times) - 1 through them.

    The times may be unevenly spaced, as at a clip's end or where a frame is missing; they must differ. `t` is a number
    or a tensor, and the weights are of its shape.
    """
    weights: list[float | Tensor] = []
    for s in times:
        weight: float | Tensor = 1.0
        for r in times:
            if r != s:
                weight = weight * ((t - r) / (s - r))
        weights.append(weight)
    return weights


def path_displacement(positions: Mapping[int, Position], times: Sequence[int], t: float | Tensor) -> Position:
    """D_n(t): the displacement at `t` on the polynomial through the positions at `times`, 0 among them.

    Its trust is the product of theirs.

    Args:
        positions: by time, without 0, where a pixel stands in its own place.
        times: those that are used.
        t: in (0, 1), a number or (B, 1, 1, 1).
    """
    like = next(iter(positions.values()))
    displacement, trust = torch.zeros_like(like.displacement), torch.ones_like(like.trust)
    for time, weight in zip(times, lagrange_weights(times, t), strict=True):
        if time != 0:
            displacement = displacement + weight * positions[time].displacement
            trust = trust * positions[time].trust
    return Position(displacement, trust)


def follow(flow: Callable[[int, int], Flow], frame: int, direction: int, count: int) -> dict[int, Position]:
    """The positions of the pixels of a frame in the `count` frames around a gap, by time, at 1/`SCALE` resolution.

    Args:
        flow: F_ab at full resolution, in pixels, for neighbours a and b, by their numbers.
        frame: number of the frame whose pixels are followed, at time 0.
        direction: 1 if the gap is after the frame, -1 if it is before; time 1 is the frame beyond the gap.
        count: even, at least 4.

    Returns:
        Positions at `frame_times(count)` except 0, in pixels of the lower resolution.
    """

    def low(a: int, b: int) -> Flow:
        return reduce_resolution(flow(a, b))

    ahead = chain(low, frame, direction, count // 2)
    behind = chain(low, frame, -direction, count // 2 - 1)
    return dict(enumerate(ahead, 1)) | {-s: position for s, position in enumerate(behind, 1)}


def correct(displacement: Flow, positions: Mapping[int, Position], t: float | Tensor) -> Flow:
    """The displacement of a motion model with the corrections from paths over 4 and over all frames followed.

    Args:
        displacement: F_1t at full resolution, in pixels.
        positions: as returned by `follow`; of frame 2 for F_2t, with 1 - t.
        t: in (0, 1), a number or (B, 1, 1, 1).
    """
    sigmas = (NEAR_SIGMA / SCALE, FAR_SIGMA / SCALE)
    low = correction(reduce_resolution(displacement), positions, len(positions) + 1, t, sigmas, LARGEST / SCALE)
    return displacement + SCALE * resize(low, (displacement.shape[-2], displacement.shape[-1]), align_corners=False)


def reduce_resolution(flow: Flow) -> Float[Tensor, "b 2 p q"]:
    """A flow at 1/`SCALE` of the resolution, in pixels of that resolution."""
    return F.avg_pool2d(flow, SCALE, ceil_mode=True, count_include_pad=False) / SCALE


def correction(
    displacement: Flow,
    positions: Mapping[int, Position],
    count: int,
    t: float | Tensor,
    sigmas: tuple[float, float] = (NEAR_SIGMA, FAR_SIGMA),
    largest: float = LARGEST,
) -> Flow:
    """What a displacement lacks according to paths over 4 and over `count` frames.

    Args:
        displacement: F_1t of the motion model, at the resolution of the positions and in its pixels.
        positions: of the pixels of frame 1, by time, at `frame_times(count)` except 0.
        count: even, at least 4.
        t: in (0, 1), a number or (B, 1, 1, 1).
        sigmas: of the two Gaussian means, in pixels of this resolution.
        largest: correction that a single pixel may ask for, in these pixels.
    """
    short = path_displacement(positions, frame_times(4), t)
    total = trusted_mean((short.displacement - displacement).clamp(-largest, largest), short.trust, sigmas[0])
    if count > 4:
        long = path_displacement(positions, frame_times(count), t)
        beyond = (long.displacement - short.displacement).clamp(-largest, largest)
        total = total + trusted_mean(beyond, long.trust, sigmas[1])
    return total


def trusted_mean(field: Flow, trust: Trust, sigma: float) -> Flow:
    """The Gaussian mean of a field with trust as weight; it falls to 0 where there is nothing to trust."""
    both = gaussian_blur(torch.cat((field * trust, trust), dim=1), sigma)
    return both[:, :2] / (both[:, 2:] + _NO_EVIDENCE)


def gaussian_blur(image: Float[Tensor, "b c h w"], sigma: float) -> Float[Tensor, "b c h w"]:
    """Gaussian blur of standard deviation `sigma` pixels, separable, with the rim reflected as often as it takes."""
    radius = max(1, round(4 * sigma))
    taps = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (taps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for dim in (2, 3):
        size = image.shape[dim]
        # The mirrored coordinates of size 1 2 3 2 1 2 3 ...: a kernel may be wider than the image.
        places = torch.arange(-radius, size + radius, device=image.device) % max(2 * size - 2, 1)
        image = image.index_select(dim, torch.where(places < size, places, 2 * size - 2 - places))
        shape = (1, 1, -1, 1) if dim == 2 else (1, 1, 1, -1)
        with torch.autocast(image.device.type, enabled=False):  # positions in pixels: bfloat16 is too coarse
            flat = F.conv2d(image.flatten(0, 1)[:, None], kernel.view(shape))
        image = flat.view(*image.shape[:2], *flat.shape[-2:])
    return image
