"""The files of a training run (`FILES`): how its state, curves, record and weights are written and read."""

import csv
import dataclasses
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from eqvi.errors import InputError
from eqvi.files import parse_json, reason, replacing, sha256, write_failure
from eqvi.model import checkpoint
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.provenance import surroundings
from eqvi.training.recipe import Recipe
from eqvi.training.samples import Batch, SampleSource

WEIGHTS_FILE, PUBLISHED_FILE, RECORD_FILE, STATE_FILE = "weights.safetensors", "published.ckpt", "run.json", "state.pt"
LATEST_FILE = "latest.safetensors"
CURVE_FILE, SCORES_FILE, CURVES_PICTURE, EXAMPLES_FOLDER = "curve.csv", "scores.csv", "curves.png", "examples"

#: Everything that a run writes to its folder, and what for.
FILES = {
    WEIGHTS_FILE: "the weights, in our format: for `eqvi.load`, and for the next stage",
    PUBLISHED_FILE: "the same under the published names, in the published file format",
    LATEST_FILE: "the weights as they were at the last validation, to look at while the run goes on",
    RECORD_FILE: "record of the run: recipe, data, hashes, commit, versions, device, scores",
    CURVE_FILE: "every step: learning rate, each term of the loss, norm of the gradient",
    SCORES_FILE: "every validation: score of the model and of the baselines",
    CURVES_PICTURE: "both as a picture, drawn anew at every validation",
    EXAMPLES_FOLDER: "example frames of every validation",
    STATE_FILE: "all that is needed to resume",
    "tensorboard": "TensorBoard's logs",
    "bad_batch_*.safetensors": "the batch at which the loss was no longer finite",
}

# The learning rate, the position in the data and every random draw follow from the step and the recipe's seed.
_STATE_FIELDS = ("recipe", "step", "steps", "scores", "spent", "model", "optimiser", "average")

_PACKAGES = ("torch", "numpy", "scikit-image", "opencv-python-headless")


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a run; on a full disk or a kill the last one stays.

    Raises:
        InputError: it cannot be written.
    """
    path = folder / STATE_FILE
    try:
        with replacing(path, sync=True) as partial:
            torch.save(state, partial)
    except RuntimeError:  # torch's zip writer turns a full disk into one
        raise InputError(f"{path}: cannot be written: is the disk full? The last good state is kept") from None


def load_state(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """The state of the run in a folder; None where there is none.

    Raises:
        InputError: it cannot be read, or belongs to another recipe.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as parts:  # torch itself compares no checksums
            if damaged := parts.testzip():
                raise zipfile.BadZipFile(damaged)
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = {name: content[name] for name in _STATE_FIELDS}
    except Exception as error:  # a damaged pickle can fail in any way
        raise InputError(f"{path}: cannot be read ({type(error).__name__}): remove it to start anew") from None
    # An option that is newer than the state had its default.
    was = {field.name: field.metadata["default"] for field in dataclasses.fields(Recipe)} | state["recipe"]
    for name, value in dataclasses.asdict(recipe).items():
        if was[name] != value:
            raise InputError(
                f"{folder}: holds a run with {name}={was[name]!r}, not {value!r}: give another folder, or --restart"
            )
    return state


def append_row(path: Path, row: Mapping[str, object]) -> None:
    """Append a row to a curve, whose rows have the same columns, ``step`` first.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {write_failure(error)}") from None


def read_curve(path: Path) -> list[dict[str, str]]:
    """The complete rows of a curve: a kill may have cut the last one short.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        rows = list(csv.DictReader(line for line in lines if line.endswith("\n")))
        for row in rows:
            if None in row or None in row.values() or int(row["step"]) < 0:
                raise ValueError("a row of other columns")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: name a run that has a curve") from None
    except (ValueError, KeyError, csv.Error) as error:
        raise InputError(f"{path}: is no curve of a run ({reason(error)}): restore it, or train again") from None
    return rows


def write_curve(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a curve anew.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def truncate_curve(path: Path, last_step: int) -> None:
    """Remove the rows after a step, which a resumed run writes again.

    Raises:
        InputError: the file cannot be read or written.
    """
    rows = read_curve(path) if path.is_file() else []
    write_curve(path, [row for row in rows if int(row["step"]) <= last_step])


def run_record(recipe: Recipe, source: SampleSource, steps: int, device: torch.device, world: int) -> dict[str, Any]:
    """What a run is made from, in plain values."""
    inputs = {name: getattr(recipe, name) for name in ("after", "flow", "context", "vgg")}
    return {
        "recipe": dataclasses.asdict(recipe),
        "steps": steps,
        "data": source.record(),
        "inputs_sha256": {name: sha256(Path(path)) for name, path in inputs.items() if path},
        **surroundings(device, _PACKAGES),
        "threads": torch.get_num_threads(),
        "processes": world,
    }


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a run.

    Raises:
        InputError: the disk is full, or the folder not writable.
    """
    with replacing(folder / RECORD_FILE) as partial:
        partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def save_latest(folder: Path, model: EQVI | ScopeFlow) -> None:
    """Write the weights of a run that goes on, in half precision.

    Raises:
        InputError: the disk is full, or the folder not writable.
    """
    checkpoint.save(model, folder / LATEST_FILE, torch.float16)


def write_result(folder: Path, model: EQVI | ScopeFlow, record: dict[str, Any], scores: dict[str, float]) -> None:
    """Write the weights of a finished run, and complete its record.

    Raises:
        InputError: the disk is full, or the folder not writable.
    """
    checkpoint.save(model, folder / WEIGHTS_FILE)
    if isinstance(model, ScopeFlow):
        if model.scalings == 2:
            checkpoint.export_published_flow(model, folder / PUBLISHED_FILE)
    elif (model.config.flow, model.config.flow_scalings, model.config.start) == ("scopeflow", 2, "published"):
        checkpoint.export_published(
            model, folder / PUBLISHED_FILE, f"trained by eqvi, stage {record['recipe']['stage']}"
        )
    write_record(folder, record | {"scores": scores, "weights_sha256": sha256(folder / WEIGHTS_FILE)})


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a finished run with unchanged weights."""
    try:
        record = parse_json((folder / RECORD_FILE).read_text(encoding="utf-8"))
        return record["weights_sha256"] == sha256(folder / WEIGHTS_FILE)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def remove_run(folder: Path) -> None:
    """Remove the files of a run, and nothing else that lies in its folder."""
    for pattern in FILES:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def save_bad_batch(folder: Path, rank: int, parts: Sequence[Batch]) -> Path:
    """Save the batch of a failed step as ``PART.FIELD`` tensors; the file."""
    path = folder / f"bad_batch_{rank}.safetensors"
    tensors = {
        f"{number}.{name}": value.cpu().contiguous()
        for number, part in enumerate(parts)
        for name, value in part._asdict().items()
        if value is not None
    }
    save_file(tensors, path)
    return path
