"""The command ``python -m eqvi ship``: what a finished training run is kept by in the project.

Its weights go to ``results/weights/NAME.safetensors`` in half precision, its record, scores and a thinned curve to
``results/training/NAME/``. Weights of a name that a preset has are found by it: ``--model eqvi-quarter-dis``.
"""

import argparse
import json
import re
from pathlib import Path
from statistics import mean

import torch

from eqvi.errors import InputError
from eqvi.files import replacing, sha256
from eqvi.model import checkpoint
from eqvi.paths import RESULTS, WEIGHTS
from eqvi.training.curve import read_curve
from eqvi.training.run_folder import RECORD_FILE, WEIGHTS_FILE, is_finished

#: Rows of a curve that are kept, about.
_KEPT = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi ship``."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of a finished training run")
    parser.add_argument("name", metavar="NAME", help="what the weights are to be called; FOLDER/NAME groups them")


def run(args: argparse.Namespace) -> int:
    """Keep a run's weights and record.

    Raises:
        InputError: there is no finished run, the name cannot be used, or the disk is full.
    """
    weights = ship(args.folder, args.name)
    print(f"{weights}: {weights.stat().st_size / 1e6:.2f} MB, sha256 {sha256(weights)[:16]}")
    return 0


def ship(folder: Path, name: str, weights: Path = WEIGHTS, training: Path = RESULTS / "training") -> Path:
    """Keep the weights of a finished run in half precision, and how they came to be; the file of weights.

    Args:
        folder: of the run.
        name: lower-case letters, digits, hyphens and underscores; a folder may stand before it, as in ``family/a_0``.
        weights, training: where weights and records go.

    Raises:
        InputError: there is no finished run, the name cannot be used, or the disk is full.
    """
    if not re.fullmatch(r"(?:[a-z0-9][a-z0-9_-]*/)?[a-z0-9][a-z0-9_-]*", name):
        raise InputError(f"name {name!r} cannot be used: take lower-case letters, digits, hyphens and underscores")
    if not is_finished(folder):
        raise InputError(f"{folder}: holds no finished training run: let `python -m eqvi train` come to its end first")
    record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    load = checkpoint.load_flow if record["recipe"]["stage"] == "flow" else checkpoint.load
    target, home = weights / f"{name}.safetensors", training / name
    for place in (target.parent, home):
        place.mkdir(parents=True, exist_ok=True)
    checkpoint.save(load(folder / WEIGHTS_FILE), target, torch.float16)
    record["shipped_sha256"] = sha256(target)
    with replacing(home / RECORD_FILE) as beside:
        beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for file, rows in (
        ("curve.csv", thinned(read_curve(folder / "curve.csv"), _KEPT)),
        ("scores.csv", read_curve(folder / "scores.csv")),
    ):
        with replacing(home / file) as beside:
            lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
            beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def thinned(rows: list[dict[str, str]], most: int) -> list[dict[str, str]]:
    """A curve in about `most` rows, each for several steps: the last step, epoch and rate, the mean of the rest."""
    each = max(1, len(rows) // most)
    if each == 1:
        return rows
    found = []
    # Counted from the end, so that the end of the run is kept.
    for last in range(len(rows) - 1, -1, -each):
        group = rows[max(0, last - each + 1) : last + 1]
        means = {name: f"{mean(float(row[name]) for row in group):.8g}" for name in rows[0]}
        found.append(means | {name: rows[last][name] for name in ("step", "epoch", "rate")})
    return found[::-1]
