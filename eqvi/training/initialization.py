"""The model that a run begins with: built by its recipe, its weights drawn from the seed or taken from a checkpoint."""

from pathlib import Path

import torch
from torch import Tensor, nn

from eqvi.errors import InputError
from eqvi.model import checkpoint
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.model.torchvision_models import RESNET18, read_weights
from eqvi.training.filters import cosine_filters
from eqvi.training.pyramid import init_feature_pyramid
from eqvi.training.recipe import Recipe
from eqvi.training.stages import STAGES, find_stage, freeze_all_but

#: Where fusion begins if it begins plainly: sigmoid(4) = 0.98 of the full-size result.
_FULL_SIZE = 4.0


def initial_model(recipe: Recipe) -> EQVI | ScopeFlow:
    """The model of a recipe as it is before the first step, all but the learning parts frozen.

    Raises:
        InputError: a checkpoint is missing, or does not fit.
    """
    torch.manual_seed(recipe.seed)
    model = _begin_flow(recipe) if recipe.stage == "flow" else _begin_frames(recipe)
    freeze_all_but(model, find_stage(recipe.stage).trains)
    return model


def _begin_flow(recipe: Recipe) -> ScopeFlow:
    preset = PRESETS[recipe.preset]
    if preset.flow != "scopeflow":
        raise InputError(f"preset {recipe.preset} has no flow network to train: choose one with ScopeFlow")
    model = ScopeFlow(preset.flow_width, preset.flow_scalings)
    if recipe.begin == "plain":
        init_feature_pyramid(model.pyramid)
        _silence(model.estimator.head, model.context.head)
    if recipe.after:
        _copy(checkpoint.load_flow(recipe.after), model, recipe.after, "flow network")
    return model


def _begin_frames(recipe: Recipe) -> EQVI:
    config, stage = recipe.config(), find_stage(recipe.stage)
    model = EQVI(config)
    if model.residual is not None:
        weights = _context_filters(recipe.context) if recipe.context else cosine_filters(config.context_channels)
        if weights.shape != model.residual.context.weight.shape:
            raise InputError(
                f"{recipe.context or 'the bank of cosine filters'} has {len(weights)} filters, "
                f"preset {recipe.preset} needs {config.context_channels}"
            )
        model.residual.context.weight.data.copy_(weights)
    if recipe.begin == "plain":
        _begin_plainly(model)
    has_flow = config.flow != "scopeflow"
    if recipe.after:
        before = checkpoint.load(recipe.after)
        for name, part in model.named_children():
            given = getattr(before, name)
            if _has_weights(part) and _has_weights(given):
                _copy(given, part, recipe.after, name)
                has_flow |= name == "flow"
            elif _has_weights(part) and name not in (*stage.trains, "flow"):
                raise InputError(
                    f"{recipe.after}: has no {name}, which stage {recipe.stage} does not train: give a checkpoint of "
                    f"stage {stage.after}"
                )
    elif stage.after is not None:
        known = f"of stage {stage.after} ({STAGES[stage.after].purpose})"
        raise InputError(f"stage {recipe.stage} goes on from another: give after, a checkpoint {known}")
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


def _begin_plainly(model: EQVI) -> None:
    """Last layers that put out nothing: the first frames are the two plain warps, weighted by time alone."""
    assert model.refinement is not None
    assert model.mask is not None
    heads = [model.refinement.unet.head, model.mask.head]
    heads += [] if model.residual is None else [model.residual.unet.head]
    heads += [] if model.fusion is None else [model.fusion.head]
    _silence(*heads)
    if model.fusion is not None:
        nn.init.constant_(model.fusion.head.get_parameter("bias"), _FULL_SIZE)


def _silence(*layers: nn.Module) -> None:
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def _copy(given: nn.Module, part: nn.Module, path: str, name: str) -> None:
    if isinstance(part, ScopeFlow) and isinstance(given, ScopeFlow) and part.scalings != given.scalings:
        raise InputError(
            f"{path}: its {name} scales flow {given.scalings} times, this preset's {part.scalings}: choose the preset "
            "to match"
        )
    try:
        part.load_state_dict(given.state_dict())
    except RuntimeError:
        raise InputError(
            f"{path}: its {name} is of other widths than this preset's: choose the preset to match"
        ) from None


def _context_filters(path: str) -> Tensor:
    """The first convolution of torchvision's ResNet-18."""
    tensors, _ = read_weights(RESNET18, Path(path))
    if "conv1.weight" not in tensors:
        raise InputError(f"{path}: is not ResNet-18's: it lacks conv1.weight: `{RESNET18.command}` fetches it")
    return tensors["conv1.weight"]
