"""LPIPS, the learned perceptual distance (Zhang et al., CVPR 2018), version 0.1 with AlexNet.

Written from the paper and the layout of its two weight files, which are not ours to ship: torchvision's
``alexnet-owt-7be5be79.pth`` (the features) and ``alex.pth`` of the authors' package (the weight of every channel).
Where the two lie in ``results/weights/lpips/`` the distance is measured, elsewhere it is not.
"""

import hashlib
import pickle
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqvi.errors import InputError
from eqvi.metrics import Picture

FILES = ("alexnet-owt-7be5be79.pth", "alex.pth")
# AlexNet's convolutions: number in torchvision's list, stride, padding; pooling comes before the second and third.
_LAYERS = ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))
_POOLED = (3, 6)
# The authors' normalisation of RGB in [-1, 1].
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class LPIPS:
    """The distance of a frame to the true picture; 0 for equal ones.

    Args:
        features: convolution weights and biases by torchvision's names.
        weights: of every channel, by the authors' names (``lin0.model.1.weight``, ...).
        sha256: of the two files together.
        device: where it works.

    Raises:
        InputError: a tensor is missing.
    """

    def __init__(self, features: dict[str, Tensor], weights: dict[str, Tensor], sha256: str, device: str) -> None:
        self.sha256 = sha256
        try:
            names = [f"features.{number}" for number, _, _ in _LAYERS]
            kernels = [(features[f"{name}.weight"], features[f"{name}.bias"]) for name in names]
            lines = [weights[f"lin{level}.model.1.weight"] for level in range(len(_LAYERS))]
        except KeyError as error:
            raise InputError(f"the weights of LPIPS lack {error}: fetch {' and '.join(FILES)} again") from None
        self._kernels = [(kernel.to(device), bias.to(device)) for kernel, bias in kernels]
        self._lines = [line.to(device) for line in lines]
        self._device = device

    @torch.inference_mode()
    def __call__(self, frame: Float[Tensor, "1 3 h w"], truth: Picture) -> float:
        """The distance, of the frame rounded to 8 bits like the primary protocol's."""
        rounded = (255 * frame.to(self._device).clamp(0, 1)).round() / 255
        wanted = torch.from_numpy(truth).permute(2, 0, 1)[None].to(rounded) / 255
        total = 0.0
        pairs = zip(self._levels(rounded), self._levels(wanted), self._lines, strict=True)
        for a, b, line in pairs:
            total += float((line * (_unit(a) - _unit(b)) ** 2).sum(1).mean())
        return total

    def _levels(self, image: Tensor) -> list[Tensor]:
        x = (2 * image - 1 - image.new_tensor(_SHIFT).view(1, 3, 1, 1)) / image.new_tensor(_SCALE).view(1, 3, 1, 1)
        levels = []
        for (number, stride, padding), (kernel, bias) in zip(_LAYERS, self._kernels, strict=True):
            x = F.max_pool2d(x, 3, 2) if number in _POOLED else x
            x = F.relu(F.conv2d(x, kernel, bias, stride, padding))
            levels.append(x)
        return levels


def open_lpips(weights: Path, device: str = "cpu") -> LPIPS | None:
    """LPIPS with its weights from ``WEIGHTS/lpips``; None where they are not.

    Raises:
        InputError: one of the two files is missing, or cannot be read.
    """
    paths = [weights / "lpips" / name for name in FILES]
    absent = [path for path in paths if not path.is_file()]
    if len(absent) == len(paths):
        return None
    if absent:
        raise InputError(f"{absent[0]}: is missing: LPIPS needs both files, or neither to go unmeasured")
    digest = hashlib.sha256()
    tensors = []
    for path in paths:
        digest.update(path.read_bytes())
        try:
            tensors.append(torch.load(path, map_location="cpu", weights_only=True))
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
            raise InputError(f"{path}: cannot be read ({type(error).__name__}): fetch it again") from None
    return LPIPS(tensors[0], tensors[1], digest.hexdigest(), device)


def _unit(features: Tensor) -> Tensor:
    """Features of length 1 along the channels."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)
