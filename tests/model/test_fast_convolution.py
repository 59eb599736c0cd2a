"""Fast convolutions: the same frame up to rounding."""

import dataclasses

import pytest
import torch
from small_model import CONFIG
from torch import Tensor, nn

from eqvi.evaluation.panned import panned
from eqvi.model.eqvi import EQVI
from eqvi.model.fast_convolution import LANES, PackedConv2d, accelerated, packed_pixels
from eqvi.model.transformed_convolution import TransformedConv2d, transforms_pay


@pytest.mark.parametrize("width", [32, 45])
@pytest.mark.parametrize(("inputs", "outputs", "kernel"), [(20, 8, 7), (3, 1, 3), (5, 3, 5), (4, 2, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_packed_pixels_are_the_same_convolution(inputs: int, outputs: int, kernel: int, width: int, bias: bool) -> None:
    torch.manual_seed(kernel)
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    packed = PackedConv2d(layer)
    assert 1 < packed.pixels <= LANES // outputs
    x = torch.randn(2, inputs, 19, width)
    with torch.inference_mode():
        assert packed(x).shape == (2, outputs, 19, width)
        assert torch.allclose(packed(x), layer(x), rtol=0, atol=1e-5)


def test_only_what_packing_can_do_is_packed() -> None:
    assert packed_pixels(nn.Conv2d(4, 16, 3, padding=1)) == 1, "fills a register already"
    assert packed_pixels(nn.Conv2d(4, 8, 3, padding=1, stride=2)) == 1
    assert packed_pixels(nn.Conv2d(4, 8, 3, padding=2, dilation=2)) == 1
    assert packed_pixels(nn.Conv2d(4, 8, 3)) == 1, "loses the frame's rim"
    assert packed_pixels(nn.Conv2d(8, 8, 3, padding=1, groups=8)) == 1


def decibels(a: Tensor, b: Tensor) -> float:
    """PSNR of one frame against another."""
    return -10 * (a - b).square().mean().log10().item()


def frames_of(size: tuple[int, int]) -> Tensor:
    return panned(size, range(4))[None]


@pytest.mark.parametrize("size", [(64, 96), (70, 83)])
def test_a_fast_model_makes_the_same_frame(size: tuple[int, int]) -> None:
    model = EQVI(dataclasses.replace(CONFIG, refine_width=0.25, synthesis_width=0.25)).eval()
    fast = accelerated(model)
    assert sum(isinstance(layer, PackedConv2d) for layer in fast.modules()) > 4
    assert not any(isinstance(layer, PackedConv2d) for layer in model.modules()), "the model itself stays as it is"
    wide = sum(isinstance(layer, nn.Conv2d) and transforms_pay(layer) for layer in model.modules())
    assert sum(isinstance(layer, TransformedConv2d) for layer in fast.modules()) == wide
    assert not any(isinstance(layer, TransformedConv2d) for layer in accelerated(model, transforms=False).modules())
    with torch.inference_mode():
        plain, same = (one(frames_of(size), 0.25).frame for one in (model, fast))
    assert (plain - same).abs().max() < 1e-3
    assert decibels(plain, same) > 90


def test_a_model_without_convolutions_is_taken_as_well() -> None:
    model = EQVI(dataclasses.replace(CONFIG, refine=False, residual=False, multi_scale=False))
    with torch.inference_mode():
        plain, same = (one(frames_of((64, 64)), 0.5).frame for one in (model, accelerated(model)))
    assert torch.equal(plain, same)
