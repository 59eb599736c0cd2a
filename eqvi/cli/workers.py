"""The processes that execute the study's notebooks, several at a time."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

Parameters = dict[str, Any]


def outcomes(tasks: Sequence[tuple[Any, ...]], jobs: int, threads: int) -> Iterator[tuple[Path, float, str | None]]:
    """Execute notebooks; yields what `_execute` returns for each task, as they end.

    Args:
        tasks: the arguments of `_execute`.
        jobs: how many at a time; if several, in processes of their own.
        threads: of each kernel; 0 for as many as it likes.
    """
    if jobs == 1:
        _set_threads(threads)
        yield from (_execute(*task) for task in tasks)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), _prepare_worker, (threads,)) as pool:
        # Ctrl-C goes to the workers as well, where it would print a traceback: they are ended from here.
        ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            # The last ones take longest, so they begin.
            futures = [pool.submit(_execute_or_leave, *task) for task in reversed(tasks)]
        finally:
            signal.signal(signal.SIGINT, ours)
        try:
            for future in as_completed(futures):
                yield future.result()
                if future.result()[-1] is not None:
                    pool.shutdown(cancel_futures=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.terminate()
            raise


# Of a worker: whether it executes a notebook, and whether it has been told to leave.
_executing = _leaving = False


def _prepare_worker(threads: int) -> None:
    """Set up a process that executes notebooks: SIGTERM ends it quietly, after its kernel; Ctrl-C is left to ours."""
    signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which kernels would inherit
    signal.signal(signal.SIGTERM, _leave)
    _set_threads(threads)


def _leave(*_: object) -> None:
    global _leaving
    first, _leaving = not _leaving, True
    if _executing and first:
        # An exception that comes while a kernel starts can be lost in Jupyter's event loop; a dead kernel cannot.
        threading.Thread(target=_keep_kernels_dead, daemon=True).start()
        raise KeyboardInterrupt


def _keep_kernels_dead() -> None:
    while True:
        # There are none while the module that starts them is still being imported.
        kernels = getattr(sys.modules.get("eqvi.cli.headless"), "ThisPython", None)
        if kernels is not None:
            kernels.kill_all()
        time.sleep(0.2)


def _execute_or_leave(*task: Any) -> tuple[Path, float, str | None]:
    """`_execute` in a worker; at once at its end if that has been told to leave."""
    global _executing
    try:
        _executing = not _leaving
        return _execute(*task) if _executing else (task[0], 0.0, "interrupted")
    except KeyboardInterrupt:
        return task[0], 0.0, "interrupted"
    finally:
        _executing = False


def _set_threads(threads: int) -> None:
    """Have the kernels that this process starts compute on so many threads; 0 for as many as they like."""
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)


def _execute(
    notebook: Path, output: Path, parameters: Parameters, timeout: int | None, replaces: Sequence[str]
) -> tuple[Path, float, str | None]:
    """Execute one notebook: itself, the seconds that it took, and the failure, if it failed."""
    from eqvi.cli import headless  # imports Jupyter, which takes a second that --help need not wait for

    start = time.monotonic()
    try:
        headless.execute(notebook, output, parameters, timeout, replaces)
    except headless.NotebookFailure as error:
        return notebook, time.monotonic() - start, str(error)
    return notebook, time.monotonic() - start, None
