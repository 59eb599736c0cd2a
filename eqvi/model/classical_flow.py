"""Optical flow without learned weights, behind the same calls as `eqvi.model.scopeflow.ScopeFlow`.

`DIS` is OpenCV's Dense Inverse Search (Kroeger et al., ECCV 2016), fast and good at large motion; `TVL1` is
scikit-image's TV-L1 (Zach, Pock and Bischof 2007), about a hundred times slower. Both run on the CPU, whatever the
frames' device, and give their flow on the frames' device.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.metrics import LUMA


class GreyFrames(NamedTuple):
    """The luma of a batch of images.

    Attributes:
        luma: (B, H, W), on the CPU, as `ClassicalFlow.stored` keeps it.
        like: an empty tensor of the images' device and dtype, which the flow gets.
    """

    luma: np.ndarray
    like: Tensor


class ClassicalFlow(nn.Module, ABC):
    """An estimator without weights; a subclass computes the flow of one pair of grey images in `pair`."""

    def features(self, image: Float[Tensor, "b 3 h w"]) -> GreyFrames:
        """The part of the work that depends on one image only, RGB in [0, 1]."""
        luma = (image.detach() * image.new_tensor(LUMA).view(3, 1, 1)).sum(1)
        return GreyFrames(self.stored(luma.clamp(0, 1).float().cpu().numpy()), image.new_empty(0))

    def between(self, first: GreyFrames, second: GreyFrames) -> Float[Tensor, "b 2 h w"]:
        """F_ab in pixels from the two images' `features`."""
        flows = np.stack([self.pair(a, b) for a, b in zip(first.luma, second.luma, strict=True)])
        return torch.from_numpy(flows).to(first.like)

    def between_all(self, pairs: Sequence[tuple[GreyFrames, GreyFrames]]) -> list[Float[Tensor, "b 2 h w"]]:
        """`between` of several pairs, side by side as far as there are threads for it: threads of an estimator's own
        divide the work of one pair less well."""
        threads = min(len(pairs), torch.get_num_threads())
        if threads < 2:
            return [self.between(first, second) for first, second in pairs]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.between, *zip(*pairs, strict=True)))

    def forward(self, image_a: Float[Tensor, "b 3 h w"], image_b: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
        """F_ab in pixels between two images, RGB in [0, 1]."""
        return self.between(self.features(image_a), self.features(image_b))

    def stored(self, luma: np.ndarray) -> np.ndarray:
        """Luma, float32 in [0, 1], in the form in which it is kept until its flows are computed."""
        return luma

    @abstractmethod
    def pair(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """F_ab, (2, H, W) float32 in pixels, x first, between two (H, W) images in [0, 1], or as they are stored."""


class DIS(ClassicalFlow):
    """Dense Inverse Search at OpenCV's medium preset, on 8-bit luma."""

    def stored(self, luma: np.ndarray) -> np.ndarray:
        return np.rint(255 * luma).astype(np.uint8)

    def pair(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        # A new object for each pair: it has buffers of the last image's size, and cannot be copied or pickled.
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        grey_a, grey_b = (x if x.dtype == np.uint8 else self.stored(x) for x in (a, b))
        flow = search.calc(grey_a, grey_b, None)  # type: ignore[call-overload] # None: no flow to start from
        return np.ascontiguousarray(flow.transpose(2, 0, 1))


class TVL1(ClassicalFlow):
    """TV-L1 at scikit-image's defaults."""

    def pair(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        from skimage.registration import optical_flow_tvl1  # takes a second that others need not wait for

        rows, columns = optical_flow_tvl1(a, b)
        return np.stack((columns, rows))
