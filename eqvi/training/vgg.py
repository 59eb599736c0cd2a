"""The distance of two frames in the features of VGG-16 up to conv4_3: the published perceptual variant's extra term.

Offline, `eqvi.training.losses.ms_ssim` is the perceptual term that needs no weights. Source: Simonyan and Zisserman,
ICLR 2015, with torchvision's weights; the term itself: `eqvi.training.recipe`.
"""

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.errors import InputError
from eqvi.model.torchvision_models import VGG16, download, open_features
from eqvi.training.losses import check_size

#: Layers 0 to 21, as QVI's own loss names the slice: it ends with the convolution conv4_3 and leaves out the ReLU
#: after it (layer 22), so negative responses count.
LAYERS = 22
# Of RGB in [0, 1] over ImageNet, as torchvision's networks expect.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG(nn.Module):
    """Mean squared difference of two frames' conv4_3 features.

    Whether the authors normalised the frames is not published; here they are, by ImageNet's mean and deviation, as the
    weights were trained.

    Args:
        features: torchvision's ``vgg16().features[:22]``.
        sha256: of the file that its weights came from; None for random ones.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Sequential, sha256: str | None = None) -> None:
        super().__init__()
        self.features, self.sha256 = features, sha256
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, frame: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"]) -> Float[Tensor, ""]:
        """The distance of `frame` to `truth`, RGB in [0, 1], in float32 under any autocast; 0 for equal frames.

        Raises:
            InputError: frames under 8 pixels, of which pooling leaves nothing.
        """
        check_size(frame, 8, "vgg")
        with torch.autocast(frame.device.type, enabled=False):
            a, b = (self.features((x.float() - self.mean) / self.std) for x in (frame, truth))
            return F.mse_loss(a, b)


def open_vgg(path: str | os.PathLike | None = None) -> VGG:
    """The distance with trained, frozen weights, on the CPU.

    Args:
        path: a state dict under torchvision's names, of the whole VGG-16 or only up to conv4_3; by default the file in
            ``results/weights/vgg``, or torchvision's download (553 MB) where that is missing.

    Raises:
        InputError: the file is missing, damaged or another network's, or cannot be downloaded.
    """
    try:
        file = Path(path) if path is not None else VGG16.path if VGG16.path.is_file() else download(VGG16)
        return VGG(*open_features(VGG16, LAYERS, file))
    except InputError as error:
        raise InputError(f"{error}; the term ms_ssim is its offline alternative") from None
