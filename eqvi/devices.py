"""Compute devices by name, what they can do and hold, and the rank of this process where torchrun started several."""

import contextlib
import ctypes
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eqvi.errors import InputError

# Numbers of glibc's `mallopt`: how much freed memory it keeps at the end of the heap, and from which size on a block is
# taken from the system and given back to it.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Looks of a waiting thread of OpenMP before it sleeps.
_SPINS = 2000
#: Bytes of a block from which on glibc by itself takes it from the system and gives it back at once.
GIVEN_BACK = 2**25


def choose_device(name: str) -> str:
    """The device of that name; for ``auto`` the first of cuda, mps, cpu that this machine has.

    Raises:
        InputError: this machine has no such device.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, here in available.items() if here)
    if not available.get(name):
        raise InputError(f"--device {name}: none found here: use --device auto or cpu")
    return name


def shard() -> tuple[int, int]:
    """(rank, world size) of this process as torchrun sets them; (0, 1) without it.

    Raises:
        InputError: RANK or WORLD_SIZE is no number.
    """
    rank, world = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not all(text.isascii() and text.isdigit() for text in (rank, world)):
        raise InputError(f"RANK={rank} and WORLD_SIZE={world} must be whole numbers: unset them, or use torchrun")
    return int(rank), int(world)


def local_device(name: str) -> str:
    """`choose_device`, with a GPU of its own for each process that torchrun starts on this machine."""
    import torch

    device, local_rank = choose_device(name), os.environ.get("LOCAL_RANK", "")
    if device == "cuda" and local_rank.isdigit() and torch.cuda.device_count() > 1:
        device = f"cuda:{int(local_rank) % torch.cuda.device_count()}"
        torch.cuda.set_device(device)
    return device


def is_on_gpu(tensor: Any) -> bool:
    """Whether a tensor is on a CUDA device, for which there are kernels of our own."""
    return tensor.is_cuda


def has_bfloat16(device: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware; a CPU without it is slower than in float32."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu":
        return False
    if platform.machine().lower() in ("x86_64", "amd64"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def free_memory(device: str) -> int | None:
    """Bytes that a device has free; None where it cannot be asked."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return _kilobytes("/proc/meminfo", "MemAvailable") if device == "cpu" else None


def used_memory(device: str) -> int:
    """Bytes that this process holds on a device now; 0 where it cannot be asked."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _kilobytes("/proc/self/status", "VmRSS") or 0


def held_memory(device: str) -> int:
    """`used_memory`, and what the allocator of a GPU keeps beside it, such as for graphs."""
    import torch

    return torch.cuda.memory_reserved(device) if torch.device(device).type == "cuda" else used_memory(device)


def release_memory() -> None:
    """Give memory of the CPU that was freed back to the system, where the C library keeps it (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def keep_memory(below: int = 2**30) -> None:
    """Let the C library of Linux (glibc) keep what is freed, for the tensors to come; `release_memory` gives it back.

    By itself it takes every tensor of more than `GIVEN_BACK` from the system anew, page by page and filled with zeros,
    which takes several times as long as adding two of them. It is a setting of the whole process, for commands of our
    own. It costs memory: large tensors find less room between small ones.

    Args:
        below: bytes of a tensor from which on it is taken and given back all the same.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if option is None:
        return
    if not option(_M_MMAP_THRESHOLD, below):  # old versions go no further than what they do by themselves
        option(_M_MMAP_THRESHOLD, GIVEN_BACK)
    option(_M_TRIM_THRESHOLD, below)


def share_cores() -> None:
    """Let threads of GNU OpenMP, which divide an operation's work, sleep soon when they wait; before torch is imported.

    By themselves they spin for longer. Where other programs want the same cores, the spinning takes the time of the
    thread that is waited for, and two threads come to be several times as slow as one. To sleep at once would cost
    small frames more, as waking takes some microseconds. It is a setting of the whole process, for commands of our own;
    what the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(_SPINS))


def _kilobytes(file: str, name: str) -> int | None:
    """A line of a file that Linux keeps, in bytes; None on other systems."""
    path = Path(file)
    value = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE) if path.exists() else None
    return int(value[1]) * 1024 if value else None


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


def out_of_memory(error: BaseException) -> bool:
    """Whether a device, torch or OpenCV had too little memory; on the CPU neither has an exception of its own."""
    words = ("can't allocate memory", "posix_memalign failed", "Insufficient memory", "bad_alloc")
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's
    return named or any(word in str(error) for word in words)
