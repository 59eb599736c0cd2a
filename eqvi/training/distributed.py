"""Several processes that train one model together, as torchrun starts them; alone without it."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta

import torch
import torch.distributed as dist

from eqvi.errors import InputError


class Processes:
    """This process among those that train together; use as a context.

    Attributes:
        rank, world: which of how many.
    """

    def __init__(self, device: str) -> None:
        try:
            self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        except ValueError:
            raise InputError("RANK and WORLD_SIZE must be whole numbers: unset them, or use torchrun") from None
        self._device = device

    def __enter__(self) -> "Processes":
        if self.world > 1:
            backend = "nccl" if self._device.startswith("cuda") else "gloo"
            # The first to come may wait while another renders a store.
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
        """Until all have come here."""
        if self.world > 1:
            dist.barrier()

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values

    def agree(self, value: int) -> bool:
        """Whether all have the same number."""
        if self.world == 1:
            return True
        both = torch.tensor([value, -value], device=self._device)
        dist.all_reduce(both, dist.ReduceOp.MAX)
        return both[0].item() == -both[1].item()

    def any(self, flag: bool) -> bool:
        """Whether one of them says so."""
        if self.world == 1:
            return flag
        value = torch.tensor(float(flag), device=self._device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return bool(value)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or a polite kill has come since: a run then ends after its step, with its state on disk."""
    asked: list[int] = []
    names = (signal.SIGINT, signal.SIGTERM)

    def note(number: int, frame: object) -> None:
        if asked:  # asked twice: at once
            raise KeyboardInterrupt
        asked.append(number)

    try:
        before = [signal.signal(name, note) for name in names]
    except ValueError:  # not the main thread, which alone hears signals
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
