"""A recipe's training and validation samples, and the loader of a process's batches."""

import contextlib
import os
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from eqvi.datasets.photographs import Split
from eqvi.training.distributed import Processes
from eqvi.training.recipe import WINDOWS, Recipe
from eqvi.training.samples import Batch, FlowSample, FrameSample, Sample, SampleSource, WindowSample, collate
from eqvi.training.window_pool import PooledWindows, WindowPool, to_sample
from eqvi.training.window_samples import FlowPairs, FrameWindows

#: Every run is scored on the same rendered windows, whatever its own seed.
VALIDATION_SEED = 0


def open_source(recipe: Recipe, processes: Processes) -> SampleSource:
    """What a recipe trains on.

    Raises:
        InputError: the data cannot be used.
    """
    how: Any = recipe.augment  # one of its choices, as the recipe has checked
    if recipe.data != WINDOWS:
        return _footage(Path(recipe.data), **_sampling(recipe), augment=how, seed=recipe.seed)
    pool = window_pool(recipe, "train")
    if processes.first:
        pool.prepare()
    processes.wait()
    windows = PooledWindows(pool, (recipe.crop, recipe.crop), how, recipe.seed)
    if recipe.stage == "flow":
        return FlowPairs(windows)
    return windows if recipe.knows_flow else FrameWindows(windows)


def validation_samples(recipe: Recipe) -> list[FrameSample] | list[WindowSample] | list[FlowSample]:
    """What a run is scored on: rendered from photographs that are not trained on, or the footage that is named.

    Raises:
        InputError: the footage cannot be used.
    """
    if recipe.validation != "rendered":
        footage: Any = _footage(Path(recipe.validation), **_sampling(recipe), augment="none", split="val")
        return [footage.sample(number) for number in range(min(recipe.scored, footage.epoch))]
    pool = window_pool(recipe, "val")
    pool.prepare()
    if recipe.knows_flow:
        return [to_sample(pool.window(number)) for number in range(recipe.scored)]
    windows = PooledWindows(pool, (recipe.crop, recipe.crop), "none")
    if recipe.stage == "flow":
        return list(map(FlowPairs(windows).sample, range(recipe.scored)))
    return list(map(FrameWindows(windows).sample, range(recipe.scored)))


def window_pool(recipe: Recipe, split: Split) -> WindowPool:
    """The windows that a recipe trains on, or is scored on; the latter are kept in ``STORE_val``."""
    folder = Path(recipe.store if split == "train" else f"{recipe.store}_val") if recipe.store else None
    pictures = Path(recipe.pictures) if recipe.pictures else None
    count, seed = (recipe.windows, recipe.windows_seed) if split == "train" else (recipe.scored, VALIDATION_SEED)
    # A window that is read again is larger than a sample, so that its crops differ.
    size = recipe.stored or recipe.crop + (recipe.crop // 2 if recipe.store else 0)
    return WindowPool(folder, count, size, seed, pictures, split)


def _sampling(recipe: Recipe) -> dict[str, Any]:
    return {"crop": recipe.crop, "spacing": recipe.spacing, "start_every": recipe.every}


class _Samples(Dataset):
    """A source as a map-style dataset."""

    def __init__(self, source: SampleSource) -> None:
        self._source = source

    def __getitem__(self, number: int) -> Sample:
        return self._source.sample(number)


def _batch_numbers(recipe: Recipe, processes: Processes, first: int, steps: int) -> Iterator[range]:
    """The numbers of the samples of each batch of a process."""
    size = recipe.batch // recipe.accumulate // processes.world
    for step in range(first, steps):
        for part in range(recipe.accumulate):
            begin = step * recipe.batch + (part * processes.world + processes.rank) * size
            yield range(begin, begin + size)


def batches(
    source: SampleSource,
    recipe: Recipe,
    processes: Processes,
    first: int,
    steps: int,
    workers: int,
    device: torch.device,
) -> Iterator[Batch]:
    """The batches of this process from step `first` to `steps`, `recipe.accumulate` for each step.

    Sample n of a step is sample ``step * batch + n`` of the source, for any number of processes and parts.
    """
    loader = DataLoader(
        _Samples(source),
        batch_sampler=_batch_numbers(recipe, processes, first, steps),  # type: ignore[arg-type] # any iterable serves
        collate_fn=collate,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if workers else None,
        multiprocessing_context="spawn" if workers else None,  # CUDA and OpenCV's threads do not survive a fork
        worker_init_fn=_ignore_signals,
    )
    with _signals_blocked() if workers else contextlib.nullcontext():
        loaded = iter(loader)
    for batch in loaded:
        yield type(batch)(*(None if field is None else field.to(device, non_blocking=True) for field in batch))


def default_workers(device: torch.device) -> int:
    """Processes that prepare samples: none where the CPU trains, else one for every core but one, at most 16."""
    return 0 if device.type == "cpu" else max(1, min(16, (os.cpu_count() or 2) - 1))


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Processes that are started meanwhile never see Ctrl-C and SIGTERM, not even before `_ignore_signals`."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # whose start would end the blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ignore_signals(worker: int) -> None:
    # Ctrl-C and torchrun's end reach the workers too; the run still needs them to finish its step.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)


def _footage(root: Path, **options: Any) -> SampleSource:
    """See `eqvi.training.footage.FootageWindows`."""
    from eqvi.training.footage import FootageWindows  # it needs PyAV, which is not on every machine that trains

    return FootageWindows(root, **options)
