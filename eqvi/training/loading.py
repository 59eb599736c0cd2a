"""Where a recipe's samples come from, and the loader that brings them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from eqvi.errors import InputError
from eqvi.files import exclusive
from eqvi.training.distributed import Processes
from eqvi.training.footage import FootageWindows
from eqvi.training.pairs import StoredPairs
from eqvi.training.recipe import Recipe
from eqvi.training.rendered import RenderedPairs, RenderedWindows
from eqvi.training.samples import FlowBatch, FlowSample, FrameBatch, FrameSample, SampleSource, collate
from eqvi.training.window_cache import StoredWindows, fill_store

#: Every run is scored on the same rendered windows, whatever its own seed.
VALIDATION_SEED = 0


def open_source(recipe: Recipe, processes: Processes, workers: int = 0) -> SampleSource:
    """What a recipe trains on; a store is filled first.

    Raises:
        InputError: the data cannot be used.
    """
    size = (recipe.crop, recipe.crop)
    if recipe.stage == "flow":
        if recipe.data != "rendered":
            raise InputError("stage flow needs exact flow, which rendered frames alone have: leave data out")
        if not recipe.store:
            return RenderedPairs(size, recipe.windows, recipe.seed, calm=recipe.calm)
    elif recipe.data != "rendered":
        if recipe.store:
            raise InputError(f"store {recipe.store}: a store holds rendered windows: leave data or store out")
        return FootageWindows(
            Path(recipe.data),
            crop=recipe.crop,
            spacing=recipe.spacing,
            start_every=recipe.every,
            augment=recipe.augment,  # type: ignore[arg-type] # the recipe has checked it
            seed=recipe.seed,
        )
    elif not recipe.store:
        return RenderedWindows(size, recipe.windows, recipe.seed, calm=recipe.calm)
    side = recipe.stored or recipe.crop + recipe.crop // 2
    folder = Path(recipe.store)
    if processes.first:
        with exclusive(folder, wait=True):  # of two runs one fills a store that they share
            fill_store(
                folder,
                recipe.windows,
                (side, side),
                flow="exact" if recipe.stage == "flow" else recipe.config().flow,
                calm=recipe.calm,
                compressed=recipe.compressed,
                workers=workers,
            )
    processes.wait()
    windows = StoredWindows(folder, size, recipe.augment, recipe.seed)  # type: ignore[arg-type]
    return StoredPairs(windows) if recipe.stage == "flow" else windows


def validation_samples(recipe: Recipe) -> list[FrameSample] | list[FlowSample]:
    """What a run of a recipe is scored on: other pictures than are trained on, or the footage that is named.

    Raises:
        InputError: the footage cannot be used.
    """
    size = (recipe.crop, recipe.crop)
    if recipe.stage == "flow":
        pairs = RenderedPairs(size, recipe.scored, VALIDATION_SEED, "val")
        return [pairs.sample(number) for number in range(recipe.scored)]
    source: SampleSource = RenderedWindows(size, recipe.scored, VALIDATION_SEED, "val")
    if recipe.validation != "rendered":
        source = FootageWindows(
            Path(recipe.validation),
            crop=recipe.crop,
            spacing=recipe.spacing,
            start_every=recipe.every,
            augment="none",
            split="val",
        )
    found = [source.sample(number) for number in range(min(recipe.scored, source.epoch))]
    return [window for window in found if isinstance(window, FrameSample)]


class _Share(Dataset):
    """The parts of the steps that fall to one process: item n is the n-th batch that it asks for."""

    def __init__(self, source: SampleSource, recipe: Recipe, processes: Processes, first: int, steps: int) -> None:
        self._source, self._parts, self._whole = source, recipe.accumulate, recipe.batch
        self._rank, self._size = processes.rank, recipe.batch // recipe.accumulate // processes.world
        self._first, self._count = first, (steps - first) * recipe.accumulate

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, item: int) -> FrameBatch | FlowBatch:
        step, part = divmod(item, self._parts)
        begin = (self._first + step) * self._whole + part * (self._whole // self._parts) + self._rank * self._size
        return collate([self._source.sample(number) for number in range(begin, begin + self._size)])


def batches(
    source: SampleSource,
    recipe: Recipe,
    processes: Processes,
    first: int,
    steps: int,
    workers: int,
    device: torch.device,
) -> Iterator[FrameBatch | FlowBatch]:
    """The batches of this process from step `first` on, `recipe.accumulate` for each step.

    Sample n of a step is sample ``step * batch + n`` of the source, in whatever number of processes and parts.
    """
    share = _Share(source, recipe, processes, first, steps)
    loader = DataLoader(
        share,
        batch_size=None,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if workers else None,
        # A process that holds CUDA, or OpenCV's threads, must not be forked.
        multiprocessing_context="spawn" if workers else None,
        collate_fn=_as_it_is,
        worker_init_fn=_leave_signals,
    )
    for batch in loader:
        yield type(batch)(*(None if field is None else field.to(device, non_blocking=True) for field in batch))


def default_workers(device: torch.device) -> int:
    """Processes that prepare samples: none where the CPU trains and is busy; else one for every core but one."""
    return 0 if device.type == "cpu" else max(1, min(16, (os.cpu_count() or 2) - 1))


def _as_it_is(batch: Any) -> Any:
    return batch


def _leave_signals(worker: int) -> None:
    # Ctrl-C, and torchrun's end, reach workers as well; the run still needs them for the step that it is at.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
