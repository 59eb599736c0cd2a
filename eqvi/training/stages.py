"""The stages of training: the model of each, which parts of it are trained, and which stage it starts from.

What is known of the published ones stands at the head of `eqvi.training.recipe`.
"""

import dataclasses
from typing import NamedTuple

from torch import nn

from eqvi.errors import InputError
from eqvi.model.config import EQVIConfig, MotionKind
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow


class Stage(NamedTuple):
    """One stage.

    Attributes:
        purpose: in a line.
        trains: the parts of `eqvi.EQVI` that are trained; all others are frozen.
        motion, residual, multi_scale: as in `eqvi.EQVIConfig`.
        after: the stage whose weights it starts from, if any.
        perceptual: whether its loss has a perceptual term.
    """

    purpose: str
    trains: tuple[str, ...]
    motion: MotionKind = "rectified"
    residual: bool = True
    multi_scale: bool = False
    after: str | None = None
    perceptual: bool = False


_SYNTHESIS = ("refinement", "mask", "residual")

STAGES: dict[str, Stage] = {
    "flow": Stage("the flow network, from rendered frames with exact flow", ("flow",)),
    "1": Stage("refinement and mask, on plain quadratic motion", ("refinement", "mask"), "quadratic", residual=False),
    "2": Stage("adds RCSN, fine-tunes", _SYNTHESIS, "quadratic", after="1"),
    "3": Stage("switches motion to RQFP, fine-tunes", _SYNTHESIS, after="2"),
    "4": Stage("adds MS-Fusion, trains it alone", ("fusion",), multi_scale=True, after="3"),
    "scratch": Stage("stages 1 to 3 at once, from nothing", _SYNTHESIS),
    "matching": Stage("matching at t, from windows with exact flow", ("matching",), "quadratic", residual=False),
    "finishing": Stage(
        "weights of warped frames and blurs, weight-free start", ("finishing",), "quadratic", residual=False
    ),
    "scratch-vgg": Stage("as scratch, with a perceptual term in the loss (EQVI-P)", _SYNTHESIS, perceptual=True),
}


def stage_config(
    stage: Stage, base: EQVIConfig, motion: MotionKind | None = None, residual: bool | None = None
) -> EQVIConfig:
    """The model of a stage.

    Args:
        stage: one of `STAGES`.
        base: widths and flow estimator.
        motion, residual: for ablations, instead of the stage's own.

    Raises:
        InputError: matching and finishing are each trained by a stage of their own.
    """
    for name in ("matching", "finishing"):
        if getattr(base, name) != (name in stage.trains):
            raise InputError(f"stage {name} and preset {name} belong together: give both, or neither")
    return dataclasses.replace(
        base,
        refine=not (base.matching or base.finishing),
        motion=motion or stage.motion,
        residual=stage.residual if residual is None else residual,
        multi_scale=stage.multi_scale,
    )


def freeze_all_but(model: EQVI | ScopeFlow, parts: tuple[str, ...]) -> list[nn.Parameter]:
    """Freeze a model but for the named parts; the parameters that stay trainable.

    The context convolution of RCSN is always frozen, and in a flow network by itself the occlusion decoder, on which
    no flow depends.
    """
    model.requires_grad_(False)
    if isinstance(model, ScopeFlow):
        trained: list[nn.Module | None] = [part for name, part in model.named_children() if name != "occlusion"]
    else:
        trained = [getattr(model, name) for name in parts]
    for part in trained:
        if part is not None:
            part.requires_grad_(True)
    if isinstance(model, EQVI) and model.residual is not None:
        model.residual.context.requires_grad_(False)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
