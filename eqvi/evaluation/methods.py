"""What can be measured, by the name it has in the tables: the published models, EQVI without weights, its peers."""

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eqvi.datasets.cases import Case
from eqvi.errors import InputError
from eqvi.evaluation.baselines import MINTERPOLATE, Minterpolate, blend
from eqvi.files import sha256
from eqvi.media.window import Interpolator, Window
from eqvi.model import checkpoint
from eqvi.model.config import PRESETS, MotionKind
from eqvi.model.ensemble import Ensemble, members_of
from eqvi.model.eqvi import EQVI
from eqvi.model.registry import load_model, weights_file
from eqvi.paths import WEIGHTS

#: Makes the frame (1, 3, H, W) at t in (0, 1) of a window, windows in order.
Fill = Callable[[Window, Fraction], Tensor]

#: The published models: where the archive of checkpoints keeps them, and what they must be.
PUBLISHED = {
    "stage3_rcsn_rqfp": ("Stage3_RCSN_RQFP/Stage3_checkpoint.ckpt", "eqvi"),
    "stage4_ms_fusion": ("Stage4_MSFuion/Stage4_checkpoint.ckpt", "eqvi-ms"),
    "stage123_scratch": ("Stage123_scratch/Stage123_scratch_checkpoint.ckpt", "eqvi"),
    "stage123_scratch_vgg": ("Stage123_scratch_vgg/Stage123_scratch_vgg_checkpoint.ckpt", "eqvi"),
}
#: The weight-free baseline with another motion model.
MOTIONS: tuple[MotionKind, ...] = ("linear", "quadratic", "least_squares", "rectified")
#: What needs neither weights nor EQVI.
PEERS = ("blend", "minterpolate")


class Method(NamedTuple):
    """Something that fills gaps.

    Attributes:
        name: in the tables.
        preset: of `eqvi.model.config.PRESETS`, with the motion model where it is another; else None.
        weights_sha256: of the checkpoint's file, None without one.
        open: starts on a clip.
    """

    name: str
    preset: str | None
    weights_sha256: str | None
    open: Callable[[Case], Fill]


def open_method(name: str, device: str = "cpu", weights: Path | None = None, ensemble: str = "none") -> Method:
    """A method by name.

    Args:
        name: of a published model, a preset, a motion model of the baseline, a peer, or a checkpoint's path. MODEL@FLOW
            is a model of ours whose flows another network of ours finds: ``eqvi-quarter-dis@flow-quarter``.
        device: where it runs.
        weights: the folder of published checkpoints, for those.
        ensemble: see `eqvi.model.ensemble.members_of`; peers have none.

    Raises:
        InputError: there is no such method, its weights are missing, or they are another model's.
    """
    members = members_of(ensemble)
    if name in PEERS:
        if ensemble != "none":
            raise InputError(f"{name} takes no ensemble: give --ensemble none")
        if name == "blend":
            return Method(name, None, None, lambda case: blend)
        return Method(name, f"ffmpeg minterpolate {MINTERPOLATE}", None, lambda case: Minterpolate(*_reading(case)))
    if name in PUBLISHED:
        model, digest = _published(name, weights)
        return of_model(name, model.to(device), device, members, None, digest)
    synthesis, at, flow = name.partition("@")
    if at:
        for part in (synthesis, flow):
            if not weights_file(part).is_file():
                raise InputError(f"{name}: {weights_file(part)} is not there: name two of results/weights, MODEL@FLOW")
        return on_another_flow(weights_file(synthesis), weights_file(flow), device, members)
    motion = next((kind for kind in MOTIONS if kind == name), None)
    if motion is not None:
        config = dataclasses.replace(PRESETS["baseline"], motion=motion)
        return of_model(name, EQVI(config).eval().to(device), device, members, f"baseline, motion {name}")
    model, _ = load_model(name, device)
    path = weights_file(name)
    preset = name if name in PRESETS else None
    weighted = path.is_file() and (preset is None or PRESETS[preset].has_weights)
    return of_model(preset or path.stem, model, device, members, preset, sha256(path) if weighted else None)


def with_our_weights() -> list[str]:
    """The presets whose weights are kept in the project: ours, not the published ones."""
    return [
        name for name, config in PRESETS.items() if config.has_weights and (WEIGHTS / f"{name}.safetensors").is_file()
    ]


def family() -> list[Path]:
    """The weights of the ablation's models that are kept in the project, ``ROW_SEED.safetensors``."""
    return sorted((WEIGHTS / "family").glob("*.safetensors"))


def on_another_flow(path: Path, flow: Path, device: str = "cpu", members: Sequence[str] = ("identity",)) -> Method:
    """A model whose flows another network finds; its synthesis stays as it was trained.

    Args:
        path: of the model's weights.
        flow: of the flow network's.
        device: where it works.
        members: of a test-time ensemble.

    Raises:
        InputError: as `eqvi.model.checkpoint.load`.
    """
    model = checkpoint.load(path)
    model.flow = checkpoint.load_flow(flow)
    return of_model(f"{flow.stem}_{path.stem}", model.to(device), device, members, weights_sha256=sha256(path))


def of_model(
    name: str,
    model: Any,
    device: str = "cpu",
    members: Sequence[str] = ("identity",),
    preset: str | None = None,
    weights_sha256: str | None = None,
) -> Method:
    """A method of anything that has EQVI's two stages (see `of_callable` for what has not)."""
    staged = model if tuple(members) == ("identity",) else Ensemble(model, members)
    # An interpolator remembers the frames and flows of its clip, so every clip has its own.
    return Method(name, preset, weights_sha256, lambda case: Interpolator(staged, device).interpolate)


def of_callable(name: str, make: Callable[[Tensor, float], Tensor | Any], device: str = "cpu") -> Method:
    """A method of any callable (frames, t) -> frame, or a result with a field of that name.

    Args:
        name: in the tables.
        make: given (1, 4, 3, H, W), or (1, 2, 3, H, W) at a clip's ends, in [0, 1], and t in (0, 1).
        device: where the frames are put.
    """
    return of_model(name, _Staged(make), device)


class _Made(NamedTuple):
    frame: Tensor


class _Staged:
    """A callable with EQVI's two stages, the first of which does nothing."""

    def __init__(self, make: Callable[[Tensor, float], Any]) -> None:
        self._make = make

    def estimate_motion(self, frames: Tensor, previous: Any = None) -> None:
        return None

    def interpolate(self, frames: Tensor, motion: None, t: float) -> Any:
        made = self._make(frames, t)
        return _Made(made) if isinstance(made, torch.Tensor) else made


def _reading(case: Case) -> tuple[Any, int]:
    return case.inputs, case.factor


def _published(name: str, folder: Path | None) -> tuple[EQVI, str]:
    file, preset = PUBLISHED[name]
    if folder is None:
        raise InputError(
            f"{name} needs the published checkpoints: fetch them with `make weights` and name their folder"
        )
    path = folder / file
    if not path.is_file():
        raise InputError(
            f"{path}: is missing: give the folder of the published checkpoints, or fetch them (make weights)"
        )
    model = checkpoint.load(path)
    wanted = PRESETS[preset]
    if model.config != wanted:
        fields = (field.name for field in dataclasses.fields(wanted))
        differ = next(field for field in fields if getattr(model.config, field) != getattr(wanted, field))
        found = [f"{differ}={getattr(config, differ)!r}" for config in (model.config, wanted)]
        raise InputError(
            f"{path}: has {found[0]}, but {name} is the preset {preset!r}, with {found[1]}: wrong checkpoint"
        )
    return model, sha256(path)
