"""The frames on which a run scored lowest, computed again and shown: what a mean hides."""

from collections.abc import Sequence

from eqvi import metrics
from eqvi.datasets.cases import Case
from eqvi.errors import InputError
from eqvi.evaluation.methods import Method
from eqvi.media.image import to_tensor
from eqvi.media.window import windows
from eqvi.reports.runs import Run
from eqvi.viz import layouts
from eqvi.viz.figure import Page
from eqvi.viz.panels import error, image

#: Largest difference in dB between a frame computed again and its row: other machines round differently.
AGREEMENT = 0.05


def worst_frames(run: Run, count: int) -> list[tuple[str, str, float]]:
    """Clip, frame and PSNR of a run's worst frames, the worst first."""
    return [(clip, frame, psnr) for (clip, frame), psnr in run.worst(count)["psnr"].items()]


def worst_pictures(run: Run, cases: Sequence[Case], method: Method, count: int = 2) -> Page:
    """The worst frames of a run, a row each: the truth, the new frame, and the error.

    Args:
        run: scored frames.
        cases: the clips that were scored, or those of them that hold the worst frames.
        method: the method that was scored.
        count: how many frames.

    Raises:
        InputError: `cases` or `method` are not those of the run.
    """
    targets = {(case.name, target.frame): (case, target) for case in cases for target in case.targets}
    panels = {}
    for clip, frame, psnr in worst_frames(run, count):
        if (clip, frame) not in targets:
            raise InputError(f"{run.path}: clip {clip}, frame {frame} is not in the data: name what it was scored on")
        case, target = targets[clip, frame]
        all_windows = windows(case.inputs(), neighbours=method.neighbours)
        window = next(one for one in all_windows if one.position == target.position)
        estimate, truth = method.open(case)(window, target.t).cpu(), next(case.truths({frame}))[1]
        again = metrics.psnr(metrics.to_8bit(estimate), truth.pixels)
        if abs(again - psnr) > AGREEMENT:
            raise InputError(
                f"{run.path}: clip {clip}, frame {frame} has {psnr:.2f} dB there and {again:.2f} dB made again: "
                "name the data and model that were scored, or evaluate again"
            )
        place, true = f"clip {clip}, {frame}", to_tensor(truth)
        panels[f"{place}\ntruth"] = image(true)
        panels[f"{place}\n{method.name}, {psnr:.2f} dB"] = image(estimate)
        panels[f"{place}\nerror"] = error(estimate, true)
    words = f"The frames on which {method.name} scores lowest, a row each: the truth, the new frame, its error."
    return layouts.strip(panels, words, columns=3)
