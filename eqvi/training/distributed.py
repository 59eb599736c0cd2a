"""Several processes that train one model together, as torchrun starts them, and signals that end a run."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta

import torch
import torch.distributed as dist

from eqvi.devices import shard


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


@contextlib.contextmanager
def deferred_signals() -> Iterator[Callable[[], bool]]:
    """Defer Ctrl-C and SIGTERM: the function given says whether one has come, a second one interrupts at once."""
    received: list[int] = []
    names = (signal.SIGINT, signal.SIGTERM)

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    try:
        handlers = [signal.signal(name, note) for name in names]
    except ValueError:  # not the main thread, which alone receives signals
        yield lambda: False
        return
    try:
        yield lambda: bool(received)
    finally:
        for name, handler in zip(names, handlers, strict=True):
            signal.signal(name, handler)
