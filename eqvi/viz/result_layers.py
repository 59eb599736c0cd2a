"""The layers of a new frame: inputs, intermediate results and errors as named pictures with a note and alt text.

Pure functions of an `eqvi.viz.exploration.Exploration`, for explorer and site. `layers_at` belongs to one t,
`input_frames` and `input_flows` to the quadruplet, `switch_effect` shows what one switch changes.
"""

import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from eqvi import metrics
from eqvi.viz import colours, panels
from eqvi.viz.exploration import NAMES, Exploration, Switches, toggled
from eqvi.viz.panels import Panel, Wheel

#: Names of the layers, in the order in which they are shown.
INPUTS = ("I₀", "I₁", "I₂", "I₃")
FRAME, TRUTH, ERROR = "new frame", "truth", "error"
WARPED = ("I₁ warped to t", "I₂ warped to t")
MASK, RESIDUAL = "mask M", "residual"
FLOWS = ("Fₜ₁", "Fₜ₂")
HOLES = ("holes of Fₜ₁", "holes of Fₜ₂")
INPUT_FLOWS = ("F₁₂", "F₂₁")

#: Grey levels at the ends of the residual's colours, and at the dark end of errors and of differences of variants.
RESIDUAL_RANGE, ERROR_RANGE, EFFECT_RANGE = 16, 64, 24
_GREY = 255


@dataclass(frozen=True)
class Layer:
    """One picture: a panel, its main number as a short note, and its alt text."""

    panel: Panel
    note: str
    alt: str


class SwitchEffect(NamedTuple):
    """What one switch changes in the frame at t.

    Attributes:
        name: of the switch, for readers.
        layer: the difference as a picture.
        psnr_on, psnr_off: of the frame with and without the part, dB; None where the truth is not known.
    """

    name: str
    layer: Layer
    psnr_on: float | None
    psnr_off: float | None


def layers_at(exploration: Exploration, t: float, switches: Switches, arrows: int = 0) -> dict[str, Layer]:
    """Every layer of the frame at t, by its name; truth and error only where the truth is known.

    Args:
        exploration: the quadruplet and the model.
        t: in (0, 1).
        switches: the parts that are on.
        arrows: pixels from one arrow to the next on flows; 0: no arrows.

    Raises:
        InputError: the model lacks a part that is switched on.
    """
    result, scale, when = exploration.result(t, switches), flow_scale(exploration), f"at t = {t:g}"
    layers = {FRAME: frame_layer(exploration, t, switches)}
    for name, frame, number in zip(WARPED, (result.warped_1, result.warped_2), (1, 2), strict=True):
        layers[name] = Layer(panels.image(frame), "", f"Frame {number}, warped {when}.")
    mean = float(result.mask.mean())
    alt = f"The mask {when}: bright where frame 1 is trusted, dark where frame 2 is; its mean is {mean:.2f}."
    layers[MASK] = Layer(panels.field(result.mask, "weight of I₁", 0, 1), f"mean {mean:.2f}", alt)
    if result.residual is not None:
        size = _GREY * float(result.residual.abs().mean())
        grey = _GREY * result.residual.mean(dim=1, keepdim=True)
        panel = panels.field(grey, "grey levels", -RESIDUAL_RANGE, RESIDUAL_RANGE, "signed")
        alt = f"The residual that RCSN adds {when}: blue darkens, red brightens; mean size {size:.2f} grey levels."
        layers[RESIDUAL] = Layer(panel, f"mean size {size:.2f}", alt)
    for name, flow, number in zip(FLOWS, (result.flow_t1, result.flow_t2), (1, 2), strict=True):
        layers[name] = _flow_layer(flow, scale, arrows, f"Flow from t to frame {number}, {when}")
    for name, hole in zip(HOLES, exploration.holes(t, switches), strict=True):
        share = f"{float(hole.float().mean()):.1%}"
        alt = f"Holes {when}, in orange: where nothing landed when the flow was reversed, {share} of the pixels."
        layers[name] = Layer(panels.mask(hole, result.frame), share, alt)
    truth = exploration.quadruplet.truth(t)
    if truth is not None:
        layers[TRUTH] = Layer(panels.image(truth), "", f"The true frame {when}.")
        layers[ERROR] = _difference_layer(result.frame, truth, f"Error of the new frame {when}", ERROR_RANGE)
    return layers


def frame_layer(exploration: Exploration, t: float, switches: Switches) -> Layer:
    """The new frame at t, with its PSNR."""
    psnr = exploration.psnr(t, switches)
    score = "no truth at this t" if psnr is None else f"{psnr:.2f} dB"
    on = [name for field, name in NAMES.items() if getattr(switches, field)]
    parts = f"with {' and '.join(on)}" if on else "with every part switched off"
    alt = f"The new frame at t = {t:g}, {parts}; PSNR: {score}."
    return Layer(panels.image(exploration.result(t, switches).frame), score, alt)


def input_frames(exploration: Exploration) -> dict[str, Layer]:
    """The four frames of the quadruplet."""
    return {
        name: Layer(panels.image(frame[None]), f"time {time}", f"Frame {time + 1}, given, at time {time}.")
        for name, frame, time in zip(INPUTS, exploration.quadruplet.frames[0], (-1, 0, 1, 2), strict=True)
    }


def input_flows(exploration: Exploration, arrows: int = 0) -> dict[str, Layer]:
    """The estimated flows between the middle two frames; `arrows` as in `layers_at`."""
    scale, (flow_12, flow_21) = flow_scale(exploration), _middle_flows(exploration)
    return {
        INPUT_FLOWS[0]: _flow_layer(flow_12, scale, arrows, "Flow from frame 1 to frame 2"),
        INPUT_FLOWS[1]: _flow_layer(flow_21, scale, arrows, "Flow from frame 2 to frame 1"),
    }


def switch_effect(exploration: Exploration, t: float, switches: Switches, name: str) -> SwitchEffect:
    """The effect of the switch of that name (a field of `Switches`), all others left as they are."""
    other = toggled(switches, name)
    on, off = (switches, other) if getattr(switches, name) else (other, switches)
    layer = difference(exploration, t, on, off, f"What {NAMES[name]} changes in the frame")
    return SwitchEffect(NAMES[name], layer, exploration.psnr(t, on), exploration.psnr(t, off))


def difference(
    exploration: Exploration, t: float, one: Switches, other: Switches, what: str = "Difference of both variants"
) -> Layer:
    """Where the frames of two variants differ."""
    frames = exploration.result(t, one).frame, exploration.result(t, other).frame
    return _difference_layer(*frames, f"{what} at t = {t:g}", EFFECT_RANGE)


def flow_scale(exploration: Exploration) -> float:
    """Pixels at the wheel's rim, the same for every flow and every t."""
    return colours.flow_scale(*_middle_flows(exploration))


def pixel_of_frame_1(exploration: Exploration, t: float, switches: Switches, x: int, y: int) -> tuple[int, int]:
    """The pixel of frame 1 that the frame at t shows at (x, y): the nearest to where F_t1 points, within the frame."""
    dx, dy = exploration.result(t, switches).flow_t1[0, :, y, x].tolist()
    height, width = exploration.quadruplet.frames.shape[-2:]
    return min(max(round(x + dx), 0), width - 1), min(max(round(y + dy), 0), height - 1)


def webp(panel: Panel) -> bytes:
    """The panel's picture as WebP, without legend and arrows. Quick to encode, small to send."""
    return _encoded(panel.rgb, "WEBP", quality=90, method=0)


def legend(panel: Panel) -> tuple[bytes, str, str] | None:
    """The legend of the panel's colours: a picture (PNG), the words at its left, those at its right; or None."""
    if panel.legend is None:
        return None
    if isinstance(panel.legend, Wheel):
        return _encoded(colours.wheel(64)[0], "PNG"), "", f"motion; the rim is {panel.legend.scale:g} px"
    bar = panel.legend
    steps = colours.field_to_rgb(torch.linspace(0, 1, 96).expand(1, 1, 8, 96), 0, 1, bar.ramp)[0]
    return _encoded(steps, "PNG"), f"{bar.low:g}", f"{bar.high:g} {bar.label}"


def _encoded(rgb: Float[Tensor, "3 h w"], kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(metrics.to_8bit(rgb[None]))).save(file, kind, **options)
    return file.getvalue()


def _middle_flows(exploration: Exploration) -> tuple[Tensor, Tensor]:
    """F_12 and F_21 in the frame's own size: small frames are padded before flow estimation."""
    height, width = exploration.quadruplet.frames.shape[-2:]
    motion = exploration.motion()
    return motion.flow_12[..., :height, :width], motion.flow_21[..., :height, :width]


def _flow_layer(flow: Tensor, scale: float, arrows: int, what: str) -> Layer:
    panel, length = panels.flow(flow, scale), float(flow.norm(dim=1).mean())
    if arrows:
        panel = panels.arrows(panel, flow, arrows)
    return Layer(panel, f"mean {length:.1f} px", f"{what}, as colours; its mean length is {length:.1f} pixels.")


def _difference_layer(a: Tensor, b: Tensor, what: str, high: float) -> Layer:
    mean = _GREY * float((a - b).abs().mean())
    alt = f"{what}: white where equal, dark where large; the mean is {mean:.2f} grey levels."
    return Layer(panels.error(a, b, high), f"mean {mean:.2f}", alt)
