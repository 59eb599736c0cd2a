"""EQVI, enhanced quadratic video interpolation: the package of the reproducibility study.

model = eqvi.load("checkpoint.safetensors")          # or eqvi.EQVI(config), with random weights
motion = model.estimate_motion(frames)               # frames (B, 4, 3, H, W), RGB in [0, 1]: once per window
new = model.interpolate(frames, motion, t=0.5).frame # (B, 3, H, W): any t between the middle two
"""

from importlib import import_module
from typing import Any

from eqvi.paths import check_folder

__all__ = ["EQVI", "PRESETS", "EQVIConfig", "InputError", "load"]

_MODULES = {
    "EQVI": "eqvi.model.eqvi",
    "EQVIConfig": "eqvi.model.config",
    "InputError": "eqvi.errors",
    "PRESETS": "eqvi.model.config",
    "load": "eqvi.model.checkpoint",
}


check_folder()  # before anything of another copy of the project is computed or written


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `python -m eqvi --help` and the report notebooks do not import torch.
    if name not in _MODULES:
        raise AttributeError(f"module 'eqvi' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
