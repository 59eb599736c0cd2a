"""Precisions in which a clip can be interpolated, faster than a model computes when it is measured."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any, Literal

import torch

from eqvi.devices import GIVEN_BACK, has_bfloat16, keep_memory
from eqvi.errors import InputError
from eqvi.media.memory_budget import MemoryBudget
from eqvi.media.window_graphs import OnGraphs
from eqvi.model.classical_flow import ClassicalFlow
from eqvi.model.eqvi import EQVI
from eqvi.model.fast_convolution import accelerated
from eqvi.model.fast_sampling import fast_sampling
from eqvi.model.gpu_convolution import laid_out
from eqvi.model.interpolation import Interpolation, Motion
from eqvi.model.tiles import tiled

#: Of an interpolated clip. ``exact``: float32 as it is measured; ``float32``: the same up to rounding, as fast as the
#: device can; ``bfloat16``: the convolutions in that.
ClipPrecision = Literal["exact", "float32", "bfloat16"]


def for_clips(model: EQVI, precision: ClipPrecision, device: str, memory: int | None = None) -> Any:
    """A model with the same weights, for inference, that computes in that precision, in tiles if it has to.

    Args:
        model: on `device`; it stays as it is.
        precision: see `ClipPrecision`.
        device: where it computes.
        memory: bytes that the process may hold on the device; None for most of what is free.

    Raises:
        InputError: the device has no such precision.
    """
    if precision == "bfloat16" and not has_bfloat16(device):
        lack = "this CPU has neither AVX512_BF16 nor AMX" if device == "cpu" else f"{device} has none"
        raise InputError(f"--precision bfloat16: {lack}: give --precision float32")
    budget = MemoryBudget(model.config, device, memory)
    kind = torch.device(device).type
    if kind == "cuda" and precision != "exact":
        return OnGraphs(tiled(laid_out(model, getattr(torch, precision)), budget), device, budget.has_room)
    contexts: list[Callable[[], AbstractContextManager[Any]]] = []
    if kind == "cpu" and precision != "exact":
        model = accelerated(model, transforms=precision == "float32")
        contexts.append(fast_sampling)
    if precision == "bfloat16":
        contexts.append(partial(torch.autocast, kind, torch.bfloat16))
    return _Within(tiled(model, budget), contexts, budget.at_once if _of_short_steps(model) else lambda *_: 1)


def ask_for_tiles(model: Any, height: int, width: int) -> None:
    """The first question of a command to a model of `for_clips`: how frames of that size fit into memory.

    Where they are made in tiles, memory that is freed is no longer kept by the process.

    Raises:
        InputError: they do not fit.
    """
    if len(model.grid(height, width)) > 1:
        keep_memory(GIVEN_BACK // 2)  # a plane of 3840x2160 is just smaller than that


def _of_short_steps(model: EQVI) -> bool:
    """Whether frames pay side by side: the convolutions of U-Nets and flow networks divide among threads as well."""
    config = model.config
    return isinstance(model.flow, ClassicalFlow) and not (config.refine or config.residual or config.matching)


class _Within:
    """The two stages of a model, each of which runs within contexts, and how many frames of a size it makes at once."""

    def __init__(
        self,
        model: Any,
        contexts: Sequence[Callable[[], AbstractContextManager[Any]]],
        at_once: Callable[[int, int], int],
    ) -> None:
        self._model, self._contexts, self.at_once = model, contexts, at_once
        self.window, self.pair_suffices, self.grid = model.window, model.pair_suffices, model.grid

    def estimate_motion(self, frames: torch.Tensor, previous: Motion | None = None) -> Motion:
        with self._entered():
            return self._model.estimate_motion(frames, previous)

    def interpolate(self, frames: torch.Tensor, motion: Motion, t: float) -> Interpolation:
        with self._entered():
            return self._model.interpolate(frames, motion, t)

    def _entered(self) -> ExitStack:
        with ExitStack() as stack:
            for context in self._contexts:
                stack.enter_context(context())
            return stack.pop_all()
