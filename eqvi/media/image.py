"""Images in memory: conversion to tensors and back, resizing, cropping.

Grey stays grey, 16 bits stay 16, and an alpha channel and a colour profile are kept.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from numpy.typing import NDArray
from torch import Tensor

Rounding = Literal["round", "truncate"]
Pixels = NDArray[Any]


class Image(NamedTuple):
    """An image as stored."""

    pixels: (
        Pixels  # (H, W, C), uint8 or uint16; C: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha (not premultiplied)
    )
    profile: bytes | None = None  # ICC colour profile, passed on as it is
    chunks: tuple[tuple[bytes, bytes], ...] = ()  # of PNG, that say what colours mean, passed on as they are

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.pixels.shape[2] in (2, 4)

    @property
    def colour(self) -> Pixels:
        """(H, W, 1 or 3), `pixels` without alpha."""
        return self.pixels[..., :-1] if self.has_alpha else self.pixels

    @property
    def peak(self) -> int:
        """The value of white: 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)


class ClipFrame(NamedTuple):
    """An image with its place in a clip."""

    image: Image  # already resized and cropped
    stem: str  # its name without suffix
    time: Fraction  # when it appears, in seconds
    duration: Fraction  # for how long, in seconds
    path: Path | None  # the file that contains exactly `image`, if there is one


def to_tensor(image: Image, device: str | torch.device = "cpu") -> Float[Tensor, "1 3 h w"]:
    """RGB in [0, 1], float32; grey is repeated, alpha left out (see `alpha_to_tensor`)."""
    return levels_to_tensor(to_levels(image, device), image.peak)


def to_levels(image: Image, device: str | torch.device = "cpu") -> Integer[Tensor, "h w c"]:
    """Colours as they are stored, on a device; on the CPU 8-bit ones share the image's memory."""
    return _levels(image.colour, device)


def levels_to_tensor(levels: Integer[Tensor, "h w c"], peak: int) -> Float[Tensor, "1 3 h w"]:
    """`to_tensor` of an image from its `to_levels`."""
    return _scaled(levels, peak).expand(1, 3, -1, -1)


def alpha_to_tensor(image: Image, device: str | torch.device = "cpu") -> Float[Tensor, "1 1 h w"]:
    """The alpha channel in [0, 1], float32; ones where there is none."""
    if not image.has_alpha:
        return torch.ones(1, 1, *image.pixels.shape[:2], device=device)
    return _planes(image.pixels[..., -1:], image.peak, device)


def from_tensor(
    frame: Float[Tensor, "1 3 h w"],
    like: Image,
    rounding: Rounding = "round",
    alpha: Float[Tensor, "1 1 h w"] | None = None,
) -> Image:
    """An image with the channels, depth and colour profile of `like` from RGB in [0, 1] (and alpha, if `like` has it).

    ``truncate`` is the published writer's floor of 255 x (see `eqvi.media.frame_names`).
    """
    if like.pixels.shape[2] <= 2:
        frame = frame.mean(1, keepdim=True)
    if like.has_alpha:
        frame = torch.cat((frame, torch.ones_like(frame[:, :1]) if alpha is None else alpha), dim=1)
    # Both depths fit in int32.
    scaled = frame.float().clamp(0, 1) * like.peak
    levels = (scaled.floor() if rounding == "truncate" else scaled.round()).to(torch.int32)
    return like._replace(pixels=levels[0].permute(1, 2, 0).cpu().numpy().astype(like.pixels.dtype))


def resize_image(image: Image, size: tuple[int, int]) -> Image:
    """Resize to `size` = (width, height): bicubic, with antialiasing where it shrinks."""
    if image.size == size:
        return image
    planes = _planes(image.pixels, 1, "cpu")
    planes = F.interpolate(planes, (size[1], size[0]), mode="bicubic", align_corners=False, antialias=True)
    levels = planes.round().clamp(0, image.peak)[0].permute(1, 2, 0)
    return image._replace(pixels=np.ascontiguousarray(levels.numpy().astype(image.pixels.dtype)))


def crop_image(image: Image, box: tuple[int, int, int, int]) -> Image:
    """The part of `image` in `box` = (width, height, x, y)."""
    width, height, x, y = box
    return image._replace(pixels=np.ascontiguousarray(image.pixels[y : y + height, x : x + width]))


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an orientation, one of the eight of EXIF (2.3, tag 0x0112); 1 leaves everything as it is."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _planes(pixels: Pixels, peak: int, device: str | torch.device) -> Float[Tensor, "1 c h w"]:
    return _scaled(_levels(pixels, device), peak)


def _levels(pixels: Pixels, device: str | torch.device) -> Integer[Tensor, "h w c"]:
    # torch has few operations for uint16, so those go through int32.
    return torch.from_numpy(pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)).to(device)


def _scaled(levels: Integer[Tensor, "h w c"], peak: int) -> Float[Tensor, "1 c h w"]:
    planes = levels.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format)
    return planes if peak == 1 else planes / peak
