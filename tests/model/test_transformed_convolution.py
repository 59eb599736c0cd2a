"""Convolutions by Fourier transforms: the same up to rounding, in bands and whole."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from eqvi.model import transformed_convolution
from eqvi.model.transformed_convolution import TransformedConv2d, transforms_pay

needs_nnpack = pytest.mark.skipif(not transformed_convolution._has_nnpack(), reason="this PyTorch has no NNPACK")


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def layer(inputs: int = 12, outputs: int = 16, kernel: int = 7, bias: bool = True) -> nn.Conv2d:
    torch.manual_seed(kernel)
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)


@needs_nnpack
@pytest.mark.parametrize("size", [(20, 33), (64, 96), (5, 7)])
@pytest.mark.parametrize("kernel", [5, 7])
@pytest.mark.parametrize("bias", [True, False])
def test_the_same_up_to_rounding(size: tuple[int, int], kernel: int, bias: bool, threads: int) -> None:
    plain = layer(kernel=kernel, bias=bias)
    x = torch.randn(2, 12, *size)
    with torch.inference_mode():
        made, expected = TransformedConv2d(plain)(x), plain(x)
    assert made.shape == expected.shape
    assert (made - expected).abs().max() < 1e-5
    assert (made - expected).abs().max() > 0, "it was computed in the plain way"


@needs_nnpack
def test_a_small_workspace_makes_more_bands_of_the_same(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    transformed = TransformedConv2d(layer())
    x = torch.randn(1, 12, 64, 96)
    row = 10 * (12 + 16) * 16 * 16 * 4  # bytes of a row of tiles
    with torch.inference_mode():
        whole = transformed(x)
        assert transformed.bands(x.shape) == (10 * -(-7 // threads), threads), "seven rows of tiles, shared by all"
        monkeypatch.setattr(transformed_convolution, "WORKSPACE", 4 * row)
        assert transformed.bands(x.shape) == (10 * (4 // threads), threads)
        assert transformed.bands(x.repeat(4, 1, 1, 1).shape) == (10, 1), "of four frames one row of tiles at once"
        assert torch.equal(transformed(x), whole), "bands begin where tiles begin"
        monkeypatch.setattr(transformed_convolution, "WORKSPACE", 1)
        assert transformed.bands(x.shape) == (10, 1), "less is not possible"
        assert torch.equal(transformed(x), whole)


@needs_nnpack
def test_it_repeats_bit_for_bit(threads: int) -> None:
    transformed, x = TransformedConv2d(layer()), torch.randn(1, 12, 64, 96)
    with torch.inference_mode():
        assert torch.equal(transformed(x), transformed(x))


@needs_nnpack
def test_frames_by_pixel_are_taken_as_well() -> None:
    transformed, x = TransformedConv2d(layer()), torch.randn(1, 12, 40, 48)
    with torch.inference_mode():
        assert torch.equal(transformed(x), transformed(x.to(memory_format=torch.channels_last)))


@needs_nnpack
@pytest.mark.parametrize(
    "plain",
    [
        layer(kernel=3),
        layer(inputs=3, outputs=64),
        nn.Conv2d(12, 16, 7),
        nn.Conv2d(12, 16, 7, stride=2, padding=3),
        nn.Conv2d(12, 16, 7, dilation=2, padding=3),
        nn.Conv2d(16, 16, 7, groups=16, padding=3),
        nn.Conv2d(12, 16, (7, 5), padding=(3, 2)),
        nn.Conv2d(12, 16, 7, padding=3, padding_mode="reflect"),
        nn.Conv2d(12, 16, 7, padding="same"),
        nn.Conv2d(12, 16, 7, padding=3, dtype=torch.float64),
    ],
)
def test_other_layers_are_left_alone(plain: nn.Conv2d) -> None:
    assert transforms_pay(layer())
    assert not transforms_pay(plain)


def test_without_nnpack_nothing_is_transformed(monkeypatch: pytest.MonkeyPatch) -> None:
    transformed_convolution._has_nnpack.cache_clear()
    monkeypatch.setattr(torch.backends.nnpack, "is_available", lambda: False)
    assert not transforms_pay(layer())
    transformed_convolution._has_nnpack.cache_clear()
