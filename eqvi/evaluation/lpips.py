"""LPIPS, the learned perceptual distance (Zhang et al., CVPR 2018), version 0.1 with AlexNet: the authors' package.

The package carries the weight of every channel; AlexNet's own weights are torchvision's. Where they lie in
``results/weights/lpips/`` (`python -m eqvi download weights lpips`) the distance is measured, elsewhere it is not.
"""

import hashlib
import warnings
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.metrics import RGB8
from eqvi.model.torchvision_models import ALEXNET, import_models, open_features


class LPIPS:
    """The distance of a frame to the true image; 0 for equal ones.

    Args:
        network: the package's.
        sha256: of AlexNet's file and the package's together.
        device: where it works.
    """

    def __init__(self, network: nn.Module, sha256: str, device: str) -> None:
        self._network, self.sha256, self._device = network.to(device), sha256, device

    @torch.inference_mode()
    def __call__(self, frame: Float[Tensor, "1 3 h w"], truth: RGB8) -> float:
        """The distance, of the frame rounded to 8 bits like the primary protocol's."""
        rounded = (255 * frame.to(self._device).clamp(0, 1)).round() / 255
        target = torch.from_numpy(truth).permute(2, 0, 1)[None].to(rounded) / 255
        return float(self._network(rounded, target, normalize=True))


def open_lpips(weights: Path, device: str = "cpu") -> LPIPS | None:
    """LPIPS with AlexNet's weights from ``WEIGHTS/lpips``; None where they are not.

    Raises:
        InputError: the file cannot be read, or is another network's.
    """
    path = weights / "lpips" / ALEXNET.file
    if not path.is_file():
        return None
    features, _ = open_features(ALEXNET, 12, path)
    import_models()  # the package imports torchvision
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the package builds AlexNet with an argument of torchvision 0.12
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    for part in network.net.children():  # five parts, whose layers bear the numbers of AlexNet's features
        for number, _ in part.named_children():
            setattr(part, number, features[int(number)])
    linear = Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth"
    digest = hashlib.sha256(path.read_bytes() + linear.read_bytes())
    return LPIPS(network, digest.hexdigest(), device)
