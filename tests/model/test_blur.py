"""Blurs over squares and small neighbourhoods."""

import pytest
import torch
import torch.nn.functional as F

from eqvi.model.blur import SQUARE, binomial, box, square_mean


@pytest.mark.parametrize("size", [(9, 14), (5, 33), (1, 3)])
def test_square_mean_is_the_mean_of_what_lies_inside(size):
    image = torch.rand(2, 3, *size)
    expected = F.avg_pool2d(image, SQUARE, 1, SQUARE // 2, count_include_pad=False)
    torch.testing.assert_close(square_mean(image), expected)


@pytest.mark.parametrize("size", [(9, 14), (1, 3)])
def test_small_blurs_are_convolutions_with_the_rim_repeated(size):
    image = torch.rand(2, 3, *size)
    padded = F.pad(image, (1,) * 4, mode="replicate")
    torch.testing.assert_close(box(image), F.avg_pool2d(padded, 3, 1))
    kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
    weight = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
    torch.testing.assert_close(binomial(image), F.conv2d(padded, weight, groups=3))
