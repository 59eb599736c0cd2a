"""Forked processes that run a command, are killed, limited or deprived of rights, and what they said."""

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

#: In the environment of a child and of all that it starts.
MARK = "EQVI_FAULT"
#: Seconds after which an undisturbed command hangs.
PATIENCE = 120.0


class Child:
    """A running command; its output goes to a file.

    Args:
        action: what it does; returns the exit status.
        log: where its output goes.
        mark: tells its own processes from others.
        powerless: root without its powers, who may write only where permissions say so.
        memory: bytes of address space beside what is there already, None for any.
    """

    def __init__(
        self, action: Callable[[], int], log: Path, mark: str, powerless: bool = False, memory: int | None = None
    ) -> None:
        self.log, self.mark = log, mark
        self._status: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._live(action, powerless, memory)

    def _live(self, action: Callable[[], int], powerless: bool, memory: int | None) -> None:
        code = 99
        try:
            os.setsid()
            os.environ[MARK] = self.mark
            file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            for number in (1, 2):
                os.dup2(file, number)
            if powerless:
                _drop_capabilities()
            if memory is not None:
                total = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + memory
                resource.setrlimit(resource.RLIMIT_AS, (total, total))
            code = action()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException as error:
            if type(error).__name__ == "InputError":
                print(f"eqvi: error: {error}", file=sys.stderr)
                code = 2
            else:
                traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def wait(self, seconds: float = PATIENCE) -> int | None:
        """The exit status, negative for a signal; None if it still runs after so many seconds."""
        deadline = time.monotonic() + seconds
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
                break
            left = deadline - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(0.005, left))
        return self._status

    def kill(self) -> int | None:
        """End it at once, and nothing that it started; the exit status."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def said(self) -> str:
        """What it printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def orphans(self, seconds: float = 15.0) -> list[str]:
        """The processes that it left behind and that do not end by themselves, which are then killed."""
        deadline = time.monotonic() + seconds
        while (left := list(_marked(self.mark))) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return [name for _, name in left]


def _drop_capabilities() -> None:
    """Take from root, as whom tests may run, the power to write where nobody may (Linux: capset, version 3)."""
    header, none = struct.pack("II", 0x20080522, 0), bytes(24)
    if ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


def _marked(mark: str) -> Iterator[tuple[int, str]]:
    """Process number and command of all that carry a mark."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:80]
