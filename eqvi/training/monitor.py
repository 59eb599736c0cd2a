"""Watching a training run: its curves, example frames and files.

`save_pictures` and `LiveCurves` are callbacks for `eqvi.training.train.train`.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pandas as pd
import torch
from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle

from eqvi import metrics
from eqvi.datasets.windows import FIRST, TIMES, WINDOW_PAIRS
from eqvi.files import parse_json, replacing
from eqvi.model.classical_flow import DIS
from eqvi.model.eqvi import EQVI
from eqvi.model.motion import FLOW_PAIRS
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.initialization import initial_model
from eqvi.training.loading import validation_samples
from eqvi.training.recipe import Recipe
from eqvi.training.run_folder import (
    CURVE_FILE,
    CURVES_PICTURE,
    EXAMPLES_FOLDER,
    FILES,
    RECORD_FILE,
    SCORES_FILE,
    STATE_FILE,
    read_curve,
)
from eqvi.training.samples import FlowSample, FrameSample, WindowSample
from eqvi.training.train import Progress
from eqvi.training.validation import EXAMPLES, Example, make_validation
from eqvi.viz import charts, layouts, panels
from eqvi.viz.colours import flow_scale
from eqvi.viz.figure import Page, save_own, show_file


def save_pictures(progress: Progress) -> None:
    """Save the curves and the example frames of a validation in the run's folder.

    Raises:
        InputError: the disk is full, or the folder not writable.
    """
    _write(training_curves(progress.folder), progress.folder / CURVES_PICTURE)
    examples = progress.folder / EXAMPLES_FOLDER
    examples.mkdir(exist_ok=True)
    _write(example_frames(progress.examples), examples / f"step_{progress.step:06d}.png")


class LiveCurves:
    """`save_pictures`, and in a notebook the curves below the cell, replaced as they change; use as a context.

    The curves of a resumed run are shown from the start. On leaving the context the curves are saved as a figure, and
    an executed notebook keeps that one picture.

    Args:
        folder: of the run.
        name: of the figure.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._handle: DisplayHandle | None = None

    def __enter__(self) -> "LiveCurves":
        if (self._folder / CURVES_PICTURE).is_file():
            self._show(self._folder / CURVES_PICTURE, "Training, as far as the run has come.")
        return self

    def __call__(self, progress: Progress) -> None:
        save_pictures(progress)
        self._show(progress.folder / CURVES_PICTURE, f"Training, step {progress.step} of {progress.steps}.")

    def refresh(self) -> None:
        """Draw the curves anew: the loss changes between validations too."""
        picture = training_curves(self._folder)
        _write(picture, self._folder / CURVES_PICTURE)
        self._show(self._folder / CURVES_PICTURE, picture.alt)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            picture = training_curves(self._folder)
            self._show(save_own(picture, self._name), picture.alt)
        elif issubclass(kind, KeyboardInterrupt):
            print("Interrupted: run this cell again to resume.")

    def _show(self, path: Path, alt: str) -> None:
        if hasattr(get_ipython(), "kernel"):
            self._handle = show_file(path, alt, self._handle)


def training_curves(folder: Path) -> Page:
    """Scores, loss and learning rate of a run against its steps, as far as it has come.

    Raises:
        InputError: the folder holds no run.
    """
    scores, curve = (read_curve(folder / name) for name in (SCORES_FILE, CURVE_FILE))
    record = parse_json((folder / RECORD_FILE).read_text(encoding="utf-8"))
    steps = record["steps"]
    # One axis is for decibels; matching's errors of motion, in pixels, are in the file.
    shown = [name for name in scores[0] if name not in ("difference", "common", "warp_difference", "warp_common")]
    by_name = {name: [float(row[name]) for row in scores] for name in shown}
    losses = {name: [float(row[name]) for row in curve] for name in ("step", "total", "rate")}
    ylabel = "end-point error, px" if "epe" in by_name else "PSNR, dB"
    last = ", ".join(f"{name} {values[-1]:.2f}" for name, values in by_name.items() if name != "step")
    step = int(max(*by_name["step"], *losses["step"], 0))
    alt = f"Training curves of stage {record['recipe']['stage']}, step {step} of {steps}. {ylabel}: {last}."
    return charts.training(by_name, losses, steps, alt, ylabel)


def example_frames(examples: Sequence[Example]) -> Page:
    """The model's frames beside the true ones and the baselines, a row for each sample; frames have their PSNR."""
    columns = {}
    for number, example in enumerate(examples, 1):
        columns[f"window {number}\ntruth"] = panels.image(example.truth)
        # The model's own beside the truth.
        for name in sorted(example.frames, key=lambda name: name != "model"):
            frame, caption = example.frames[name], f"window {number}, {name}"
            if "blend" in example.frames:
                psnr = metrics.psnr(metrics.to_8bit(frame), metrics.to_8bit(example.truth))
                caption += f"\n{psnr:.2f} dB"
            columns[caption] = panels.image(frame)
    words = "New frames of a model in training beside the truth and what needs no training, a row for each window."
    return layouts.strip(columns, words, columns=len(columns) // len(examples))


def sample_page(sample: FrameSample | WindowSample | FlowSample) -> Page:
    """A sample: a window with its flows, four frames with flows by DIS, or a pair of frames with the exact flow."""
    if isinstance(sample, WindowSample):
        return _window_page(sample)
    if isinstance(sample, FlowSample):
        scale = flow_scale(sample.flow[None])
        columns = {
            "first": panels.image(sample.first[None]),
            "second": panels.image(sample.second[None]),
            "exact flow": panels.flow(sample.flow[None], scale),
            "left out of the loss": panels.mask(sample.weight[None] == 0, sample.first[None]),
        }
        return layouts.strip(columns, "Two rendered frames, the exact flow between them, and the pixels left out.")
    frames = sample.frames.split(1)
    flows = torch.cat([DIS()(frames[a], frames[b]) for a, b in FLOW_PAIRS])
    scale = flow_scale(flows)
    columns = {f"$I_{i}$, at {i - 1}": panels.image(frame) for i, frame in enumerate(frames)}
    columns[f"truth, at {sample.t:g}"] = panels.image(sample.truth[None])
    columns["blend"] = panels.image(torch.lerp(frames[1], frames[2], sample.t))
    for (a, b), flow in zip(FLOW_PAIRS, flows.split(1), strict=True):
        columns[f"$F_{{{a}{b}}}$"] = panels.flow(flow, scale)
    words = "A training window: four frames, the true frame between the middle two, their blend, and six flows."
    return layouts.strip(columns, words, columns=6)


def _window_page(sample: WindowSample) -> Page:
    """Eight frames, the true frame with its exact flows and what is hidden, and DIS flow between the middle two."""
    truth, t = sample.truth[None], sample.t
    exact = sample.flow.split(1)
    between = ((FIRST, FIRST + 1), (FIRST + 1, FIRST))
    estimated = [sample.flows[WINDOW_PAIRS.index(pair)][None] for pair in between]
    scale = flow_scale(torch.cat([*exact, *estimated]))
    columns = {f"at {time}": panels.image(frame) for time, frame in zip(TIMES, sample.frames.split(1), strict=True)}
    columns[f"truth, at {t:g}"] = panels.image(truth)
    columns["blend"] = panels.image(torch.lerp(sample.frames[FIRST], sample.frames[FIRST + 1], t)[None])
    columns |= {f"exact $F_{{t{i}}}$": panels.flow(flow, scale) for i, flow in enumerate(exact, 1)}
    hidden = (sample.visibility == 0)[:, None].split(1)
    columns |= {f"not seen in $I_{i}$": panels.mask(where, truth) for i, where in enumerate(hidden, 1)}
    names = ("$F_{12}$ by DIS", "$F_{21}$ by DIS")
    columns |= dict(zip(names, (panels.flow(flow, scale) for flow in estimated), strict=True))
    words = "A training window: eight frames, the true frame between the middle two, exact and estimated flow."
    return layouts.strip(columns, words, columns=8)


def saved_model(recipe: Recipe, folder: Path) -> EQVI | ScopeFlow:
    """The model of a run from its last saved state, with the averaged weights if it averages.

    Raises:
        InputError: as `eqvi.training.initialization.initial_model`.
    """
    model = initial_model(recipe)
    state = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    average = state["average"] or {}
    weights = {name.removeprefix("module."): value for name, value in average.items() if name.startswith("module.")}
    model.load_state_dict(weights or state["model"])
    return model.eval()


def saved_examples(recipe: Recipe, folder: Path) -> list[Example]:
    """The example frames of the last validation, computed again from the saved state.

    Raises:
        InputError: as `saved_model`, or the validation's footage cannot be used.
    """
    model = saved_model(recipe, folder)
    samples = validation_samples(dataclasses.replace(recipe, scored=EXAMPLES))
    return make_validation(samples, model, torch.device("cpu")).examples(model)


def file_table(folder: Path) -> pd.DataFrame:
    """The files of a run, each with its size in kB and what it is for."""
    rows = []
    for pattern, purpose in FILES.items():
        for path in sorted(folder.glob(pattern)):
            files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
            size = round(sum(file.stat().st_size for file in files) / 1000)
            rows.append((path.name, len(files), size, purpose))
    return pd.DataFrame(rows, columns=["file", "files", "kB", "what for"]).set_index("file")


def _write(picture: Page, path: Path) -> None:
    with replacing(path) as partial:
        picture.figure.savefig(partial, metadata={"Software": None, "Description": picture.alt})
