"""RAFT (Teed and Deng, ECCV 2020) by torchvision, behind the same calls as `eqvi.model.scopeflow.ScopeFlow`.

An exchangeable flow, of no published EQVI: ``baseline@raft`` shows what better flow does to a row of the study.
Architecture and weights are torchvision's, trained on FlyingChairs and FlyingThings, the large network on Sintel, KITTI
and HD1K too; frozen here. RAFT compares every pixel of one image with every pixel of the other at an eighth of their
size: memory grows with the square of the pixels, 1.1 GB at 1280x720 and 90 GB at 4K.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi import files
from eqvi.devices import free_memory
from eqvi.errors import InputError
from eqvi.model.geometry import pad_to
from eqvi.model.torchvision_models import Network, build, download, read_weights

#: By the name that a user gives.
NETWORKS = {
    "raft": Network("raft_large", "RAFT", "raft_large_C_T_SKHT_V2-ff5fadd5.pth", "raft"),
    "raft-small": Network("raft_small", "RAFT (small)", "raft_small_C_T_V2-01064c6d.pth", "raft-small"),
}
#: Refinements of the flow; torchvision's own number.
UPDATES = 12
#: Images are padded to this at least, below which the coarsest level of its correlations is empty, and to multiples of
#: `_MULTIPLE`.
LEAST, _MULTIPLE = 128, 8
# Bytes of correlations for two pixels at an eighth of the size: float32, and three coarser levels.
_CORRELATION = 4 * (1 + 1 / 4 + 1 / 16 + 1 / 64)


class Padded(NamedTuple):
    """A batch of images as RAFT takes them.

    Attributes:
        image: (B, 3, P, Q), RGB in [-1, 1], padded to the right and below.
        size: height and width before that.
    """

    image: Tensor
    size: tuple[int, int]


class RAFT(nn.Module):
    """A frozen flow estimator.

    Args:
        network: torchvision's, with its weights.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "RAFT":
        """Stays in evaluation mode: it is frozen, its batch statistics too."""
        del mode
        return super().train(False)

    def features(self, image: Float[Tensor, "b 3 h w"]) -> Padded:
        """The image as RAFT takes it, from RGB in [0, 1].

        Raises:
            InputError: images so large that the correlations of a pair do not fit into the memory.
        """
        height, width = (max(LEAST, side + -side % _MULTIPLE) for side in image.shape[-2:])
        needed = _CORRELATION * image.shape[0] * (height * width // _MULTIPLE**2) ** 2
        free = free_memory(image.device.type)
        if free is not None and needed > free:
            raise InputError(
                f"frames of {image.shape[-1]}x{image.shape[-2]} need {needed / 1e9:.1f} GB for RAFT's correlations, "
                f"and {free / 1e9:.1f} GB are free: take another flow, or smaller frames"
            )
        return Padded(2 * pad_to(image, height, width) - 1, (image.shape[-2], image.shape[-1]))

    def between(self, first: Padded, second: Padded) -> Float[Tensor, "b 2 h w"]:
        """F_ab in pixels from the two images' `features`."""
        with torch.autocast(first.image.device.type, enabled=False):
            flow = self.network(first.image, second.image, num_flow_updates=UPDATES)[-1]
        return flow[..., : first.size[0], : first.size[1]]

    def between_all(self, pairs: Sequence[tuple[Padded, Padded]]) -> list[Float[Tensor, "b 2 h w"]]:
        """`between` of several pairs, one after the other."""
        return [self.between(first, second) for first, second in pairs]

    def forward(self, image_a: Float[Tensor, "b 3 h w"], image_b: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
        """F_ab in pixels between two images, RGB in [0, 1]."""
        return self.between(self.features(image_a), self.features(image_b))


def network_of(name: str) -> Network | None:
    """The network of a user's name for it, or of the file of its weights, which keeps the name it has at torchvision's.

    Args:
        name: as ``raft``, or a path as ``weights/raft_large_C_T_SKHT_K_V2-b5c70766.pth``.
    """
    file = Path(name)
    if name in NETWORKS or not file.is_file():
        return NETWORKS.get(name)
    known = (network for network in NETWORKS.values() if file.suffix == ".pth" and file.name.startswith(network.name))
    return next((network._replace(file=file.name) for network in known), None)


def open_raft(name: str) -> tuple[RAFT, str]:
    """RAFT with trained weights, on the CPU, and the file's sha256.

    Args:
        name: see `network_of`. By a user's name the file in ``results/weights`` (``python -m eqvi download weights
            raft``) is taken, or torchvision's download where that is missing.

    Raises:
        InputError: the name is not known; the file is missing, damaged or another network's, or cannot be downloaded.
    """
    network = network_of(name)
    if network is None:
        raise InputError(f"{name}: is no RAFT: give {' or '.join(NETWORKS)}, or a file of torchvision's")
    own = network.path if network.path.is_file() else None
    path = (own or download(network)) if name in NETWORKS else Path(name)
    tensors, digest = read_weights(network, path)
    module: Any = build(network).to_empty(device="cpu")
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{path}: is not {network.title}'s ({files.reason(error)}): {network.hint}") from None
    return RAFT(module), digest
