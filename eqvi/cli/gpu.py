"""The command ``python -m eqvi gpu``: everything that a GPU has to answer, in one call of some minutes.

Needs no packages for video, notebooks or web pages; nothing is to be decided while it runs. Every step writes its file
into the folder the moment it has a result, and the same call again measures anew but resumes the training.
"""

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from eqvi.devices import choose_device
from eqvi.errors import InputError
from eqvi.paths import BUILD, PARAMS, RESULTS

#: Minutes of a visit, and of a rehearsal.
MINUTES, TOY_MINUTES = 9.0, 2.0
#: The training run for which weights are wanted most.
RECIPE = PARAMS / "train_matching_gpu.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi gpu``."""
    add = parser.add_argument
    add("--minutes", type=float, help=f"for all together ({MINUTES:g}, at toy size {TOY_MINUTES:g})")
    add("--out", type=Path, metavar="FOLDER", help="of the result files (results/gpu; at toy size build/gpu)")
    add("--recipe", type=Path, metavar="YAML", help=f"of the training run (at toy size two steps, else {RECIPE.name})")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="where to compute (%(default)s)")
    add("--toy", action="store_true", help="a rehearsal: every step at toy size, in less than two minutes on a CPU")


def run(args: argparse.Namespace) -> int:
    """Carry out the plan; status 1 if a step failed or was stopped.

    Raises:
        InputError: no such device, minutes that are no time, a recipe that cannot be used, or a folder that cannot be
            written.
    """
    from eqvi.evaluation import gpu

    called = time.monotonic()
    minutes = args.minutes if args.minutes is not None else TOY_MINUTES if args.toy else MINUTES
    if not 0 < minutes < 24 * 60:
        raise InputError(f"--minutes {minutes:g} cannot be used: give a number above 0, such as {MINUTES:g}")
    gpu.begin()  # before this process imports the same
    device = choose_device(args.device)
    from eqvi.evaluation.gpu_rendering import SPARED, TOY_RUN, Rendering
    from eqvi.training.recipe_file import read_recipe

    name, recipe = TOY_RUN if args.toy and args.recipe is None else read_recipe(args.recipe or RECIPE)
    folder = args.out or (BUILD / "gpu" if args.toy else RESULTS / "gpu")
    gpu.open_folder(folder)
    command = shlex.join(["python", "-m", "eqvi", *sys.argv[1:]])
    visit = gpu.Visit(folder, device, args.toy, command, name, recipe)
    gpu.say(folder, gpu.opening(visit, minutes))
    rendering = Rendering(visit, recipe, max(1, (os.cpu_count() or 1) - SPARED))
    try:
        statuses = gpu.carry_out(visit, called + 60 * minutes, background=rendering)
    finally:
        rendering.end()
    gpu.say(folder, f"eqvi gpu: over after {time.monotonic() - called:.0f} s; the results are in {folder}")
    return int(not set(statuses.values()) <= {"done", "skipped"})
