"""Pixel geometry: sampling grid, backward warp, flow reversal, gradients, resizing.

Pure functions of tensors; device and dtype follow the input. Flows are (B, 2, H, W) in pixels, channel 0 = x (right),
channel 1 = y (down). This file is the one place that chooses the sampling convention: the centre of the first pixel
is at coordinate 0 and the centre of the last at W - 1 (``align_corners=True``), as PyTorch 1.2 sampled by default when
EQVI was published. With today's default a zero flow would blur the image.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqvi.model import fast_sampling, gpu_kernels

#: What a warp reads beyond the frame: zeros, as in the published model, or the nearest pixel of the frame.
Outside = Literal["zeros", "border"]
#: How a warp samples between pixels: by the published model's kernel, or by Keys' (1981), which keeps more detail.
Kernel = Literal["bilinear", "bicubic"]


class Reversed(NamedTuple):
    """A reversed flow.

    Attributes:
        flow: (B, 2, H, W), pixels; 0 where nothing landed.
        weight: (B, 1, H, W), sum of the splatting weights; 0 marks a hole.
    """

    flow: Float[Tensor, "b 2 h w"]
    weight: Float[Tensor, "b 1 h w"]


def pixel_grid(height: int, width: int, like: Tensor) -> Float[Tensor, "2 h w"]:
    """Coordinates (x, y) of every pixel centre, in pixels, on the device and in the dtype of `like`."""
    y = torch.arange(height, device=like.device, dtype=like.dtype)
    x = torch.arange(width, device=like.device, dtype=like.dtype)
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)))


def per_axis(x: float, y: float, like: Tensor) -> Float[Tensor, "2 1 1"]:
    """(x, y) as factors of a flow's two channels, on the device and in the dtype of `like`.

    Filled on the device: a copy from the host would wait for the device, and cannot be captured in a CUDA graph.
    """
    return torch.stack((like.new_full((1, 1), x), like.new_full((1, 1), y)))


def backward_warp(
    image: Float[Tensor, "b c h w"],
    flow: Float[Tensor, "b 2 h w"],
    outside: Outside = "zeros",
    kernel: Kernel = "bilinear",
) -> Float[Tensor, "b c h w"]:
    """Sample `image` at x + flow(x) (step 4 of `eqvi.model.eqvi`).

    With `image` at time b and `flow` = F_ab the result is registered to time a.
    """
    if fast_sampling.usable(image, flow):
        return fast_sampling.sample(image, flow, outside, kernel, relative=True)
    return sample_at(image, pixel_grid(image.shape[-2], image.shape[-1], like=flow) + flow, outside, kernel)


def sample_at(
    image: Float[Tensor, "b c h w"],
    places: Float[Tensor, "b 2 p q"] | Float[Tensor, "2 p q"],
    outside: Outside = "border",
    kernel: Kernel = "bilinear",
) -> Float[Tensor, "b c p q"]:
    """`image` at the coordinates (x, y) of `places`, in its pixels."""
    height, width = image.shape[-2:]
    if gpu_kernels.usable(image, places) and image.dtype != places.dtype and kernel == "bilinear":
        return gpu_kernels.sample_at(image, places.expand(image.shape[0], -1, -1, -1), outside == "border")
    places = places if places.ndim == 4 else places.expand(image.shape[0], -1, -1, -1)
    if fast_sampling.usable(image, places):
        return fast_sampling.sample(image, places, outside, kernel, relative=False)
    x, y = places.unbind(1)
    # A single row or column has no extent to normalise by; every coordinate but 0 is then outside.
    grid = torch.stack((x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1), dim=-1)
    return F.grid_sample(image.to(grid), grid, mode=kernel, padding_mode=outside, align_corners=True)


def sampled_inside(flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 1 h w"]:
    """The share of each backward-warped sample that comes from inside the frame: 1 inside, 0 outside."""
    return backward_warp(torch.ones_like(flow[:, :1]), flow)


def reverse_flow(flow_1t: Float[Tensor, "b 2 h w"]) -> Reversed:
    """F_t1 from F_1t by splatting (step 3 of `eqvi.model.eqvi`).

    Every pixel p splats its flow to the four integer neighbours q of p + F_1t(p) with weight exp(-|p + F_1t(p) - q|^2);
    F_t1(q) is minus the weighted mean of what landed on q. Neighbours outside the frame are dropped. The sum is
    the same in every run on the CPU and in the kernel of `eqvi.model.gpu_kernels`; elsewhere on CUDA
    `torch.use_deterministic_algorithms` decides.
    """
    landed = splat(flow_1t)
    total = landed[:, 2:]
    return Reversed(-landed[:, :2] / torch.where(total > 0, total, 1), total)


def splat(flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 3 h w"]:
    """What lands on every pixel in `reverse_flow`: the weighted sum of flows, and the sum of the weights."""
    if gpu_kernels.usable(flow):
        return gpu_kernels.splat(flow)
    batch, _, height, width = flow.shape
    x, y = flow.flatten(2).unbind(1)
    landed = flow.new_zeros(batch, 3, height * width)
    target = pixel_grid(height, width, like=flow) + flow
    columns = list(_neighbours(target[:, 0], width))
    for row, row_inside, from_row in _neighbours(target[:, 1], height):
        for column, column_inside, from_column in columns:
            weight = (torch.exp(-(from_column + from_row)) * (column_inside & row_inside)).flatten(1)
            # In integers: float32 cannot count the pixels of an 8K frame.
            index = (row * width).add_(column).flatten(1)
            landed[:, 0].scatter_add_(1, index, x * weight)
            landed[:, 1].scatter_add_(1, index, y * weight)
            landed[:, 2].scatter_add_(1, index, weight)
    return landed.view(batch, 3, height, width)


def _neighbours(places: Float[Tensor, "b h w"], side: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Of the two integer neighbours along an axis: their numbers, 0 outside; whether inside; squared distances."""
    floor = places.floor()
    for step in (0, 1):
        neighbour = floor + step
        inside = (neighbour >= 0) & (neighbour < side)
        yield torch.where(inside, neighbour, 0).long(), inside, (places - neighbour) ** 2


def gradient_magnitude(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Per channel sqrt(gx^2 + gy^2 + 1e-6) by the kernel [-1 0 1] with zero padding (step 7 of `eqvi.model.eqvi`)."""
    padded = F.pad(image, (1, 1, 1, 1))
    gx = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    gy = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return torch.sqrt(gx**2 + gy**2 + 1e-6)


def resize(image: Float[Tensor, "b c h w"], size: tuple[int, int], align_corners: bool) -> Float[Tensor, "b c p q"]:
    """Bilinear resizing to `size` = (height, width). Both conventions occur in the published networks."""
    return F.interpolate(image, size=size, mode="bilinear", align_corners=align_corners)


def resize_part(
    part: Float[Tensor, "b c h w"],
    size: tuple[int, int],
    sizes: tuple[tuple[int, int], ...],
    starts: tuple[tuple[int, int], ...],
) -> Float[Tensor, "b c p q"]:
    """What `resize` without aligned corners would make of a whole image, at a part of it.

    Where the whole image is not resized by one factor (67 rows to 135), a part resized by itself would lie elsewhere.

    Args:
        part: of the image.
        size: height and width of the part of the result.
        sizes: height and width of the whole image, and of the whole result.
        starts: row and column at which the part begins in the image, and at which that of the result does.
    """
    (whole, resized), (start, begin) = sizes, starts
    for axis, count in enumerate(size):
        place = torch.arange(begin[axis], begin[axis] + count, dtype=torch.float64, device=part.device)
        place = ((place + 0.5) * (whole[axis] / resized[axis]) - 0.5).clamp(0, whole[axis] - 1)
        low = place.floor().long()
        inside = [(low + step - start[axis]).clamp(0, part.shape[2 + axis] - 1) for step in (0, 1)]
        first, second = (part.index_select(2 + axis, index) for index in inside)
        share = (place - low).to(part).view((1, 1, -1, 1) if axis == 0 else (1, 1, 1, -1))
        part = torch.lerp(first, second, share)
    return part


def pad_to(image: Float[Tensor, "*b h w"], height: int, width: int) -> Float[Tensor, "*b p q"]:
    """Replicate the last column and row until the image is at least `height` x `width`."""
    missing = (max(0, width - image.shape[-1]), max(0, height - image.shape[-2]))
    if missing == (0, 0):
        return image
    flat = image.reshape(-1, 1, *image.shape[-2:])
    padded = F.pad(flat, (0, missing[0], 0, missing[1]), mode="replicate")
    return padded.view(*image.shape[:-2], *padded.shape[-2:])
