"""What a new frame costs at least, its convolutions at the machine's rate, and how near it comes to the exact one."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from eqvi.devices import has_bfloat16
from eqvi.evaluation.running_clip import RunningClip
from eqvi.evaluation.workloads import Task, Workload, fast, interpolation, memory

# A convolution that machines are good at: channels in and out, height, width, and how often it is done at once.
_CHANNELS, _HEIGHT, _WIDTH, _TIMES = 128, 64, 112, 9
#: A difference that counts, grey levels.
SEEN = 0.1


@contextlib.contextmanager
def counted(tell: Callable[[int], None]) -> Iterator[None]:
    """Within this context `tell` is given the arithmetic of every convolution, 2 x its multiply-adds."""

    def add(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, nn.Conv2d):
            tell(2 * output.numel() * module.weight[0].numel())

    hook = register_module_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()


def convolution(load: Workload) -> list[Task]:
    """A convolution at the machine's rate, in float32 and, where it has it, in bfloat16; unit: GFLOP."""
    made = round(2 * 9 * _CHANNELS**2 * _HEIGHT * _WIDTH * _TIMES / 1e9)
    kinds = ("float32", "bfloat16") if has_bfloat16(load.device) else ("float32",)
    return [
        Task("convolution", kind, "GFLOP", made, partial(_convolution_input, load.device, kind), _convolve)
        for kind in kinds
    ]


def work(load: Workload) -> dict[str, float]:
    """GFLOP of the convolutions of a new frame of each variant of ``interpolation``."""
    found = {}
    for task in interpolation(load):
        prepared, operations = task.prepare(), list[int]()
        with counted(operations.append):
            task.run(prepared)
        found[task.variant] = sum(operations) / task.amount / 1e9
    return found


def parity(load: Workload) -> dict[str, float]:
    """PSNR in dB of the last new frame at x2 of ``fast`` and ``bfloat16`` against that of ``interpolation``."""
    exact = _last_frame(_at_x2(interpolation(load)))
    kinds = {"fast": "float32", "bfloat16": "bfloat16"}
    frames = {
        part: _last_frame(_at_x2(fast(load, precision=precision)))
        for part, precision in kinds.items()
        if part == "fast" or has_bfloat16(load.device)
    }
    return {part: -10 * (frame - exact).square().mean().log10().item() for part, frame in frames.items()}


def seams(load: Workload) -> dict[str, float]:
    """How a frame of the part ``memory`` in tiles differs from the whole one.

    Returns:
        ``count`` of the tiles, the ``largest`` difference in grey levels, and the share ``above`` 0.1 of them.
    """
    whole, tiles = memory(load)
    difference = 255 * (_last_frame(tiles) - _last_frame(whole)).abs()
    grid: Any = _running(tiles).model.grid
    return {
        "count": len(grid(load.height, load.width)),
        "largest": difference.max().item(),
        "above": (difference > SEEN).double().mean().item(),
    }


def _at_x2(tasks: list[Task]) -> Task:
    return next(task for task in tasks if task.variant == "x2")


def _last_frame(task: Task) -> Tensor:
    task.run(task.prepare())
    return _running(task).frames[-1]


def _running(task: Task) -> RunningClip:
    clip: Any = task.run.__self__  # type: ignore[attr-defined] # a bound method
    assert isinstance(clip, RunningClip)
    return clip


def _convolution_input(device: str, kind: str) -> tuple[Tensor, Tensor]:
    dtype = getattr(torch, kind)
    image = torch.rand(1, _CHANNELS, _HEIGHT, _WIDTH, device=device, dtype=dtype)
    weight = torch.rand(_CHANNELS, _CHANNELS, 3, 3, device=device, dtype=dtype)
    return image.to(memory_format=torch.channels_last), weight.to(memory_format=torch.channels_last)


@torch.inference_mode()
def _convolve(prepared: tuple[Tensor, Tensor]) -> None:
    for _ in range(_TIMES):
        F.conv2d(*prepared, padding=1)
