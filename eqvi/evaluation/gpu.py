"""Everything that a GPU has to answer, in one visit of some minutes: a plan of steps, each with its share of the time.

Every step runs in a process of its own, which is stopped when its time is over: a step that hangs, crashes or uses up
the memory leaves the others alone. The processes are forked from one that has imported what they need, so that a step
costs no second import. A step writes its result file row by row (`eqvi.evaluation.gpu_record`).
"""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from eqvi.datasets.checksums import fingerprint
from eqvi.errors import InputError
from eqvi.evaluation.gpu_record import Record, Task, Visit, pack_records, say
from eqvi.files import git_blob, reason, write_failure
from eqvi.paths import PACKAGE

#: What torch imports when it profiles, compiles or is asked for deterministic algorithms.
_LATE_IMPORTS = ("torch._dynamo", "torch._inductor.config")
_PACKAGES = ("torch", "numpy", "opencv-python-headless", "triton")

#: Seconds at the end of a step's time in which it should end by itself, before it is stopped.
GRACE = 4.0
#: Seconds at the end of all for the last files.
CLOSING = 2.0


class Step(NamedTuple):
    """One step of a visit.

    Attributes:
        name: of the step and of its file.
        purpose: in a few words.
        share: of the visit's minutes. What earlier steps leave over is added to it.
        least: seconds without which it is not begun; a rehearsal needs a tenth.
        function: "MODULE:NAME" of what does it, called with a `Task`.
        alone: whether windows are not rendered meanwhile, because they would disturb what is measured.
    """

    name: str
    purpose: str
    share: float
    least: float
    function: str
    alone: bool = False


@runtime_checkable
class Background(Protocol):
    """Work on the machine's own cores beside the steps."""

    def pause(self) -> None:
        """Stop until `resume`."""

    def resume(self) -> None:
        """Go on."""


#: The steps in order.
PLAN = (
    Step("environment", "the device, its copy rate and matrix rate", 0.02, 10, "eqvi.evaluation.gpu_steps:environment"),
    Step("parity", "the golden numbers in every precision", 0.06, 20, "eqvi.evaluation.gpu_steps:parity"),
    Step("speed", "new frames a second and memory", 0.22, 30, "eqvi.evaluation.gpu_speed:speed", alone=True),
    Step("compiled", "the same, compiled", 0.06, 30, "eqvi.evaluation.gpu_speed:compiled", alone=True),
    Step("training_rate", "samples a second", 0.06, 20, "eqvi.evaluation.gpu_training:training_rate", alone=True),
    Step("weights", "training runs by their recipes", 0.58, 60, "eqvi.evaluation.gpu_weights:weights"),
)


def opening(visit: Visit, minutes: float, plan: Sequence[Step] = PLAN) -> str:
    """The first line: what will be done and how long it takes."""
    shares = ", ".join(f"{step.name} {60 * minutes * step.share:.0f} s" for step in plan)
    kind = "a rehearsal at toy size" if visit.toy else "the visit"
    return f"eqvi gpu: {kind} on {visit.device}, at most {minutes:g} minutes: {shares}; results into {visit.folder}"


def open_folders(folder: Path, packed: Path | None = None) -> None:
    """Make the folder of the results, with an empty log, and that of the packed ones.

    Raises:
        InputError: one cannot be written.
    """
    option = f"--out {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.txt").write_text("")
        if packed is not None:
            option = f"--packed {packed}"
            packed.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{option}: cannot be written: {write_failure(error)}") from None


def chosen_steps(names: Sequence[str], plan: Sequence[Step] = PLAN) -> tuple[Step, ...]:
    """The named steps in the plan's order; their shares of the minutes grow alike."""
    chosen = [step for step in plan if step.name in names]
    whole = sum(step.share for step in chosen)
    return tuple(step._replace(share=step.share / whole) for step in chosen)


def begin(plan: Sequence[Step] = PLAN) -> None:
    """Start the process that the steps' processes are forked from; it imports what they need, and waits."""
    # Otherwise torch may ask the driver for devices while it is imported, and no forked process could use them.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*sorted({step.function.partition(":")[0] for step in plan}), *_LATE_IMPORTS])
    forkserver.ensure_running()


def carry_out(
    visit: Visit, until: float, plan: Sequence[Step] = PLAN, background: Background | None = None
) -> dict[str, str]:
    """Carry out the steps, one after the other.

    Args:
        visit: what the steps share; its folder is there.
        until: when all is over, on the clock of `time.monotonic`.
        plan: the steps.
        background: paused while a step wants to be alone.

    Returns:
        How each step ended, by its name: see `eqvi.evaluation.gpu_record.STATUSES`.
    """
    began = time.monotonic()
    context = _context(visit, until)
    started = time.monotonic()
    scale = max(until - CLOSING - started, 0) / sum(step.share for step in plan)
    statuses, share = {}, 0.0
    for step in plan:
        share += step.share
        deadline = started + scale * share
        limit = deadline - time.monotonic()
        least = step.least / 10 if visit.toy else step.least
        say(visit.folder, f"[{time.monotonic() - began:6.1f} s] {step.name}: {step.purpose}, at most {limit:.0f} s")
        if limit < least:
            why = f"needs at least {least:g} s, {max(limit, 0):.1f} s were left"
            Record(visit, step.name, limit).close("skipped", why, 0.0)
        else:
            with _undisturbed(background if step.alone else None):
                _run(context, visit, step, deadline)
        record = Record.read(visit, step.name, limit).values
        statuses[step.name] = record["status"]
        why = f": {record['why']}" if record["why"] else ""
        counts = ", ".join(f"{len(rows)} {table}" for table, rows in record["tables"].items()) or "no rows"
        say(visit.folder, f"  {step.name}: {record['status']} after {record['seconds']:.1f} s ({counts}){why}")
        pack_records(visit)
    return statuses


def _context(visit: Visit, until: float) -> Any:
    """How processes are started: forked after the imports, or afresh where forked ones cannot use the device."""
    context = multiprocessing.get_context("forkserver")
    probe = context.Process(target=_probe, args=(visit.device,))
    probe.start()
    probe.join(max(0.0, until - time.monotonic()))
    if probe.exitcode == 0:
        return context
    _kill(probe)
    say(visit.folder, "processes are started afresh: one that was forked could not use the device")
    return multiprocessing.get_context("spawn")


def _probe(device: str) -> None:
    import torch

    torch.zeros(1, device=device).sum().item()


def _run(context: Any, visit: Visit, step: Step, deadline: float) -> None:
    """One step in a process of its own, stopped at the deadline; its file says how it ended."""
    started = time.monotonic()
    record = Record(visit, step.name, deadline - started)
    record.write()
    process = context.Process(target=_step, args=(visit, step, deadline), name=step.name)
    process.start()
    try:
        process.join(max(0.0, deadline - time.monotonic()))
        stopped = process.is_alive()
    finally:
        _kill(process)
    record = Record.read(visit, step.name, deadline - started)
    seconds = time.monotonic() - started
    if record.values["status"] != "running":
        return
    if stopped:
        record.close("stopped", f"ran past its {deadline - started:.0f} s; the rows until then are kept", seconds)
    else:
        record.close("failed", f"its process ended with status {process.exitcode}", seconds)


def _step(visit: Visit, step: Step, deadline: float) -> None:
    """A step, in its own process."""
    os.setsid()  # so that processes of its own are stopped with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent, which ends this process
    limit = deadline - time.monotonic()
    record = Record(visit, step.name, limit)
    try:
        from eqvi.provenance import processor, surroundings

        record.note(provenance={**surroundings(visit.device, _PACKAGES), **processor(), "source_sha256": source()})
        module, _, name = step.function.partition(":")
        getattr(import_module(module), name)(Task(visit, record, deadline - min(GRACE, limit / 10)))
    except Exception as error:
        record.close("failed", f"{type(error).__name__}: {reason(error)}"[:500])
    else:
        record.close("done")


def source() -> str:
    """The hash of the package's files, for a machine that has no repository to name the commit from."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return fingerprint((path.relative_to(PACKAGE).as_posix(), git_blob(path)) for path in paths)


def _kill(process: multiprocessing.process.BaseProcess) -> None:
    """End a step's process and those that it started."""
    assert process.pid is not None
    with contextlib.suppress(OSError):  # it has ended, or has no group of its own yet
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


@contextlib.contextmanager
def _undisturbed(background: Background | None) -> Iterator[None]:
    if background is None:
        yield
        return
    background.pause()
    try:
        yield
    finally:
        background.resume()
