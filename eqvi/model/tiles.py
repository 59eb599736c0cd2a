"""Steps 4 to 7 of `eqvi.model.eqvi` in overlapping tiles, for frames whose feature maps do not fit in memory.

Flows, motion and flow reversal are those of the whole frame: they are cheap, and a seam in a flow would show. Then each
tile is computed with a margin around it, and only its core is kept: nothing is blended. The margin is as wide as the
networks look, as far as it changes the frame, and as the flows in the tile reach; see `MARGIN` and `LARGEST_REACH`.
Where motion reaches further than that, a tile reads its own edge instead of what lies beyond it. Of frames whose sides
are no multiples of `ALIGNED` the networks' levels are not exactly halved; a tile's are taken to be a part of theirs.
"""

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from eqvi.devices import release_memory
from eqvi.model.eqvi import EQVI
from eqvi.model.geometry import Reversed
from eqvi.model.interpolation import Interpolation, Motion
from eqvi.model.layers import Part, UNet, as_part
from eqvi.model.synthesis import Outer, SynthesisInput
from eqvi.model.trajectories import SPACING

#: Pixels around a tile's core that the networks read. In principle they look further; with 128, edges that move fast
#: have shown a seam of 2.8 grey levels, with 192 nothing has shown one of 0.1.
MARGIN = 192
#: Pixels beyond it that flows may reach; they are added tile by tile, as far as they are needed.
LARGEST_REACH = 64
#: Tiles begin and end at multiples of this, so that the networks' levels, halved five times, have their pixels where
#: those of the whole frame are.
ALIGNED = 32
#: Shortest side of a tile's core.
LEAST = 128

#: Channels of what is kept of a tiled frame.
KEPT = {"frame": 3, "flow_t1": 2, "flow_t2": 2, "mask": 1}

Synthesize = Callable[[SynthesisInput, Any, Part | None], Interpolation]


class Box(NamedTuple):
    """A part of a frame, in pixels; bottom and right are excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def pixels(self) -> int:
        """Its area."""
        return (self.bottom - self.top) * (self.right - self.left)

    def cut(self, field: Tensor) -> Tensor:
        """This part of a field, (..., H, W)."""
        return field[..., self.top : self.bottom, self.left : self.right]

    def coarse(self, spacing: int) -> "Box":
        """The same part of a field that has every so many pixels; top and left are multiples of `spacing`."""
        return Box(self.top // spacing, self.left // spacing, -(-self.bottom // spacing), -(-self.right // spacing))

    def widened(self, margin: int, height: int, width: int) -> "Box":
        """With a margin, moved outwards to aligned places, inside the frame."""
        top, left = (max(0, start - margin) // ALIGNED * ALIGNED for start in (self.top, self.left))
        bottom, right = (min(side, _up(end + margin)) for side, end in ((height, self.bottom), (width, self.right)))
        return Box(top, left, bottom, right)


def cores(height: int, width: int, most_pixels: int) -> list[Box]:
    """The frame in equal parts, by rows, of which none has more than `most_pixels` with its widest margin.

    Of all such grids the one with the fewest pixels in all; an empty list if not even the smallest parts will do.
    """
    margin = MARGIN + LARGEST_REACH
    grids = []
    for rows in range(1, max(1, height // LEAST) + 1):
        for columns in range(1, max(1, width // LEAST) + 1):
            boxes = [
                Box(top, left, bottom, right)
                for top, bottom in _parts(height, rows) for left, right in _parts(width, columns)
            ]  # fmt: skip
            areas = [box.widened(margin, height, width).pixels for box in boxes] if len(boxes) > 1 else [height * width]
            if max(areas) <= most_pixels:
                grids.append((sum(areas), len(boxes), boxes))
    return min(grids)[2] if grids else []


def smallest_pixels(height: int, width: int) -> int:
    """The pixels of the smallest tile of a frame, with its widest margin."""
    side = LEAST + 2 * (MARGIN + LARGEST_REACH + ALIGNED)
    return min(height, side) * min(width, side)


def tiled(model: EQVI, grid: Callable[[int, int], list[Box]], margin: int = MARGIN) -> EQVI:
    """A model with the same weights that synthesizes in tiles; for inference.

    Of a new frame the warped frames and the residual are not kept: they are NaN. Its attribute `grid` is the function.

    Args:
        model: one with matching computes whole frames: its steps are others.
        grid: the tiles' cores, from a frame's height and width.
        margin: pixels around a core that the networks read.
    """
    own = copy.copy(model)
    networks = [module for module in model.modules() if isinstance(module, UNet)]

    def part_of_a_frame(given: SynthesisInput, t: float | Tensor, part: Part | None) -> Interpolation:
        with as_part(networks, part):
            return model.synthesize(given, t)

    def estimate_motion(frames: Tensor, previous: Motion | None = None) -> Motion:
        motion = EQVI.estimate_motion(own, frames, previous)
        if len(grid(*frames.shape[-2:])) > 1:
            release_memory()  # what an estimator's threads have freed
        return motion

    own.estimate_motion = estimate_motion  # type: ignore[method-assign]
    own.synthesize = lambda given, t: in_tiles(part_of_a_frame, given, t, grid, margin)  # type: ignore[method-assign]
    own.grid = grid  # type: ignore[assignment] # no module
    return own


def in_tiles(
    synthesize: Synthesize, given: SynthesisInput, t: float | Tensor, grid: Callable[[int, int], list[Box]], margin: int
) -> Interpolation:
    """Steps 4 to 7 of a whole frame, tile by tile; arguments as for `tiled` and `EQVI.synthesize`.

    Args:
        synthesize: as `EQVI.synthesize`, and is told where its input stands in the frame, if it is a part of it.
    """
    batch, _, height, width = given.frame_1.shape
    boxes = grid(height, width)
    if len(boxes) == 1:
        return synthesize(given, t, None)
    release_memory()
    like = given.frame_1
    whole = {name: like.new_empty(batch, channels, height, width) for name, channels in KEPT.items()}
    for core in boxes:
        outer = core.widened(margin + min(_reach(given, core), LARGEST_REACH), height, width)
        part = synthesize(_cut(given, outer), t, Part(outer.top, outer.left, height, width))
        inner = Box(*(a - b for a, b in zip(core, (outer.top, outer.left) * 2, strict=True)))
        for name, field in whole.items():
            core.cut(field).copy_(inner.cut(getattr(part, name)))
        del part  # before the next tile takes its memory
        release_memory()
    missing = like.new_full((), math.nan).expand(batch, 3, height, width)
    frame, flow_t1, flow_t2, mask = whole.values()
    return Interpolation(frame, flow_t1, flow_t2, missing, missing, mask, missing)


def _reach(given: SynthesisInput, core: Box) -> int:
    """How far the warps of a tile read: along a reversed flow, and to and fro from there."""
    ways = [(given.to_t1.flow, given.flow_12), (given.to_t2.flow, given.flow_21)]
    if given.before is not None and given.after is not None:
        ways += [(given.to_t1.flow, given.before.flow), (given.to_t2.flow, given.after.flow)]
    return math.ceil(max(sum(core.cut(flow).abs().max().item() for flow in way) for way in ways))


def _cut(given: SynthesisInput, box: Box) -> SynthesisInput:
    to_t1, to_t2 = (Reversed(box.cut(to_t.flow), box.cut(to_t.weight)) for to_t in (given.to_t1, given.to_t2))
    frame_1, frame_2, flow_12, flow_21 = map(box.cut, (given.frame_1, given.frame_2, given.flow_12, given.flow_21))
    before, after = (
        None if outer is None else Outer(box.cut(outer.frame), box.cut(outer.flow))
        for outer in (given.before, given.after)
    )
    paths = None if given.paths is None else box.coarse(SPACING).cut(given.paths)
    return SynthesisInput(frame_1, frame_2, flow_12, flow_21, to_t1, to_t2, before, after, paths)


def _parts(side: int, count: int) -> list[tuple[int, int]]:
    """`side` in at most `count` aligned parts of one length, the last maybe shorter."""
    length = _up(-(-side // count))
    return [(start, min(start + length, side)) for start in range(0, side, length)]


def _up(value: int) -> int:
    return -(-value // ALIGNED) * ALIGNED
