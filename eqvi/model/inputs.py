"""Checks of what a caller of `eqvi.EQVI` gives: frames and times."""

from jaxtyping import Float
from torch import Tensor

from eqvi.errors import InputError

Frames = Float[Tensor, "b n 3 h w"]


def check_frames(frames: Tensor, trajectory: int = 0) -> None:
    """Raise InputError unless `frames` is a floating-point (B, 4, 3, H, W) or (B, 2, 3, H, W).

    With trajectories over n frames it may have any even number up to n.
    """
    if frames.ndim != 5 or frames.shape[1] not in range(2, max(4, trajectory) + 1, 2) or frames.shape[2] != 3:
        longer = f", or up to {trajectory} frames" if trajectory > 4 else ""
        raise InputError(
            f"frames are {size_of(frames, 5)}: give (B, 4, 3, H, W), or (B, 2, 3, H, W) at a clip's ends{longer}"
        )
    if not frames.is_floating_point():
        raise InputError(f"frames are {frames.dtype}: give floating-point RGB in [0, 1]")


def check_time(t: float | Tensor, frames: Frames) -> float | Tensor:
    """`t` as a number or (B, 1, 1, 1); InputError unless it is in (0, 1) and single or one per sample."""
    if not isinstance(t, Tensor) or t.ndim == 0:
        t = float(t)
        inside, shown = 0 < t < 1, str(t)
    elif t.shape != frames.shape[:1]:
        raise InputError(f"t has shape {tuple(t.shape)}: give a number, or one per sample ({frames.shape[0]},)")
    else:
        inside, shown = bool(((t > 0) & (t < 1)).all()), str(t.tolist())
    if not inside:
        raise InputError(f"t={shown} must lie between 0 and 1, the times of frames 1 and 2")
    return t.to(frames).view(-1, 1, 1, 1) if isinstance(t, Tensor) else t


def size_of(x: Tensor, last: int = 2) -> str:
    """The last sides of a tensor, as 256x448."""
    return "x".join(map(str, x.shape[-last:]))
