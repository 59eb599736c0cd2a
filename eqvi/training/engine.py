"""The engine: carries a recipe out, step by step, on one process or several, and can be stopped anywhere.

A run lives in a folder: ``state.pt`` (`eqvi.training.snapshot`), ``curve.csv`` (a row a step), ``scores.csv`` (a row a
score), ``examples/`` (pictures), ``run.json`` (what made it), and at its end ``weights.safetensors`` and, where the
model has a published form, ``published.ckpt``.
"""

import contextlib
import dataclasses
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from eqvi.errors import InputError
from eqvi.flow import ScopeFlow
from eqvi.model import EQVI
from eqvi.picture import replacing
from eqvi.training.batch import Batch, Pairs
from eqvi.training.beginning import begin
from eqvi.training.curve import Curve
from eqvi.training.learner import FlowLearner, FrameLearner
from eqvi.training.losses import Loss
from eqvi.training.material import batches, open_source, scoring_samples
from eqvi.training.outcome import finish, provenance
from eqvi.training.processes import Processes
from eqvi.training.rates import rate_factor
from eqvi.training.recipe import Recipe
from eqvi.training.scoring import FlowScores, FrameScores
from eqvi.training.snapshot import load_state, save_state
from eqvi.training.vgg import open_vgg

#: Seconds between two states on disk: what a kill can cost.
SAVE_EVERY = 60.0


class Progress(NamedTuple):
    """What a listener hears after every score.

    Attributes:
        folder: of the run.
        step, steps: done, and in all.
        scores: by name, ``psnr`` or ``epe`` the model's own.
        examples: of frames, as `eqvi.training.scoring.Example`.
    """

    folder: Path
    step: int
    steps: int
    scores: dict[str, float]
    examples: list[Any]


class Outcome(NamedTuple):
    """How a call ended.

    Attributes:
        step, steps: done, and in all; less than all if the time was up.
        scores: the last ones.
    """

    step: int
    steps: int
    scores: dict[str, float]


def train(
    recipe: Recipe,
    folder: Path,
    device: str = "cpu",
    workers: int = 0,
    minutes: float | None = None,
    progress: bool = True,
    listen: Callable[[Progress], None] | None = None,
    save_every: float = SAVE_EVERY,
    tensorboard: bool = False,
) -> Outcome:
    """Carry out a recipe; a run that was interrupted, however, goes on where it was.

    Args:
        recipe: what to do.
        folder: of the run.
        device: where; under torchrun each process has its own.
        workers: processes that prepare samples.
        minutes: after which the run is saved and ends, to be gone on with by the same call.
        progress: show a bar where there is a terminal.
        listen: called after every score.
        save_every: seconds between two states on disk.
        tensorboard: write TensorBoard's logs as well.

    Raises:
        InputError: something that the recipe names cannot be used, the folder holds another run, the disk is full, or
            the loss is no longer finite; the last good state is kept.
    """
    began = time.monotonic()
    with Processes(device) as processes, _stopped_by_signals() as stopped:
        run = _Run(recipe, folder, torch.device(device), processes, workers, tensorboard)
        saved = time.monotonic()
        try:
            bar = tqdm(
                total=run.steps * recipe.batch, initial=run.step * recipe.batch, unit="window", desc=folder.name,
                disable=None if progress and processes.first else True, smoothing=0.05,
            )  # fmt: skip
            with bar:
                if run.step < run.steps and run.step == 0:
                    run.score(listen)
                for losses in run.go():
                    bar.set_postfix_str(f"loss {losses['total']:.4f}, rate {losses['rate']:.2g}", refresh=False)
                    bar.update(recipe.batch)
                    if run.step % recipe.score_every == 0 or run.step == run.steps:
                        run.score(listen)
                    spent = time.monotonic() - began
                    over = stopped() or (minutes is not None and spent > 60 * minutes)
                    if processes.any(over):
                        break
                    if time.monotonic() - saved >= save_every:
                        run.save()
                        saved = time.monotonic()
            run.save()
            if run.step == run.steps:
                run.finish()
            processes.wait()
        finally:
            run.close()
        if stopped():
            raise KeyboardInterrupt
        return Outcome(run.step, run.steps, run.scores)


class _Run:
    """A run under way."""

    def __init__(
        self, recipe: Recipe, folder: Path, device: torch.device, processes: Processes, workers: int, tensorboard: bool
    ) -> None:
        if recipe.batch % (recipe.accumulate * processes.world):
            raise InputError(
                f"batch {recipe.batch} cannot be shared by {processes.world} process(es) in {recipe.accumulate} part(s)"
            )
        self._recipe, self._folder, self._device, self._processes = recipe, folder, device, processes
        self._workers = workers
        loss = None if recipe.stage == "flow" else _loss(recipe, device)
        model = begin(recipe)
        samples = scoring_samples(recipe)
        self._source = open_source(recipe, processes, workers)
        self.epoch_steps = -(-self._source.epoch // recipe.batch)
        self.steps = recipe.steps or recipe.epochs * self.epoch_steps
        self.step, self.scores = 0, dict[str, float]()
        self._model = model.to(device)
        if recipe.channels_last:
            self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub forgets it
        precision = getattr(torch, recipe.precision)
        self._learner: FrameLearner | FlowLearner
        if isinstance(model, ScopeFlow):
            self._learner = FlowLearner(model, precision)
        else:
            assert loss is not None
            self._learner = FrameLearner(model, loss, precision)
        self._learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._optimiser = torch.optim.AdamW(self._learning, lr=recipe.rate, weight_decay=recipe.decay)
        self._average = (
            AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.average)) if recipe.average else None
        )
        self._record = provenance(recipe, self._source, self.steps, device, processes.world)
        folder.mkdir(parents=True, exist_ok=True)
        self._restore(load_state(folder))
        self._parallel: nn.Module = self._learner
        if processes.world > 1:
            self._parallel = DistributedDataParallel(self._learner)
        with torch.random.fork_rng():
            self._scorer = self._make_scorer(samples)
        self._curves: list[Curve] = []
        self._board: Any = None
        if processes.first:
            self._curves = [Curve(folder / name, self.step) for name in ("curve.csv", "scores.csv")]
            with replacing(folder / "run.json") as beside:
                beside.write_text(json.dumps(self._record, indent=1), encoding="utf-8")
            self._board = _open_board(folder, self.step) if tensorboard else None

    def go(self) -> Iterator[dict[str, float]]:
        """Step by step to the end, giving the losses of each."""
        recipe = self._recipe
        loader = batches(
            self._source, recipe, self._processes, self.step, self.steps, self._workers, self._device
        )  # fmt: skip
        while self.step < self.steps:
            rate = recipe.rate * rate_factor(recipe.schedule, self.step, self.steps, self.epoch_steps)  # type: ignore[arg-type]
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            losses = self._step(loader)
            self.step += 1
            row = {"step": self.step, "epoch": (self.step - 1) // self.epoch_steps, "rate": rate} | losses
            if self._curves:
                self._curves[0].add({name: f"{v:.8g}" if isinstance(v, float) else v for name, v in row.items()})
            if self._board is not None:
                for name, value in losses.items():
                    self._board.add_scalar(f"loss/{name}", value, self.step)
                self._board.add_scalar("rate", rate, self.step)
            yield losses | {"rate": rate}

    def _step(self, loader: Iterator[Batch | Pairs]) -> dict[str, float]:
        parts = self._recipe.accumulate
        self._optimiser.zero_grad(set_to_none=True)
        taken, found = [], []
        for part in range(parts):
            batch = next(loader)
            taken.append(batch)
            # Gradients are exchanged once, with the last part.
            waits = part < parts - 1 and isinstance(self._parallel, DistributedDataParallel)
            with self._parallel.no_sync() if waits else contextlib.nullcontext():  # type: ignore[operator]
                losses = self._parallel(batch)
                (losses["total"] / parts).backward()
            found.append(torch.stack([value.detach() for value in losses.values()]))
        means = self._processes.mean(torch.stack(found).mean(0))
        largest = self._recipe.clip or torch.inf
        norm = nn.utils.clip_grad_norm_(self._learning, largest)
        values = dict(zip(losses, means.tolist(), strict=True)) | {"gradient": norm.item()}
        if not all(map(_is_finite, values.values())):
            self._refuse(taken, values)
        self._optimiser.step()
        if self._average is not None:
            self._average.update_parameters(self._model)
        return values

    def _refuse(self, taken: list[Batch | Pairs], values: dict[str, float]) -> None:
        """End a run whose loss is no longer finite, with the batch that did it on disk."""
        path = self._folder / f"bad_batch_{self._processes.rank}.safetensors"
        fields = {
            f"{part}.{name}": value.cpu().contiguous()
            for part, batch in enumerate(taken)
            for name, value in batch._asdict().items()
            if value is not None
        }
        save_file(fields, path)
        bad = ", ".join(f"{name} {value}" for name, value in values.items() if not _is_finite(value))
        raise InputError(
            f"step {self.step + 1}: {bad}: the batch is in {path}, the last good state is kept: try a lower rate or a "
            "clip of the gradient"
        )

    def score(self, listen: Callable[[Progress], None] | None) -> None:
        """Score the model (its average, if there is one), keep the scores and some pictures."""
        if not self._processes.first:
            return
        kept = [parameter.detach().clone() for parameter in self._model.parameters()] if self._average else []
        if self._average is not None:
            self._load_average()
        self.scores = self._scorer(self._learner)
        examples = self._scorer.examples(self._learner)
        for parameter, before in zip(self._model.parameters() if kept else [], kept, strict=True):
            parameter.data.copy_(before)
        self._curves[1].add({"step": self.step} | {name: f"{value:.6g}" for name, value in self.scores.items()})
        if self._board is not None:
            for name, value in self.scores.items():
                self._board.add_scalar(f"score/{name}", value, self.step)
        if listen is not None:
            listen(Progress(self._folder, self.step, self.steps, self.scores, examples))

    def save(self) -> None:
        """Put the state on disk."""
        if not self._processes.first:
            return
        state = {
            "recipe": dataclasses.asdict(self._recipe),
            "step": self.step,
            "scores": self.scores,
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
        }
        save_state(self._folder, state)

    def finish(self) -> None:
        """Write what the run was for."""
        if not self._processes.first:
            return
        if self._average is not None:
            self._load_average()
        finish(self._folder, self._model, self._record, self.scores)

    def close(self) -> None:
        """Let go of files."""
        for curve in self._curves:
            curve.close()
        if self._board is not None:
            self._board.close()

    def _load_average(self) -> None:
        assert self._average is not None
        for parameter, mean in zip(self._model.parameters(), self._average.module.parameters(), strict=True):
            parameter.data.copy_(mean)

    def _restore(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        recipe = dataclasses.asdict(self._recipe)
        other = next((name for name, value in recipe.items() if state["recipe"].get(name) != value), None)
        if other is not None:
            raise InputError(
                f"{self._folder}: holds a run with {other}={state['recipe'].get(other)!r}, not {recipe[other]!r}: give "
                "another folder, or restart"
            )
        self.step, self.scores = state["step"], state["scores"]
        self._model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])

    def _make_scorer(self, samples: Any) -> Any:
        if isinstance(self._model, EQVI):
            return FrameScores(samples, self._model, self._device)
        return FlowScores(samples, self._device)


def _loss(recipe: Recipe, device: torch.device) -> Loss:
    terms = recipe.loss_terms()
    vgg = open_vgg(Path(recipe.vgg) if recipe.vgg else None) if "vgg" in terms else None
    return Loss(terms, vgg).to(device)


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")


def _open_board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("TensorBoard's logs need its package: pip install tensorboard") from None
    return SummaryWriter(folder / "tensorboard", purge_step=step + 1)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or a polite kill has come since: a run then ends after its step, with its state on disk."""
    asked: list[int] = []
    names = (signal.SIGINT, signal.SIGTERM)

    def note(number: int, frame: object) -> None:
        if asked:  # asked twice: at once
            raise KeyboardInterrupt
        asked.append(number)

    try:
        before = [signal.signal(name, note) for name in names]
    except ValueError:  # not the main thread, which alone hears signals
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
