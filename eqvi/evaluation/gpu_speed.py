"""The steps ``speed`` and ``compiled`` of a visit to a GPU: new frames a second and memory, case by case.

A case is a size, a precision and an execution (`eqvi.evaluation.workloads.Workload`). In every eager case the published
schedule takes turns with ours. Cases come in the order of their worth; those that there is no time for are left out.
Tables:

- ``rows``: for every case, ``variant`` and ``round`` the frames ``made``, in how many ``seconds``, with which peak
  memory (``peak_mib``).
- ``work``: for every size and variant the arithmetic of the convolutions of one new frame, ``gflop``.
- ``profile``: the operations, on a GPU the kernels, that take most time in one window of a case.
- ``left_out``: a case or variant that was not measured, and ``why``.
"""

import contextlib
import gc
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from eqvi.evaluation.bench import take_turns
from eqvi.evaluation.floor import counted
from eqvi.evaluation.gpu_record import Task
from eqvi.evaluation.gpu_steps import COMPILED_MODES, compare, nvidia_smi
from eqvi.evaluation.precision import float32_precision
from eqvi.evaluation.workloads import Task as Timed
from eqvi.evaluation.workloads import Workload, interpolation
from eqvi.files import reason
from eqvi.reports.speed import Row

#: Rounds of a case, besides one that warms up.
ROUNDS = 3
#: Kernels that are tried for a convolution.
TRIED = 4
#: Operations of a profile.
LARGEST = 16


class Case(NamedTuple):
    """What is timed together: height and width in pixels, precision, execution, and windows in a round."""

    height: int
    width: int
    precision: str
    execution: str
    windows: int

    @property
    def words(self) -> str:
        """For the log."""
        return f"{self.width}x{self.height} {self.precision} {self.execution}"


SMALL, HD, UHD = (256, 448, 8), (720, 1280, 3), (2160, 3840, 1)
#: In the order of their worth.
CASES = tuple(
    Case(*size[:2], precision, execution, size[2])
    for size, precision, execution in (
        (HD, "tf32", "eager"), (HD, "bfloat16", "clip"), (HD, "bfloat16", "arranged"), (SMALL, "tf32", "eager"),
        (SMALL, "bfloat16", "clip"), (SMALL, "bfloat16", "arranged"), (HD, "tf32", "clip"), (SMALL, "tf32", "clip"),
        (UHD, "bfloat16", "tiled"), (HD, "tf32", "arranged"), (SMALL, "tf32", "arranged"), (HD, "float32", "eager"),
        (SMALL, "float32", "eager"), (HD, "bfloat16", "graph"), (SMALL, "bfloat16", "eager"), (UHD, "tf32", "eager"),
        (HD, "float32", "arranged"), (HD, "tf32", "graph"), (HD, "bfloat16", "eager"), (UHD, "tf32", "tiled"),
        (UHD, "float32", "eager"), (UHD, "bfloat16", "eager"), (SMALL, "tf32", "graph"), (SMALL, "bfloat16", "graph"),
    )
)  # fmt: skip
#: Cases that are profiled: of 1280x720, the plain one and the one with convolutions arranged for bfloat16.
PROFILED = tuple(case for case in CASES if case.height == HD[0] and case[2:4] in (("tf32", "eager"),
                                                                                 ("bfloat16", "arranged")))  # fmt: skip
COMPILED = tuple(Case(*size[:2], "tf32", "compiled", size[2]) for size in (HD, SMALL))
#: The same kinds of case at toy size.
TOY_CASES = tuple(Case(64, 96, precision, execution, 1) for precision, execution in (
    ("tf32", "eager"), ("bfloat16", "arranged"), ("tf32", "clip"), ("tf32", "tiled"), ("bfloat16", "graph"),
))  # fmt: skip
TOY_COMPILED = (Case(64, 96, "tf32", "compiled", 1),)


def speed(task: Task) -> None:
    """Every case of `CASES`, the arithmetic of a frame, and two profiles."""
    toy = task.visit.toy
    _measure(task, TOY_CASES if toy else CASES, profiled=TOY_CASES[:1] if toy else PROFILED)


def compiled(task: Task) -> None:
    """Compiled by Inductor: the cases of `COMPILED`, and the golden numbers (table ``stages``, as in parity.json).

    A step of its own, because compiling may take longer than anyone knows.
    """
    first, *others = TOY_COMPILED if task.visit.toy else COMPILED
    _measure(task, [first])
    compare(task, COMPILED_MODES, ("four frames",))  # another case would be another compilation
    _measure(task, others)


def load_of(case: Case, device: str, toy: bool) -> Workload:
    """The workload of a case: published widths, at toy size a quarter of them."""
    return Workload(
        "eqvi-quarter" if toy else "eqvi", height=case.height, width=case.width, windows=case.windows, device=device,
        precision="bfloat16" if case.precision == "bfloat16" else "float32", execution=case.execution,
    )  # fmt: skip


def _measure(task: Task, cases: Sequence[Case], profiled: Sequence[Case] = ()) -> None:
    task.record.note(idle_before=nvidia_smi())
    spent: dict[Case, float] = {}
    for case in cases:
        expected = _expected(case, spent)
        if task.left() < expected:
            why = f"no time left: about {expected:.0f} s would be needed, {max(task.left(), 0):.0f} s were"
            task.record.add("left_out", **case._asdict(), variant="all", why=why)
            continue
        start = time.monotonic()
        # Kernels are chosen by trying them, except at 4K, where that takes longer than the measurement.
        torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit = case.height < UHD[0], TRIED
        with float32_precision(case.precision != "float32"):
            _measure_case(task, case, case in profiled)
        spent[case] = time.monotonic() - start
        gc.collect()
        if task.visit.device == "cuda":
            torch.cuda.empty_cache()
    task.record.note(idle_after=nvidia_smi())


def _measure_case(task: Task, case: Case, profiled: bool) -> None:
    try:
        tasks = interpolation(load_of(case, task.visit.device, task.visit.toy))
    except torch.OutOfMemoryError as error:
        task.record.add("left_out", **case._asdict(), variant="all", why=_why(error))
        return
    wanted = {"eager": ("published", "x2", "x4"), "compiled": ("x2",)}.get(case.execution, ("x2", "x4"))
    tasks = [timed for timed in tasks if timed.variant in wanted]
    uncounted = all((row["height"], row["width"]) != case[:2] for row in task.record.rows("work"))
    work: dict[str, float] | None = {} if uncounted and case.execution == "eager" else None
    rows = measure(task, case._asdict(), tasks, 1 if task.visit.toy else ROUNDS, work)
    for variant, gflop in (work or {}).items():
        task.record.add("work", height=case.height, width=case.width, variant=variant, gflop=gflop)
    rates = ", ".join(f"{row.variant} {row.made / row.seconds:.2f}" for row in rows if row.round == 1)
    task.say(f"{case.words}: new frames a second: {rates or 'none'}")
    if profiled and any(row.variant == "x2" for row in rows):
        _profile(task, case, next(timed for timed in tasks if timed.variant == "x2"))


def measure(
    task: Task, case: Mapping[str, Any], tasks: Sequence[Timed], rounds: int, work: dict[str, float] | None = None
) -> list[Row]:
    """Time tasks in turns, as rows of the table ``rows``; one that does not work is left out, with the reason.

    Args:
        task: the step.
        case: the columns that say what is measured.
        tasks: what takes turns.
        rounds: that count.
        work: gets the arithmetic of what each variant makes, GFLOP each.
    """
    usable = []
    for timed in tasks:
        try:  # once, which warms it up
            prepared, operations = timed.prepare(), list[int]()
            # A hook while it is warmed up would have a compiled model compiled again without it.
            with contextlib.nullcontext() if work is None else counted(operations.append):
                timed.run(prepared)
        except RuntimeError as error:
            task.record.add("left_out", **case, variant=timed.variant, why=_why(error))
            task.say(f"{timed.variant}: {_why(error)}")
            continue
        usable.append(timed)
        if work is not None:
            work[timed.variant] = sum(operations) / timed.amount / 1e9
    rows = take_turns(usable, task.visit.device, rounds, warm_up=False)
    for row in rows:
        values = {"variant": row.variant, "round": row.round, "made": row.made, "seconds": row.seconds}
        task.record.add("rows", **case, **values, peak_mib=row.peak_mib)
    return rows


def _why(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return f"does not fit into the memory: {reason(error)}"[:200]
    return f"{type(error).__name__}: {reason(error)}"[:300]


def _expected(case: Case, spent: Mapping[Case, float]) -> float:
    """Seconds that a case may take, by its pixels from those of the nearest size; 0 for the first.

    Cases in which the published schedule takes turns with ours take several times as long as others: where there is one
    of its own kind, that counts.
    """
    work = {other: other.height * other.width * other.windows for other in (case, *spent)}
    nearest = min((abs(math.log(work[other] / work[case])) for other in spent), default=0.0)
    near = [other for other in spent if abs(math.log(work[other] / work[case])) == nearest]
    alike = [other for other in near if (other.execution == "eager") == (case.execution == "eager")] or near
    return max((spent[other] * work[case] / work[other] for other in alike), default=0.0)


def _profile(task: Task, case: Case, timed: Timed) -> None:
    """The operations that take most time on the device in the windows of one round of x2."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = task.visit.device == "cuda"
    prepared = timed.prepare()
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiler:
        timed.run(prepared)
        torch.get_device_module(torch.device(task.visit.device)).synchronize()
    field = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    # On a GPU the kernels themselves: a captured graph runs them without torch's operations.
    events = [event for event in profiler.key_averages()
              if (str(event.device_type).endswith("CUDA") if on_gpu else event.key.startswith("aten::"))]  # fmt: skip
    total = sum(getattr(event, field) for event in events)
    for rank, event in enumerate(sorted(events, key=lambda event: -getattr(event, field))[:LARGEST], start=1):
        milliseconds = getattr(event, field) / 1000
        task.record.add(
            "profile", **case._asdict(), rank=rank, operation=event.key[:120], calls=event.count,
            milliseconds=milliseconds, share=1000 * milliseconds / total if total else None,
        )  # fmt: skip
