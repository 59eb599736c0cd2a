"""Methods that can be measured, by their names in the tables: published models, ours, weight-free EQVI, and others."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eqvi.datasets.cases import Case
from eqvi.errors import InputError
from eqvi.evaluation.baselines import MINTERPOLATE, Minterpolate, blend
from eqvi.evaluation.shared_flow import SharedFlows
from eqvi.files import sha256
from eqvi.media.window import Interpolator, Window, neighbours_of
from eqvi.model import checkpoint
from eqvi.model.config import PRESETS, MotionKind
from eqvi.model.ensemble import Ensemble, members_of
from eqvi.model.eqvi import EQVI
from eqvi.model.registry import divided, load_flow, load_model, weights_file
from eqvi.paths import WEIGHTS

#: The frame (1, 3, H, W) at t in (0, 1) of a window; called with windows in order, by any thread, and beside others of
#: the same clip.
FrameAt = Callable[[Window, Fraction], Tensor]

#: The published models: file in the archive of checkpoints, preset.
PUBLISHED = {
    "stage3_rcsn_rqfp": ("Stage3_RCSN_RQFP/Stage3_checkpoint.ckpt", "eqvi"),
    "stage4_ms_fusion": ("Stage4_MSFuion/Stage4_checkpoint.ckpt", "eqvi-ms"),
    "stage123_scratch": ("Stage123_scratch/Stage123_scratch_checkpoint.ckpt", "eqvi"),
    "stage123_scratch_vgg": ("Stage123_scratch_vgg/Stage123_scratch_vgg_checkpoint.ckpt", "eqvi"),
}
#: The preset ``baseline`` with another motion model.
MOTIONS: tuple[MotionKind, ...] = ("linear", "quadratic", "least_squares", "rectified")
#: Methods other than EQVI, see `eqvi.evaluation.baselines`.
BASELINES = ("blend", "minterpolate")

# MODEL+8, MODEL+8+two-way, MODEL+detail, MODEL+8+detail or MODEL+8+two-way+detail
_OPTIONS = re.compile(r"(.+?)(?=\+)(?:\+([0-9]{1,4}))?(\+two-way)?(\+detail)?")


class Method(NamedTuple):
    """An interpolation method.

    Attributes:
        name: in the tables.
        preset: of `eqvi.model.config.PRESETS`, with the motion model where it is another; else None.
        weights_sha256: of the checkpoint's file, None without one.
        open: starts on a clip.
        neighbours: frames that it reads on each side of a gap, besides the two of the gap.
    """

    name: str
    preset: str | None
    weights_sha256: str | None
    open: Callable[[Case], FrameAt]
    neighbours: int = 1


def open_methods(
    names: Sequence[str], device: str = "cpu", weights: Path | None = None, ensemble: str = "none"
) -> list[Method]:
    """Methods that are measured together: those with one flow compute it once. Arguments as of `open_method`."""
    shared = SharedFlows()
    return [open_method(name, device, weights, ensemble, shared) for name in names]


def open_method(
    name: str,
    device: str = "cpu",
    weights: Path | None = None,
    ensemble: str = "none",
    shared: SharedFlows | None = None,
) -> Method:
    """A method by name.

    Args:
        name: of a published model, a preset, a motion model of the baseline, one of `BASELINES`, or a checkpoint's
            path. MODEL@FLOW is a model with another flow (`eqvi.model.registry.load_flow`):
            ``eqvi-quarter-dis@flow-quarter``, ``baseline+8@raft``;
            MODEL+8 a weight-free preset or a model of ours with trajectories over eight frames; MODEL+detail,
            MODEL+8+detail with the detail that warps lose (`eqvi.model.detail`); MODEL+8+two-way,
            MODEL+8+two-way+detail with the flows of both ways combined (`eqvi.model.two_way`).
        device: where it runs.
        weights: the folder of published checkpoints, for those.
        ensemble: see `eqvi.model.ensemble.members_of`; `BASELINES` have none.
        shared: the flows of models that are measured together.

    Raises:
        InputError: there is no such method, its weights are missing, or they are another model's.
    """
    members = members_of(ensemble)
    digest: str | None
    if name in BASELINES:
        if ensemble != "none":
            raise InputError(f"{name} takes no ensemble: give --ensemble none")
        if name == "blend":
            return Method(name, None, None, lambda case: blend)
        setting = f"ffmpeg minterpolate {MINTERPOLATE}"
        return Method(name, setting, None, lambda case: Minterpolate(case.inputs, case.factor))
    if name in PUBLISHED:
        (model, digest), title, preset = _load_published(name, weights), name, None
    else:
        synthesis, flow = divided(name)
        model, title, preset, digest = _unpublished(synthesis, device)
        if flow:
            model.flow, of_flow = load_flow(flow)
            title, digest = f"{Path(flow).stem}_{title}", digest or of_flow
            preset = f"{preset}, flow {flow}" if preset else None
    model.to(device)
    if shared is not None:
        shared.share(model)
    return from_model(title, model, device, members, preset, digest)


def presets_with_weights() -> list[str]:
    """The presets whose weights lie in the project: ours, not the published ones."""
    return [
        name for name, config in PRESETS.items() if config.has_weights and (WEIGHTS / f"{name}.safetensors").is_file()
    ]


def from_model(
    name: str,
    model: Any,
    device: str = "cpu",
    members: Sequence[str] = ("identity",),
    preset: str | None = None,
    weights_sha256: str | None = None,
) -> Method:
    """A method of a model with `EQVI.estimate_motion` and `EQVI.interpolate` (others: `from_callable`)."""
    ensemble = model if tuple(members) == ("identity",) else Ensemble(model, members)
    # An interpolator remembers the frames and flows of its clip, so every clip has its own.
    frame_at = lambda case: Interpolator(ensemble, device).interpolate  # noqa: E731
    return Method(name, preset, weights_sha256, frame_at, neighbours_of(ensemble))


def from_callable(name: str, function: Callable[[Tensor, float], Tensor | Any], device: str = "cpu") -> Method:
    """A method of any callable (frames, t) -> frame, or a result with a field of that name.

    Args:
        name: in the tables.
        function: gets (1, 4, 3, H, W), or (1, 2, 3, H, W) at a clip's ends, in [0, 1], and t in (0, 1).
        device: where the frames are put.
    """
    return from_model(name, _OneStage(function), device)


class _Frame(NamedTuple):
    frame: Tensor


class _OneStage:
    """A callable with EQVI's two stages, the first of which does nothing."""

    def __init__(self, function: Callable[[Tensor, float], Any]) -> None:
        self._function = function

    def estimate_motion(self, frames: Tensor, previous: Any = None) -> None:
        return None

    def interpolate(self, frames: Tensor, motion: None, t: float) -> Any:
        result = self._function(frames, t)
        return _Frame(result) if isinstance(result, torch.Tensor) else result


def _unpublished(name: str, device: str) -> tuple[EQVI, str, str | None, str | None]:
    """A model of ours or without weights: itself, its title in the tables, its preset, and its file's sha256."""
    if not Path(name).is_file() and (options := _OPTIONS.fullmatch(name)):
        base, frames, two_way, detail = options.groups()
        model, _ = load_model(
            base, device, int(frames) if frames else None, bool(detail) or None, bool(two_way) or None
        )
        digest = sha256(weights_file(base)) if model.config.has_weights else None
        title = name if base in PRESETS else name.replace(base, weights_file(base).stem, 1)
        trajectory = f"trajectory {frames}" if frames else ""
        described = [base, trajectory, "two-way" if two_way else "", "detail" if detail else ""]
        return model, title, ", ".join(filter(None, described)), digest
    motion = next((kind for kind in MOTIONS if kind == name), None)
    if motion is not None:
        config = dataclasses.replace(PRESETS["baseline"], motion=motion)
        return EQVI(config).eval().to(device), name, f"baseline, motion {name}", None
    model, _ = load_model(name, device)
    path = weights_file(name)
    preset = name if name in PRESETS else None
    has_weights = path.is_file() and (preset is None or PRESETS[preset].has_weights)
    return model, preset or path.stem, preset, sha256(path) if has_weights else None


def _load_published(name: str, folder: Path | None) -> tuple[EQVI, str]:
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
    actual, expected = dataclasses.asdict(model.config), dataclasses.asdict(PRESETS[preset])
    for field in expected:
        if actual[field] != expected[field]:
            raise InputError(
                f"{path}: has {field}={actual[field]!r}, but {name} is the preset {preset!r}, with "
                f"{field}={expected[field]!r}: wrong checkpoint"
            )
    return model, sha256(path)
