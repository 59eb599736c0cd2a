"""Where a flow network of our own begins: a feature pyramid whose features can be matched before anything is learned.

Flow is read from a cost volume, products of two images' features, and with weights drawn the usual way there is
nothing to read. Of four channels all may be dark, each layer then passing on a tenth: features of 0.005 were seen.
Merely scaled up, random 3x3 filters at stride 2 take fine detail for coarse: a picture moved by a pixel is no longer
like itself. Either way our narrow network stayed at "no motion" (for 1000 and 500 steps). Here every filter is smooth,
the strided ones a binomial blur, the others that blur, its two slopes and its surround, mixed at random; every channel
is scaled to mean 0 and variance 1 on photographs, layer by layer (Mishkin and Matas, "All you need is a good init",
ICLR 2016).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.datasets.photographs import SPLITS, photograph, resample
from eqvi.model.layers import activate
from eqvi.model.pwc import FeaturePyramid

_LINE = torch.tensor([1.0, 2.0, 1.0]) / 4
_BLUR = _LINE[:, None] * _LINE
_SLOPE = torch.tensor([-1.0, 0.0, 1.0]) * _LINE[:, None] * 2
#: Smooth filters of like strength: blur, slope along x and along y, centre less surround.
FILTERS = torch.stack((_BLUR, _SLOPE, _SLOPE.T, 2 * (nn.functional.pad(torch.ones(1, 1), (1,) * 4) - _BLUR)))
_SIDE = 256


@torch.no_grad()
def init_feature_pyramid(pyramid: FeaturePyramid) -> None:
    """Draw a pyramid's filters anew from torch's generator, and scale them on the photographs that are trained on."""
    x = _pictures()
    for level in pyramid.levels:
        assert isinstance(level, nn.ModuleList)
        for layer, bank in zip(level, (FILTERS[:1], FILTERS), strict=True):
            assert isinstance(layer, nn.Conv2d)
            mix = torch.randn(layer.out_channels, layer.in_channels, len(bank))
            layer.weight.copy_(torch.einsum("oik,kyx->oiyx", mix, bank))
            found = layer(x)
            layer.weight.div_(found.std((0, 2, 3)).clamp_min(1e-6).view(-1, 1, 1, 1))
            layer.get_parameter("bias").sub_(layer(x).mean((0, 2, 3)))
            x = activate(layer(x))


def _pictures() -> Float[Tensor, "n 3 h w"]:
    return torch.cat([resample(photograph(name), (_SIDE, _SIDE)) for name in SPLITS["train"]])
