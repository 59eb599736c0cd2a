"""The command ``python -m eqvi evaluate``: leave frames out of clips, put them back, measure how close they come."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from eqvi.datasets.cases import DATASETS, open_dataset, open_held_out
from eqvi.datasets.rendered_clips import read_metadata
from eqvi.devices import local_device, shard
from eqvi.errors import InputError
from eqvi.evaluation import error_budget, trajectory_rows
from eqvi.evaluation.measure import measure, measure_each
from eqvi.evaluation.methods import open_methods
from eqvi.evaluation.mode_maps import mode_map
from eqvi.media.frame_names import missing_numbers
from eqvi.media.image_files import list_frames
from eqvi.paths import RESULTS
from eqvi.reports.comparisons import mean_scores
from eqvi.reports.runs import read_frames
from eqvi.reports.tables import markdown
from eqvi.viz.figure import save


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi evaluate``."""
    add = parser.add_argument
    add("clips", nargs="*", type=Path, metavar="CLIP", help="folders of frames or video files")
    add("--data", type=Path, metavar="FOLDER", help="instead: a folder laid out like REDS_VTSR")
    add("--dataset", choices=list(DATASETS), default="val30", help="which of its clips (%(default)s)")
    add("--step", type=int, default=2, help="keep every so many frames, score the rest (%(default)s)")
    add("--every", type=int, default=1, help="score only every so many gaps (%(default)s)")
    add("--gaps", type=int, metavar="N", help="instead of --every: score N gaps spread evenly over each CLIP")
    add("--limit", type=int, help="use the first so many frames of each CLIP")
    models = "published models, presets, checkpoints, motion models of the baseline, blend, minterpolate (%(default)s)"
    add("--models", nargs="+", default=["blend", "linear", "baseline"], metavar="MODEL", help=models)
    budget = "instead of models: what true flows would gain, one mode at a time (eqvi/evaluation/error_budget.py)"
    add("--budget", action="store_true", help=budget)
    rows = "instead of models: motion models with paths over 4 to 10 frames (eqvi/evaluation/trajectory_rows.py)"
    add("--trajectories", action="store_true", help=rows)
    add("--flow", help="with --trajectories: our flow network of that name or file, or raft (default: OpenCV's DIS)")
    where = "with --budget: a figure of where both modes are wrong, in the middle of the first clip; must end in .png"
    add("--map", type=Path, metavar="FILE", help=where)
    add("--psnr", action="store_true", help="measure nothing but PSNR, in a fifth of the time")
    add("--weights", type=Path, metavar="FOLDER", help="the published checkpoints")
    add("--ensemble", default="none", help="test-time ensemble, see eqvi/model/ensemble.py (%(default)s)")
    add("--device", default="cpu", help="auto, cpu, cuda or mps (%(default)s)")
    add("--restart", action="store_true", help="discard an interrupted run")
    out = "CSV file for the rows of all models; or for --data the folder of a file per model (results/)"
    add("--out", type=Path, help=out)


def run(args: argparse.Namespace) -> int:
    """Score every model, write the rows, show the means; under torchrun every process computes a share.

    Raises:
        InputError: an option, clip, dataset or model cannot be used; nothing has been computed then.
    """
    if args.every < 1:
        raise InputError(f"--every {args.every} is too small: give at least 1")
    if bool(args.clips) == bool(args.data):
        raise InputError("give clips, or --data with a folder laid out like REDS_VTSR; not both")
    if args.gaps is not None and (args.gaps < 1 or args.every > 1 or args.data):
        raise InputError(f"--gaps {args.gaps} is for CLIPs and at least 1, and there is no --every beside it")
    if args.budget and args.ensemble != "none":
        raise InputError(f"--budget is of one model: leave --ensemble {args.ensemble} out")
    if args.map is not None and (not args.budget or args.map.suffix != ".png"):
        raise InputError(f"--map {args.map}: is for --budget, and its name must end in .png")
    if args.trajectories and (args.budget or args.ensemble != "none"):
        raise InputError("--trajectories is of motion models: leave --budget and --ensemble out")
    if args.flow is not None and not args.trajectories:
        raise InputError(f"--flow {args.flow} is for --trajectories; elsewhere a model has its own, or MODEL@FLOW")
    device, fixed_rows = local_device(args.device), args.budget or args.trajectories
    if args.budget:
        methods = error_budget.methods(device)
    elif args.trajectories:
        methods = trajectory_rows.methods(device, args.flow)
    else:
        methods = open_methods(args.models, device, args.weights, args.ensemble)
    parameters = {"step": args.step, "every": args.every, "limit": args.limit, "ensemble": args.ensemble}
    parameters |= {} if args.gaps is None else {"gaps": args.gaps}
    options: dict[str, Any] = {"device": device, "restart": args.restart}
    one_file = args.out is not None and args.out.suffix == ".csv"
    options |= {"score": error_budget.psnr} if fixed_rows or args.psnr else {}
    if args.data:
        cases = open_dataset(args.data, args.dataset, args.step, args.every)
        if args.dataset == "rendered":
            described = {case.name: read_metadata(args.data, "val", case.name) for case in cases}
            parameters["kinds"] = {name: one["kind"] for name, one in described.items() if one is not None}
    elif args.out is None and shard()[1] > 1:
        raise InputError("several processes need a place to put their rows together: give --out")
    else:
        cases = [open_held_out(path, args.step, args.every, args.limit, args.gaps) for path in args.clips]
    if shard()[0] == 0:
        for path in args.clips:
            _note_missing_numbers(path, args.limit)
    if args.map is not None:
        save(mode_map(cases[0]), args.map.stem, args.map.parent)
    with tempfile.TemporaryDirectory() as scratch:
        if args.data and not (fixed_rows or one_file):
            paths = measure_each(args.out or RESULTS, cases, methods, args.dataset, parameters, **options)
        else:
            out, dataset = args.out or Path(scratch) / "rows.csv", args.dataset if args.data else "left out"
            options |= {"name_column": "model"}
            paths = [out] if measure(out, cases, methods, dataset, parameters, **options) else []
        rows = [read_frames(path) for path in paths]
    if shard()[0] == 0 and rows:
        column = "model" if "model" in rows[0] else "run"
        print(markdown(mean_scores(pd.concat(rows), column), digits=2, missing="not measured", aligned=True))
    return 0


def _note_missing_numbers(path: Path, limit: int | None) -> None:
    """Say where the frames of a folder are not numbered on: there, distances in time are not what they seem."""
    if not path.is_dir():
        return
    holes = missing_numbers([file.stem for file in list_frames(path)[0][:limit]])
    if holes:
        (a, b), more = holes[0], f", and {len(holes) - 1} more such" if len(holes) > 1 else ""
        note = f"numbers of {path} are missing between {a} and {b}{more}: taken as neighbours"
        print(f"eqvi: note: {note}", file=sys.stderr)
