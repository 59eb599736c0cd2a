"""Metrics: PSNR, SSIM and sharpness of a new frame against the true one, and the end-point error of optical flow.

The primary protocol of the study: clip to [0, 1], round to 8 bits, RGB, PSNR and SSIM of each frame, mean over a clip,
then over clips. `score` adds the same metrics by other conventions, which differ by up to 2 dB. Images are uint8
(H, W, 3). PSNR and SSIM equal scikit-image's to 1e-6 (tested); OpenCV's separable windows are only faster.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from eqvi.errors import InputError

RGB8 = UInt8[np.ndarray, "h w 3"]
WindowFilter = Callable[[NDArray[np.float64]], NDArray[Any]]

#: The border in pixels that `psnr_cropped` leaves out.
BORDER = 10
#: Luma of ITU-R BT.601, full range.
LUMA = (0.299, 0.587, 0.114)
#: The smallest height and width on which every metric is defined: the border and SSIM's Gaussian window fit.
SMALLEST = 2 * BORDER + 1

#: The convention of every column of a file of rows; part of its provenance.
PROTOCOL = {
    "range": "clipped to [0, 1]",
    "quantisation": "rounded to 8 bits",
    "colour": "RGB, each channel alike",
    "averaging": "per frame, then the mean over a clip, then over clips",
    "psnr": "primary: 8 bits, RGB, whole frame, data range 255",
    "ssim": "primary: 8 bits, mean over RGB, Gaussian window of sigma 1.5 (11x11), population covariance, range 255",
    "psnr_float": "clipped, not quantised",
    "psnr_truncated": "truncated to 8 bits (floor of 255 x), as the published writer does",
    "mse": "mean squared error of the primary 8-bit frames, for pooled PSNR",
    "psnr_luma": "full-range BT.601 luma of the 8-bit frames, not quantised again",
    "psnr_cropped": f"a border of {BORDER} px removed",
    "ssim_7x7": "uniform 7x7 window, sample covariance, mean over RGB",
    "ssim_3d": "uniform 3x3x3 window with colour as depth, sample covariance",
    "sharpness": "mean over pixels and RGB of gx^2 + gy^2, central differences [-1 0 1] in grey levels, rim left out",
    "lpips": "version 0.1, AlexNet, whole frame",
}


def to_8bit(frame: Float[Tensor, "1 3 h w"], truncate: bool = False) -> RGB8:
    """An 8-bit image of a frame in [0, 1]: rounded, or truncated as in the published code (floor of 255 x)."""
    scaled = 255 * frame[0].detach().clamp(0, 1).permute(1, 2, 0).cpu()
    return (scaled.floor() if truncate else scaled.round()).to(torch.uint8).numpy()


def psnr(frame: RGB8, truth: RGB8) -> float:
    """Peak signal-to-noise ratio in dB over the whole RGB frame; infinite where the frames are equal."""
    return _decibels(squared_error(frame, truth))


def ssim(frame: RGB8, truth: RGB8) -> float:
    """Structural similarity, Gaussian window of sigma 1.5, population covariance, mean over RGB (Wang et al. 2004)."""
    return _similarity(frame, truth, _gaussian, radius=5, unbiased=1)


def ssim_uniform(frame: RGB8, truth: RGB8) -> float:
    """Structural similarity in uniform 7x7 windows with sample covariance, mean over RGB."""
    return _similarity(frame, truth, lambda x: cv2.blur(x, (7, 7)), radius=3, unbiased=49 / 48)


def ssim_3d(frame: RGB8, truth: RGB8) -> float:
    """Structural similarity in uniform 3x3x3 windows over rows, columns and R, G, B; sample covariance."""
    # Only windows inside the frame count, and those cover all three channels.
    return _similarity(frame, truth, lambda x: cv2.blur(x, (3, 3)).mean(2), radius=1, unbiased=27 / 26)


def squared_error(frame: RGB8, truth: RGB8) -> float:
    """Mean squared error in grey levels squared.

    Raises:
        InputError: the two differ in size.
    """
    if frame.shape != truth.shape:
        sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (frame, truth)]
        raise InputError(f"the new frame is {sizes[0]}, the true one {sizes[1]}: score frames of one size")
    return float(np.mean((frame.astype(np.float64) - truth) ** 2))


def end_point_error(flow: Float[Tensor, "b 2 h w"], truth: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Length in pixels of the difference of two optical flows, at every pixel."""
    return (flow - truth).norm(dim=1, keepdim=True)


def gradient_energy(image: RGB8) -> float:
    """Mean of gx^2 + gy^2 over pixels and RGB, in grey levels squared: a measure of sharpness."""
    values = image.astype(np.float64)
    gx = values[1:-1, 2:] - values[1:-1, :-2]
    gy = values[2:, 1:-1] - values[:-2, 1:-1]
    return float(np.mean(gx**2 + gy**2))


def score(frame: Float[Tensor, "1 3 h w"], truth: RGB8) -> dict[str, float]:
    """Every metric of a new frame in [0, 1] against the true image, by column name (see `PROTOCOL`).

    Raises:
        InputError: sizes differ, or the frame is too small for the windows.
    """
    if min(truth.shape[:2]) < SMALLEST:
        size = f"{truth.shape[1]}x{truth.shape[0]}"
        raise InputError(f"a frame of {size} is too small to score: give at least {SMALLEST}x{SMALLEST} pixels")
    rounded, truncated = to_8bit(frame), to_8bit(frame, truncate=True)
    inside = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    exact = 255 * frame[0].detach().clamp(0, 1).permute(1, 2, 0).cpu().double().numpy()
    mse = squared_error(rounded, truth)  # first, because it checks the sizes
    return {
        "psnr": _decibels(mse),
        "ssim": ssim(rounded, truth),
        "psnr_float": _decibels(float(np.mean((exact - truth) ** 2))),
        "psnr_truncated": psnr(truncated, truth),
        "mse": mse,
        "psnr_luma": _decibels(float(np.mean(((rounded.astype(np.float64) - truth) @ np.array(LUMA)) ** 2))),
        "psnr_cropped": psnr(rounded[inside], truth[inside]),
        "ssim_7x7": ssim_uniform(rounded, truth),
        "ssim_3d": ssim_3d(rounded, truth),
        "sharpness": gradient_energy(rounded),
        "sharpness_truth": gradient_energy(truth),
    }


def _decibels(mse: float) -> float:
    return float(10 * np.log10(255**2 / mse)) if mse > 0 else float("inf")


def _gaussian(values: NDArray[np.float64]) -> NDArray[Any]:
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights /= weights.sum()
    return cv2.sepFilter2D(values, cv2.CV_64F, weights, weights)


def _similarity(frame: RGB8, truth: RGB8, window: WindowFilter, radius: int, unbiased: float) -> float:
    """Mean SSIM over the windows that lie inside the frame."""
    a, b = frame.astype(np.float64), truth.astype(np.float64)
    mean_a, mean_b = window(a), window(b)
    variance_a = unbiased * (window(a * a) - mean_a * mean_a)
    variance_b = unbiased * (window(b * b) - mean_b * mean_b)
    covariance = unbiased * (window(a * b) - mean_a * mean_b)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    )
    return float(similarity[radius:-radius, radius:-radius].mean())
