"""The command ``python -m eqvi gpu``: everything that a GPU has to answer, in one call of some minutes.

Needs no packages for video, notebooks or web pages; nothing is to be decided while it runs. Every step writes its file
into the folder the moment it has a result, and the same call again measures anew but resumes the training.
"""

import argparse
import dataclasses
import os
import shlex
import sys
import time
from pathlib import Path

from eqvi.devices import choose_device
from eqvi.errors import InputError
from eqvi.evaluation.gpu import PLAN
from eqvi.paths import BUILD, PARAMS, RESULTS

#: Minutes of a visit, and of a rehearsal.
MINUTES, TOY_MINUTES = 9.0, 2.0
#: The training run for which weights are wanted most, and the ablation.
RECIPES = (PARAMS / "train_finishing_gpu.yaml", PARAMS / "ablation_gpu.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi gpu``."""
    add, names = parser.add_argument, [step.name for step in PLAN]
    files = ", ".join(path.name for path in RECIPES)
    add("--minutes", type=float, help=f"for all together ({MINUTES:g}, at toy size {TOY_MINUTES:g})")
    add("--steps", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {', '.join(names)} (all)")
    add("--recipe", nargs="+", type=Path, metavar="YAML", help=f"of the training runs ({files}; toy size: tiny ones)")
    add(
        "--seeds",
        nargs="+",
        type=int,
        metavar="N",
        help="train by each recipe once with each of them (the recipe's own)",
    )
    add("--pictures", type=Path, metavar="FOLDER", help="that training windows show, instead of the recipes'")
    add("--out", type=Path, metavar="FOLDER", help="of the result files (results/gpu; at toy size build/gpu)")
    add("--packed", type=Path, metavar="FOLDER", help="of the same in few files to carry away (as --out)")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="where to compute (%(default)s)")
    add("--toy", action="store_true", help="a rehearsal: every step at toy size, in less than two minutes on a CPU")


def run(args: argparse.Namespace) -> int:
    """Carry out the plan; status 1 if a step failed or was stopped.

    Raises:
        InputError: no such device, minutes that are no time, recipes that cannot be used, or a folder that cannot be
            written.
    """
    from eqvi.evaluation import gpu
    from eqvi.evaluation.gpu_record import Visit, pack_records, say

    called = time.monotonic()
    minutes = args.minutes if args.minutes is not None else TOY_MINUTES if args.toy else MINUTES
    if not 0 < minutes < 24 * 60:
        raise InputError(f"--minutes {minutes:g} cannot be used: give a number above 0, such as {MINUTES:g}")
    gpu.begin()  # before this process imports the same
    device = choose_device(args.device)
    from eqvi.evaluation.gpu_rendering import SPARED, TOY_ABLATION, TOY_RUNS, Rendering
    from eqvi.training.recipe_file import read_runs
    from eqvi.training.window_pool import load_pictures

    runs, ablation = (dict(TOY_RUNS), dict(TOY_ABLATION)) if args.toy and args.recipe is None else ({}, {})
    for path in args.recipe or (() if args.toy else RECIPES):
        found = read_runs(path)
        (ablation if found.is_ablation else runs).update(found.recipes)
    if args.seeds:
        made = ((name, recipe, seed) for name, recipe in runs.items() for seed in args.seeds)
        runs = {f"{name}_{seed}": dataclasses.replace(recipe, seed=seed) for name, recipe, seed in made}
    if args.pictures is not None:
        load_pictures(args.pictures, "val")
        for recipes in (runs, ablation):
            recipes |= {name: dataclasses.replace(made, pictures=str(args.pictures)) for name, made in recipes.items()}
    folder = args.out or (BUILD / "gpu" if args.toy else RESULTS / "gpu")
    gpu.open_folders(folder, args.packed)
    command, plan = shlex.join(["python", "-m", "eqvi", *sys.argv[1:]]), gpu.chosen_steps(args.steps)
    visit = Visit(folder, device, args.toy, command, runs, ablation, args.packed)
    say(folder, gpu.opening(visit, minutes, plan))
    trained = [*runs.values(), *ablation.values()] if "weights" in args.steps else []
    rendering = Rendering(visit, trained, max(1, (os.cpu_count() or 1) - SPARED))
    try:
        statuses = gpu.carry_out(visit, called + 60 * minutes, plan, background=rendering)
    finally:
        rendering.end()
    say(folder, f"eqvi gpu: over after {time.monotonic() - called:.0f} s; the results are in {folder}")
    pack_records(visit)
    return int(not set(statuses.values()) <= {"done", "skipped"})
