"""Precisions in which a model computes, by name, and compiled models."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, Literal

import torch

from eqvi.model.eqvi import EQVI

#: ``float32``: throughout; ``tf32``: products of float32 are rounded to TF32's ten bits, where the device has it;
#: ``bfloat16``: convolutions under autocast, all else as ``tf32``.
ComputePrecision = Literal["float32", "tf32", "bfloat16"]


@contextlib.contextmanager
def float32_precision(tf32: bool) -> Iterator[None]:
    """Whether float32 may round to TF32's ten bits; by default torch lets convolutions do so, but not products."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = tf32
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def autocast(precision: str, device: str) -> contextlib.AbstractContextManager[Any]:
    """Convolutions in bfloat16 if that is the precision; anything else changes nothing."""
    if precision != "bfloat16":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16)


@contextlib.contextmanager
def computing(precision: ComputePrecision, device: str) -> Iterator[None]:
    """Within this context models on `device` compute in that precision."""
    with float32_precision(precision != "float32"), autocast(precision, device):
        yield


def compiled(model: EQVI, device: str) -> EQVI:
    """A model with the same weights whose steps 2 to 8 are compiled at first use.

    The flow network stays as it is: compiling the thousands of small operations of its cost volumes takes minutes. So
    does what footage gets by default on the CPU, which needs a C++ compiler and makes no frame faster (tried on two
    cores, AVX2): there steps are only traced, which shows that they can be.
    """
    own = copy.copy(model)
    backend = "inductor" if torch.device(device).type == "cuda" else "eager"
    own.interpolate = torch.compile(own.interpolate, backend=backend, dynamic=False)  # type: ignore[method-assign]
    return own
