"""The paper's own illustrations, made by what is in this study: the method in one picture, motion, the ablation.

One style (`eqvi.viz.figure`): dark on white, for print and for dark screens. The frames are rendered windows, whose
truth is known.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.metrics import end_point_error
from eqvi.model import motion as motions
from eqvi.model.eqvi import Motion
from eqvi.model.geometry import reverse_flow
from eqvi.model.motion import displacement
from eqvi.viz.colours import flow_scale
from eqvi.viz.exploration import Exploration
from eqvi.viz.figure import Page
from eqvi.viz.layouts import Box, Stage, comparison, diagram, strip
from eqvi.viz.panels import arrows, field, flow, image


@torch.inference_mode()
def method(exploration: Exploration, t: float = 0.5) -> Page:
    """The whole method on one window, from four frames to the new one: every step with its equation and its pictures.

    Args:
        exploration: of a model with all parts (RQFP, RCSN and MS-Fusion).
        t: of the new frame.
    """
    words = (
        "EQVI on one window, step by step: four frames, six flows, motion to t by RQFP, reversed flows, refined flows "
        "and warped frames, the blend by a mask, the residual of RCSN, the fusion of two scales, the new frame."
    )
    return diagram([_motion_stages(exploration, t), _frame_stages(exploration, t)], words)


def _motion_stages(exploration: Exploration, t: float) -> list[Stage]:
    frames, found = exploration.subject.frames, exploration.motion()
    flows = {
        "F_{10}": found.flow_10, "F_{12}": found.flow_12, "F_{13}": found.flow_13,
        "F_{23}": found.flow_23, "F_{21}": found.flow_21, "F_{20}": found.flow_20,
    }  # fmt: skip
    scale = flow_scale(found.flow_12, found.flow_21)
    to_t = displacement("rectified", found.flow_10, found.flow_12, found.flow_13, t)
    from_2 = displacement("rectified", found.flow_23, found.flow_21, found.flow_20, 1 - t)
    back, forth = reverse_flow(to_t), reverse_flow(from_2)
    seen = {name: picture for name, picture in flows.items() if picture is not None}
    return [
        Stage("four frames", "", {f"$I_{n}$": image(frames[:, n]) for n in range(4)}, 2, 2),
        Stage("1  optical flow", "", {f"${name}$": flow(one, scale) for name, one in seen.items()}, 3, 3),
        Stage(
            "2  motion (RQFP)", r"$v\,t + \frac{1}{2} a\,t^2$",
            {"$F_{1t}$": flow(to_t, scale), "$F_{2t}$": flow(from_2, scale)}, 1, 1,
        ),
        Stage(
            "3  reversal", "holes are white",
            {"$F_{t1}$": flow(back.flow, scale), "$F_{t2}$": flow(forth.flow, scale)}, 1, 1,
        ),
    ]  # fmt: skip


def _frame_stages(exploration: Exploration, t: float) -> list[Stage]:
    own = exploration.own
    single = dataclasses.replace(own, fusion=False)
    one, fused = exploration.result(t, single), exploration.result(t, own).frame
    blended = exploration.result(t, dataclasses.replace(single, rcsn=False)).frame
    _, half, weight = exploration.scales(t)
    scale = flow_scale(exploration.motion().flow_12, exploration.motion().flow_21)
    assert one.residual is not None
    levels = 255 * one.residual.mean(1, keepdim=True)
    trust, share = _span(one.mask), _span(weight)
    return [
        Stage(
            "4  refinement and warp", r"$F'(x) = F(x + 10\tanh o) + r$,   $\hat I = I(x + F')$",
            {
                "$F'_{t1}$": flow(one.flow_t1, scale), r"$\hat I_{1t}$": image(one.warped_1),
                "$F'_{t2}$": flow(one.flow_t2, scale), r"$\hat I_{2t}$": image(one.warped_2),
            }, 2, 2,
        ),
        Stage(
            "5  blend", "by mask and time",
            {f"$M$, {trust[0]:.2f} to {trust[1]:.2f}": field(one.mask, "", *trust), "blended": image(blended)}, 1, 1,
        ),
        Stage(
            "6  RCSN", "residual added",
            {"residual": field(levels, "", -24, 24, "signed"), "sum": image(one.frame)}, 1, 1,
        ),
        Stage(
            "7  MS-Fusion", "weight of full size",
            {"half size": image(half), f"$w$, {share[0]:.2f} to {share[1]:.2f}": field(weight, "", *share)}, 1, 1,
        ),
        Stage(f"new frame, t = {t:g}", "", {"$I_t$": image(fused)}, 1, 2),
    ]  # fmt: skip


@torch.inference_mode()
def motion(observed: Motion, exact: Float[Tensor, "1 2 h w"], t: float, box: Box) -> Page:
    """F_1t by the plain parabola and by RQFP beside the exact one, their errors, and what RQFP's test decided.

    Args:
        observed: the six flows of a window.
        exact: the exact F_1t.
        t: of the new frame.
        box: (x, y, width, height) in pixels that is enlarged.
    """
    back, there, beyond = observed.flow_10, observed.flow_12, observed.flow_13
    assert back is not None
    assert beyond is not None
    made = {kind: displacement(kind, back, there, beyond, t) for kind in ("quadratic", "rectified")}
    a1, a2, a3 = motions.accelerations(back, there, beyond)
    alpha = torch.where(motions.is_consistent(a1, a2, a3), motions.rectification_weight(a1, a2), 0).mean(
        1, keepdim=True
    )
    scale = flow_scale(exact)
    errors = {kind: end_point_error(one, exact) for kind, one in made.items()}
    every = max(8, box[2] // 8)
    shown = {"exact $F_{1t}$": arrows(flow(exact, scale), exact, every)}
    for kind, name in (("quadratic", "quadratic"), ("rectified", "RQFP")):
        shown[f"{name}, {errors[kind].mean():.2f} px off"] = arrows(flow(made[kind], scale), made[kind], every)
    shown["weight of least squares in RQFP"] = field(alpha, "weight, mean of x and y", 0, 1)
    shown["error, quadratic"] = field(errors["quadratic"], "end-point error, px", 0, 8, "heat")
    shown["error, RQFP"] = field(errors["rectified"], "end-point error, px", 0, 8, "heat")
    words = (
        "The motion from frame 1 to t: exact, by the plain parabola and by RQFP, with arrows; below, how much RQFP "
        "listens to the least-squares fit, and the errors of both; a piece of each enlarged."
    )
    return strip(shown, words, columns=3, box=box)


def ablation(frames: Mapping[str, Float[Tensor, "1 3 h w"]], truth: Float[Tensor, "1 3 h w"], box: Box) -> Page:
    """One frame by models that differ in one part each, with PSNR and a piece enlarged.

    Args:
        frames: by the model's name.
        truth: the true frame, shown last.
        box: (x, y, width, height) in pixels that is enlarged.
    """
    words = f"One frame by {', '.join(frames)}, and the truth, each with a piece enlarged."
    return comparison(frames, truth, words, box=box, columns=-(-(len(frames) + 1) // 2))


def liveliest(frames: Sequence[Float[Tensor, "1 3 h w"]], width: int, height: int) -> Box:
    """The box of that size in which some frames differ most from each other."""
    spread = torch.cat(list(frames)).var(0, correction=0).mean(0, keepdim=True)[None]
    inside = torch.nn.functional.avg_pool2d(spread, (height, width), stride=1)[0, 0]
    y, x = divmod(int(inside.argmax()), inside.shape[1])
    return x, y, width, height


def _span(values: Float[Tensor, "1 1 h w"]) -> tuple[float, float]:
    """All but the outermost hundredth of the values, at least a hundredth apart."""
    low, high = (float(values.flatten().quantile(share)) for share in (0.005, 0.995))
    return low, max(high, low + 0.01)
