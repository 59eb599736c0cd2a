"""Models by name: a preset, weights of our own, or the path of a checkpoint."""

import dataclasses
from pathlib import Path
from typing import Any

from eqvi.errors import InputError
from eqvi.files import sha256
from eqvi.model.config import PRESETS
from eqvi.paths import WEIGHTS

#: The default model of every command: weights of this study, not the published ones.
DEFAULT_MODEL = "eqvi-quarter-dis"
#: Frames of the paths that correct the motion of users' footage (`eqvi.model.trajectories`).
TRAJECTORY = 8
MODEL_HELP = f"preset or checkpoint (default {DEFAULT_MODEL}: our weights, not the published ones; baseline needs none)"


def load_model(
    name: str, device: str = "cpu", trajectory: int | None = None, detail: bool | None = None
) -> tuple[Any, str]:
    """A model in evaluation mode, and its identity: the preset's name or the start of its file's SHA-256.

    Args:
        name: a weight-free preset, the path of a checkpoint, or NAME for ``results/weights/NAME.safetensors``.
        device: where the model goes.
        trajectory: frames of its trajectories in place of its own number; see `eqvi.EQVIConfig`.
        detail: whether the detail that warps lose is given back, in place of its own; see there.

    Raises:
        InputError: there is no such preset or file, the file is not a model's, or no such number of frames is possible.
    """
    import eqvi  # here, so that --help does not import torch

    if trajectory is not None or detail is not None:
        model, identity = load_model(name, device)
        given = {"trajectory": trajectory, "detail": detail}
        given = {key: value for key, value in given.items() if value is not None}
        model.config = dataclasses.replace(model.config, **given)
        return model, "".join((identity, *(f"+{key}={value}" for key, value in given.items())))

    path = weights_file(name)
    if name in PRESETS and not PRESETS[name].has_weights:
        return eqvi.EQVI(PRESETS[name]).eval().to(device), name
    if path.is_file():
        return eqvi.load(path).eval().to(device), sha256(path)[:16]
    free = ", ".join(preset for preset, config in PRESETS.items() if not config.has_weights)
    if name in PRESETS:
        raise InputError(f"--model {name} needs weights and {path} is not there: give a checkpoint, or one of {free}")
    raise InputError(f"--model {name}: there is no such file or preset: give a checkpoint, or one of {free}")


def weights_file(name: str) -> Path:
    """The path `name` if it is a file, else ``results/weights/NAME.safetensors``, which may not exist."""
    return Path(name) if Path(name).is_file() else WEIGHTS / f"{name}.safetensors"
