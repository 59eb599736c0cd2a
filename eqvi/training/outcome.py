"""What a run leaves: weights in our format and the published one, and the record of what made them."""

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from eqvi import checkpoint
from eqvi.flow import ScopeFlow
from eqvi.model import EQVI
from eqvi.paths import ROOT
from eqvi.picture import replacing
from eqvi.training.batch import Source
from eqvi.training.recipe import Recipe

WEIGHTS_FILE, PUBLISHED_FILE, RECORD_FILE = "weights.safetensors", "published.ckpt", "run.json"

_PACKAGES = ("torch", "numpy", "scikit-image", "opencv-python-headless")


def provenance(recipe: Recipe, source: Source, steps: int, device: torch.device, processes: int) -> dict[str, Any]:
    """What makes a run, in plain values."""
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    given = {name: getattr(recipe, name) for name in ("after", "flow", "context", "vgg")}
    return {
        "recipe": dataclasses.asdict(recipe),
        "steps": steps,
        "data": source.record(),
        "inputs_sha256": {name: _sha256(Path(path)) for name, path in given.items() if path},
        "commit": commit.stdout.strip() or "unknown",
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "processes": processes,
    }


def finish(folder: Path, model: EQVI | ScopeFlow, record: dict[str, Any], scores: dict[str, float]) -> None:
    """Write the weights of a run that has come to its end, and complete its record.

    Raises:
        InputError: the disk is full, or the folder not writable.
    """
    weights = folder / WEIGHTS_FILE
    checkpoint.save(model, weights)
    if isinstance(model, ScopeFlow):
        checkpoint.export_published_flow(model, folder / PUBLISHED_FILE)
    elif model.config.flow == "scopeflow":
        checkpoint.export_published(
            model, folder / PUBLISHED_FILE, f"trained by eqvi, stage {record['recipe']['stage']}"
        )
    done = record | {"scores": scores, "weights_sha256": _sha256(weights)}
    with replacing(folder / RECORD_FILE) as beside:
        beside.write_text(json.dumps(done, indent=1), encoding="utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
