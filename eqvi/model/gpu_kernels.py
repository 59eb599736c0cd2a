"""Triton kernels of steps that torch does in many small ones: cost volume, splat, sampling, bias with activation.

`eqvi.model.pwc`, `eqvi.model.geometry` and `eqvi.model.gpu_convolution` call them on a CUDA device, where no gradient
is wanted and Triton is there, and have their reference, which computes everywhere else. Triton comes with torch's CUDA
wheels; its interpreter (``TRITON_INTERPRET=1``) runs the same kernels on a CPU, for tests.
"""

import functools
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.devices import is_on_gpu

#: Pixels of a program.
_BLOCK = 64
#: A splat's weights and displacements (px) are summed as whole numbers of 1 / _UNITS each: such sums do not depend on
#: their order, so that the splat is the same in every run. 64 bits hold sums of up to 2^39 px.
_UNITS = 2.0**24


def usable(*tensors: Tensor) -> bool:
    """Whether these tensors are on a device that has the kernels, and want no gradient."""
    if not all(map(is_on_gpu, tensors)) or kernels() is None:
        return False
    return not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))


@functools.cache
def kernels() -> Any:
    """The module of the kernels, or None without Triton; imported at the first use, which takes a second."""
    try:
        return import_module("eqvi.model.triton_kernels")
    except ImportError:  # torch's CPU wheels come without it
        return None


def cost_volume(
    first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"], reach: int
) -> Float[Tensor, "b d h w"]:
    """As `eqvi.model.pwc.cost_volume`, displacements of up to `reach` px; summed in float32."""
    batch, channels, height, width = first.shape
    side = 2 * reach + 1
    layout = _layout(first)
    out = torch.empty((batch, side * side, height, width), dtype=first.dtype, device=first.device, memory_format=layout)
    # Neighbouring threads read neighbouring pixels.
    first, second = first.contiguous(), second.to(first.dtype, memory_format=torch.contiguous_format)
    grid = (_programs(width, _BLOCK), height, batch * side)
    kernels().cost_volume[grid](
        first, second, out, height, width, *first.stride(), *second.stride(), *out.stride(),
        CHANNELS=channels, REACH=reach, SIDE=side, PADDED=_power_of_2(side), BLOCK=_BLOCK,
    )  # fmt: skip
    return out


def sample_at(
    image: Float[Tensor, "b c h w"], places: Float[Tensor, "b 2 p q"], border: bool
) -> Float[Tensor, "b c p q"]:
    """As `eqvi.model.geometry.sample_at`, bilinear, for images of any precision; summed in float32.

    Args:
        image: gives the result its precision and its layout.
        places: x before y, pixels.
        border: whether the nearest pixel is read beyond the frame, instead of zeros.
    """
    batch, channels, height, width = image.shape
    rows, columns = places.shape[-2:]
    out = torch.empty(
        (batch, channels, rows, columns), dtype=image.dtype, device=image.device, memory_format=_layout(image)
    )
    most = min(64, _power_of_2(channels))
    block = max(16, 2048 // most)
    grid = (_programs(rows * columns, block), _programs(channels, most), batch)
    kernels().sample_at[grid](
        image, places, out, channels, height, width, rows, columns, *image.stride(), *places.stride(), *out.stride(),
        BORDER=border, CHANNELS=most, BLOCK=block,
    )  # fmt: skip
    return out


def add_bias_and_activate(x: Float[Tensor, "b c h w"], bias: Float[Tensor, " c"], slope: float) -> None:
    """`x` + `bias`, then LeakyReLU, in `x` itself, whose channels lie side by side in memory."""
    count, channels = x.numel(), x.shape[1]
    grid = (_programs(count, 16 * _BLOCK),)
    kernels().add_bias_and_activate[grid](x, bias, count, CHANNELS=channels, SLOPE=slope, BLOCK=16 * _BLOCK)


def splat(flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 3 h w"]:
    """As `eqvi.model.geometry.splat`; the same in every run."""
    flow = flow.contiguous()
    batch, _, height, width = flow.shape
    landed = torch.zeros((batch, 3, height, width), dtype=torch.int64, device=flow.device)
    grid = (_programs(height * width, 4 * _BLOCK), batch)
    kernels().splat[grid](flow, landed, height, width, UNITS=_UNITS, BLOCK=4 * _BLOCK)
    return (landed.double() / _UNITS).to(flow.dtype)


def _programs(count: int, each: int) -> int:
    return -(-count // each)


def _power_of_2(count: int) -> int:
    """The smallest that is not less."""
    return 1 << (count - 1).bit_length()


def _layout(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
