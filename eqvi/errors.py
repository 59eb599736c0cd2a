"""The one exception that a user's mistake raises, and what ends a command from outside."""

import _thread
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

# Seconds after which a swallowed interruption comes again.
_AGAIN = 0.02
# Characters of a message.
_LONGEST = 1200


class InputError(ValueError):
    """A file or value from the user cannot be used.

    The message is one line that names the file or value and says what to do. The command line prints it and exits with
    status 2; in a notebook it is the last line of the traceback. What it quotes may be anything: line ends are written
    as ``\\n``, and the middle of what is longer than `_LONGEST` is left out.
    """

    def __init__(self, message: str = "") -> None:
        words = [_without_middle(word, _LONGEST // 3) for word in "\\n".join(message.splitlines()).split(" ")]
        super().__init__(_without_middle(" ".join(words), _LONGEST))


def _without_middle(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-longest // 2 :]}"


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does: what is half-written is removed, what is finished is kept."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM, once, unless the process has other plans for it.

    An interruption that comes in a destructor or a callback of the interpreter is swallowed there: it comes again.
    """
    raised = False

    def raise_once(number: int, frame: object) -> None:
        nonlocal raised
        if not raised:  # the cleaning up is not interrupted
            raised = True
            raise Terminated

    def raise_again(unraisable: Any) -> None:
        nonlocal raised
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            hook(unraisable)
            return
        number = interruption_status(unraisable.exc_value or unraisable.exc_type()) - 128
        raised = False
        threading.Timer(_AGAIN, _thread.interrupt_main, (number,)).start()

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    hook = sys.unraisablehook
    sys.unraisablehook = raise_again
    signal.signal(signal.SIGTERM, raise_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.unraisablehook = hook


def interruption_status(interruption: KeyboardInterrupt) -> int:
    """The exit status of an interrupted command, as shells count: 143 after SIGTERM, 130 after Ctrl-C."""
    return 128 + (signal.SIGTERM if isinstance(interruption, Terminated) else signal.SIGINT)
