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

    F_1t <- F_1t + g (G_25 [D_4 - F_1t] + G_80 [D_n - D_4])

G_s is a Gaussian mean of standard deviation s pixels. The first correction adds what four frames show beyond the three
that a quadratic reads, the second what n frames show beyond four. From frame 2 likewise, with time reversed and 1 - t.
The means leave no detail, so only every eighth pixel in x and y is followed (`SPACING`), through flows at full
resolution.

The gate g in [0, 1] closes where the samples say nothing of what lies between them: where the path is both wild, its
jerk (the third difference of the positions p_s) some per cent of the frame's longer side, and rough, its third
differences as large beside its second ones as those of noise. Neighbours then lie too far apart for their flows, and
samples too far apart for a polynomial. Kept frames four frames apart often come to that.

Units: displacements and positions in pixels, (B, 2, H, W), x first; trust in [0, 1], (B, 1, H, W); time in frame
intervals. Fields of the pixels that are followed have the sides h = ceil(H / 8) and w = ceil(W / 8); they count in
pixels of the frame. Not part of the paper. Related: cubic motion over four frames (Chi et al., ECCV 2020); the
ambiguity of the position at t (Zhong et al., arXiv 2311.08007).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqvi.model.blur import gaussian_blur
from eqvi.model.geometry import per_axis, pixel_grid, resize, sample_at

Flow = Float[Tensor, "b 2 h w"]
Trust = Float[Tensor, "b 1 h w"]

#: Standard deviations in pixels of the Gaussian means of the two corrections.
NEAR_SIGMA, FAR_SIGMA = 25.0, 80.0
#: Largest correction in pixels that a single pixel may ask for.
LARGEST = 8.0
#: Every SPACING-th pixel in x and y is followed; the means leave no finer detail.
SPACING = 8
#: Jerk of the path, as a share of the frame's longer side, from which it is wild: at all, and fully.
WILD = (0.02, 0.03)
#: Ratio of the mean squares of third and second differences, 1 for white noise, from which a path is rough.
ROUGH = (0.5, 0.8)
#: Frames with a shorter side than this are measured as if cut out of one of this size.
SMALLEST_SIDE = 640
# Trust below which a mean over it counts as no evidence.
_NO_EVIDENCE = 0.02
# Square in pixels that is added to a path's bends: noise of flow on what stands still is not rough.
_STILL = 0.01


class Position(NamedTuple):
    """Where pixels of a frame stand at another time.

    Attributes:
        displacement: (B, 2, h, w) in pixels, from each pixel's place in its own frame.
        trust: (B, 1, h, w) in [0, 1].
    """

    displacement: Flow
    trust: Trust


def followed_pixels(height: int, width: int, spacing: int, like: Tensor) -> Float[Tensor, "2 h w"]:
    """Coordinates (x, y) of the pixels that are followed: the middles of squares of side `spacing`.

    The middles of squares that the frame cuts off are held inside it. With a spacing of 1, `pixel_grid`.
    """
    rows, columns = -(-height // spacing), -(-width // spacing)
    x, y = spacing * pixel_grid(rows, columns, like) + (spacing - 1) / 2
    return torch.stack((x.clamp(max=width - 1), y.clamp(max=height - 1)))


def at_followed(field: Float[Tensor, "b c H W"], spacing: int = SPACING) -> Float[Tensor, "b c h w"]:
    """A field of the whole frame at the pixels that are followed."""
    return sample_at(field, followed_pixels(field.shape[-2], field.shape[-1], spacing, field))


def at_pixels(field: Float[Tensor, "b c h w"], height: int, width: int) -> Float[Tensor, "b c H W"]:
    """A field at every `SPACING`-th pixel, interpolated at all pixels of the frame."""
    rows, columns = field.shape[-2:]
    # One axis after the other, a third of the time of both at once: row 8 i + k lies (k + 1/2) / 8 - 1/2 after row i.
    wide = resize(field, (rows, SPACING * columns), align_corners=False)[..., :width]
    padded = F.pad(wide, (0, 0, 1, 1), mode="replicate")
    before, here, after = padded[..., :-2, None, :], wide[..., None, :], padded[..., 2:, None, :]
    half = SPACING // 2
    share = ((torch.arange(half, device=field.device, dtype=field.dtype) + 0.5) / SPACING)[:, None]
    between = torch.cat((torch.lerp(before, here, share + 0.5), torch.lerp(here, after, share)), dim=-2)
    return between.flatten(-3, -2)[..., :height, :]


def chain(
    flow: Callable[[int, int], Float[Tensor, "b 2 H W"]],
    origin: int,
    direction: int,
    count: int,
    spacing: int = 1,
    known: Sequence[Position] = (),
) -> list[Position]:
    """The positions of the pixels of a frame in the `count` frames after it, or before it.

    Args:
        flow: F_ab for neighbours a and b, by their numbers, of the whole frame.
        origin: number of the frame whose pixels are followed.
        direction: 1 for the frames after it, -1 for those before.
        count: how many frames.
        spacing: every how many pixels, in x and y, one is followed.
        known: the first of the positions, where they were followed before.
    """
    positions = list(known[:count])
    if len(positions) == count:
        return positions
    like = flow(origin, origin + direction)
    height, width = like.shape[-2:]
    start = followed_pixels(height, width, spacing, like).expand(like.shape[0], -1, -1, -1)
    furthest = per_axis(width - 1, height - 1, like=start)
    displacement, trust = positions[-1] if positions else (torch.zeros_like(start), torch.ones_like(start[:, :1]))
    for step in range(len(positions), count):
        a, b = origin + direction * step, origin + direction * (step + 1)
        there = sample_at(flow(a, b), start + displacement)
        displacement = displacement + there
        place = start + displacement
        x, y = (there + sample_at(flow(b, a), place)).split(1, dim=1)
        inside = ((place >= 0) & (place <= furthest)).all(dim=1, keepdim=True)
        trust = trust * torch.exp(-torch.hypot(x, y)) * inside
        positions.append(Position(displacement, trust))
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


def follow(
    flow: Callable[[int, int], Float[Tensor, "b 2 H W"]],
    frame: int,
    direction: int,
    count: int,
    known: Mapping[int, Position] | None = None,
) -> dict[int, Position]:
    """The positions of every `SPACING`-th pixel of a frame in the `count` frames around a gap, by time.

    Args:
        flow: F_ab of the whole frame, for neighbours a and b, by their numbers.
        frame: number of the frame whose pixels are followed, at time 0.
        direction: 1 if the gap is after the frame, -1 if it is before; time 1 is the frame beyond the gap.
        count: even, at least 4.
        known: some of these positions, at consecutive times.

    Returns:
        Positions at `frame_times(count)` except 0.
    """
    known = known or {}
    before, later = ([known[s] for s in itertools.takewhile(known.__contains__, itertools.count(one, one))]
                     for one in (-1, 1))  # fmt: skip
    ahead = chain(flow, frame, direction, count // 2, SPACING, later)
    behind = chain(flow, frame, -direction, count // 2 - 1, SPACING, before)
    return dict(enumerate(ahead, 1)) | {-s: position for s, position in enumerate(behind, 1)}


def follow_both(
    flows: Mapping[tuple[int, int], Flow], count: int, of_frame_1: Mapping[int, Position] | None = None
) -> tuple[dict[int, Position], dict[int, Position]]:
    """The positions of the pixels of frames 1 and 2 in `count` frames, from flows between neighbours.

    `of_frame_1` are those of frame 1 that are known: it was frame 2 of the window before (`seen_forwards`).
    """
    forwards = follow(lambda a, b: flows[a, b], 1, 1, count, of_frame_1)
    return forwards, follow(lambda a, b: flows[a, b], 2, -1, count)


def seen_forwards(positions: Mapping[int, Position]) -> dict[int, Position]:
    """Positions of a window's frame 2, whose time runs backwards, as those of frame 1 of the window after it."""
    return {-s: position for s, position in positions.items()}


def correct(
    displacement: Float[Tensor, "b 2 H W"],
    positions: Mapping[int, Position],
    t: float | Tensor,
    sigmas: tuple[float, float] = (NEAR_SIGMA, FAR_SIGMA),
) -> Float[Tensor, "b 2 H W"]:
    """The displacement of a motion model with the corrections from paths over 4 and over all frames followed.

    Args:
        displacement: F_1t of the whole frame.
        positions: as returned by `follow`; of frame 2 for F_2t, with 1 - t.
        t: in (0, 1), a number or (B, 1, 1, 1).
        sigmas: of the two Gaussian means, in pixels.
    """
    height, width = displacement.shape[-2:]
    coarse = correction(at_followed(displacement), positions, len(positions) + 1, t, SPACING, sigmas)
    coarse = coarse * gate(positions, max(height, width), SPACING)
    return displacement + at_pixels(coarse, height, width)


def correction(
    displacement: Flow,
    positions: Mapping[int, Position],
    count: int,
    t: float | Tensor,
    spacing: int = 1,
    sigmas: tuple[float, float] = (NEAR_SIGMA, FAR_SIGMA),
) -> Flow:
    """What a displacement lacks according to paths over 4 and over `count` frames, whatever their jerk.

    Args:
        displacement: F_1t of the motion model at the pixels that are followed.
        positions: of these pixels, by time, at `frame_times(count)` except 0.
        count: even, at least 4.
        t: in (0, 1), a number or (B, 1, 1, 1).
        spacing: of the pixels that are followed.
        sigmas: of the two Gaussian means, in pixels of the frame.
    """
    short = path_displacement(positions, frame_times(4), t)
    total = trusted_mean(_clamped(short.displacement - displacement), short.trust, sigmas[0] / spacing)
    if count > 4:
        long = path_displacement(positions, frame_times(count), t)
        total = total + trusted_mean(_clamped(long.displacement - short.displacement), long.trust, sigmas[1] / spacing)
    return total


def gate(positions: Mapping[int, Position], side: int, spacing: int = 1) -> Trust:
    """How far paths can be interpolated, in [0, 1]: 0 where a path is both wild and rough, in a neighbourhood.

    Args:
        positions: by time, without 0, at consecutive times, at least four.
        side: the longer side of the frame, in pixels.
        spacing: of the pixels that are followed.
    """
    second, third = differences(positions)
    trust = torch.stack([position.trust for position in positions.values()]).prod(dim=0)
    squares = [trust * mean_square(fields) for fields in (second, third)]
    bends, jerks, trusted = gaussian_blur(torch.cat((*squares, trust), dim=1), FAR_SIGMA / spacing).split(1, dim=1)
    jerk = (jerks / (trusted + 1e-4)).sqrt() / max(side, SMALLEST_SIDE)
    # White noise of variance v has second differences of variance 6 v and third ones of variance 20 v.
    roughness = (jerks / 20) / (bends / 6 + _STILL * trusted + 1e-6)
    return 1 - _ramp(jerk, *WILD) * _ramp(roughness, *ROUGH)


def differences(positions: Mapping[int, Position]) -> tuple[list[Flow], list[Flow]]:
    """The second and the third differences of a path's positions: its bends, and its jerk."""
    still = torch.zeros_like(positions[1].displacement)
    places = [positions[s].displacement if s else still for s in sorted((0, *positions))]
    second = [c - 2 * b + a for a, b, c in zip(places, places[1:], places[2:], strict=False)]
    return second, [later - earlier for earlier, later in pairwise(second)]


def mean_square(fields: Sequence[Flow]) -> Trust:
    """The mean over the fields of their squared length."""
    return torch.stack([field.square().sum(dim=1, keepdim=True) for field in fields]).mean(dim=0)


def _ramp(value: Tensor, low: float, high: float) -> Tensor:
    return ((value - low) / (high - low)).clamp(0, 1)


def _clamped(field: Flow) -> Flow:
    return field.clamp(-LARGEST, LARGEST)


def trusted_mean(field: Flow, trust: Trust, sigma: float) -> Flow:
    """The Gaussian mean of a field with trust as weight; it falls to 0 where there is nothing to trust."""
    both = gaussian_blur(torch.cat((field * trust, trust), dim=1), sigma)
    return both[:, :2] / (both[:, 2:] + _NO_EVIDENCE)
