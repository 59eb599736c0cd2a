"""Images read between their pixels by OpenCV on a CPU, faster than by PyTorch, where the frames of a clip are made.

`torch.nn.functional.grid_sample` wants places normalised to (-1, 1), which takes passes over memory and rounds them;
`cv2.remap` takes flow as it is. Both compute the same sums, and differ by what is rounded. OpenCV before version 5
knows places to 1/32 of a pixel only, and version 5 too in images of two channels, or more than four: so every plane is
read by itself, and the version at hand is asked once. Measuring and training never come here.
"""

import contextlib
import functools
import itertools
from collections.abc import Iterator
from contextvars import ContextVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_ASKED = ContextVar("fast sampling", default=False)
_BORDERS = {"zeros": cv2.BORDER_CONSTANT, "border": cv2.BORDER_REPLICATE}
_KERNELS = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
# Sides that OpenCV reads as it should.
_SIDES = range(2, 32767)
# Of more channels, which share their places, and of fewer pixels, PyTorch's loops are as fast.
_MOST_CHANNELS, _LEAST_PIXELS = 4, 2**14


@contextlib.contextmanager
def fast_sampling() -> Iterator[None]:
    """Within it, and in the thread that entered it, `eqvi.model.geometry` samples by OpenCV where it can."""
    token = _ASKED.set(True)
    try:
        yield
    finally:
        _ASKED.reset(token)


def usable(image: Tensor, places: Tensor) -> bool:
    """Whether `sample` is asked for, and can be used for this image and these places or flow."""
    return (
        _ASKED.get()
        and image.device.type == "cpu"
        and places.dtype == torch.float32
        and not torch.is_grad_enabled()
        and image.shape[1] <= _MOST_CHANNELS
        and places[0, 0].numel() >= _LEAST_PIXELS
        and all(side in _SIDES for side in (*image.shape[-2:], *places.shape[-2:]))
        and _is_exact()
    )


def sample(
    image: Float[Tensor, "b c h w"],
    places: Float[Tensor, "b 2 p q"],
    outside: str,
    kernel: str,
    relative: bool,
) -> Float[Tensor, "b c p q"]:
    """`image` at `places`, or at each pixel's own place moved by them.

    Args:
        image: whatever its dtype; the result is float32.
        places: (x, y) in pixels.
        outside, kernel: as of `eqvi.model.geometry.sample_at`.
        relative: whether `places` is a flow, of the image's size.
    """
    flags = _KERNELS[kernel] | (cv2.WARP_RELATIVE_MAP if relative else 0)
    sampled = torch.empty(*image.shape[:2], *places.shape[-2:], dtype=torch.float32)
    for planes, (x, y), read in zip(*map(_planes, (image, places, sampled)), strict=True):
        for plane, one in zip(planes, read, strict=True):
            cv2.remap(plane, x, y, flags, one, _BORDERS[outside])
    return sampled


def _planes(images: Tensor) -> np.ndarray:
    """(B, C, H, W) float32 whose planes lie one after the other, in the tensor's own memory if they do there."""
    return images.detach().float().contiguous().numpy()


@functools.cache
def _is_exact() -> bool:
    """Whether this version of OpenCV samples as PyTorch does, and not at the next 1/32 of a pixel."""
    chance = torch.Generator().manual_seed(0)
    places = 16 * torch.rand(1, 2, 16, 16, generator=chance)
    grid = (places * (2 / 15) - 1).permute(0, 2, 3, 1)
    image = torch.rand(1, 1, 16, 16, generator=chance)
    expected = {
        (kernel, outside): F.grid_sample(image, grid, mode=kernel, padding_mode=outside, align_corners=True)
        for kernel, outside in itertools.product(_KERNELS, _BORDERS)
    }
    return all(
        torch.allclose(sample(image, places, outside, kernel, relative=False), values, atol=1e-4, rtol=0)
        for (kernel, outside), values in expected.items()
    )
