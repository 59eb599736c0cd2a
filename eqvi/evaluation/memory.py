"""The most memory that something takes on the CPU, found in a process of its own. Knows no torch."""

import multiprocessing
import re
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from eqvi.errors import InputError


def peak_apart(job: Callable[[], object], what: str, advice: str) -> float:
    """The largest resident set, MiB, of a new process that does `job` and nothing else.

    Args:
        job: can be pickled; an exception in it is raised here.
        what: it is, for the user.
        advice: to the user if it takes too much.

    Raises:
        InputError: the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_tell, args=(there, job), daemon=True)
    child.start()
    there.close()
    try:
        answer = here.recv()
    except EOFError:
        raise InputError(f"{what}: its process was killed, as too little memory does: {advice}") from None
    finally:
        child.terminate()
        child.join()
        here.close()
    if isinstance(answer, Exception):
        raise answer
    return answer


def resident_peak() -> float:
    """The largest resident set of this process so far, MiB."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) / 1024
    # Only where there is no better: Linux counts what the process that started this one held.
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _tell(end: Connection, job: Callable[[], object]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other process, which ends this one
    try:
        job()
        end.send(resident_peak())
    except Exception as error:
        end.send(error)
