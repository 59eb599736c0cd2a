"""A model and a device by the names that users give them."""

import hashlib
from pathlib import Path
from typing import Any

from eqvi.errors import InputError
from eqvi.model.config import PRESETS
from eqvi.paths import WEIGHTS

#: What footage is interpolated with where nothing else is asked for: weights of this study, not the published ones.
DEFAULT_MODEL = "eqvi-quarter-dis"
MODEL_HELP = f"preset or checkpoint (default {DEFAULT_MODEL}: our weights, not the published ones; baseline needs none)"


def load_model(name: str, device: str = "cpu") -> tuple[Any, str]:
    """A model by preset or checkpoint, ready to use, and what identifies it.

    A preset without weights is made on the spot; one with is looked for as ``results/weights/NAME.safetensors``.

    Raises:
        InputError: there is no such preset or file, or it holds no model.
    """
    import eqvi  # here, because torch takes a second that --help can do without

    path = weights_file(name)
    if name in PRESETS and not PRESETS[name].has_weights:
        return eqvi.EQVI(PRESETS[name]).eval().to(device), name
    if path.is_file():
        return eqvi.load(path).eval().to(device), hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    free = ", ".join(preset for preset, config in PRESETS.items() if not config.has_weights)
    if name in PRESETS:
        raise InputError(f"--model {name} needs weights and {path} is not there: give a checkpoint, or one of {free}")
    raise InputError(f"--model {name}: there is no such file or preset: give a checkpoint, or one of {free}")


def weights_file(name: str) -> Path:
    """Where the weights of that name are, or would be: the file itself, or ``results/weights/NAME.safetensors``."""
    return Path(name) if Path(name).is_file() else WEIGHTS / f"{name}.safetensors"
