"""The command ``python -m eqvi train``: a training run by its recipe. The same command again resumes it.

Recipes are YAML files with the parameters of notebook ``13_train`` (``notebooks/params/train_*.yaml``); every field is
an option as well. Several processes or machines: ``torchrun --nproc-per-node 4 --no-python python -m eqvi train ...``.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from eqvi.cli.study import nearest, read_yaml
from eqvi.devices import local_device, shard
from eqvi.errors import InputError
from eqvi.paths import BUILD, ROOT
from eqvi.training.recipe import Recipe
from eqvi.training.recipe_file import OTHER_PARAMETERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi train``."""
    parser.add_argument("--recipe", type=Path, metavar="YAML", help="as in notebooks/params/; options override it")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of the run (the YAML's, or build/train/STAGE)")
    parser.add_argument("--minutes", type=float, help="time budget; the same command resumes the run")
    parser.add_argument("--restart", action="store_true", help="remove the run in FOLDER, finished or not")
    devices = ("auto", "cpu", "cuda", "mps")
    parser.add_argument("--device", choices=devices, default="auto", help="where to compute (%(default)s)")
    parser.add_argument("--workers", type=int, default=-1, help="processes that prepare windows; -1 chooses")
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's logs too (needs its package)")
    recipe = parser.add_argument_group(
        "the recipe", "what decides the weights; a run resumes with the same recipe only"
    )
    for field in dataclasses.fields(Recipe):
        default, text = field.metadata["default"], field.metadata["help"]
        kind: dict[str, Any] = {"type": type(default)}
        if isinstance(default, bool):
            kind = {"action": argparse.BooleanOptionalAction}
        elif isinstance(default, dict):
            kind = {"nargs": "+", "metavar": "NAME=WEIGHT"}
        help_text = f"{text} ({default})" if default not in ("", {}) else text
        option = "--" + field.name.replace("_", "-")
        recipe.add_argument(option, default=argparse.SUPPRESS, help=help_text, **kind)


def run(args: argparse.Namespace) -> int:
    """Train, or resume training, and print where the run stands.

    Raises:
        InputError: as `eqvi.training.train.train`.
    """
    import torch

    from eqvi.training.loading import default_workers
    from eqvi.training.monitor import save_pictures
    from eqvi.training.train import train  # imports what --help can do without

    options = vars(args)
    values, out = recipe_values(args.recipe) if args.recipe else ({}, None)
    values |= {field.name: options[field.name] for field in dataclasses.fields(Recipe) if field.name in options}
    if isinstance(values.get("terms"), list):
        values["terms"] = _loss_terms(values["terms"])
    recipe = Recipe.from_values(values)
    if args.workers < -1:
        raise InputError(f"--workers {args.workers} cannot be used: give 0 or more, or -1 to have it chosen")
    if args.minutes is not None and not args.minutes > 0:
        raise InputError(f"--minutes {args.minutes} must be above 0")
    folder = args.out or out or BUILD / "train" / recipe.stage
    device = local_device(args.device)
    workers = default_workers(torch.device(device)) if args.workers < 0 else args.workers
    first = shard()[0] == 0
    try:
        progress = train(
            recipe, folder, device, workers, args.minutes,
            on_validation=save_pictures, tensorboard=args.tensorboard, restart=args.restart,
        )  # fmt: skip
    except KeyboardInterrupt:
        if first:
            print(f"{folder}: stopped; run the same command to resume")
        raise
    if first:
        scores = ", ".join(f"{name} {value:.3f}" for name, value in progress.scores.items())
        hint = "done" if progress.step == progress.steps else "run the same command to resume"
        print(f"{folder}: step {progress.step} of {progress.steps} ({scores}); {hint}")
    return 0


def recipe_values(path: Path) -> tuple[dict[str, Any], Path | None]:
    """The fields in a recipe's YAML file, and the folder of the run if it names one.

    Raises:
        InputError: it cannot be read, or gives no recipe.
    """
    values = read_yaml(path)
    if not values:
        raise InputError(f"{path}: holds no recipe: write 'NAME: VALUE', a line for each")
    known = {field.name for field in dataclasses.fields(Recipe)}
    for name in values:
        if name not in known and name not in OTHER_PARAMETERS:
            raise InputError(f"{path}: a recipe has no {name!r}{nearest(name, known)}")
    folder = ROOT / str(values["out"]) if values.get("out") else None
    return {name: value for name, value in values.items() if name in known}, folder


def _loss_terms(texts: list[str]) -> dict[str, float]:
    terms = {}
    for text in texts:
        name, _, weight = text.partition("=")
        try:
            terms[name] = float(weight)
        except ValueError:
            raise InputError(f"--terms {text}: write NAME=WEIGHT, as in laplacian=5") from None
    return terms
