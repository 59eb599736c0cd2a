"""The command ``python -m eqvi ship``: copies a finished training run into the project's results.

Its weights go to ``results/weights/NAME.safetensors`` in half precision, its record, scores and a thinned curve to
``results/training/NAME/``. A preset uses the weights of its own name: ``--model eqvi-quarter-dis``.
"""

import argparse
import re
from pathlib import Path
from statistics import mean

import torch

from eqvi.errors import InputError
from eqvi.files import parse_json, sha256, write_failure
from eqvi.model import checkpoint
from eqvi.paths import RESULTS, WEIGHTS
from eqvi.training.run_folder import (
    CURVE_FILE,
    RECORD_FILE,
    SCORES_FILE,
    WEIGHTS_FILE,
    is_finished,
    read_curve,
    write_curve,
    write_record,
)  # fmt: skip

#: About how many rows a thinned curve has.
_ROWS = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi ship``."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of a finished training run")
    parser.add_argument("name", metavar="NAME", help="name of the weights; FOLDER/NAME groups them")


def run(args: argparse.Namespace) -> int:
    """Copy a run's weights and record, and print the file of weights.

    Raises:
        InputError: there is no finished run, the name cannot be used, or the disk is full.
    """
    weights = ship(args.folder, args.name)
    print(f"{weights}: {weights.stat().st_size / 1e6:.2f} MB, sha256 {sha256(weights)[:16]}")
    return 0


def ship(folder: Path, name: str, weights: Path = WEIGHTS, training: Path = RESULTS / "training") -> Path:
    """Copy the weights of a finished run in half precision, with its record and curves; the file of weights.

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
        raise InputError(f"{folder}: holds no finished training run: finish it with `python -m eqvi train` first")
    record = parse_json((folder / RECORD_FILE).read_text(encoding="utf-8"))
    curve, scores = (read_curve(folder / name) for name in (CURVE_FILE, SCORES_FILE))
    for file, rows in ((CURVE_FILE, curve), (SCORES_FILE, scores)):
        if not rows or rows[-1].get("step") != str(record["steps"]):
            raise InputError(f"{folder / file}: does not end at step {record['steps']}: restore it, or train again")
    load = checkpoint.load_flow if record["recipe"]["stage"] == "flow" else checkpoint.load
    target, home = weights / f"{name}.safetensors", training / name
    for place in (target.parent, home):
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{place}: cannot be made: {write_failure(error)}") from None
    checkpoint.save(load(folder / WEIGHTS_FILE), target, torch.float16)
    write_record(home, record | {"shipped_sha256": sha256(target)})
    write_curve(home / CURVE_FILE, thinned(curve, _ROWS))
    write_curve(home / SCORES_FILE, scores)
    return target


def thinned(rows: list[dict[str, str]], most: int) -> list[dict[str, str]]:
    """A curve in about `most` rows, each for several steps: the last step, epoch and rate, the mean of the rest."""
    size = max(1, len(rows) // most)
    if size == 1:
        return rows
    means = []
    # Counted from the end, so that the last step is in it.
    for last in range(len(rows) - 1, -1, -size):
        group = rows[max(0, last - size + 1) : last + 1]
        row = {name: f"{mean(float(row[name]) for row in group):.8g}" for name in rows[0]}
        means.append(row | {name: rows[last][name] for name in ("step", "epoch", "rate")})
    return means[::-1]
