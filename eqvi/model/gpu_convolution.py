"""Convolutions arranged for a GPU's matrix units: the same sums in less time, for inference.

Matrix units take the channels of a pixel side by side (channels last), in multiples of 16 bytes. Left to itself, torch
turns, widens and pads the inputs of every layer anew, which takes longer than the sums. Here the weights are laid out
once, with zeros up to the next multiple, and what a layer reads is brought into its form where it is put together
(`LaidOutConv2d.joined`); bias and activation are one step (`eqvi.model.gpu_kernels`).
"""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model import gpu_kernels
from eqvi.model.eqvi import EQVI
from eqvi.model.layers import SLOPE, activate
from eqvi.model.scopeflow import OcclusionDecoder, ScopeFlow

#: Bytes of which a pixel's channels are a multiple.
_ALIGNED = 16


def laid_out(model: EQVI, dtype: torch.dtype) -> EQVI:
    """A copy of an `eqvi.EQVI` whose convolutions compute in `dtype`; for inference on a GPU, without autocast.

    Positions, warping weights, blending and fusion stay in float32.
    """
    fast = copy.deepcopy(model)
    _lay_out(fast, dtype)
    if isinstance(fast.flow, ScopeFlow):
        read = model.flow.get_submodule("context.layers.0")
        assert isinstance(read, nn.Conv2d)
        fast.flow.context.layers[0] = LaidOutConv2d(read, dtype, before=fast.flow.estimator.channels)
    return fast


class LaidOutConv2d(nn.Module):
    """A convolution with channels side by side and zeros up to whole units.

    Args:
        layer: whose weights it has.
        dtype: of weights and sums; sums are accumulated in float32.
        before: channels of the first tensor that it reads, if zeros follow them: those of a `DenseEstimator`.
    """

    def __init__(self, layer: nn.Conv2d, dtype: torch.dtype, before: int | None = None) -> None:
        super().__init__()
        self.unit = _ALIGNED * 8 // torch.finfo(dtype).bits
        self.stride, self.padding, self.dilation = layer.stride, layer.padding, layer.dilation
        weight = layer.weight.detach()
        if before is not None:
            weight = torch.cat((self._filled(weight[:, :before]), weight[:, before:]), dim=1)
        weight = self._filled(weight).to(dtype).contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().to(dtype), requires_grad=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o p q"]:
        return F.conv2d(self.joined((x,)), self.weight, self.bias, self.stride, self.padding, self.dilation)

    def activated(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o p q"]:
        """The convolution and its activation."""
        if self.bias is None or not gpu_kernels.usable(x):
            return activate(self.forward(x))
        y = F.conv2d(self.joined((x,)), self.weight, None, self.stride, self.padding, self.dilation)
        y = y.contiguous(memory_format=torch.channels_last)
        gpu_kernels.add_bias_and_activate(y, self.bias, SLOPE)
        return y

    def joined(self, parts: Sequence[Tensor]) -> Float[Tensor, "b c h w"]:
        """What it reads, from tensors of any precision and layout, with zeros up to its channels."""
        channels = sum(part.shape[1] for part in parts)
        fits = channels == self.weight.shape[1] and all(
            part.dtype == self.weight.dtype and part.is_contiguous(memory_format=torch.channels_last) for part in parts
        )
        if fits:
            return parts[0] if len(parts) == 1 else torch.cat(tuple(parts), dim=1)
        first = parts[0]
        x = torch.empty(
            (first.shape[0], self.weight.shape[1], *first.shape[2:]), dtype=self.weight.dtype, device=first.device,
            memory_format=torch.channels_last,
        )  # fmt: skip
        done = 0
        for part in parts:
            count = min(part.shape[1], x.shape[1] - done)  # beyond the weights there are zeros only
            x[:, done : done + count] = part[:, :count]
            done += count
        x[:, done:] = 0
        return x

    def _filled(self, weight: Tensor) -> Tensor:
        """Zeros for the channels that are missing in the last unit."""
        return F.pad(weight, (0, 0, 0, 0, 0, -weight.shape[1] % self.unit))


def _lay_out(module: nn.Module, dtype: torch.dtype) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            setattr(module, name, LaidOutConv2d(child, dtype))
        elif not isinstance(child, OcclusionDecoder):  # which nothing reads
            _lay_out(child, dtype)
