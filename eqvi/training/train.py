"""The engine: carries a recipe out, step by step, on one process or several, and can be stopped anywhere.

A run lives in a folder: ``state.pt`` (`eqvi.training.snapshot`), ``curve.csv`` (a row a step), ``scores.csv`` (a row a
score), ``run.json`` (what made it), and at its end ``weights.safetensors`` and, where the
model has a published form, ``published.ckpt``.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from eqvi.errors import InputError
from eqvi.training.distributed import Processes, stopped_by_signals
from eqvi.training.recipe import Recipe
from eqvi.training.run_folder import is_finished
from eqvi.training.snapshot import load_state
from eqvi.training.trainer import Progress, Run

#: Seconds between two states on disk: what a kill can cost.
SAVE_EVERY = 60.0

#: Seconds between two calls of `tick`.
TICK_EVERY = 15.0


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
    restart: bool = False,
    tick: Callable[[], None] | None = None,
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
        restart: throw away the run that the folder holds, once all that the recipe names has been found in order.
        tick: called every `TICK_EVERY` seconds, between scores too.

    A run that has come to its end is left as it is.

    Raises:
        InputError: something that the recipe names cannot be used, the folder holds another run or one that is under
            way, the disk is full, or the loss is no longer finite; the last good state is kept.
    """
    began = time.monotonic()
    with Processes(device) as processes, contextlib.ExitStack() as held:
        state = None if restart else load_state(folder)
        if not processes.agree(-1 if state is None else state["step"]):
            raise InputError(f"{folder}: not all processes find the same state there: give a folder that they share")
        if state is not None:
            _check_recipe(folder, recipe, state["recipe"])
            if state["step"] == state.get("steps") and is_finished(folder):
                return Outcome(state["step"], state["steps"], state["scores"])
        # What comes before the first step may take long (a store is rendered) and can be broken off at once.
        run = Run(recipe, folder, state, torch.device(device), processes, workers, held, tensorboard, restart)
        stopped = held.enter_context(stopped_by_signals())
        saved = ticked = time.monotonic()
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
                    if tick is not None and processes.first and time.monotonic() - ticked >= TICK_EVERY:
                        tick()
                        ticked = time.monotonic()
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


def _check_recipe(folder: Path, recipe: Recipe, found: dict[str, Any]) -> None:
    for name, value in dataclasses.asdict(recipe).items():
        if found.get(name) != value:
            raise InputError(
                f"{folder}: holds a run with {name}={found.get(name)!r}, not {value!r}: give another folder, or "
                "--restart"
            )
