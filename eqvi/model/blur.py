"""Blurs of images and fields of any size: Gaussian of any standard deviation, binomial, and the mean over a square."""

import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

#: Side of the square of `square_mean`, in pixels.
SQUARE = 7


def gaussian_blur(image: Float[Tensor, "b c h w"], sigma: float) -> Float[Tensor, "b c h w"]:
    """Gaussian blur of standard deviation `sigma` pixels, separable, with the rim reflected as often as it takes."""
    rows, columns = (blur_matrix(side, sigma, image.device, image.dtype) for side in image.shape[-2:])
    with torch.autocast(image.device.type, enabled=False):  # positions in pixels: bfloat16 is too coarse
        return rows @ image @ columns.T


@functools.lru_cache(maxsize=64)
def blur_matrix(side: int, sigma: float, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "n n"]:
    """A Gaussian blur along `side` pixels as a matrix, made once: two products are faster than two convolutions."""
    radius = max(1, round(4 * sigma))
    with torch.inference_mode(False), torch.no_grad():  # it may be used in training later
        taps = torch.arange(-radius, radius + 1)
        kernel = torch.exp(-0.5 * (taps.double() / sigma) ** 2)
        # The mirrored coordinates of size 1 2 3 2 1 2 3 ...: a kernel may be wider than the image.
        places = (torch.arange(side)[:, None] + taps) % max(2 * side - 2, 1)
        places = torch.where(places < side, places, 2 * side - 2 - places)
        matrix = torch.zeros(side, side, dtype=torch.float64)
        matrix.scatter_add_(1, places, (kernel / kernel.sum()).expand(side, -1))
        return matrix.to(device=device, dtype=dtype)


def binomial(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Blur by the weights 1 2 1 in rows and columns, with the rim repeated: a standard deviation of 0.7 pixels."""
    return _three(image, 2).mul_(1 / 16)


def box(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Blur by the weights 1 1 1, likewise; on a CPU `avg_pool2d` takes ten times as long."""
    return _three(image, 1).mul_(1 / 9)


def _three(image: Float[Tensor, "b c h w"], middle: int) -> Float[Tensor, "b c h w"]:
    """The sum over three by three pixels, of which those in the middle count more, with the rim repeated."""
    x = F.pad(image, (1,) * 4, mode="replicate")
    x = (x[..., :-2] + x[..., 2:]).add_(x[..., 1:-1], alpha=middle)
    return (x[..., :-2, :] + x[..., 2:, :]).add_(x[..., 1:-1, :], alpha=middle)


def square_mean(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The mean over the square of `SQUARE` pixels around each pixel, as far as it lies inside.

    By sums of two, four and seven neighbours, a channel at a time, which caches hold; on a CPU `avg_pool2d` takes four
    times as long.
    """
    share = _shares(*image.shape[-2:], image.device, image.dtype)
    return torch.cat([_sum_of_7(_sum_of_7(x, -1), -2) * share for x in image.split(1, dim=1)], dim=1)


@functools.lru_cache(maxsize=8)
def _shares(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "h w"]:
    """What each pixel of a square counts in its mean: 1 / 49, and more at the rim; made once."""
    with torch.inference_mode(False), torch.no_grad():  # it may be used in training later
        ones = [torch.ones(1, 1, 1, side, device=device, dtype=dtype) for side in (height, width)]
        rows, columns = (_sum_of_7(one, -1).flatten() for one in ones)
        return 1 / (rows[:, None] * columns)


def _sum_of_7(x: Float[Tensor, "b c h w"], axis: int) -> Float[Tensor, "b c h w"]:
    count, reach = x.shape[axis], SQUARE // 2
    x = F.pad(x, (reach, reach) if axis == -1 else (0, 0, reach, reach))
    two = x.narrow(axis, 0, count + 5) + x.narrow(axis, 1, count + 5)
    four = two.narrow(axis, 0, count + 3) + two.narrow(axis, 2, count + 3)
    return four.narrow(axis, 0, count).add_(two.narrow(axis, 4, count)).add_(x.narrow(axis, 6, count))
