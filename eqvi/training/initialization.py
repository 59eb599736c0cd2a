"""The model that a run starts from: built from its recipe, its weights drawn from the seed or copied from checkpoints.

Two initializations are this study's own. `cosine_filters` stands in for RCSN's context convolution, in the published
model the first one of an ImageNet ResNet-18, where that has not been downloaded. `init_feature_pyramid` is for flow
networks: flow is read from a cost volume, products of two images' features, and random weights leave nothing to read.
All of a level's few channels may be dark, each layer passing on a tenth (features of 0.005 were seen); merely scaled
up, random 3x3 filters at stride 2 alias, so that an image shifted by a pixel no longer resembles itself. Either way a
narrow network stayed at zero flow (for 1000 and 500 steps).
"""

import itertools
import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.datasets.photographs import SPLITS, photograph, resample
from eqvi.errors import InputError
from eqvi.model import checkpoint
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.model.layers import activate
from eqvi.model.pwc import FeaturePyramid
from eqvi.model.scopeflow import ScopeFlow
from eqvi.model.synthesis import MaskNet, Refinement
from eqvi.model.torchvision_models import RESNET18, read_weights
from eqvi.model.weight_free_start import set_zero
from eqvi.training.recipe import Recipe
from eqvi.training.stages import STAGES, freeze_all_but

#: Bias of MS-Fusion's last layer with ``begin: plain``: sigmoid(4) = 0.98 of the full-size result.
_FUSION_BIAS = 4.0

_LINE = torch.tensor([1.0, 2.0, 1.0]) / 4
_BLUR = _LINE[:, None] * _LINE
_SLOPE = torch.tensor([-1.0, 0.0, 1.0]) * _LINE[:, None] * 2
_CENTRE = nn.functional.pad(torch.ones(1, 1), (1,) * 4)
#: Smooth filters of similar strength: blur, slope along x and along y, centre less surround.
FILTERS = torch.stack((_BLUR, _SLOPE, _SLOPE.T, 2 * (_CENTRE - _BLUR)))


def initial_model(recipe: Recipe) -> EQVI | ScopeFlow:
    """The model of a recipe before the first step, with all but the parts that its stage trains frozen.

    Raises:
        InputError: a checkpoint is missing, or does not fit.
    """
    torch.manual_seed(recipe.seed)
    model = _initial_flow_network(recipe) if recipe.stage == "flow" else _initial_eqvi(recipe)
    freeze_all_but(model, STAGES[recipe.stage].trains)
    return model


def cosine_filters(channels: int) -> Float[Tensor, "c 3 7 7"]:
    """The `channels` lowest of 147 orthonormal filters of the discrete cosine transform, as a convolution from RGB.

    Like a trained network's first filters they respond to edges and textures of several orientations and colours:
    brightness first, then two colour differences, each counted as two steps of frequency higher.
    """
    side = 7
    colours = (((1, 1, 1), 3, 0.0), ((1, 0, -1), 2, 2.0), ((1, -2, 1), 6, 2.0))
    x = torch.arange(side) + 0.5
    waves = [torch.cos(math.pi * k * x / side) * math.sqrt((1 if k == 0 else 2) / side) for k in range(side)]
    filters = []
    for (weights, square, penalty), ky, kx in itertools.product(colours, range(side), range(side)):
        colour = torch.tensor(weights) / math.sqrt(square)
        filters.append((math.hypot(ky, kx) + penalty, colour[:, None, None] * waves[ky][:, None] * waves[kx]))
    filters.sort(key=lambda pair: pair[0])
    return torch.stack([kernel for _, kernel in filters[:channels]])


@torch.no_grad()
def init_feature_pyramid(pyramid: FeaturePyramid) -> None:
    """Draw smooth filters, and scale each channel to mean 0 and variance 1 on the training photographs.

    Strided layers get a binomial blur, the others random mixtures of blur, slopes and surround. Layer by layer, as in
    Mishkin and Matas, "All you need is a good init", ICLR 2016.
    """
    x = torch.cat([resample(photograph(name), (256, 256)) for name in SPLITS["train"]])
    for level in pyramid.levels:
        assert isinstance(level, nn.ModuleList)
        for layer, bank in zip(level, (FILTERS[:1], FILTERS), strict=True):
            assert isinstance(layer, nn.Conv2d)
            mix = torch.randn(layer.out_channels, layer.in_channels, len(bank))
            layer.weight.copy_(torch.einsum("oik,kyx->oiyx", mix, bank))
            layer.weight.div_(layer(x).std((0, 2, 3)).clamp_min(1e-6).view(-1, 1, 1, 1))
            layer.get_parameter("bias").sub_(layer(x).mean((0, 2, 3)))
            x = activate(layer(x))


def _initial_flow_network(recipe: Recipe) -> ScopeFlow:
    preset = PRESETS[recipe.preset]
    if preset.flow != "scopeflow":
        raise InputError(f"preset {recipe.preset} has no flow network to train: choose one with ScopeFlow")
    model = ScopeFlow(preset.flow_width, preset.flow_scalings)
    if recipe.begin == "plain":
        init_feature_pyramid(model.pyramid)
        set_zero(model.estimator.head, model.context.head)
    if recipe.after:
        _copy(checkpoint.load_flow(recipe.after), model, recipe.after, "flow network")
    return model


def _initial_eqvi(recipe: Recipe) -> EQVI:
    config, stage = recipe.config(), STAGES[recipe.stage]
    model = EQVI(config)
    if model.residual is not None:
        filters = _resnet_filters(recipe.context) if recipe.context else cosine_filters(config.context_channels)
        if filters.shape != model.residual.context.weight.shape:
            raise InputError(
                f"{recipe.context or 'the bank of cosine filters'} has {len(filters)} filters, "
                f"preset {recipe.preset} needs {config.context_channels}"
            )
        model.residual.context.weight.data.copy_(filters)
    if recipe.begin != "published" and config.refine:
        _init_plain(model)
    has_flow = config.flow != "scopeflow"
    if recipe.after:
        before = checkpoint.load(recipe.after)
        for name, part in model.named_children():
            source = getattr(before, name)
            if _has_weights(part) and _has_weights(source):
                _copy(source, part, recipe.after, name)
                has_flow |= name == "flow"
            elif _has_weights(part) and name not in (*stage.trains, "flow"):
                raise InputError(
                    f"{recipe.after}: has no {name}, which stage {recipe.stage} does not train: give a checkpoint of "
                    f"stage {stage.after}"
                )
    elif stage.after is not None:
        purpose = STAGES[stage.after].purpose
        raise InputError(
            f"stage {recipe.stage} goes on from another: give after, a checkpoint of stage {stage.after} ({purpose})"
        )
    if recipe.flow and config.flow == "scopeflow":
        _copy(checkpoint.load_flow(recipe.flow), model.flow, recipe.flow, "flow network")
        has_flow = True
    elif recipe.flow:
        raise InputError(f"flow {recipe.flow}: preset {recipe.preset} has no flow network: leave it out")
    if not has_flow:
        raise InputError(
            f"preset {recipe.preset} has a flow network, which this stage does not train: give flow, its checkpoint, "
            "or take a preset with classical flow, such as eqvi-quarter-dis"
        )
    return model


def _has_weights(part: nn.Module | None) -> bool:
    return part is not None and any(True for _ in part.parameters())


def _init_plain(model: EQVI) -> None:
    """Set the last layers to zero: the first frames are the two plain warps, weighted by time and, with `begin`
    ``weight_free``, by visibility."""
    assert isinstance(model.refinement, Refinement)
    assert isinstance(model.mask, MaskNet)
    set_zero(model.refinement.unet.head, model.mask.head)
    if model.residual is not None:
        set_zero(model.residual.unet.head)
    if model.fusion is not None:
        set_zero(model.fusion.head)
        nn.init.constant_(model.fusion.head.get_parameter("bias"), _FUSION_BIAS)


def _copy(source: nn.Module, part: nn.Module, path: str, name: str) -> None:
    if isinstance(part, ScopeFlow) and isinstance(source, ScopeFlow) and part.scalings != source.scalings:
        raise InputError(
            f"{path}: its {name} scales flow {source.scalings} times, this preset's {part.scalings}: choose the preset "
            "to match"
        )
    try:
        part.load_state_dict(source.state_dict())
    except RuntimeError:
        raise InputError(
            f"{path}: its {name} is of other widths than this preset's: choose the preset to match"
        ) from None


def _resnet_filters(path: str) -> Tensor:
    """The first convolution of torchvision's ResNet-18."""
    tensors, _ = read_weights(RESNET18, Path(path))
    if "conv1.weight" not in tensors:
        raise InputError(f"{path}: lacks conv1.weight: {RESNET18.hint}")
    return tensors["conv1.weight"]
