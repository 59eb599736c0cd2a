"""Triton kernels of two steps that torch does in hundreds of small ones: cost volume and flow reversal.

`eqvi.model.pwc.cost_volume` and `eqvi.model.geometry.splat` call them on a CUDA device, where no gradient is wanted and
Triton is there, and are their reference everywhere else. Triton comes with torch's CUDA wheels; its interpreter
(``TRITON_INTERPRET=1``) runs the same kernels on a CPU, for tests.
"""

import torch
from jaxtyping import Float
from torch import Tensor

try:
    import triton

    from eqvi.model import triton_kernels as kernels
except ImportError:  # torch's CPU wheels come without it
    triton = kernels = None

#: Pixels of a program.
_BLOCK = 64
#: One over the smallest weight or displacement (px) that a splat counts. Sums of whole numbers do not depend on their
#: order, so that the splat is the same in every run; 64 bits hold 2^39 of the units that 2^24 divides.
_UNITS = 2.0**24


def usable(*tensors: Tensor) -> bool:
    """Whether these tensors are on a device that has the kernels, and want no gradient."""
    if triton is None or not all(tensor.is_cuda for tensor in tensors):
        return False
    return not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))


def cost_volume(first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"], reach: int) -> Float[Tensor, "b d h w"]:
    """As `eqvi.model.pwc.cost_volume`, displacements of up to `reach` px; summed in float32."""
    batch, channels, height, width = first.shape
    side = 2 * reach + 1
    second = second.to(first.dtype)
    out = first.new_empty((batch, side * side, height, width))
    grid = (triton.cdiv(width, _BLOCK), height, batch * side)
    kernels.cost_volume[grid](
        first, second, out, height, width, *first.stride(), *second.stride(),
        CHANNELS=channels, REACH=reach, SIDE=side, PADDED=triton.next_power_of_2(side), BLOCK=_BLOCK,
    )  # fmt: skip
    return out


def splat(flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 3 h w"]:
    """As `eqvi.model.geometry.splat`; the same in every run."""
    flow = flow.contiguous()
    batch, _, height, width = flow.shape
    landed = torch.zeros((batch, 3, height, width), dtype=torch.int64, device=flow.device)
    grid = (triton.cdiv(height * width, 4 * _BLOCK), batch)
    kernels.splat[grid](flow, landed, height, width, UNITS=_UNITS, BLOCK=4 * _BLOCK)
    return (landed.double() / _UNITS).to(flow.dtype)
