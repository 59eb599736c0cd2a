"""Test-time ensembles: a window is interpolated under several transforms (flips, rotations, time reversal), averaged.

The transforms are those of the published code. Deviation: of a reversed window every member takes the frame at 1 - t;
two of the published branches take it at t. An `Ensemble` has the two stages of a model and can stand in for one.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.errors import InputError
from eqvi.model.geometry import resize


class Member(NamedTuple):
    """One transform of a window, and its inverse for the result.

    Attributes:
        flip_x, flip_y: mirror left-right, top-bottom.
        turns: number of quarter turns.
        reverse: reverse the order of the frames, and take 1 - t.
        half: halve the resolution; bilinear both ways.
    """

    flip_x: bool = False
    flip_y: bool = False
    turns: int = 0
    reverse: bool = False
    half: bool = False

    def apply(self, frames: Float[Tensor, "b n 3 h w"]) -> Float[Tensor, "b n 3 p q"]:
        """The transformed window."""
        if self.half:
            size = (max(1, frames.shape[-2] // 2), max(1, frames.shape[-1] // 2))
            frames = resize(frames.flatten(0, 1), size, align_corners=False).unflatten(0, frames.shape[:2])
        axes = [axis for axis, flip in ((-1, self.flip_x), (-2, self.flip_y)) if flip]
        frames = frames.flip(axes) if axes else frames
        frames = torch.rot90(frames, self.turns, (-2, -1)) if self.turns else frames
        return (frames.flip(1) if self.reverse else frames).contiguous()

    def invert(self, frame: Float[Tensor, "b 3 p q"], size: tuple[int, int]) -> Float[Tensor, "b 3 h w"]:
        """The inverse transform, of a new frame, to `size` = (height, width)."""
        frame = torch.rot90(frame, -self.turns, (-2, -1)) if self.turns else frame
        axes = [axis for axis, flip in ((-1, self.flip_x), (-2, self.flip_y)) if flip]
        frame = frame.flip(axes) if axes else frame
        return resize(frame, size, align_corners=False) if self.half else frame


_PLAIN = {
    "identity": Member(),
    "flip-x": Member(flip_x=True),
    "flip-y": Member(flip_y=True),
    "flip-xy": Member(flip_x=True, flip_y=True),
    "rotate-90": Member(turns=1),
    "rotate-270": Member(turns=3),
}
_REVERSED = {
    "reverse" if name == "identity" else f"reverse-{name}": member._replace(reverse=True)
    for name, member in _PLAIN.items()
}

#: Every member by name.
MEMBERS: dict[str, Member] = {**_PLAIN, "half": Member(half=True), **_REVERSED}

#: Named ensembles; any members joined by ``+`` make another.
ENSEMBLES: dict[str, tuple[str, ...]] = {
    "none": ("identity",),
    "half": ("identity", "half"),
    "flips": ("identity", "flip-x", "flip-y", "flip-xy"),
    "rotations": ("identity", "rotate-90", "rotate-270"),
    "reversal": ("identity", "reverse"),
    "reversal-flips": ("identity", "reverse", "reverse-flip-x", "reverse-flip-y", "reverse-flip-xy"),
    "reversal-rotations": ("identity", "reverse", "reverse-rotate-90", "reverse-rotate-270"),
    "all": tuple(MEMBERS),
}


def members_of(ensemble: str) -> tuple[str, ...]:
    """The members of a named ensemble, or of one written as ``identity+flip-x``.

    Raises:
        InputError: there is no such ensemble or member, or one is named twice.
    """
    names = ENSEMBLES.get(ensemble) or tuple(ensemble.split("+"))
    for name in names:
        if name not in MEMBERS:
            choice = f"{', '.join(ENSEMBLES)}, or members joined by +: {', '.join(MEMBERS)}"
            raise InputError(f"there is no ensemble or member {name!r}: choose from {choice}")
        if names.count(name) > 1:
            raise InputError(f"ensemble {ensemble!r} names {name} twice: name every member once")
    return names


class Ensemble:
    """A model under several transforms, with the two stages of a model.

    Args:
        model: anything with `EQVI.estimate_motion` and `EQVI.interpolate`.
        members: names from `MEMBERS`; the result has the flows and the mask of the first.
    """

    def __init__(self, model: Any, members: Sequence[str]) -> None:
        self._model = model
        self._members = [MEMBERS[name] for name in members]
        #: The most frames that a window may have.
        self.window: int = getattr(model, "window", 4)

    def estimate_motion(self, frames: Float[Tensor, "b n 3 h w"], previous: Any = None) -> list[Any]:
        """Every member's motion; `previous` is the result for the window one frame earlier in the same clip."""
        before = previous or [None] * len(self._members)
        return [
            # In a reversed clip the previous window comes one frame later: its flows cannot be reused.
            self._model.estimate_motion(member.apply(frames), previous=None if member.reverse else earlier)
            for member, earlier in zip(self._members, before, strict=True)
        ]

    def interpolate(self, frames: Float[Tensor, "b n 3 h w"], motion: list[Any], t: float) -> Any:
        """The first member's result, with the mean of all members' frames."""
        size = (frames.shape[-2], frames.shape[-1])
        results = [
            self._model.interpolate(member.apply(frames), own, 1 - t if member.reverse else t)
            for member, own in zip(self._members, motion, strict=True)
        ]
        aligned = [member.invert(out.frame, size) for member, out in zip(self._members, results, strict=True)]
        return results[0]._replace(frame=torch.stack(aligned).mean(0))
