"""torchvision's networks with their ImageNet weights: VGG-16 (a loss), AlexNet (LPIPS), ResNet-18 (context filters).

torchvision is imported where a network is built, not at the top: that takes seconds, and all else works without it.
"""

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from eqvi import files
from eqvi.errors import InputError
from eqvi.paths import WEIGHTS

_libraries: list[torch.library.Library] = []  # an operator is declared as long as its library object lives


class Network(NamedTuple):
    """A network of torchvision's.

    Attributes:
        name: for `torchvision.models.get_model`.
        title: in its paper.
        file: of its ImageNet weights; the last part of the name is the beginning of its sha256.
        download: its name for ``python -m eqvi download weights``, which puts it into a folder of that name.
    """

    name: str
    title: str
    file: str
    download: str

    @property
    def path(self) -> Path:
        """Where the file is looked for."""
        return WEIGHTS / self.download / self.file

    @property
    def sha256(self) -> str:
        """The beginning of the file's sha256."""
        return Path(self.file).stem.rpartition("-")[2]

    @property
    def hint(self) -> str:
        """How to get the file, for the end of a message."""
        return f"`python -m eqvi download weights {self.download}` fetches {self.title}'s weights"


VGG16 = Network("vgg16", "VGG-16", "vgg16-397923af.pth", "vgg")
ALEXNET = Network("alexnet", "AlexNet", "alexnet-owt-7be5be79.pth", "lpips")
RESNET18 = Network("resnet18", "ResNet-18", "resnet18-f37072fd.pth", "resnet18")


def import_models() -> ModuleType:
    """The module `torchvision.models`.

    Raises:
        InputError: torchvision is not installed.
    """
    try:
        import torchvision
    except ImportError as error:
        raise InputError(f"torchvision cannot be imported ({error}): `pip install torchvision`") from None
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        # The wheel of PyPI has operators compiled for CUDA, which a CPU build of torch cannot load; the import then
        # fails where it describes them. No network here calls them, so that declarations without a body suffice.
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _libraries.append(library)
        import torchvision
    return torchvision.models


def build(network: Network) -> Any:
    """The network on the meta device: layers without values, which take no time and draw no random numbers."""
    with torch.device("meta"):
        return import_models().get_model(network.name, weights=None)


def download(network: Network) -> Path:
    """The file of weights in torch.hub's folder, where torchvision keeps it too; downloaded if missing, hash checked.

    Raises:
        InputError: it cannot be downloaded, or has another hash.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", network.file)
    if not path.is_file():
        url = import_models().get_model_weights(network.name).DEFAULT.url
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), network.sha256)
        except (OSError, RuntimeError) as error:
            raise InputError(f"{url}: cannot be downloaded ({files.reason(error)}): {network.hint}, too") from None
    return path


def read_weights(network: Network, path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors in a file by name, and the file's sha256.

    Raises:
        InputError: the file is missing, damaged, or no dictionary of tensors; or its hash is not that in its name.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: {network.hint}")
    digest = files.sha256(path)
    if path.name == network.file and not digest.startswith(network.sha256):
        raise InputError(
            f"{path}: is damaged: its sha256 begins {digest[:8]}, not {network.sha256}: {network.hint} again"
        )
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        raise InputError(f"{path}: cannot be read ({type(error).__name__}): {network.hint}") from None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path}: holds no dictionary of tensors: {network.hint}")
    return tensors, digest


def open_features(network: Network, layers: int, path: Path) -> tuple[nn.Sequential, str]:
    """The first `layers` layers of a network's ``features``, frozen, with the weights of a file; the file's sha256.

    Args:
        network: `VGG16` or `ALEXNET`.
        layers: how many.
        path: a state dict of the whole network or of these layers alone.

    Raises:
        InputError: as of `read_weights`; or a tensor is missing, of another shape, or not the network's.
    """
    tensors, digest = read_weights(network, path)
    whole = build(network)
    features: nn.Sequential = whole.features[:layers].to_empty(device="cpu").requires_grad_(False)
    unused = whole.state_dict().keys() - features.state_dict(prefix="features.")
    try:
        part = nn.ModuleDict({"features": features})
        part.load_state_dict({name: value for name, value in tensors.items() if name not in unused})
    except RuntimeError as error:
        raise InputError(f"{path}: is not {network.title}'s ({files.reason(error)}): {network.hint}") from None
    return features, digest
