"""Gaussian blur of images and fields of any size, by any standard deviation."""

import functools

import torch
from jaxtyping import Float
from torch import Tensor


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
