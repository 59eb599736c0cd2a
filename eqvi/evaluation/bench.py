"""Speed and memory, ours beside the published schedule of flow calls.

All variants of a part take turns in one process, once in each round, in an order that turns round; a ratio is taken
within a round, so that other load on the machine falls on both sides. The workloads: `eqvi.evaluation.workloads`.
"""

import contextlib
import csv
import dataclasses
import gc
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from eqvi.errors import InputError
from eqvi.evaluation.memory import peak_apart
from eqvi.evaluation.workloads import DEVICE_PARTS, PUBLISHED_CALLS, Load, Task, data, done_alone, variants
from eqvi.files import replacing
from eqvi.model.config import PRESETS
from eqvi.provenance import processor, surroundings
from eqvi.reports.speed import Row

_PACKAGES = ("torch", "numpy", "scikit-image", "opencv-python-headless")

PEAK_MEASURED_BY = {
    "cuda": "torch.cuda.max_memory_allocated over one go, with model, optimiser and batch",
    "cpu": "largest resident set of a process that does nothing else, twice, less that of one that only imports; MiB",
}


def check(load: Load, parts: Sequence[str], rounds: int) -> None:
    """Raise InputError unless all of that can be measured."""
    if load.preset not in PRESETS:
        raise InputError(f"--preset {load.preset} is not known: choose one of {', '.join(PRESETS)}")
    for name, value in (("rounds", rounds), ("windows", load.windows)):
        if value < 1:
            raise InputError(f"--{name} {value} is too small: give at least 1")
    if "training" in parts and not PRESETS[load.preset].refine:
        raise InputError(f"--preset {load.preset} has nothing to train: give --parts interpolation")
    if {"training", "data"} & set(parts):
        learned = load.preset if PRESETS[load.preset].refine else "eqvi"
        dataclasses.replace(load, preset=learned).recipe()


def measure(load: Load, parts: Sequence[str], rounds: int, progress: bool = True) -> list[Row]:
    """Every variant once a round; a round before the first warms up and does not count.

    Training and the making of samples take turns with each other; interpolation comes by itself afterwards, so that
    on a GPU neither holds memory while the other is measured.

    Raises:
        InputError: memory is too small.
    """
    device = torch.device(load.device)
    names = {part: [(part, variant) for variant in variants(load, part)] for part in parts}
    apart = [name for part in parts if part in DEVICE_PARTS and device.type == "cpu" for name in names[part]]
    total = sum(map(len, names.values())) * (rounds + 1) + len(apart)
    rows: list[Row] = []
    with (
        tqdm(total=total, unit="go", disable=None if progress else True, file=sys.stderr) as bar,
        tempfile.TemporaryDirectory() as scratch,
        _enough_memory(load),
    ):
        peaks = _peaks_apart(load, apart, bar) if apart else {}
        for group in (("training", "data"), ("interpolation",)):
            tasks: list[Task] = []
            for part in group:
                if part in parts:
                    bar.set_description(part)
                    tasks += data(load, Path(scratch)) if part == "data" else DEVICE_PARTS[part](load)
            rows += _take_turns(tasks, rounds, device, peaks, bar)
            tasks.clear()
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    return rows


def record(load: Load, parts: Sequence[str], rounds: int, tf32: bool) -> dict[str, Any]:
    """What made the times."""
    kind = torch.device(load.device).type
    return {
        "parameters": {
            "parts": list(parts), "rounds": rounds, "tf32": tf32,
            **dataclasses.asdict(load),
        },
        "weights": "random",
        "protocol": {
            "published": f"its schedule of flow calls in our code, {len(PUBLISHED_CALLS)} for each new frame, "
            "each both ways with occlusion, in float32; all else as in ours",
            "rounds": "all variants of a part in turn, in an order that turns round; the first round does not count",
            "peak_mib": PEAK_MEASURED_BY.get(kind, "not measured on this device"),
        },
        **surroundings(load.device, _PACKAGES),
        **processor(),
    }  # fmt: skip


def write(rows: Sequence[Row], made_by: dict[str, Any], path: Path) -> None:
    """Write the rows, and what made them beside; each file is renamed when it is whole.

    Raises:
        InputError: the place is not writable or the disk is full.
    """
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        for row in rows:
            peak = "" if row.peak_mib is None else f"{row.peak_mib:.1f}"
            writer.writerow((*row[:5], f"{row.seconds:.6f}", peak))
    with replacing(path.with_suffix(".json")) as beside:
        beside.write_text(json.dumps(made_by, indent=1) + "\n", encoding="utf-8")


def _take_turns(
    tasks: Sequence[Task], rounds: int, device: torch.device, peaks: dict[tuple[str, str], float], bar: Any
) -> list[Row]:
    rows = []
    for number in range(rounds + 1):
        for task in tasks if number % 2 else tasks[::-1]:
            bar.set_description(f"{task.part} {task.variant}")
            seconds, peak = _timed(task, device)
            if number:
                known = peaks.get((task.part, task.variant), peak)
                rows.append(Row(task.part, task.variant, task.unit, number, task.made, seconds, known))
            bar.update()
    order = [(task.part, task.variant) for task in tasks]
    return sorted(rows, key=lambda row: (order.index((row.part, row.variant)), row.round))


def _timed(task: Task, device: torch.device) -> tuple[float, float | None]:
    """Seconds, and on a GPU the most memory, MiB."""
    given = task.ready()
    watched = device.type == "cuda" and task.part in DEVICE_PARTS
    torch.get_device_module(device).synchronize()
    if watched:
        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    task.work(given)
    torch.get_device_module(device).synchronize()
    seconds = time.perf_counter() - began
    return seconds, torch.cuda.max_memory_allocated(device) / 2**20 if watched else None


def _peaks_apart(load: Load, names: Sequence[tuple[str, str]], bar: Any) -> dict[tuple[str, str], float]:
    """The most memory of each variant on the CPU, from a process for each, MiB."""
    threads = torch.get_num_threads()
    bar.set_description("memory")
    idle = peak_apart(partial(done_alone, load, None, threads), "idle", _SMALLER)
    found = {}
    for name in names:
        bar.set_description(f"memory of {' '.join(name)}")
        found[name] = peak_apart(partial(done_alone, load, name, threads), " ".join(name), _SMALLER) - idle
        bar.update()
    return found


_SMALLER = "give a smaller --crop, --batch or --size, or another preset"


@contextlib.contextmanager
def _enough_memory(load: Load) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # On the CPU it is no OutOfMemoryError, if the system says no at all.
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise InputError(f"the memory of {load.device} is too small: {_SMALLER}") from None
        raise


@contextlib.contextmanager
def float32_precision(tf32: bool) -> Iterator[None]:
    """Whether what is called float32 may round to TF32's ten bits: by itself torch lets convolutions, for all."""
    places: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [place.allow_tf32 for place in places]
    try:
        for place in places:
            place.allow_tf32 = tf32
        yield
    finally:
        for place, allowed in zip(places, before, strict=True):
            place.allow_tf32 = allowed
