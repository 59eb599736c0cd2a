"""The training loop: `train` carries out a recipe, on one process or several, and can be stopped and resumed anywhere.

A run lives in a folder, whose files `eqvi.training.run_folder` lists.
"""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from eqvi.errors import InputError
from eqvi.progress import bar
from eqvi.training import run_folder
from eqvi.training.distributed import Processes, deferred_signals
from eqvi.training.recipe import Recipe
from eqvi.training.trainer import Run, prepare
from eqvi.training.validation import Example

#: Seconds between two states on disk: what a kill can cost.
SAVE_EVERY = 60.0

#: Seconds between two calls of `on_refresh`.
REFRESH_EVERY = 15.0


class Progress(NamedTuple):
    """How far a run has come.

    Attributes:
        folder: of the run.
        step, steps: done, and in all.
        scores: of the last validation, by name: the model's ``psnr`` or ``epe``, then those of the baselines.
        examples: example frames of that validation, for `on_validation` only.
    """

    folder: Path
    step: int
    steps: int
    scores: dict[str, float]
    examples: tuple[Example, ...] = ()


def train(
    recipe: Recipe,
    folder: Path,
    device: str = "cpu",
    workers: int = 0,
    minutes: float | None = None,
    progress: bool = True,
    on_validation: Callable[[Progress], None] | None = None,
    on_refresh: Callable[[], None] | None = None,
    save_every: float = SAVE_EVERY,
    tensorboard: bool = False,
    restart: bool = False,
) -> Progress:
    """Carry out a recipe, or resume it where an interrupted run stopped; a finished run is left as it is.

    Args:
        recipe: the training run.
        folder: of the run.
        device: where to train; under torchrun each process has its own.
        workers: processes that prepare samples.
        minutes: time budget; the state is saved when it is used up, and the same call resumes.
        progress: show a bar, on a terminal or in a notebook.
        on_validation: called after every validation.
        on_refresh: called every `REFRESH_EVERY` seconds between steps, to draw the curves anew.
        save_every: seconds between two states on disk.
        tensorboard: write TensorBoard's logs as well.
        restart: remove the run that is in the folder, once all that the recipe names has been checked.

    Returns:
        Where the run stands; fewer than all steps are done if the time budget was used up.

    Raises:
        InputError: something that the recipe names cannot be used, the folder holds another run or one that is under
            way, the disk is full, or the loss is no longer finite; the last good state is kept.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, after the step, with the state saved.
    """
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        processes = stack.enter_context(Processes(device))
        state = None if restart else run_folder.load_state(folder, recipe)
        if not processes.agree(-1 if state is None else state["step"]):
            raise InputError(f"{folder}: not all processes find the same state there: give a folder that they share")
        if state is not None and state["step"] == state["steps"] and run_folder.is_finished(folder):
            return Progress(folder, state["step"], state["steps"], state["scores"])
        run = prepare(
            recipe, folder, state, torch.device(device), processes, stack,
            workers=workers, tensorboard=tensorboard, restart=restart,
        )  # fmt: skip
        trainer, model, optimizer = run.trainer, run.trainer.model, run.trainer.optimizer
        shown = stack.enter_context(
            bar(
                total=trainer.steps * recipe.batch, initial=trainer.step * recipe.batch, unit="window",
                desc=folder.name, hidden=not (progress and processes.first), smoothing=0.05,
            )
        )  # fmt: skip
        # From here on a signal ends the run after its step, with the state saved.
        stop_requested = stack.enter_context(deferred_signals())
        # On a CPU, which others may use too, the process's own seconds.
        clock = time.process_time if torch.device(device).type == "cpu" else time.perf_counter
        saved = refreshed = time.monotonic()

        if trainer.step == 0 and processes.first:
            validate(run, folder, on_validation)
        while trainer.step < trainer.steps:
            # Learning rate
            step_started = clock()
            rate = trainer.set_rates()

            # Gradients, added up over the parts of a step; processes exchange theirs once, with the last part
            optimizer.zero_grad(set_to_none=run.captured is None)
            parts, part_losses = [], []
            for part in range(recipe.accumulate):
                parts.append(next(run.batches))
                if isinstance(run.objective, DistributedDataParallel):
                    run.objective.require_backward_grad_sync = part == recipe.accumulate - 1
                if run.captured is not None:
                    losses = run.captured(parts[-1])
                else:
                    losses = run.objective(parts[-1])
                    (losses["total"] / recipe.accumulate).backward()
                part_losses.append(torch.stack([value.detach() for value in losses.values()]))
            norm = nn.utils.clip_grad_norm_(trainer.parameters, recipe.clip or torch.inf)
            means = processes.mean(torch.stack(part_losses).mean(0)).tolist()
            values = dict(zip(losses, means, strict=True)) | {"gradient": norm.item()}
            if bad := ", ".join(f"{name} {value}" for name, value in values.items() if not math.isfinite(value)):
                path = run_folder.save_bad_batch(folder, processes.rank, parts)
                raise InputError(
                    f"step {trainer.step + 1}: {bad}: the batch is in {path}, the last good state is kept: try a lower "
                    "rate or a clip of the gradient"
                )

            # Weights and their moving average
            optimizer.step()
            if trainer.average is not None:
                trainer.average.update_parameters(model)
            epoch = trainer.step // trainer.epoch_steps
            trainer.step += 1
            trainer.spent["seconds"] += clock() - step_started
            trainer.spent["steps"] += 1

            # Log and validate
            shown.set_postfix_str(f"loss {values['total']:.4f}, rate {rate:.2g}", refresh=False)
            shown.update(recipe.batch)
            if processes.first:
                row = {"step": trainer.step, "epoch": epoch, "rate": rate, **values}
                log_row(folder / run_folder.CURVE_FILE, row, 8, run.board)
                if trainer.step % recipe.score_every == 0 or trainer.step == trainer.steps:
                    validate(run, folder, on_validation)

            # Time budget and signals: one process's end is the end of all
            over_time = minutes is not None and time.monotonic() - started > 60 * minutes
            if processes.any(stop_requested() or over_time):
                break

            # Curves and state on disk, at intervals
            if on_refresh is not None and processes.first and time.monotonic() - refreshed >= REFRESH_EVERY:
                on_refresh()
                refreshed = time.monotonic()
            if processes.first and time.monotonic() - saved >= save_every:
                run_folder.save_state(folder, trainer.state_dict())
                saved = time.monotonic()

        if processes.first:
            run_folder.save_state(folder, trainer.state_dict())
            if trainer.step == trainer.steps:
                minutes_spent = {"minutes": round(trainer.spent["seconds"] / 60, 1), "of_steps": trainer.spent["steps"]}
                with trainer.averaged_weights():
                    run_folder.write_result(folder, model, run.record | {"device_time": minutes_spent}, trainer.scores)
        processes.wait()
        if stop_requested():
            raise stop_requested.interruption
        return Progress(folder, trainer.step, trainer.steps, trainer.scores)


def validate(run: Run, folder: Path, on_validation: Callable[[Progress], None] | None) -> None:
    """Score the averaged weights, keep them as the latest ones, and log their scores."""
    trainer = run.trainer
    with trainer.averaged_weights():
        trainer.scores = run.validation(trainer.model)
        run_folder.save_latest(folder, trainer.model)
        examples = run.validation.examples(trainer.model) if on_validation is not None else []
    log_row(folder / run_folder.SCORES_FILE, {"step": trainer.step, **trainer.scores}, 6, run.board)
    if on_validation is not None:
        on_validation(Progress(folder, trainer.step, trainer.steps, trainer.scores, tuple(examples)))


def log_row(path: Path, row: Mapping[str, float], digits: int, board: Any) -> None:
    """Append a row to a curve, and to TensorBoard's logs if there are any."""
    run_folder.append_row(path, {k: f"{v:.{digits}g}" if isinstance(v, float) else v for k, v in row.items()})
    for name, value in row.items() if board is not None else ():
        board.add_scalar(f"{path.stem}/{name}", value, row["step"])
