"""A picture in memory: what it is made of, the way to a tensor and back, resizing and cropping.

A picture keeps what it is: grey stays grey, 16 bits stay 16, alpha stays, and so does a colour profile.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

Rounding = Literal["round", "truncate"]
Pixels = NDArray[Any]


class Image(NamedTuple):
    """One picture as it was stored.

    Attributes:
        pixels: (H, W, C), uint8 or uint16. C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha (alpha straight).
        profile: ICC colour profile, handed on unread.
    """

    pixels: Pixels
    profile: bytes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.pixels.shape[2] in (2, 4)

    @property
    def peak(self) -> int:
        """The value of white: 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)


class ClipFrame(NamedTuple):
    """A picture with its place in a clip.

    Attributes:
        image: what it shows, resized and cropped already.
        stem: its name without ending.
        time, duration: when it appears and for how long, in seconds.
        path: the file that holds exactly `picture`, if there is one.
    """

    image: Image
    stem: str
    time: Fraction
    duration: Fraction
    path: Path | None


def to_tensor(picture: Image, device: str | torch.device = "cpu") -> Float[Tensor, "1 3 h w"]:
    """RGB in [0, 1], float32; grey is repeated, alpha left aside (see `alpha_to_tensor`)."""
    colour = picture.pixels[..., :-1] if picture.has_alpha else picture.pixels
    return _planes(colour, picture.peak, device).expand(1, 3, -1, -1)


def alpha_to_tensor(picture: Image, device: str | torch.device = "cpu") -> Float[Tensor, "1 1 h w"]:
    """The alpha channel in [0, 1], float32; ones where there is none."""
    if not picture.has_alpha:
        return torch.ones(1, 1, *picture.pixels.shape[:2], device=device)
    return _planes(picture.pixels[..., -1:], picture.peak, device)


def from_tensor(
    frame: Float[Tensor, "1 3 h w"],
    like: Image,
    rounding: Rounding = "round",
    alpha: Float[Tensor, "1 1 h w"] | None = None,
) -> Image:
    """A picture of the colour and depth of `like` from RGB in [0, 1] (and alpha, which `like` must then have).

    ``truncate`` is the published writer's floor of 255 x (spec, section 6), worth up to a grey level.
    """
    if like.pixels.shape[2] <= 2:
        frame = frame.mean(1, keepdim=True)
    if like.has_alpha:
        frame = torch.cat((frame, torch.ones_like(frame[:, :1]) if alpha is None else alpha), dim=1)
    # int32 holds both depths, and the integers are a quarter to a half of the floats to bring back from a device.
    scaled = frame.float().clamp(0, 1) * like.peak
    whole = (scaled.floor() if rounding == "truncate" else scaled.round()).to(torch.int32)
    return Image(whole[0].permute(1, 2, 0).cpu().numpy().astype(like.pixels.dtype), like.profile)


def resized(picture: Image, size: tuple[int, int]) -> Image:
    """Resize to `size` = (width, height): bicubic, with antialiasing where it shrinks."""
    if picture.size == size:
        return picture
    planes = _planes(picture.pixels, 1, "cpu")
    planes = F.interpolate(planes, (size[1], size[0]), mode="bicubic", align_corners=False, antialias=True)
    whole = planes.round().clamp(0, picture.peak)[0].permute(1, 2, 0)
    return picture._replace(pixels=np.ascontiguousarray(whole.numpy().astype(picture.pixels.dtype)))


def cropped(picture: Image, box: tuple[int, int, int, int]) -> Image:
    """The part of `picture` in `box` = (width, height, x, y)."""
    width, height, x, y = box
    return picture._replace(pixels=np.ascontiguousarray(picture.pixels[y : y + height, x : x + width]))


def _planes(pixels: Pixels, peak: int, device: str | torch.device) -> Float[Tensor, "1 c h w"]:
    # torch knows little of uint16; int32 travels instead.
    whole = torch.from_numpy(pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)).to(device)
    planes = whole.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format)
    return planes if peak == 1 else planes / peak
