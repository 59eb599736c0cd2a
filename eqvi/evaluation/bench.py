"""Speed and memory, ours beside the published schedule of flow calls.

All variants of a part take turns in one process, once a round, in an order that alternates; ratios are taken within a
round, so that other load on the machine affects both sides. What is timed: `eqvi.evaluation.workloads`.
"""

import contextlib
import dataclasses
import gc
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from eqvi.devices import has_bfloat16
from eqvi.errors import InputError
from eqvi.evaluation.floor import convolution, parity, seams, work
from eqvi.evaluation.journal import write_rows
from eqvi.evaluation.memory import peak_memory
from eqvi.evaluation.published_schedule import PUBLISHED_CALLS
from eqvi.evaluation.workloads import ON_DEVICE, PARTS, Task, Workload, run_task
from eqvi.model.registry import presets
from eqvi.provenance import processor, surroundings
from eqvi.reports.speed import Row

#: Whose versions times depend on.
PACKAGES = ("torch", "numpy", "scikit-image", "opencv-python-headless")
_SMALLER = "give a smaller --crop, --batch or --size, or another preset"

PEAK_MEASURED_BY = {
    "cuda": "torch.cuda.max_memory_allocated over one go, with model, optimiser and batch",
    "cpu": "largest resident set of a process that does nothing else, twice, less that of one that only imports; MiB",
}


def check(load: Workload, parts: Sequence[str], rounds: int) -> None:
    """Raise InputError unless all of that can be measured."""
    if load.preset not in presets():
        raise InputError(f"--preset {load.preset} is not known: choose one of {', '.join(presets())}")
    for name, value in (("rounds", rounds), ("windows", load.windows)):
        if value < 1:
            raise InputError(f"--{name} {value} is too small: give at least 1")
    learned = presets()[load.preset].refine
    if "bfloat16" in parts and not has_bfloat16(load.device):
        raise InputError(f"--parts bfloat16: {load.device} does not compute in it: leave it out")
    if "training" in parts and not learned:
        raise InputError(f"--preset {load.preset} has nothing to train: give --parts interpolation")
    if "memory" in parts and presets()[load.preset].matching:
        raise InputError(
            f"--preset {load.preset} computes frames whole, in no tiles that could be measured: leave memory out"
        )
    if {"training", "data"} & set(parts):
        dataclasses.replace(load, preset=load.preset if learned else "eqvi").recipe()


def measure(load: Workload, parts: Sequence[str], rounds: int, progress: bool = True) -> list[Row]:
    """Time every variant once a round, after a round of warm-up that does not count.

    Training and sample preparation take turns with each other; interpolation follows by itself, so that on a GPU
    neither holds memory while the other is measured.

    Raises:
        InputError: memory is too small.
    """
    rows: list[Row] = []
    with (
        tqdm(total=0, unit="task", disable=None if progress else True, file=sys.stderr) as bar,
        tempfile.TemporaryDirectory() as scratch,
        _enough_memory(load),
    ):
        for group in (("training", "data"), ("interpolation", "fast", "bfloat16"), ("memory",), ("length",)):
            tasks = [task for part in group if part in parts for task in PARTS[part](load, Path(scratch))]
            if {"fast", "bfloat16"} & set(parts) & set(group):
                tasks += convolution(load)
            rows += _measured(load, tasks, rounds, bar)
            tasks.clear()
            gc.collect()
            if torch.device(load.device).type == "cuda":
                torch.cuda.empty_cache()
    return rows


def record(load: Workload, parts: Sequence[str], rounds: int, tf32: bool) -> dict[str, Any]:
    """What made the times."""
    kind = torch.device(load.device).type
    arranged = bool({"fast", "bfloat16"} & set(parts))
    return {
        "parameters": {"parts": list(parts), "rounds": rounds, "tf32": tf32, **dataclasses.asdict(load)},
        "weights": "random",
        **({"gflop_a_frame": work(load), "parity_db": parity(load)} if arranged else {}),
        **({"tiles": seams(load)} if "memory" in parts else {}),
        "protocol": {
            "published": f"its schedule of flow calls in our code, {len(PUBLISHED_CALLS)} for each new frame, "
            "each both ways with occlusion, in float32; all else as in ours",
            "rounds": "all variants of a part in turn, in an order that turns round; the first round does not count",
            "peak_mib": PEAK_MEASURED_BY.get(kind, "not measured on this device"),
        },
        **surroundings(load.device, PACKAGES),
        **processor(),
    }


def write(rows: Sequence[Row], record: dict[str, Any], path: Path) -> None:
    """Write the rows, and beside them the record of what made them.

    Raises:
        InputError: the place is not writable or the disk is full.
    """
    peaks = ["" if row.peak_mib is None else f"{row.peak_mib:.1f}" for row in rows]
    cells = [(*row[:5], f"{row.seconds:.6f}", peak) for row, peak in zip(rows, peaks, strict=True)]
    write_rows(path, Row._fields, cells, record)


def take_turns(tasks: Sequence[Task], device: str, rounds: int, bar: Any = None, warm_up: bool = True) -> list[Row]:
    """Time every task once a round, in an order that alternates.

    Args:
        tasks: all of them take turns.
        device: where they compute.
        rounds: that count.
        bar: of tqdm, if any.
        warm_up: with a round before them that does not count.

    Returns:
        The rows, task by task; on the CPU without peaks.
    """
    rows = []
    for number in range(0 if warm_up else 1, rounds + 1):
        for task in tasks if number % 2 else tasks[::-1]:
            if bar is not None:
                bar.set_description(f"{task.part} {task.variant}")
                bar.update()
            seconds, peak = _timed(task, torch.device(device))
            if number:
                rows.append(Row(task.part, task.variant, task.unit, number, task.amount, seconds, peak))
    order = [(task.part, task.variant) for task in tasks]
    return sorted(rows, key=lambda row: (order.index((row.part, row.variant)), row.round))


def _measured(load: Workload, tasks: Sequence[Task], rounds: int, bar: Any) -> list[Row]:
    """The rows of `take_turns`, with peaks on the CPU, too."""
    on_device = [task for task in tasks if task.part in ON_DEVICE]
    on_cpu = torch.device(load.device).type == "cpu"
    bar.total += len(tasks) * (rounds + 1) + len(on_device) * on_cpu
    peaks = _peaks_on_cpu(load, on_device, bar) if on_cpu and on_device else {}
    rows = take_turns(tasks, load.device, rounds, bar)
    return [row._replace(peak_mib=peaks.get((row.part, row.variant), row.peak_mib)) for row in rows]


def _timed(task: Task, device: torch.device) -> tuple[float, float | None]:
    """Seconds and, on a GPU, the peak memory in MiB."""
    prepared = task.prepare()
    watched = device.type == "cuda" and task.part in ON_DEVICE
    synchronize = torch.get_device_module(device).synchronize
    synchronize()
    if watched:
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    task.run(prepared)
    synchronize()
    seconds = time.perf_counter() - start
    if not watched:
        return seconds, None
    return seconds, max(torch.cuda.max_memory_allocated(device) / 2**20, task.captured_mib())


def _peaks_on_cpu(load: Workload, tasks: Sequence[Task], bar: Any) -> dict[tuple[str, str], float]:
    """Peak memory of each task in MiB, from a process for each, less that of one that only imports."""
    peaks: dict[tuple[str, str] | None, float] = {}
    for name in (None, *((task.part, task.variant) for task in tasks)):
        words = " ".join(name) if name else "idle"
        bar.set_description(f"memory of {words}")
        peaks[name] = peak_memory(partial(run_task, load, name, torch.get_num_threads()), words, _SMALLER)
        bar.update(name is not None)
    return {name: peak - peaks[None] for name, peak in peaks.items() if name}


@contextlib.contextmanager
def _enough_memory(load: Workload) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # On the CPU it is no OutOfMemoryError, if the system says no at all.
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise InputError(f"the memory of {load.device} is too small: {_SMALLER}") from None
        raise
