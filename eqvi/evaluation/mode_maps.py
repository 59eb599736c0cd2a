"""Where in a frame the two modes of its flows are wrong (`eqvi.evaluation.error_budget`), as a figure."""

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.datasets.cases import Case
from eqvi.errors import InputError
from eqvi.evaluation.error_budget import split, true_modes
from eqvi.media.image import to_tensor
from eqvi.media.window import Interpolator, windows
from eqvi.model.interpolation import Interpolation
from eqvi.model.registry import load_model
from eqvi.reports.error_budget import BASELINE
from eqvi.viz import layouts, panels
from eqvi.viz.figure import Page
from eqvi.viz.panels import Panel

Frame = Float[Tensor, "1 3 h w"]

#: The error in pixels that has the darkest colour.
DARKEST = 4.0


def mode_panels(
    frame_1: Frame, middle: Frame, frame_2: Frame, result: Interpolation, t: float, darkest: float = DARKEST
) -> dict[str, Panel]:
    """The true frame, the error of the new one, and the errors of the difference and of the common part.

    Args:
        frame_1, frame_2: the neighbours.
        middle: the true frame at t.
        result: of a model for this t.
        t: in (0, 1).
        darkest: the error in pixels that has the darkest colour.
    """
    estimate, truth = split(result.flow_t1, result.flow_t2, t), true_modes(frame_1, middle, frame_2, t)
    wrong = {
        "error of the difference D": estimate.difference - truth.difference,
        "error of the common part c": estimate.common - truth.common,
    }
    fields = {
        name: panels.field(flow.norm(dim=1, keepdim=True), "error, px", 0, darkest, "heat")
        for name, flow in wrong.items()
    }
    return {"truth": panels.image(middle), "error of the new frame": panels.error(result.frame, middle), **fields}


def mode_map(case: Case) -> Page:
    """The panels of the frame in the middle of those that are scored, made without weights.

    Raises:
        InputError: no frame is scored.
    """
    if not case.targets:
        raise InputError(f"{case.name}: no frame to show: give a longer clip, or a smaller --every")
    target = case.targets[len(case.targets) // 2]
    model, _ = load_model(BASELINE)
    window = next(window for window in windows(case.inputs()) if window.position == target.position)
    _, truth = next(case.truths({target.frame}))
    assert window.second is not None
    first, middle, second = (to_tensor(image) for image in (window.first.image, truth, window.second.image))
    with torch.inference_mode():
        result = Interpolator(model).synthesize(window, target.t)
    words = f"Frame {target.frame} of {case.name}, where the new one is wrong, and the errors of both modes."
    return layouts.strip(mode_panels(first, middle, second, result, float(target.t)), words, columns=2)
