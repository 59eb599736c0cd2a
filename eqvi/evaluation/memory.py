"""Peak memory of a function on the CPU, measured in a process of its own. Imports no torch."""

import multiprocessing
import re
import resource
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from eqvi.errors import InputError


def peak_memory(function: Callable[[], object], name: str, advice: str) -> float:
    """The largest resident set, MiB, of a new process that calls `function` and nothing else.

    Args:
        function: can be pickled; its exceptions are raised here.
        name: of the function, for the user.
        advice: to the user if memory is too small.

    Raises:
        InputError: the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send_peak, args=(sender, function), daemon=True)
    child.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        raise InputError(f"{name}: its process was killed, as too little memory does: {advice}") from None
    finally:
        child.terminate()
        child.join()
        receiver.close()
    if isinstance(answer, Exception):
        raise answer
    return answer


def resident_peak() -> float:
    """The largest resident set of this process so far, MiB."""
    status = Path("/proc/self/status")
    peak = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    if peak is not None:
        return int(peak[1]) / 1024
    # Only as a fallback: on Linux it includes what the parent process held.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _send_peak(sender: Connection, function: Callable[[], object]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent, which ends this process
    try:
        function()
        sender.send(resident_peak())
    except Exception as error:
        sender.send(error)
