"""What can be seen of a new frame: named layers, each a picture with words for who cannot see it.

Pure functions of an `eqvi.viz.exploration.Exploration`, for explorer and site. `described` is what belongs to one t,
`given` and `observed` belong to the window, `change` is what one switch does.
"""

import io
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from eqvi.viz import colours, panels
from eqvi.viz.exploration import NAMES, Exploration, Switches
from eqvi.viz.panels import Bar, Panel, Wheel

#: Names of the layers, in the order in which they are shown.
GIVEN = ("I₀", "I₁", "I₂", "I₃")
FRAME, TRUTH, ERROR = "new frame", "truth", "error"
WARPED = ("I₁ warped to t", "I₂ warped to t")
MASK, RESIDUAL = "mask M", "residual"
FLOWS = ("Fₜ₁", "Fₜ₂")
HOLES = ("holes of Fₜ₁", "holes of Fₜ₂")
OBSERVED = ("F₁₂", "F₂₁")

#: Grey levels at the ends of the residual's colours, and at the dark end of errors and of what variants differ by.
RESIDUAL_RANGE, ERROR_RANGE, CHANGE_RANGE = 16, 64, 24
_GREY = 255


@dataclass(frozen=True)
class Layer:
    """One picture.

    Attributes:
        panel: the picture and the legend of its colours.
        note: what it amounts to, in a few words or figures.
        alt: the picture in words.
    """

    panel: Panel
    note: str
    alt: str


def described(exploration: Exploration, t: float, switches: Switches, arrows: int = 0) -> dict[str, Layer]:
    """Every layer of the frame at t, by its name; truth and error only where the truth is known.

    Args:
        exploration: the window and its model.
        t: in (0, 1).
        switches: the parts that make the frame.
        arrows: one in so many pixels both ways is laid over the flows; 0: none.

    Raises:
        InputError: the model lacks a part that is switched on.
    """
    made, scale = exploration.result(t, switches), flow_scale(exploration)
    when = f"at t = {t:g}"
    found = {FRAME: new_frame(exploration, t, switches)}
    for name, frame, number in zip(WARPED, (made.warped_1, made.warped_2), (1, 2), strict=True):
        found[name] = Layer(panels.image(frame), "", f"Frame {number}, warped {when}.")
    trust = float(made.mask.mean())
    found[MASK] = Layer(
        panels.field(made.mask, "weight of I₁", 0, 1),
        f"mean {trust:.2f}",
        f"The mask {when}: bright where frame 1 is trusted, dark where frame 2 is; its mean is {trust:.2f}.",
    )
    if made.residual is not None:
        size = _GREY * float(made.residual.abs().mean())
        grey = _GREY * made.residual.mean(dim=1, keepdim=True)
        found[RESIDUAL] = Layer(
            panels.field(grey, "grey levels", -RESIDUAL_RANGE, RESIDUAL_RANGE, "signed"),
            f"mean size {size:.2f}",
            f"The residual that RCSN adds {when}: blue darkens, red brightens; mean size {size:.2f} grey levels.",
        )
    for name, flow, number in zip(FLOWS, (made.flow_t1, made.flow_t2), (1, 2), strict=True):
        found[name] = _flow(flow, scale, arrows, f"Flow from t to frame {number}, {when}")
    for name, where in zip(HOLES, exploration.holes(t, switches), strict=True):
        share = f"{float(where.float().mean()):.1%}"
        alt = f"Holes {when}, in orange: where nothing landed when the flow was reversed, {share} of the pixels."
        found[name] = Layer(panels.mask(where, made.frame), share, alt)
    truth = exploration.subject.truth(t)
    if truth is not None:
        found[TRUTH] = Layer(panels.image(truth), "", f"The true frame {when}.")
        found[ERROR] = _difference(made.frame, truth, f"Error of the new frame {when}", ERROR_RANGE)
    return found


def new_frame(exploration: Exploration, t: float, switches: Switches) -> Layer:
    """The frame at t alone."""
    quality = exploration.psnr(t, switches)
    score = "no truth at this t" if quality is None else f"{quality:.2f} dB"
    alt = f"The new frame at t = {t:g}, {words(switches)}; PSNR: {score}."
    return Layer(panels.image(exploration.result(t, switches).frame), score, alt)


def given(exploration: Exploration) -> dict[str, Layer]:
    """The window's four frames."""
    return {
        name: Layer(panels.image(frame[None]), f"time {time}", f"Frame {time + 1}, given, at time {time}.")
        for name, frame, time in zip(GIVEN, exploration.subject.frames[0], (-1, 0, 1, 2), strict=True)
    }


def observed(exploration: Exploration, arrows: int = 0) -> dict[str, Layer]:
    """The flows between the middle two frames, as they were estimated; `arrows` as of `described`."""
    scale, (flow_12, flow_21) = flow_scale(exploration), _observed(exploration)
    return {
        OBSERVED[0]: _flow(flow_12, scale, arrows, "Flow from frame 1 to frame 2"),
        OBSERVED[1]: _flow(flow_21, scale, arrows, "Flow from frame 2 to frame 1"),
    }


@dataclass(frozen=True)
class Change:
    """What one switch changes in the frame at t.

    Attributes:
        name: of the switch, for people.
        layer: the difference as a picture.
        on, off: PSNR of the frame with and without the part, dB; None where the truth is not known.
    """

    name: str
    layer: Layer
    on: float | None
    off: float | None


def change(exploration: Exploration, t: float, switches: Switches, name: str) -> Change:
    """What the switch of that name (a field of `Switches`) changes, all others left as they are."""
    other = exploration.flipped(switches, name)
    with_it, without = (switches, other) if getattr(switches, name) else (other, switches)
    frames = [exploration.result(t, which).frame for which in (with_it, without)]
    layer = _difference(frames[0], frames[1], f"What {NAMES[name]} changes in the frame at t = {t:g}", CHANGE_RANGE)
    return Change(NAMES[name], layer, exploration.psnr(t, with_it), exploration.psnr(t, without))


def noted(layer: Layer, more: str) -> Layer:
    """The layer with more to its note and its words."""
    return replace(layer, note=layer.note + more, alt=f"{layer.alt.removesuffix('.')}{more}.")


def difference(exploration: Exploration, t: float, one: Switches, other: Switches) -> Layer:
    """Where the frames of two variants differ."""
    frames = [exploration.result(t, switches).frame for switches in (one, other)]
    return _difference(frames[0], frames[1], f"Difference of both variants at t = {t:g}", CHANGE_RANGE)


def flow_scale(exploration: Exploration) -> float:
    """Pixels at the wheel's rim, the same for every flow and every t of a window."""
    return colours.flow_scale(*_observed(exploration))


def words(switches: Switches) -> str:
    """The switches as people would say them: "with RQFP and RCSN"."""
    on = [name for field, name in NAMES.items() if getattr(switches, field)]
    return f"with {' and '.join(on)}" if on else "with every part switched off"


def origin(exploration: Exploration, t: float, switches: Switches, x: int, y: int) -> tuple[int, int]:
    """The pixel of frame 1 that the frame at t shows at (x, y), by the flow that it was warped with."""
    flow = exploration.result(t, switches).flow_t1[0, :, y, x]
    height, width = exploration.subject.frames.shape[-2:]
    back = [round(place + float(moved)) for place, moved in zip((x, y), flow, strict=True)]
    return min(max(back[0], 0), width - 1), min(max(back[1], 0), height - 1)


def encoded(panel: Panel, quality: int = 90) -> bytes:
    """The panel's picture as WebP, without legend and arrows. Quick to make, small to send."""
    rgb = (panel.rgb.detach().cpu().clamp(0, 1) * _GREY).round().to(torch.uint8).permute(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb.numpy())).save(file, "WEBP", quality=quality, method=0)
    return file.getvalue()


def legend(panel: Panel) -> tuple[bytes, str, str] | None:
    """What explains the panel's colours: a picture (PNG), the words at its left, those at its right; or None."""
    if panel.legend is None:
        return None
    if isinstance(panel.legend, Wheel):
        return _png(colours.wheel(64)), "", f"motion; the rim is {panel.legend.scale:g} px"
    bar: Bar = panel.legend
    steps = colours.field_to_rgb(torch.linspace(0, 1, 96).expand(1, 1, 8, 96), 0, 1, bar.ramp)
    return _png(steps), f"{bar.low:g}", f"{bar.high:g} {bar.label}"


def _observed(exploration: Exploration) -> tuple[Tensor, Tensor]:
    """F_12 and F_21 of the frame's own size: small frames are padded before flow is estimated."""
    height, width = exploration.subject.frames.shape[-2:]
    motion = exploration.motion()
    return motion.flow_12[..., :height, :width], motion.flow_21[..., :height, :width]


def _png(rgb: Float[Tensor, "1 3 h w"]) -> bytes:
    file = io.BytesIO()
    Image.fromarray((rgb[0].permute(1, 2, 0) * _GREY).round().to(torch.uint8).numpy()).save(file, "PNG")
    return file.getvalue()


def _flow(flow: Float[Tensor, "1 2 h w"], scale: float, arrows: int, what: str) -> Layer:
    panel, length = panels.flow(flow, scale), float(flow.norm(dim=1).mean())
    if arrows:
        panel = panels.arrows(panel, flow, arrows)
    return Layer(panel, f"mean {length:.1f} px", f"{what}, as colours; its mean length is {length:.1f} pixels.")


def _difference(a: Float[Tensor, "1 3 h w"], b: Float[Tensor, "1 3 h w"], what: str, high: float) -> Layer:
    mean = _GREY * float((a - b).abs().mean())
    alt = f"{what}: white where equal, dark where large; the mean is {mean:.2f} grey levels."
    return Layer(panels.error(a, b, high), f"mean {mean:.2f}", alt)
