"""New frames of a clip made side by side, on a CPU: several small ones at a time, each by fewer threads.

The operations of a small frame take some ten microseconds each. Divided among threads they take hardly less, and those
of fewer values than PyTorch divides at all keep one core waiting. Two frames by a thread each are done sooner than one
after the other by two threads. Large frames are not: their operations divide well, and what two of them hold
overfills the caches that one fits into.

A window's motion follows from that of the window before, so it is estimated where jobs are handed in, in order; jobs
are what comes after. Results are the same but for rounding: PyTorch orders a few sums by the number of threads.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import cv2
import torch

#: Pixels of the largest frames that are made so; measured on two cores, where the two ways break even between 960x540
#: and 1280x720.
LARGEST = 600_000
#: Frames at a time, however many cores there are. More than two were not measured.
MOST = 4

Result = TypeVar("Result")


def frames_at_once(model: Any, height: int, width: int) -> int:
    """How many frames of a size a model of `eqvi.media.precision.for_clips` makes at a time; any other makes one."""
    return model.at_once(height, width) if hasattr(model, "at_once") else 1


def at_most(pixels: int, threads: int) -> int:
    """How many frames of so many pixels pay at a time, where there are so many threads."""
    return max(1, min(MOST, threads)) if pixels <= LARGEST else 1


class SideBySide:
    """Does jobs in threads of its own, `count` at a time, and lets a caller be one job ahead of them; a context.

    Within it PyTorch and OpenCV divide the work of this thread, and of every job, among fewer threads than before.
    Leaving it waits for all jobs, and raises what the first of those that failed has raised; after an interruption
    those that have not begun are dropped.

    Args:
        count: jobs at a time; with 1 each is done at once, by whoever hands it in.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.Semaphore(count + 1)
        self._pool: ThreadPoolExecutor | None = None
        self._before = (0, 0)
        self._failure: BaseException | None = None

    def __enter__(self) -> "SideBySide":
        if self.count > 1:
            self._before = torch.get_num_threads(), cv2.getNumThreads()
            each = max(1, self._before[0] // self.count)
            _divide_among(each, each)
            self._pool = ThreadPoolExecutor(self.count, "eqvi-frame", partial(_divide_among, each, each))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        try:
            self._pool.shutdown(cancel_futures=kind is not None and not issubclass(kind, Exception))
        finally:
            _divide_among(*self._before)
        if kind is None and self._failure is not None:
            raise self._failure

    def submit(self, job: Callable[[], Result]) -> "Future[Result]":
        """The job's result to come; what it raises is raised where the result is asked for."""
        if self._pool is None:
            done: Future[Result] = Future()
            done.set_result(job())
            return done
        self._free.acquire()
        result = self._pool.submit(job)
        result.add_done_callback(self._done)
        return result

    def _done(self, job: "Future[Result]") -> None:
        if not job.cancelled():
            self._failure = self._failure or job.exception()
        self._free.release()


def _divide_among(threads: int, of_opencv: int) -> None:
    torch.set_num_threads(threads)
    cv2.setNumThreads(of_opencv)
