"""Training on a GPU at full speed: a captured step on windows that are kept, drawn and augmented on the device.

The run is that of `eqvi.training.train.train` (recipe, folder, files, resuming) but for three things: it trains on
`eqvi.training.device_windows`, which runs of one process share; losses are logged as means over `LOG_EVERY` steps,
because reading them waits for the device; and it is not repeatable to the bit. It can be resumed by either.
"""

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from eqvi.errors import InputError
from eqvi.training import run_folder
from eqvi.training.distributed import Processes, deferred_signals
from eqvi.training.recipe import WINDOWS, Recipe
from eqvi.training.samples import WindowBatch
from eqvi.training.shared_windows import SharedWindows
from eqvi.training.train import SAVE_EVERY, Progress, log_row, validate
from eqvi.training.trainer import CapturedGradients, Trainer, prepare

#: Steps between two rows of the curve.
LOG_EVERY = 50
#: Windows with which a run begins.
FEWEST = 500
#: Steps between which a step is timed, after those that capture and warm up.
TIMED = (20, 60)
#: A fitted run has at most so many times the recipe's steps, and uses this part of its time.
MOST, MARGIN = 4, 0.96


class CapturedStep:
    """A trainer's step, which does not wait for the device; gradients are captured as a CUDA graph where there is one.

    Args:
        trainer: whose parameters, optimizer and average are changed in place.
        device: where they are.
    """

    def __init__(self, trainer: Trainer, device: torch.device) -> None:
        self._trainer = trainer
        self._gradients = CapturedGradients(trainer.objective, trainer.parameters, device)
        self._names: list[str] = []
        self._sums: Tensor | None = None
        self._steps = 0

    def __call__(self, batch: WindowBatch) -> None:
        """One step; `means` has its losses."""
        trainer = self._trainer
        trainer.set_rates()
        losses = self._gradients(batch)
        norm = nn.utils.clip_grad_norm_(trainer.parameters, trainer.recipe.clip or torch.inf)
        trainer.optimizer.step()
        if trainer.average is not None:
            trainer.average.update_parameters(trainer.model)
        values = torch.stack([*losses.values(), norm])
        self._names = [*losses, "gradient"]
        self._sums = values if self._sums is None else self._sums + values
        self._steps += 1
        trainer.step += 1

    def means(self) -> dict[str, float]:
        """Losses and the gradient's norm, means over the steps since the last call; waits for the device."""
        assert self._sums is not None
        values = (self._sums / self._steps).tolist()
        self._sums, self._steps = None, 0
        return dict(zip(self._names, values, strict=True))


def train_captured(
    recipe: Recipe,
    folder: Path,
    device: str,
    seconds: float,
    on_validation: Callable[[Progress], None] | None = None,
    save_every: float = SAVE_EVERY,
    shared: SharedWindows | None = None,
    fewest: int = FEWEST,
    fit: bool = False,
) -> Progress:
    """Carry out a recipe on windows of eight frames, or resume it, for `seconds` at most; see this module.

    Args:
        recipe, folder, device, on_validation, save_every: as of `eqvi.training.train.train`.
        seconds: time budget; the state is saved when it is used up, and the same call resumes.
        shared: with runs of the same process.
        fewest: windows with which the run begins, if it has so many.
        fit: set a new run's number of steps by the rate of its first ones, so that the learning rate has fallen when
            the time is over: no more than `MOST` times those of the recipe. The record has ``fitted``.

    Raises:
        InputError: as `eqvi.training.train.train`; or no window was rendered in time.
    """
    until = time.monotonic() + seconds
    if not (recipe.knows_flow and recipe.store):
        raise InputError(f"a captured run trains on data {WINDOWS} with known flows and a store: give both")
    shared = shared or SharedWindows([recipe], torch.device(device))
    with contextlib.ExitStack() as stack:
        processes = stack.enter_context(Processes(device))
        state = run_folder.load_state(folder, recipe)
        if state is not None and state["step"] == state["steps"] and run_folder.is_finished(folder):
            return Progress(folder, state["step"], state["steps"], state["scores"])
        run = prepare(
            recipe, folder, state, torch.device(device), processes, stack,
            source=shared.source(recipe), samples=shared.scored(recipe),
        )  # fmt: skip
        trainer = run.trainer
        run.record["captured"] = "windows drawn as they were rendered; not repeatable to the bit"
        run_folder.write_record(folder, run.record)
        draws = shared.draws(recipe, trainer.step)
        windows = draws.windows
        if not windows.wait_for(min(fewest, recipe.windows), until, recipe.windows):
            raise InputError(f"{recipe.store}: {len(windows)} windows in {seconds:.0f} s: too few to begin")
        stop_requested = stack.enter_context(deferred_signals())
        validation_seconds = 0.0
        if trainer.step == 0:
            if fit:
                run.validation(trainer.model)  # chooses kernels, which takes seconds
            validated = time.monotonic()
            validate(run, folder, on_validation)
            validation_seconds = time.monotonic() - validated
        windows.settle()
        step, started = CapturedStep(trainer, torch.device(device)), time.monotonic()
        counted, saved, scored, timed = trainer.step, time.monotonic(), trainer.step, started
        fitted = not fit or trainer.step > 0
        while trainer.step < trainer.steps and time.monotonic() < until and not stop_requested():
            step(draws.batch(recipe.batch))
            draws.take_in()
            if not fitted and trainer.step in TIMED:
                torch.get_device_module(torch.device(device)).synchronize()
                if trainer.step == TIMED[0]:
                    timed = time.monotonic()
                else:
                    one = (time.monotonic() - timed) / (TIMED[1] - TIMED[0])
                    trainer.steps = fitted_steps(
                        recipe, trainer.step, one, validation_seconds, until - time.monotonic()
                    )
                    run.record.update({"steps": trainer.steps, "fitted": {"seconds_a_step": one, "seconds": seconds}})
                    run_folder.write_record(folder, run.record)
                    fitted = True
            last = trainer.step == trainer.steps
            if trainer.step % LOG_EVERY == 0 or last:
                values = step.means()
                if bad := ", ".join(f"{name} {value}" for name, value in values.items() if not math.isfinite(value)):
                    raise InputError(f"before step {trainer.step}: {bad}: the last good state is kept: lower the rate")
                row = {"step": trainer.step, "epoch": trainer.step // trainer.epoch_steps,
                       "rate": trainer.learning_rate, **values}  # fmt: skip
                log_row(folder / run_folder.CURVE_FILE, row, 8, None)
            if trainer.step % recipe.score_every == 0 or last:
                validate(run, folder, on_validation)
                scored = trainer.step
            if time.monotonic() - saved >= save_every:
                run_folder.save_state(folder, trainer.state_dict())
                saved = time.monotonic()
        trainer.spent["seconds"] += time.monotonic() - started
        trainer.spent["steps"] += trainer.step - counted
        windows.settle()
        if scored != trainer.step:
            validate(run, folder, on_validation)
        run_folder.save_state(folder, trainer.state_dict())
        if trainer.step == trainer.steps:
            spent, count = trainer.spent["seconds"], trainer.spent["steps"]
            minutes = {"minutes": round(spent / 60, 1), "seconds": round(spent, 2), "of_steps": count}
            with trainer.averaged_weights():
                run_folder.write_result(folder, trainer.model, run.record | {"device_time": minutes}, trainer.scores)
        return Progress(folder, trainer.step, trainer.steps, trainer.scores)


def fitted_steps(recipe: Recipe, step: int, seconds_a_step: float, validation_seconds: float, seconds: float) -> int:
    """The number of steps of a run that is at `step` and has so many seconds left, for steps and validations."""
    each = seconds_a_step + validation_seconds / recipe.score_every
    left = int((MARGIN * seconds - validation_seconds) / each)
    return min(step + max(1, left), max(MOST * recipe.steps, step + 1))
