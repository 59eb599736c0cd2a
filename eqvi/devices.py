"""Devices by the names that users give them, and this process among those that torchrun started."""

import contextlib
import os
from collections.abc import Iterator

from eqvi.errors import InputError


def choose_device(name: str) -> str:
    """``auto`` made definite, anything else checked.

    Raises:
        InputError: the device is not there.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, found in there.items() if found)
    if not there.get(name):
        raise InputError(f"--device {name}: none found here: use --device auto or cpu")
    return name


def shard() -> tuple[int, int]:
    """Which of how many processes this is, as torchrun says; (0, 1) without it.

    Raises:
        InputError: RANK or WORLD_SIZE is no number.
    """
    found = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not all(text.isascii() and text.isdigit() for text in found):
        raise InputError(
            f"RANK={found[0]} and WORLD_SIZE={found[1]} must be whole numbers: unset them, or use torchrun"
        )
    return int(found[0]), int(found[1])


def local_device(name: str) -> str:
    """`eqvi.devices.choose_device`, and where torchrun starts several processes on a machine, one GPU for each."""
    import torch

    device, place = choose_device(name), os.environ.get("LOCAL_RANK", "")
    if device == "cuda" and place.isdigit() and torch.cuda.device_count() > 1:
        device = f"cuda:{int(place) % torch.cuda.device_count()}"
        torch.cuda.set_device(device)
    return device


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of torch on the CPU: sums in one order, the same bits on any number of cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
