"""torchvision's networks with their ImageNet weights: VGG-16 (a loss), AlexNet (LPIPS), ResNet-18 (context filters).

torchvision is imported where a network is built, not at the top: that takes a second, and all else works without it.
"""

import pickle
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
        name: as `torchvision.models.get_model` knows it.
        title: as its paper calls it.
        file: of its ImageNet weights; the last part of the name is the beginning of the sha256.
        command: that fetches the file (`eqvi.datasets.download`).
        folder: where that puts it.
    """

    name: str
    title: str
    file: str
    command: str
    folder: Path

    @property
    def path(self) -> Path:
        """Where the weights are looked for."""
        return self.folder / self.file

    @property
    def sha256(self) -> str:
        """The beginning of the file's sha256."""
        return Path(self.file).stem.rpartition("-")[2]


_DOWNLOAD = "python -m eqvi download weights "
VGG16 = Network("vgg16", "VGG-16", "vgg16-397923af.pth", _DOWNLOAD + "vgg", WEIGHTS / "vgg")
ALEXNET = Network("alexnet", "AlexNet", "alexnet-owt-7be5be79.pth", _DOWNLOAD + "lpips", WEIGHTS / "lpips")
RESNET18 = Network("resnet18", "ResNet-18", "resnet18-f37072fd.pth", _DOWNLOAD + "resnet18", WEIGHTS / "resnet18")


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
        # The wheel of PyPI holds operators compiled for CUDA, which a CPU build of torch cannot load; the import then
        # fails where it describes them. No network here calls them: declared without a body, they serve.
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _libraries.append(library)
        import torchvision
    return torchvision.models


def build(network: Network) -> Any:
    """The network on the meta device: its layers without values, which takes no time and draws no random numbers."""
    with torch.device("meta"):
        return import_models().get_model(network.name, weights=None)


def download(network: Network) -> Path:
    """The file of weights in torch.hub's folder, where torchvision keeps it too; fetched and checked if it is missing.

    Raises:
        InputError: it cannot be fetched, or arrives with another hash.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", network.file)
    if not path.is_file():
        url = import_models().get_model_weights(network.name).DEFAULT.url
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), network.sha256)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"{network.title}'s weights cannot be fetched from {url} ({files.reason(error)}): "
                f"`{network.command}` resumes and takes a mirror or a file as well"
            ) from None
    return path


def read_weights(network: Network, path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors in a file by name, and the file's sha256.

    Raises:
        InputError: the file is missing, damaged or no dictionary of tensors; or its name is the published one, and its
            content is not.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: `{network.command}` fetches {network.title}'s weights")
    digest = files.sha256(path)
    if path.name == network.file and not digest.startswith(network.sha256):
        begins = f"its sha256 begins {digest[:8]}, not {network.sha256}"
        raise InputError(f"{path}: is damaged: {begins}: run `{network.command}` again")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}): run `{network.command}` again") from None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path}: holds no dictionary of tensors: `{network.command}` fetches {network.title}'s")
    return tensors, digest


def open_features(network: Network, layers: int, path: Path) -> tuple[nn.Sequential, str]:
    """The first layers of the network's ``features``, frozen, with the weights of a file; and the file's sha256.

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
    values = features.state_dict(prefix="features.")
    for problem, names in (("lacks", values.keys() - tensors), ("holds", tensors.keys() - whole.state_dict())):
        if names:
            name = min(names, key=str)
            raise InputError(f"{path}: is not {network.title}'s: it {problem} {name}: `{network.command}` fetches it")
    for name, value in values.items():
        if tensors[name].shape != value.shape:
            shapes = f"{tuple(tensors[name].shape)}, {network.title}'s has {tuple(value.shape)}"
            raise InputError(f"{path}: {name} has shape {shapes}: `{network.command}` fetches it")
        value.copy_(tensors[name])
    return features, digest
