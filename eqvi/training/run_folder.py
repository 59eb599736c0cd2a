"""What a run leaves: weights in our format and the published one, and the record of what made them."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from eqvi.files import replacing, sha256
from eqvi.model import checkpoint
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.provenance import surroundings
from eqvi.training.recipe import Recipe
from eqvi.training.samples import SampleSource

WEIGHTS_FILE, PUBLISHED_FILE, RECORD_FILE = "weights.safetensors", "published.ckpt", "run.json"

_PACKAGES = ("torch", "numpy", "scikit-image", "opencv-python-headless")


def provenance(
    recipe: Recipe, source: SampleSource, steps: int, device: torch.device, processes: int
) -> dict[str, Any]:
    """What makes a run, in plain values."""
    given = {name: getattr(recipe, name) for name in ("after", "flow", "context", "vgg")}
    return {
        "recipe": dataclasses.asdict(recipe),
        "steps": steps,
        "data": source.record(),
        "inputs_sha256": {name: sha256(Path(path)) for name, path in given.items() if path},
        **surroundings(device, _PACKAGES),
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
        if model.scalings == 2:
            checkpoint.export_published_flow(model, folder / PUBLISHED_FILE)
    elif model.config.flow == "scopeflow" and model.config.flow_scalings == 2:
        checkpoint.export_published(
            model, folder / PUBLISHED_FILE, f"trained by eqvi, stage {record['recipe']['stage']}"
        )
    done = record | {"scores": scores, "weights_sha256": sha256(weights)}
    with replacing(folder / RECORD_FILE) as beside:
        beside.write_text(json.dumps(done, indent=1), encoding="utf-8")


def throw_away(folder: Path) -> None:
    """Remove what a run has left in its folder, and nothing else that lies there."""
    for name in (
        "state.pt",
        "curve.csv",
        "scores.csv",
        "curves.png",
        RECORD_FILE,
        WEIGHTS_FILE,
        PUBLISHED_FILE,
        "bad_batch_*",
    ):
        for path in folder.glob(name):
            path.unlink(missing_ok=True)
    for name in ("tensorboard", "examples"):
        shutil.rmtree(folder / name, ignore_errors=True)


def is_finished(folder: Path) -> bool:
    """Whether `finish` has done its work there, and its weights are still as they were."""
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        return record.get("weights_sha256") == sha256(folder / WEIGHTS_FILE)
    except (OSError, ValueError):
        return False
