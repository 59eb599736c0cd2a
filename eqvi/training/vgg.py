"""The distance of two frames in the features of VGG-16 up to conv4_3: the published perceptual variant's extra term.

Written from the paper (Simonyan and Zisserman, ICLR 2015) and the layout of torchvision's weight file, which is not
ours to ship. Offline, `eqvi.training.losses.ms_ssim` is the perceptual term that needs no weights. Source: spec.md,
section 5; facts.md, "Training".
"""

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi import files
from eqvi.errors import InputError
from eqvi.paths import WEIGHTS
from eqvi.training.losses import check_size

FILE = "vgg16-397923af.pth"
#: How the file comes here (`eqvi.datasets.download` knows its home).
COMMAND = "python -m eqvi download weights vgg"
#: Where the weights are looked for.
HOME = WEIGHTS / "vgg" / FILE
#: How the file's sha256 begins: torchvision puts that in the name.
SHA256 = "397923af"

# Output channels of the convolutions up to conv4_3; "pool" halves the size.
_LAYERS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512)
# What else the whole network's file holds: conv5_1 to conv5_3 and the classifier.
_BEYOND = {
    f"{layer}.{kind}"
    for layer in (*(f"features.{n}" for n in (24, 26, 28)), *(f"classifier.{n}" for n in (0, 3, 6)))
    for kind in ("weight", "bias")
}
# Of RGB in [0, 1] over ImageNet, as torchvision's networks expect.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG(nn.Module):
    """Mean squared difference of two frames' conv4_3 features; the weights are frozen, and random until loaded.

    The features are torchvision's ``vgg16().features[:22]``, layers 0 to 21: that slice, which QVI's own loss names,
    ends with the convolution conv4_3 and leaves out the ReLU after it (layer 22), so negative responses count.
    Whether the authors normalised the frames is not published; here they are, by ImageNet's mean and deviation, as the
    weights were trained.

    Attributes:
        sha256: of the file that the weights came from; None for random ones.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.sha256: str | None = None
        layers: list[nn.Module] = []
        channels = 3
        for width in _LAYERS:
            if isinstance(width, int):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-1])
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, frame: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"]) -> Float[Tensor, ""]:
        """The distance of `frame` to `truth`, RGB in [0, 1], in float32 whatever autocast says; 0 for equal frames.

        Raises:
            InputError: frames under 8 pixels, of which pooling leaves nothing.
        """
        check_size(frame, 8, "vgg")
        with torch.autocast(frame.device.type, enabled=False):
            seen, wanted = (self.features((x.float() - self.mean) / self.std) for x in (frame, truth))
            return F.mse_loss(seen, wanted)


def open_vgg(path: str | os.PathLike | None = None) -> VGG:
    """The distance with trained weights, on the CPU.

    Args:
        path: a state dict under torchvision's names, of the whole VGG-16 or only up to conv4_3; by default `HOME`.
            A file that bears torchvision's name is held to the hash in it.

    Raises:
        InputError: the file is missing, damaged, or holds a tensor too many or too few.
    """
    path = HOME if path is None else Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: is missing: `{COMMAND}` fetches VGG-16's weights (553 MB) for the term vgg; the term "
            "ms_ssim is its offline alternative"
        )
    digest = _checked(path)
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        raise InputError(f"{path}: cannot be read ({type(error).__name__}): run `{COMMAND}` again") from None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path}: holds no dictionary of tensors: fetch VGG-16's with `{COMMAND}`")
    vgg = VGG()
    expected = vgg.state_dict()
    missing, unknown = expected.keys() - tensors.keys(), tensors.keys() - expected.keys() - _BEYOND
    for problem, names in (("lacks", missing), ("is not VGG-16's: it holds", unknown)):
        if names:
            raise InputError(f"{path}: {problem} {min(names, key=str)}: `{COMMAND}` fetches them")
    for name, value in expected.items():
        if tensors[name].shape != value.shape:
            shapes = tuple(tensors[name].shape), tuple(value.shape)
            raise InputError(
                f"{path}: {name} has shape {shapes[0]}, VGG-16's has {shapes[1]}: `{COMMAND}` fetches them"
            )
    vgg.load_state_dict({name: tensors[name] for name in expected})
    vgg.sha256 = digest
    return vgg


def _checked(path: Path) -> str:
    """The file's sha256; InputError where it bears torchvision's name and another content."""
    digest = files.sha256(path)
    if path.name == FILE and not digest.startswith(SHA256):
        raise InputError(f"{path}: is damaged: its sha256 begins {digest[:8]}, not {SHA256}: run `{COMMAND}` again")
    return digest
