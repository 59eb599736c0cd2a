"""A run under way: the model, its optimiser and its curves, from step to step.

`eqvi.training.train` decides how long it goes on.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from eqvi.errors import InputError
from eqvi.files import exclusive, replacing
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.curve import Curve
from eqvi.training.distributed import Processes
from eqvi.training.initialization import initial_model
from eqvi.training.loading import batches, open_source, validation_samples
from eqvi.training.losses import Loss
from eqvi.training.lr_schedule import rate_factor
from eqvi.training.objectives import FlowLearner, FrameLearner
from eqvi.training.recipe import Recipe
from eqvi.training.run_folder import finish, provenance, throw_away
from eqvi.training.samples import FlowBatch, FrameBatch
from eqvi.training.snapshot import save_state
from eqvi.training.validation import FlowScores, FrameScores
from eqvi.training.vgg import open_vgg


class Progress(NamedTuple):
    """What a listener hears after every score.

    Attributes:
        folder: of the run.
        step, steps: done, and in all.
        scores: by name, ``psnr`` or ``epe`` the model's own.
        examples: of frames, as `eqvi.training.validation.Example`.
    """

    folder: Path
    step: int
    steps: int
    scores: dict[str, float]
    examples: list[Any]


class Run:
    """A run under way.

    Attributes:
        step, steps: done, and in all.
        epoch_steps: of an epoch.
        scores: the last ones.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        state: dict[str, Any] | None,
        device: torch.device,
        processes: Processes,
        workers: int,
        held: contextlib.ExitStack,
        tensorboard: bool,
        restart: bool,
    ) -> None:
        shares = recipe.accumulate * processes.world
        if recipe.batch % shares:
            raise InputError(
                f"batch {recipe.batch} cannot be shared by {processes.world} process(es) in {recipe.accumulate} "
                f"part(s): give a multiple of {shares}"
            )
        self._recipe, self._folder, self._device, self._processes = recipe, folder, device, processes
        self._workers = workers
        loss = None if recipe.stage == "flow" else _loss(recipe, device)
        model = initial_model(recipe)
        samples = None if recipe.validation == "rendered" else validation_samples(recipe)
        self._source = open_source(recipe, processes, workers)
        if processes.first:
            held.enter_context(exclusive(folder))
        # Rendering them takes a while: it comes after all that can be refused.
        samples = samples or validation_samples(recipe)
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
        if loss is not None and loss.vgg is not None:
            self._record["inputs_sha256"]["vgg"] = loss.vgg.sha256
        if state is not None:
            self._restore(state)
        self._parallel: nn.Module = self._learner
        if processes.world > 1:
            self._parallel = DistributedDataParallel(self._learner)
        with torch.random.fork_rng(devices=[]):
            self._scorer = self._make_scorer(samples)
        # What steps cost: a CPU's own seconds, as others may share it; on a GPU, those of the clock.
        self._clock = time.process_time if device.type == "cpu" else time.perf_counter
        spent = {"seconds": 0.0, "steps": 0} if state is None else state.get("spent", {"seconds": 0.0, "steps": 0})
        self._spent: dict[str, Any] = dict(spent)
        self._curves: list[Curve] = []
        self._board: Any = None
        if processes.first:
            if restart:
                throw_away(folder)
            # Rows of a run that never got as far as to save its state are all made again.
            done = -1 if state is None else self.step
            self._curves = [Curve(folder / name, done) for name in ("curve.csv", "scores.csv")]
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
            began = self._clock()
            rate = recipe.rate * rate_factor(recipe.schedule, self.step, self.steps, self.epoch_steps)  # type: ignore[arg-type]
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            losses = self._step(loader)
            self.step += 1
            self._spent["seconds"] += self._clock() - began
            self._spent["steps"] += 1
            row = {"step": self.step, "epoch": (self.step - 1) // self.epoch_steps, "rate": rate} | losses
            if self._curves:
                self._curves[0].add({name: f"{v:.8g}" if isinstance(v, float) else v for name, v in row.items()})
            if self._board is not None:
                for name, value in losses.items():
                    self._board.add_scalar(f"loss/{name}", value, self.step)
                self._board.add_scalar("rate", rate, self.step)
            yield losses | {"rate": rate}

    def _step(self, loader: Iterator[FrameBatch | FlowBatch]) -> dict[str, float]:
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

    def _refuse(self, taken: list[FrameBatch | FlowBatch], values: dict[str, float]) -> None:
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
        examples = self._scorer.examples(self._learner) if listen is not None else []
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
            "steps": self.steps,
            "scores": self.scores,
            "spent": self._spent,
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
        # Of the steps that were timed: a state of an older version has none.
        spent = {"minutes": round(self._spent["seconds"] / 60, 1), "of_steps": self._spent["steps"]}
        finish(self._folder, self._model, self._record | {"device_time": spent}, self.scores)

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

    def _restore(self, state: dict[str, Any]) -> None:
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
        raise InputError("TensorBoard's logs need its package: `pip install tensorboard`, or leave it out") from None
    return SummaryWriter(folder / "tensorboard", purge_step=step + 1)
