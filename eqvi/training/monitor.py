"""A run as it is seen while it goes on and afterwards: curves, samples, new frames among their rivals.

`keep` and `Live` are listeners for `eqvi.training.train.train`.
"""

import base64
import dataclasses
import json
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle, display

from eqvi import metrics
from eqvi.files import replacing
from eqvi.markdown import markdown_table
from eqvi.model.classical_flow import DIS
from eqvi.model.eqvi import EQVI
from eqvi.model.motion import FLOW_PAIRS
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.curve import read_curve
from eqvi.training.initialization import initial_model
from eqvi.training.loading import validation_samples
from eqvi.training.losses import PUBLISHED, Loss
from eqvi.training.objectives import FlowLearner, FrameLearner
from eqvi.training.recipe import Recipe
from eqvi.training.samples import FlowSample, FrameSample
from eqvi.training.snapshot import FILE
from eqvi.training.train import Progress
from eqvi.training.validation import SHOWN, Example, FlowScores, FrameScores
from eqvi.viz import charts, layouts, panels
from eqvi.viz.colours import flow_scale
from eqvi.viz.figure import Page, save

#: The picture of a run's curves, in its folder.
CURVES_FILE = "curves.png"

_WRITTEN = {
    "weights.safetensors": "the weights, in our format: for `eqvi.load`, and for the stage after",
    "published.ckpt": "the same under the published names, in the published file format",
    "run.json": "what made it: recipe, data, hashes, commit, versions, device, scores",
    "curve.csv": "every step: learning rate, each term of the loss, norm of the gradient",
    "scores.csv": "every score, beside those of the rivals",
    CURVES_FILE: "both as a picture, drawn anew at every score",
    "examples": "frames that it made at every score",
    FILE: "all that going on needs",
}


def keep(progress: Progress) -> None:
    """Listen by keeping pictures in the run's folder: ``curves.png``, and ``examples/step_000123.png`` of each score.

    Raises:
        InputError: the disk is full, or the folder not writable.
    """
    _write(training_curves(progress.folder), progress.folder / CURVES_FILE)
    pictures = progress.folder / "examples"
    pictures.mkdir(exist_ok=True)
    _write(example_frames(progress.examples), pictures / f"step_{progress.step:06d}.png")


class Live:
    """Listen as `keep` does and show the curves below the cell, in place; use as a context.

    Those of a run that goes on are there from the start. Once the context is left, the curves are saved with the
    figures and stay below the cell: an executed notebook keeps that one picture. Outside a notebook nothing is shown.

    Args:
        folder: of the run.
        name: of the figure.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._shown: DisplayHandle | None = None

    def __enter__(self) -> "Live":
        if (self._folder / CURVES_FILE).is_file():
            self._show(self._folder / CURVES_FILE, "Training, as far as the run has come.")
        return self

    def __call__(self, progress: Progress) -> None:
        keep(progress)
        self._show(progress.folder / CURVES_FILE, f"Training, step {progress.step} of {progress.steps}.")

    def tick(self) -> None:
        """Draw the curves anew: the loss moves between scores too."""
        picture = training_curves(self._folder)
        _write(picture, self._folder / CURVES_FILE)
        self._show(self._folder / CURVES_FILE, picture.alt)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            picture = training_curves(self._folder)
            self._show(save(picture, self._name), picture.alt)
        elif issubclass(kind, KeyboardInterrupt):
            print("Interrupted: run this cell again to go on.")

    def _show(self, path: Path, alt: str) -> None:
        if not hasattr(get_ipython(), "kernel"):
            return
        data = {"image/png": base64.b64encode(path.read_bytes()).decode(), "text/plain": alt}
        told: dict[str, Any] = {"raw": True, "metadata": {"image/png": {"alt": alt}}}
        if self._shown is None:
            self._shown = display(data, display_id=True, **told)
        else:
            self._shown.update(data, **told)


def training_curves(folder: Path) -> Page:
    """Scores, loss and learning rate of a run against its steps, as far as it has come.

    Raises:
        InputError: the folder holds no run.
    """
    scores, curve = (read_curve(folder / name) for name in ("scores.csv", "curve.csv"))
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    steps = record["steps"]
    by_name = {name: [float(row[name]) for row in scores] for name in scores[0]}
    followed = {name: [float(row[name]) for row in curve] for name in ("step", "total", "rate")}
    ylabel = "end-point error, px" if "epe" in by_name else "PSNR, dB"
    last = {name: values[-1] for name, values in by_name.items() if name != "step"}
    known = ", ".join(f"{name} {value:.2f}" for name, value in last.items())
    done = int(max(*by_name["step"], *followed["step"], 0))
    alt = f"Training curves of stage {record['recipe']['stage']}, step {done} of {steps}. {ylabel}: {known}."
    return charts.training(by_name, followed, steps, alt, ylabel)


def example_frames(examples: list[Example]) -> Page:
    """New frames beside the true ones and their rivals, a row for each window; of frames, with the PSNR."""
    shown = {}
    for number, example in enumerate(examples, 1):
        shown[f"window {number}\ntruth"] = panels.image(example.truth)
        # The model's own beside the truth.
        for name in sorted(example.frames, key=lambda name: name != "model"):
            frame, flow = example.frames[name], "blend" not in example.frames
            reading = metrics.psnr(metrics.to_8bit(frame), metrics.to_8bit(example.truth))
            shown[f"window {number}, {name}" + ("" if flow else f"\n{reading:.2f} dB")] = panels.image(frame)
    words = "New frames of a model in training beside the truth and what needs no training, a row for each window."
    return layouts.strip(shown, words, columns=len(shown) // len(examples))


def sample(taken: FrameSample | FlowSample) -> Page:
    """What a model is trained on: a window with its flows, or a pair of frames with the exact flow between them.

    Flows that the window does not bring along are shown as DIS finds them.
    """
    if isinstance(taken, FlowSample):
        size = flow_scale(taken.flow[None])
        shown = {
            "first": panels.image(taken.first[None]),
            "second": panels.image(taken.second[None]),
            "exact flow": panels.flow(taken.flow[None], size),
            "left out of the loss": panels.mask(taken.weight[None] == 0, taken.first[None]),
        }
        return layouts.strip(shown, "Two rendered frames, the exact flow between them, and the pixels left out.")
    frames = [taken.frames[i : i + 1] for i in range(4)]
    flows = taken.flows if taken.flows is not None else torch.cat([DIS()(frames[a], frames[b]) for a, b in FLOW_PAIRS])
    size = flow_scale(flows)
    shown = {f"$I_{i}$, at {i - 1}": panels.image(frame) for i, frame in enumerate(frames)}
    shown |= {f"truth, at {taken.t:g}": panels.image(taken.truth[None])}
    shown |= {"blend": panels.image(torch.lerp(frames[1], frames[2], taken.t))}
    shown |= {
        f"$F_{{{a}{b}}}$": panels.flow(flow, size) for (a, b), flow in zip(FLOW_PAIRS, flows.split(1), strict=True)
    }
    words = "A training window: four frames, the true frame between the middle two, their blend, and six flows."
    return layouts.strip(shown, words, columns=6)


def model_so_far(recipe: Recipe, folder: Path) -> EQVI | ScopeFlow:
    """The model of a run as its last state on disk has it: the averaged weights, if it averages.

    Raises:
        InputError: as `initial_model`.
    """
    model = initial_model(recipe)
    state = torch.load(folder / FILE, map_location="cpu", weights_only=True)
    average = state["average"] or {}
    mean = {name.removeprefix("module."): value for name, value in average.items() if name.startswith("module.")}
    model.load_state_dict(mean or state["model"])
    return model.eval()


def examples_so_far(recipe: Recipe, folder: Path) -> list[Example]:
    """What a listener would hear as examples, made again from the last state on disk.

    Raises:
        InputError: as `initial_model` and `validation_samples`.
    """
    model, device = model_so_far(recipe, folder), torch.device("cpu")
    samples: list[Any] = validation_samples(dataclasses.replace(recipe, scored=SHOWN))
    if isinstance(model, ScopeFlow):
        return FlowScores(samples, device).examples(FlowLearner(model))
    return FrameScores(samples, model, device).examples(FrameLearner(model, Loss(PUBLISHED)))


def written_table(folder: Path) -> str:
    """The files of a run, each with its size and what it is for."""
    rows = []
    for name, purpose in _WRITTEN.items():
        path = folder / name
        files = sorted(path.glob("*.png")) if path.is_dir() else [path] if path.is_file() else []
        if files:
            kilobytes = sum(file.stat().st_size for file in files) / 1000
            rows.append((f"`{name}`" + (f" ({len(files)})" if path.is_dir() else ""), f"{kilobytes:,.0f} kB", purpose))
    return markdown_table(["file", "size", "what for"], rows)


def _write(picture: Page, path: Path) -> None:
    with replacing(path) as beside:
        picture.figure.savefig(beside, metadata={"Software": None, "Description": picture.alt})
