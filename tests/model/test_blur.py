"""The mean over a square."""

import pytest
import torch
import torch.nn.functional as F

from eqvi.model.blur import SQUARE, square_mean


@pytest.mark.parametrize("size", [(9, 14), (5, 33), (1, 3)])
def test_square_mean_is_the_mean_of_what_lies_inside(size):
    image = torch.rand(2, 3, *size)
    expected = F.avg_pool2d(image, SQUARE, 1, SQUARE // 2, count_include_pad=False)
    torch.testing.assert_close(square_mean(image), expected)
