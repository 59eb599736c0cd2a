"""Two steps of a visit to a GPU: ``environment``, what the device is and can do; ``parity``, whether it computes right.

Tables of environment.json:

- ``rates``: ``what`` (copy, or matrix in a precision), ``rate`` and its ``unit``: what speed is held against.

Tables of parity.json:

- ``stages``: for every ``mode`` and golden stage the ``largest`` difference, the ``exceeding`` share of pixels beyond
  1e-4, the ``psnr`` of a new frame against the golden one (dB), and whether it is ``within`` the CPU's tolerance.
- ``splat``: the flow reversal repeated, ``deterministic`` or not: the ``largest`` difference of each ``run`` from the
  first, and whether they are ``identical``.
"""

import copy
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from eqvi.devices import has_bfloat16
from eqvi.evaluation.gpu_record import Task
from eqvi.evaluation.parity import KINDS, arrays, load_models, stages
from eqvi.evaluation.precision import ComputePrecision, compiled, computing
from eqvi.files import reason
from eqvi.model.eqvi import EQVI
from eqvi.model.geometry import reverse_flow
from eqvi.model.gpu_convolution import laid_out
from eqvi.model.layers import to_channels_last

#: Repetitions of the flow reversal.
SPLATS = 20
_QUERY = "name,driver_version,memory.total,memory.used,utilization.gpu,clocks.sm,clocks.mem,power.limit"


class Mode(NamedTuple):
    """One way to compute the golden numbers."""

    name: str
    precision: ComputePrecision
    prepare: Callable[[EQVI, str], EQVI]


def environment(task: Task) -> None:
    """Device, driver, memory, versions, and the rates of copying and of matrix products."""
    device = torch.device(task.visit.device)
    facts: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda, "nvidia_smi": nvidia_smi()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        free, total = torch.cuda.mem_get_info(device)
        facts |= {
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "cudnn": torch.backends.cudnn.version(),
            "memory_mib": total / 2**20,
            "free_mib": free / 2**20,
        }
    task.record.note(facts=facts)
    side, size = (256, 2**20) if task.visit.toy else (8192, 2**28)
    rounds = 3 if task.visit.toy else 10
    values = torch.ones(size, device=device)
    target = torch.empty_like(values)
    seconds = timed(lambda: target.copy_(values), device, rounds)
    task.record.add("rates", what="copy", rate=2 * 4 * size / seconds / 1e9, unit="GB/s, read and written")
    del values, target
    precisions: tuple[ComputePrecision, ...] = ("float32", "tf32", "bfloat16")
    for precision in precisions:
        matrix = torch.ones(side, side, device=device)
        with computing(precision, task.visit.device):
            seconds = timed(partial(torch.matmul, matrix, matrix), device, rounds)
        task.record.add("rates", what=f"matrix {precision}", rate=2 * side**3 / seconds / 1e12, unit="TFLOP/s")


def parity(task: Task) -> None:
    """The golden numbers in float32 and in every other mode; the splat's differences from run to run.

    Raises:
        AssertionError: a stage differs in float32 by more than on the CPU, or the deterministic splat from run to run.
            All rows are written then.
    """
    device = torch.device(task.visit.device)
    failed = _splat(task, device) + compare(task, MODES)
    if failed:
        raise AssertionError(f"not as it should be: {', '.join(failed)}")


def compare(task: Task, modes: Sequence[Mode], cases: Sequence[str] | None = None) -> list[str]:
    """The golden numbers in each of the modes, as rows of the table ``stages``; all cases unless some are named.

    Returns:
        The stages that differ by more than on the CPU in mode ``float32``.
    """
    device = torch.device(task.visit.device)
    with tempfile.TemporaryDirectory() as folder:
        models = load_models(Path(folder), KINDS[:1] if task.visit.toy else KINDS)
    failed, cases = [], ("alone", "two frames") if task.visit.toy else cases
    for mode in modes:
        if task.left() < 0:
            task.record.add("left_out", mode=mode.name, why="no time left")
            continue
        if "bfloat16" in mode.name and not has_bfloat16(task.visit.device):
            # A CPU without it takes minutes for what others do in a second: a rehearsal goes without.
            task.record.add("left_out", mode=mode.name, why="the device has no bfloat16")
            continue
        # A copy: layout and compilation stay with a model.
        own = {kind: mode.prepare(copy.deepcopy(model).to(device), task.visit.device) for kind, model in models.items()}
        try:
            with computing(mode.precision, task.visit.device):
                for stage in stages(own, device, cases):
                    row = {"largest": stage.error, "exceeding": stage.exceeding, "psnr": stage.psnr}
                    task.record.add(
                        "stages", mode=mode.name, case=stage.case, stage=stage.name, **row, within=stage.within
                    )
                    if mode.name == "float32" and not stage.within:
                        failed.append(f"{stage.name} of {stage.case}")
        except RuntimeError as error:  # such as no compiler; the other modes go on
            task.record.add("left_out", mode=mode.name, why=f"{type(error).__name__}: {reason(error)}"[:300])
    return failed


def timed(function: Callable[[], Any], device: torch.device, rounds: int) -> float:
    """Seconds of one call: the best of `rounds`, after one that warms up."""
    synchronize = torch.get_device_module(device).synchronize
    seconds = []
    for _ in range(rounds + 1):
        synchronize()
        start = time.perf_counter()
        function()
        synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def nvidia_smi() -> str | None:
    """What the driver says of the devices, a line each; None where there is no such program."""
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return f"{_QUERY}: {done.stdout.strip()}" if done.returncode == 0 else None


def _channels_last(model: EQVI, device: str) -> EQVI:
    to_channels_last(model)
    return model


def _laid_out(model: EQVI, device: str, dtype: torch.dtype) -> EQVI:
    return laid_out(model, dtype)


def _as_it_is(model: EQVI, device: str) -> EQVI:
    return model


#: The modes of step ``parity``, and of step ``compiled``.
MODES = (
    Mode("float32", "float32", _as_it_is),
    Mode("tf32", "tf32", _as_it_is),
    Mode("bfloat16", "bfloat16", _as_it_is),
    Mode("channels last", "float32", _channels_last),
    Mode("arranged float32", "float32", partial(_laid_out, dtype=torch.float32)),
    Mode("arranged bfloat16", "tf32", partial(_laid_out, dtype=torch.bfloat16)),
)
COMPILED_MODES = (Mode("compiled", "float32", compiled),)


def _splat(task: Task, device: torch.device) -> list[str]:
    """The golden flow reversed again and again, as it comes and by deterministic algorithms.

    Returns:
        What is wrong: the deterministic algorithms differ from run to run.
    """
    flow = arrays("flow_reversal")["flow_1t"].to(device)
    for deterministic in (False, True):
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(deterministic)
        try:
            first = reverse_flow(flow)
            for run in range(1, SPLATS):
                other = reverse_flow(flow)
                largest = max((a - b).abs().max().item() for a, b in zip(first, other, strict=True))
                identical = all(map(torch.equal, first, other))
                task.record.add("splat", deterministic=deterministic, run=run, largest=largest, identical=identical)
        finally:
            torch.use_deterministic_algorithms(before)
    wrong = [row for row in task.record.rows("splat") if row["deterministic"] and not row["identical"]]
    return ["the deterministic splat"] if wrong else []
