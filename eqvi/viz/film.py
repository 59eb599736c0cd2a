"""Film: a short loop and a strip of figures made of new frames only, never of the footage's own.

The footage's own frames are never written, since footage at hand is seldom ours to publish. Every picture is a new
frame, at t = 1/6, 1/2 or 5/6 of a gap between two input frames, so that they are evenly spaced in time.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from tqdm import tqdm

from eqvi.errors import InputError
from eqvi.files import replacing
from eqvi.media.clip import Clip
from eqvi.media.image import ClipFrame, Image, from_tensor, resize_image, to_tensor
from eqvi.media.scene_cuts import CutDetector
from eqvi.media.window import Interpolator, neighbours_of, windows
from eqvi.model.interpolation import Interpolation
from eqvi.viz.colours import flow_scale
from eqvi.viz.panels import Panel, field, flow, image
from eqvi.viz.quadruplet import clip_length

#: Times of the new frames in each gap.
TIMES = (Fraction(1, 6), Fraction(1, 2), Fraction(5, 6))
#: Largest size of a loop, which is shown on a page.
MAX_BYTES = 600_000
# The format of the new frames, whatever the clip's: 8 bits, RGB.
_RGB = Image(np.zeros((1, 1, 3), np.uint8))


class Film(NamedTuple):
    """New frames of a clip, and the intermediate results of one of them.

    Attributes:
        loop: the new frames of all gaps in order, in the size of the loop.
        row: those of the middle gap in full size, at `TIMES`, each (1, 3, H, W) in [0, 1].
        middle: result at t = 1/2 of the middle gap.
    """

    loop: list[Image]
    row: list[Tensor]
    middle: Interpolation


def input_frames(clip: Clip, start: int | None, step: int, gaps: int) -> list[ClipFrame]:
    """The input frames of a film: those around its gaps, and one more before and after them.

    Args:
        clip: where they are taken from.
        start: number of the frame where the first gap begins; None: so that the film lies in the clip's middle.
        step: frames of the clip from one input to the next.
        gaps: how many gaps are to be filled.

    Raises:
        InputError: the clip is too short, `start` lies too near to an end, or a scene cut lies between the frames.
    """
    count, span = clip_length(clip), (gaps + 2) * step + 1
    if count < span:
        fewer = "give fewer --gaps, a smaller --step or a longer clip"
        raise InputError(f"{clip.path}: holds {count} frames, --gaps {gaps} with --step {step} take {span}: {fewer}")
    last = step + count - span
    if start is None:
        start = (step + last) // 2
    if not step <= start <= last:
        raise InputError(f"--from {start}: frames of {clip.path} on both sides are needed: give {step} to {last}")
    first = start - step
    frames = list(islice(clip.read(), first, first + span, step))
    if len(frames) < gaps + 3:
        raise InputError(f"{clip.path}: ends before frame {first + span - 1}, though it promises {count}: --from less")
    is_cut = CutDetector()
    for number, (a, b) in enumerate(pairwise(frames)):
        if is_cut(a, b):
            at = f"a scene cut after frame {first + number * step}"
            raise InputError(f"{clip.path}: {at} lies within the film: give another --from, or a smaller --step")
    return frames


@torch.inference_mode()
def interpolate(frames: Sequence[ClipFrame], model: Any, device: str, width: int) -> Film:
    """Fill every gap but the outermost two, whose frames are neighbours only.

    Args:
        frames: four or more inputs, of one shot.
        model: an `eqvi.EQVI` on `device`.
        device: where to compute.
        width: of the pictures of `Film.loop` in pixels; no wider than the frames are.

    Raises:
        InputError: the device has too little memory.
    """
    all_windows = windows(frames, neighbours=neighbours_of(model))
    inner = [window for window in all_windows if 0 < window.position < len(frames) - 2]
    middle = len(inner) // 2
    wide, tall = frames[0].image.size
    size = (min(width, wide), max(1, round(tall * min(width, wide) / wide)))
    interpolator, loop, row = Interpolator(model, device), [], []
    with tqdm(total=len(inner) * len(TIMES), unit="new", desc="filming", disable=None, dynamic_ncols=True) as bar:
        for number, window in enumerate(inner):
            for t in TIMES:
                frame = interpolator.interpolate(window, t).cpu()
                loop.append(resize_image(from_tensor(frame, _RGB), size))
                if number == middle:
                    row.append(frame)
                bar.update()
    # The interpolator returns frames alone: the intermediate results are computed again.
    around = torch.stack([to_tensor(frame.image, device) for frame in frames[middle : middle + 4]], dim=1)
    result: dict[str, Any] = model(around, 0.5)._asdict()
    result = {name: part.cpu() if isinstance(part, torch.Tensor) else part for name, part in result.items()}
    return Film(loop, row, Interpolation(**result))


def write_loop(pictures: Sequence[Image], path: Path, fps: int) -> int:
    """Write an animated WebP that runs through the pictures and back, for ever; returns its number of pictures.

    The outermost pictures come once in a round, so that it never stands still. Equal pictures give equal bytes.

    Raises:
        InputError: the file would be larger than `MAX_BYTES`, or cannot be written.
    """
    forth = [PIL.Image.fromarray(picture.pixels) for picture in pictures]
    first, *others = forth + forth[-2:0:-1]
    milliseconds = round(1000 / fps)
    with replacing(path) as partial:
        first.save(partial, quality=70, method=6, save_all=True, append_images=others, duration=milliseconds, loop=0)
        size = partial.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path}: has {size} bytes, more than {MAX_BYTES}: give a smaller --width or fewer --gaps")
    return 1 + len(others)


def strip_panels(film: Film) -> dict[str, Panel]:
    """The strip: the new frames of one gap and, below them, the intermediate results at t = 1/2."""
    panels = {f"new frame, t = {t}": image(frame) for t, frame in zip(TIMES, film.row, strict=True)}
    middle = film.middle
    panels["$F_{t1}$, t = 1/2: where $I_1$ is fetched"] = flow(middle.flow_t1, flow_scale(middle.flow_t1))
    panels["mask, t = 1/2: whom to believe"] = field(middle.mask, "trust in $I_1$ over $I_2$", 0, 1)
    if middle.residual is not None:
        grey = 255 * middle.residual.mean(dim=1, keepdim=True)
        # All but the strongest two in a thousand, rounded up to fours; those get the end's colour.
        most = max(4, math.ceil(float(grey.abs().flatten()[::7].quantile(0.998)) / 4) * 4)
        panels["residual, t = 1/2: what is added"] = field(grey, "residual, grey levels", -most, most, "signed")
    return panels


def strip_alt(film: Film) -> str:
    """The alt text of the strip."""
    residual = "" if film.middle.residual is None else " and the residual"
    return (
        "Three new frames between two frames of footage, at t = 1/6, 1/2 and 5/6; below, for t = 1/2, "
        f"the flow to the first of the two, the mask{residual}. The two themselves are not shown."
    )
