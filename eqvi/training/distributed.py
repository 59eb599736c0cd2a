"""Several processes that train one model together, as torchrun starts them, and signals that end a run."""

import contextlib
import signal
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist

from eqvi.devices import shard
from eqvi.errors import Terminated


class Processes:
    """This process among those that train together; use as a context, in which they are connected.

    Attributes:
        rank, world: which of how many.

    Raises:
        InputError: RANK or WORLD_SIZE is no number.
    """

    def __init__(self, device: str) -> None:
        self.rank, self.world = shard()
        self._device = device

    def __enter__(self) -> "Processes":
        if self.world > 1:
            backend = "nccl" if self._device.startswith("cuda") else "gloo"
            # The others may wait for hours while the first one renders a store.
            dist.init_process_group(backend, timeout=timedelta(hours=12))
        return self

    def __exit__(self, *_: object) -> None:
        if self.world > 1:
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.world > 1:
            dist.barrier()

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values

    def largest(self, value: float) -> float:
        """The largest value of all processes."""
        if self.world == 1:
            return value
        tensor = torch.tensor(float(value), dtype=torch.float64, device=self._device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor.item()

    def agree(self, value: int) -> bool:
        """Whether all processes have the same number."""
        return self.largest(value) == -self.largest(-value)

    def any(self, flag: bool) -> bool:
        """Whether one of the processes says so."""
        return bool(self.largest(flag))


class Deferred:
    """Ctrl-C or SIGTERM that waits to be asked for; a second one interrupts at once."""

    def __init__(self) -> None:
        self._received: list[int] = []

    def __call__(self) -> bool:
        """Whether one has come."""
        return bool(self._received)

    @property
    def interruption(self) -> KeyboardInterrupt:
        """What to raise for it, once there is time."""
        return Terminated() if signal.SIGTERM in self._received else KeyboardInterrupt()

    def note(self, number: int, frame: object) -> None:
        """The handler of both signals."""
        again = bool(self._received)
        self._received.append(number)
        if again:
            raise self.interruption


@contextlib.contextmanager
def deferred_signals() -> Iterator[Deferred]:
    """Defer Ctrl-C and SIGTERM within this context, if it is in the main thread, which alone receives signals."""
    deferred, names = Deferred(), (signal.SIGINT, signal.SIGTERM)
    try:
        handlers = [signal.signal(name, deferred.note) for name in names]
    except ValueError:
        yield deferred
        return
    try:
        yield deferred
    finally:
        for name, handler in zip(names, handlers, strict=True):
            signal.signal(name, handler)
