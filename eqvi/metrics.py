"""How close a new frame comes to the true one.

The primary protocol of the study: clip to [0, 1], round to 8 bits, RGB, PSNR per frame. On 8-bit pictures of shape
(H, W, 3); the reading is scikit-image's, the conventions are spelled here.
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

Picture = UInt8[np.ndarray, "h w 3"]


def to_8bit(frame: Float[Tensor, "1 3 h w"], truncate: bool = False) -> Picture:
    """An 8-bit picture of a frame in [0, 1]: rounded, or truncated as the published writer does (x 255, floor)."""
    scaled = 255 * frame[0].detach().clamp(0, 1).permute(1, 2, 0).cpu()
    return (scaled.floor() if truncate else scaled.round()).to(torch.uint8).numpy()


def psnr(frame: Picture, truth: Picture) -> float:
    """Peak signal-to-noise ratio in dB over the whole RGB frame; infinite where the frames are equal."""
    if np.array_equal(frame, truth):
        return float("inf")
    return float(peak_signal_noise_ratio(truth, frame, data_range=255))


def ssim(frame: Picture, truth: Picture) -> float:
    """Structural similarity, Gaussian window of sigma 1.5, population covariance, mean over RGB (Wang et al. 2004)."""
    return float(
        structural_similarity(
            truth,
            frame,
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
