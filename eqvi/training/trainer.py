"""The parts of a training run: `prepare` checks and builds them, `Trainer` holds what learns.

The loop is `eqvi.training.train.train`.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from eqvi.errors import InputError
from eqvi.files import exclusive
from eqvi.graphs import Captured
from eqvi.model.eqvi import EQVI
from eqvi.model.layers import to_channels_last
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training import run_folder
from eqvi.training.distributed import Processes
from eqvi.training.initialization import initial_model
from eqvi.training.loading import batches, open_source, validation_samples
from eqvi.training.losses import Loss, check_terms
from eqvi.training.lr_schedule import lr_factor
from eqvi.training.objectives import FlowObjective, FrameObjective
from eqvi.training.recipe import Recipe
from eqvi.training.samples import Batch, SampleSource
from eqvi.training.validation import make_validation
from eqvi.training.vgg import VGG, open_vgg
from eqvi.training.window_objective import OWN_TERMS, WindowObjective


class Trainer:
    """A model in training with its objective, optimizer and averaged weights, and how far it has come.

    Args:
        recipe: of the run.
        model: as it is before the first step, all but the trained parts frozen.
        vgg: the distance behind the loss's term ``vgg``, if it has one.
        epoch: samples in an epoch.
        device: where to train.

    Attributes:
        model, objective, optimizer, average: the last None if the recipe does not average.
        parameters: those that are trained.
        step, steps, epoch_steps: done, in all, and in an epoch.
        scores: of the last validation.
        spent: ``seconds`` that steps took, and the number of ``steps`` that were timed.
    """

    def __init__(
        self, recipe: Recipe, model: EQVI | ScopeFlow, vgg: nn.Module | None, epoch: int, device: torch.device
    ) -> None:
        self.recipe = recipe
        self.model = model.to(device)
        if recipe.channels_last:
            to_channels_last(self.model)
        precision = getattr(torch, recipe.precision)
        self.objective: nn.Module
        if isinstance(model, ScopeFlow):
            self.objective = FlowObjective(model, precision)
        elif recipe.knows_flow:
            self.objective = WindowObjective(model, recipe.loss_terms(), precision, vgg)
        else:
            self.objective = FrameObjective(model, Loss(recipe.loss_terms(), vgg), precision)
        self.objective.to(device)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=recipe.rate, weight_decay=recipe.decay, fused=device.type == "cuda" or None
        )
        ema = get_ema_multi_avg_fn(recipe.average)
        self.average = AveragedModel(model, multi_avg_fn=ema) if recipe.average else None
        self.epoch_steps = -(-epoch // recipe.batch)
        self.steps = recipe.steps or recipe.epochs * self.epoch_steps
        self.step, self.scores = 0, dict[str, float]()
        self.spent: dict[str, Any] = {"seconds": 0.0, "steps": 0}

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        schedule: Any = self.recipe.schedule
        return self.recipe.rate * lr_factor(schedule, self.step, self.steps, self.epoch_steps)

    def set_rates(self) -> float:
        """Set what the next step's place in the run decides; its learning rate."""
        rate = self.learning_rate
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):  # read by a captured step
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        if isinstance(self.objective, WindowObjective):
            self.objective.flow_share.fill_(1.0 if 2 * self.step < self.steps else self.recipe.later)
        return rate

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Within this context the model has its averaged weights, if it averages."""
        if self.average is None:
            yield
            return
        own = [parameter.detach().clone() for parameter in self.model.parameters()]
        _assign(self.model, self.average.module.parameters())
        try:
            yield
        finally:
            _assign(self.model, own)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to resume."""
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "step": self.step,
            "steps": self.steps,
            "scores": self.scores,
            "spent": self.spent,
            "model": self.model.state_dict(),
            "optimiser": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self.step, self.scores, self.spent = state["step"], state["scores"], dict(state["spent"])
        self.steps = state["steps"]  # which may have been fitted to a visit's time
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])


class CapturedGradients:
    """Losses and gradients of a batch, captured as a CUDA graph at the first one: every batch has its shapes.

    Where there is no CUDA it computes them plainly, in the same memory. The gradients must stay where they are
    (``zero_grad(set_to_none=False)``).

    Args:
        objective: of a batch, which does not wait for the device.
        parameters: those that are trained.
        device: where they are.
    """

    def __init__(self, objective: nn.Module, parameters: list[nn.Parameter], device: torch.device) -> None:
        self._objective, self._parameters, self._device = objective, parameters, device
        self._captured: Captured | None = None

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        if self._captured is None:
            for parameter in self._parameters:
                parameter.grad = torch.zeros_like(parameter)
            self._captured = Captured(self._evaluate, (batch,), str(self._device))
        return self._captured(batch)

    def _evaluate(self, batch: Batch) -> dict[str, Tensor]:
        torch._foreach_zero_([parameter.grad for parameter in self._parameters if parameter.grad is not None])
        losses = self._objective(batch)
        losses["total"].backward()
        return {name: value.detach() for name, value in losses.items()}


class Run(NamedTuple):
    """A prepared run.

    Attributes:
        trainer: at the step where the run stands.
        objective: the trainer's; with several processes, one that averages gradients over them.
        captured: gives losses and gradients in its place, where they can be captured; else None.
        batches: of this process, `Recipe.accumulate` a step.
        validation: scores the model.
        record: see `eqvi.training.run_folder.run_record`.
        board: TensorBoard's writer, if any.
    """

    trainer: Trainer
    objective: nn.Module
    captured: CapturedGradients | None
    batches: Iterator[Batch]
    validation: Any
    record: dict[str, Any]
    board: Any


def prepare(
    recipe: Recipe,
    folder: Path,
    state: dict[str, Any] | None,
    device: torch.device,
    processes: Processes,
    stack: contextlib.ExitStack,
    workers: int = 0,
    tensorboard: bool = False,
    restart: bool = False,
    source: SampleSource | None = None,
    samples: Any = None,
) -> Run:
    """Prepare a run: check and build all that its recipe names, lock its folder, and write the record there.

    Args:
        recipe, folder, workers, tensorboard, restart: as of `eqvi.training.train.train`.
        state: to resume from.
        device: where to train.
        processes: those that train together.
        stack: holds what is to be closed: the folder's lock and TensorBoard's log.
        source, samples: to train on and to be scored on, where several runs share them; None: the recipe's own.

    Raises:
        InputError: something cannot be used, or another process has the folder; nothing in the folder has changed then.
    """
    shares = recipe.accumulate * processes.world
    if recipe.batch % shares:
        raise InputError(
            f"batch {recipe.batch} cannot be shared by {processes.world} process(es) in {recipe.accumulate} "
            f"part(s): give a multiple of {shares}"
        )
    writer = _summary_writer() if tensorboard and processes.first else None
    vgg = _open_vgg(recipe)
    model = initial_model(recipe)
    if samples is None and recipe.validation != "rendered":
        samples = validation_samples(recipe)
    source = source or open_source(recipe, processes)
    if processes.first:
        stack.enter_context(exclusive(folder))

    # Nothing is refused from here on. Rendering the samples takes a while.
    samples = samples if samples is not None else validation_samples(recipe)
    trainer = Trainer(recipe, model, vgg, source.epoch, device)
    if state is not None:
        trainer.load_state_dict(state)
    objective = trainer.objective if processes.world == 1 else DistributedDataParallel(trainer.objective)
    validation = make_validation(samples, model, device)
    record = run_folder.run_record(recipe, source, trainer.steps, device, processes.world)
    if vgg is not None:
        record["inputs_sha256"]["vgg"] = vgg.sha256
    if processes.first:
        if restart:
            run_folder.remove_run(folder)
        for name in (run_folder.CURVE_FILE, run_folder.SCORES_FILE):
            # Without a state the run starts anew, with the validation before its first step.
            run_folder.truncate_curve(folder / name, -1 if state is None else trainer.step)
        run_folder.write_record(folder, record)
    board = stack.enter_context(writer(folder / "tensorboard", purge_step=trainer.step + 1)) if writer else None
    loader = batches(source, recipe, processes, trainer.step, trainer.steps, workers, device)
    # Where all flows are known nothing in a step needs the CPU.
    alone = processes.world == 1 and recipe.accumulate == 1 and not recipe.config().multi_scale
    captured = None
    if device.type == "cuda" and recipe.knows_flow and alone:
        captured = CapturedGradients(objective, trainer.parameters, device)
    return Run(trainer, objective, captured, loader, validation, record, board)


def _open_vgg(recipe: Recipe) -> VGG | None:
    """The distance behind the loss's term ``vgg``, if it has one, once its terms have been checked."""
    if recipe.stage == "flow":
        return None
    terms = recipe.loss_terms()
    check_terms(terms, OWN_TERMS if recipe.knows_flow else ())
    return open_vgg(Path(recipe.vgg) if recipe.vgg else None) if "vgg" in terms else None


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("TensorBoard's logs need its package: `pip install tensorboard`, or leave it out") from None
    return SummaryWriter


def _assign(model: nn.Module, values: Any) -> None:
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.data.copy_(value)
