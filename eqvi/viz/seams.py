"""A new frame in two tiles beside the frame made at once, for several margins of the tiles."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.devices import one_thread
from eqvi.model.eqvi import EQVI
from eqvi.model.tiles import Box, tiled
from eqvi.viz import panels
from eqvi.viz.panels import Panel

#: Differences that are shown: powers of ten of a grey level.
_LOW, _HIGH = -3, 1


@torch.inference_mode()
def seams(model: EQVI, frames: Float[Tensor, "1 n 3 h w"], margins: Iterable[int], t: float = 0.5) -> dict[str, Panel]:
    """The frame made at once, then for each margin how the frame differs whose tiles meet in the middle.

    Args:
        model: without matching, see `tiled`.
        frames: a window, RGB in [0, 1].
        margins: pixels around a tile's core.
        t: of the new frame.

    Returns:
        Caption to panel; the largest difference over the channels, in grey levels on a logarithmic scale.
    """
    height, width = frames.shape[-2:]
    halves = [Box(0, 0, height, width // 2), Box(0, width // 2, height, width)]
    with one_thread():
        motion = model.estimate_motion(frames)
        whole = model.interpolate(frames, motion, t).frame
        shown = {f"new frame at {t:g}, made at once": panels.image(whole)}
        for margin in margins:
            frame = tiled(model, lambda *_: halves, margin).interpolate(frames, motion, t).frame
            difference = 255 * (frame - whole).abs().amax(dim=1, keepdim=True)
            powers = difference.clamp_min(10.0 ** (_LOW - 1)).log10()
            caption = f"margin of {margin} px: at most {difference.max():.2g} grey levels"
            shown[caption] = panels.field(powers, "grey levels, power of ten", _LOW, _HIGH, "heat")
    return shown
