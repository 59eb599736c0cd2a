"""Training on a GPU at full speed: a captured step on windows that are kept, drawn and augmented on the device.

The run is that of `eqvi.training.train.train` (recipe, folder, files, resuming) but for three things: it trains on
`eqvi.training.device_windows`; losses are logged as means over `LOG_EVERY` steps, because reading them waits for the
device; and it is not repeatable to the bit. It can be resumed by either.
"""

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eqvi.errors import InputError
from eqvi.training import run_folder
from eqvi.training.device_windows import DeviceWindows
from eqvi.training.distributed import Processes, deferred_signals
from eqvi.training.loading import window_pool
from eqvi.training.recipe import WINDOWS, Recipe
from eqvi.training.samples import WindowBatch
from eqvi.training.train import SAVE_EVERY, Progress, log_row, validate
from eqvi.training.trainer import CapturedGradients, Trainer, prepare

#: Steps between two rows of the curve.
LOG_EVERY = 50
#: Windows with which a run begins.
FEWEST = 500
#: Windows taken in before a step.
_TAKEN_IN = 4


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
) -> Progress:
    """Carry out a recipe on windows of eight frames, or resume it, for `seconds` at most; see this module.

    Raises:
        InputError: as `eqvi.training.train.train`; or no window was rendered in time.
    """
    until = time.monotonic() + seconds
    if recipe.data != WINDOWS or not recipe.store:
        raise InputError(f"a captured run trains on data {WINDOWS} with a store: give both")
    with contextlib.ExitStack() as stack:
        processes = stack.enter_context(Processes(device))
        state = run_folder.load_state(folder, recipe)
        if state is not None and state["step"] == state["steps"] and run_folder.is_finished(folder):
            return Progress(folder, state["step"], state["steps"], state["scores"])
        run = prepare(recipe, folder, state, torch.device(device), processes, stack)
        trainer = run.trainer
        run.record["captured"] = "windows drawn as they were rendered; not repeatable to the bit"
        run_folder.write_record(folder, run.record)
        pool = window_pool(recipe, "train", recipe.seed)
        how: Any = recipe.augment
        windows = DeviceWindows(pool, torch.device(device), recipe.crop, how, recipe.seed + trainer.step)
        if not windows.wait_for(min(FEWEST, recipe.windows), until):
            raise InputError(f"{recipe.store}: {len(windows)} windows in {seconds:.0f} s: too few to begin")
        stop_requested = stack.enter_context(deferred_signals())
        if trainer.step == 0:
            validate(run, folder, on_validation)
        step, started = CapturedStep(trainer, torch.device(device)), time.monotonic()
        counted, saved, scored = trainer.step, time.monotonic(), trainer.step
        while trainer.step < trainer.steps and time.monotonic() < until and not stop_requested():
            windows.take_in(_TAKEN_IN)
            step(windows.batch(recipe.batch))
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
        if scored != trainer.step:
            validate(run, folder, on_validation)
        run_folder.save_state(folder, trainer.state_dict())
        if trainer.step == trainer.steps:
            minutes = {"minutes": round(trainer.spent["seconds"] / 60, 1), "of_steps": trainer.spent["steps"]}
            with trainer.averaged_weights():
                run_folder.write_result(folder, trainer.model, run.record | {"device_time": minutes}, trainer.scores)
        return Progress(folder, trainer.step, trainer.steps, trainer.scores)
