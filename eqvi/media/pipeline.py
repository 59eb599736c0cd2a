"""Reading, computing and writing at the same time: frames are read ahead and written behind, each in a thread.

Queues are bounded, order is kept, and an error or an interruption on one side ends the others: what a thread raises is
raised in the main thread, and whoever leaves the context or closes the iterator waits for its thread.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from eqvi.media.image import Image
from eqvi.media.memory_budget import DEPTH
from eqvi.media.output import FrameWriter

# Seconds between two looks at whether the other side has ended.
_PATIENCE = 0.05

Item = TypeVar("Item")


class _End:
    """The last element of a queue; with what ended it, if that was an error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def read_ahead(items: Iterable[Item], depth: int = DEPTH) -> Generator[Item, None, None]:
    """The same items in the same order, of which a thread takes up to `depth` before they are asked for.

    The thread starts with the first item and ends when the iterator is closed.
    """
    line: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()

    def fill() -> None:
        source = iter(items)
        end = _End()
        try:
            for item in source:
                if not _put(line, item, stopped):
                    break
        except BaseException as error:  # raised again where the items are taken
            end = _End(error)
        finally:
            if isinstance(source, Generator):
                source.close()  # in the thread that opened what it reads
        _put(line, end, stopped)

    thread = threading.Thread(target=fill, name="eqvi-read", daemon=True)
    thread.start()
    try:
        while not isinstance(item := line.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        thread.join()


class WriteBehind:
    """Stands in for a writer of frames that a thread calls, up to `depth` frames later.

    Args:
        writer: a `FrameWriter`; its context has to be left after this one.
        depth: frames that wait at most.
    """

    def __init__(self, writer: FrameWriter, depth: int = DEPTH) -> None:
        self._writer = writer
        self._line: queue.Queue[Callable[[], None] | _End] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="eqvi-write", daemon=True)

    def __enter__(self) -> "WriteBehind":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until all is written that was made, also after an error; after an interruption let it go."""
        try:
            if kind is None or issubclass(kind, Exception):
                _put(self._line, _End(), self._stopped)
                self._thread.join()
        finally:
            self._stopped.set()
            self._thread.join()
        if kind is None:
            self._raise()

    def has(self, name: str) -> bool:
        """Whether the frame of that name was written by an earlier run."""
        return self._writer.has(name)

    def add(self, name: str, time: Fraction, image: "Image | Future[Image]", path: Path | None) -> None:
        """Write a frame, which may still be in the making; what went wrong with one before is raised here."""
        made = image.result if isinstance(image, Future) else lambda: image
        self._later(lambda: self._writer.add(name, time, made(), path))

    def end(self, time: Fraction) -> None:
        """The time at which the last frame ends."""
        self._later(lambda: self._writer.end(time))

    def _later(self, step: Callable[[], None]) -> None:
        _put(self._line, step, self._stopped)
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _work(self) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    step = self._line.get(timeout=_PATIENCE)
                except queue.Empty:
                    continue
                if isinstance(step, _End):
                    return
                step()
        except BaseException as error:  # raised again in the main thread
            self._error = error
            self._stopped.set()


def _put(line: "queue.Queue[Any]", item: Any, stopped: threading.Event) -> bool:
    """Wait for a place in a queue; False if the other side has ended meanwhile."""
    while not stopped.is_set():
        try:
            line.put(item, timeout=_PATIENCE)
            return True
        except queue.Full:
            continue
    return False
