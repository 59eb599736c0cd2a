"""The paper's illustrations, drawn from this study: the method step by step, motion, the ablation.

The frames are rendered, so that the truth is known.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.metrics import end_point_error
from eqvi.model import motion as motions
from eqvi.model.geometry import reverse_flow
from eqvi.model.interpolation import Motion
from eqvi.model.motion import displacement
from eqvi.viz.colours import flow_scale
from eqvi.viz.exploration import Exploration
from eqvi.viz.figure import Page
from eqvi.viz.layouts import Box, Stage, comparison, diagram, strip
from eqvi.viz.panels import arrows, field, flow, image


@torch.inference_mode()
def method(exploration: Exploration, t: float = 0.5) -> Page:
    """The method on one quadruplet, from four frames to the new one: every step with its equation and its results.

    Args:
        exploration: of a model with all parts (RQFP, RCSN and MS-Fusion).
        t: of the new frame.
    """
    frames, motion, switches = exploration.quadruplet.frames, exploration.motion(), exploration.default
    scale = flow_scale(motion.flow_12, motion.flow_21)
    flow_1t = displacement("rectified", motion.flow_10, motion.flow_12, motion.flow_13, t)
    flow_2t = displacement("rectified", motion.flow_23, motion.flow_21, motion.flow_20, 1 - t)
    flows = {name: getattr(motion, f"flow_{name}") for name in ("10", "12", "13", "23", "21", "20")}
    one_scale = dataclasses.replace(switches, fusion=False)
    blend = exploration.result(t, dataclasses.replace(one_scale, rcsn=False)).frame
    result, fused = exploration.result(t, one_scale), exploration.result(t, switches).frame
    _, half, weight = exploration.scales(t)
    assert result.residual is not None
    grey = 255 * result.residual.mean(1, keepdim=True)
    mask_range, weight_range = _range(result.mask), _range(weight)
    first = [
        Stage("four frames", "", {f"$I_{n}$": image(frames[:, n]) for n in range(4)}, 2, 2),
        Stage("1  optical flow", "", {f"$F_{{{name}}}$": flow(f, scale) for name, f in flows.items()}, 3, 3),
        Stage(
            "2  motion (RQFP)", r"$v\,t + \frac{1}{2} a\,t^2$",
            {"$F_{1t}$": flow(flow_1t, scale), "$F_{2t}$": flow(flow_2t, scale)}, 1, 1,
        ),
        Stage(
            "3  reversal", "holes are white",
            {"$F_{t1}$": flow(reverse_flow(flow_1t).flow, scale), "$F_{t2}$": flow(reverse_flow(flow_2t).flow, scale)},
            1, 1,
        ),
    ]  # fmt: skip
    second = [
        Stage(
            "4  refinement and warp", r"$F'(x) = F(x + 10\tanh o) + r$,   $\hat I = I(x + F')$",
            {
                "$F'_{t1}$": flow(result.flow_t1, scale), r"$\hat I_{1t}$": image(result.warped_1),
                "$F'_{t2}$": flow(result.flow_t2, scale), r"$\hat I_{2t}$": image(result.warped_2),
            }, 2, 2,
        ),
        Stage(
            "5  blend", "by mask and time",
            {"$M$, {:.2f} to {:.2f}".format(*mask_range): field(result.mask, "", *mask_range), "blended": image(blend)},
            1, 1,
        ),
        Stage(
            "6  RCSN", "residual added",
            {"residual": field(grey, "", -24, 24, "signed"), "sum": image(result.frame)}, 1, 1,
        ),
        Stage(
            "7  MS-Fusion", "weight of full size",
            {"half size": image(half), "$w$, {:.2f} to {:.2f}".format(*weight_range): field(weight, "", *weight_range)},
            1, 1,
        ),
        Stage(f"new frame, t = {t:g}", "", {"$I_t$": image(fused)}, 1, 2),
    ]  # fmt: skip
    alt = (
        "EQVI on one window, step by step: four frames, six flows, motion to t by RQFP, reversed flows, refined flows "
        "and warped frames, the blend by a mask, the residual of RCSN, the fusion of two scales, the new frame."
    )
    return diagram([first, second], alt)


@torch.inference_mode()
def motion(observed: Motion, exact: Float[Tensor, "1 2 h w"], t: float, box: Box) -> Page:
    """F_1t by quadratic motion and by RQFP beside the exact one, their errors, and RQFP's weight of least squares.

    Args:
        observed: the six flows of a quadruplet.
        exact: the exact F_1t.
        t: of the new frame.
        box: the part that is enlarged.
    """
    assert observed.flow_10 is not None
    assert observed.flow_13 is not None
    flows = observed.flow_10, observed.flow_12, observed.flow_13
    a1, a2, a3 = motions.accelerations(*flows)
    alpha = torch.where(motions.is_consistent(a1, a2, a3), motions.rectification_weight(a1, a2), 0)
    scale, every = flow_scale(exact), max(8, box[2] // 8)
    panels = {"exact $F_{1t}$": arrows(flow(exact, scale), exact, every)}
    errors = {}
    estimates = {"quadratic": displacement("quadratic", *flows, t), "RQFP": displacement("rectified", *flows, t)}
    for name, estimate in estimates.items():
        errors[name] = end_point_error(estimate, exact)
        panels[f"{name}, {errors[name].mean():.2f} px off"] = arrows(flow(estimate, scale), estimate, every)
    panels["weight of least squares in RQFP"] = field(alpha.mean(1, keepdim=True), "weight, mean of x and y", 0, 1)
    panels |= {f"error, {name}": field(e, "end-point error, px", 0, 8, "heat") for name, e in errors.items()}
    alt = (
        "The motion from frame 1 to t: exact, by the plain parabola and by RQFP, with arrows; below, how much RQFP "
        "listens to the least-squares fit, and the errors of both; a piece of each enlarged."
    )
    return strip(panels, alt, columns=3, box=box)


def ablation(frames: Mapping[str, Float[Tensor, "1 3 h w"]], truth: Float[Tensor, "1 3 h w"], box: Box) -> Page:
    """One frame by models that differ in one part each, with PSNR, and the truth last; the box is enlarged."""
    alt = f"One frame by {', '.join(frames)}, and the truth, each with a piece enlarged."
    return comparison(frames, truth, alt, box=box, columns=-(-(len(frames) + 1) // 2))


def most_different_box(frames: Sequence[Float[Tensor, "1 3 h w"]], width: int, height: int) -> Box:
    """The box of that size in which some frames (or flows) differ most from each other."""
    variance = torch.cat(list(frames)).var(0, correction=0).mean(0, keepdim=True)[None]
    inside = torch.nn.functional.avg_pool2d(variance, (height, width), stride=1)[0, 0]
    y, x = divmod(int(inside.argmax()), inside.shape[1])
    return x, y, width, height


def _range(values: Float[Tensor, "1 1 h w"]) -> tuple[float, float]:
    """The inner 99 % of the values, at least a hundredth wide."""
    low, high = (float(values.flatten().quantile(share)) for share in (0.005, 0.995))
    return low, max(high, low + 0.01)
