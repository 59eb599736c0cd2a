"""The command ``python -m eqvi bench``: speed and memory, ours beside the published schedule of flow calls."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import torch

from eqvi.devices import choose_device, has_bfloat16
from eqvi.errors import InputError
from eqvi.evaluation import bench, profile
from eqvi.evaluation.precision import float32_precision
from eqvi.evaluation.workloads import ON_DEVICE, PARTS, Workload
from eqvi.media.clip import parse_size
from eqvi.model.registry import presets
from eqvi.reports.profile import FILE, parts, sentences, shown
from eqvi.reports.speed import described, in_tiles, summary
from eqvi.reports.tables import markdown
from eqvi.training.recipe import Precision

#: Defaults on an accelerator (the published size) and on the CPU (minutes).
_LARGE: dict[str, Any] = {"preset": "eqvi", "crop": 512, "batch": 12, "windows": 8, "rounds": 10}
_SMALL: dict[str, Any] = {"preset": "eqvi-quarter", "crop": 256, "batch": 2, "windows": 1, "rounds": 5}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi bench``."""
    add = parser.add_argument
    usual = {name: f"({_SMALL[name]} on the CPU, else {_LARGE[name]})" for name in _SMALL}
    add(
        "--parts",
        nargs="+",
        choices=list(PARTS),
        help="what is measured (all that the device can do, but memory and length)",
    )
    add(
        "--preset",
        help=f"widths and flow; its weights are random; footage: what that gets by default {usual['preset']}",
    )
    add("--device", default="auto", help="auto, cpu, cuda or mps (%(default)s)")
    add("--rounds", type=int, help=f"besides one that warms up {usual['rounds']}")
    add("--crop", type=int, help=f"of a training step, pixels {usual['crop']}")
    add("--batch", type=int, help=f"samples of a training step {usual['batch']}")
    add(
        "--precision",
        choices=get_args(Precision),
        default="float32",
        help="of the networks (%(default)s)",
    )
    add("--channels-last", action="store_true", help="memory layout of the model")
    add("--tf32", action="store_true", help="let float32 convolutions round to TF32, where the device has it")
    add("--size", default="448x256", metavar="WxH", help="of the interpolated clip (%(default)s)")
    add("--windows", type=int, help=f"gaps of it filled in a round {usual['windows']}")
    add(
        "--profile",
        action="store_true",
        help="instead of all that: the time of each step of a new frame on the CPU, at the published widths and of "
        "what footage gets by default, beside the least that it needs",
    )
    add(
        "--out",
        type=Path,
        help="CSV file of all times, with a JSON file beside it; a folder gets bench_DEVICE.csv, "
        "with --profile profile_cpu.csv",
    )


def run(args: argparse.Namespace) -> int:
    """Measure, show the ratios, write the times.

    Raises:
        InputError: an option cannot be used (nothing has been measured then), or memory is too small.
    """
    if args.profile:
        return _profile(args)
    device = choose_device(args.device)
    defaults = _SMALL if device == "cpu" else _LARGE
    values = defaults | {name: getattr(args, name) for name in defaults if getattr(args, name) is not None}
    rounds = values.pop("rounds")
    width, height = parse_size(args.size, "--size", 128)
    load = Workload(
        **values, precision=args.precision, channels_last=args.channels_last, height=height, width=width, device=device
    )
    parts = [part for part in PARTS if part in (args.parts or _usual(device))]
    bench.check(load, parts, rounds)
    out = None if args.out is None else _csv_path(args.out, f"bench_{device}.csv")
    with float32_precision(args.tf32):
        rows = bench.measure(load, parts, rounds)
        record = bench.record(load, parts, rounds, args.tf32)
    lines = summary(rows)
    table = markdown(described(lines, record), aligned=True)
    print("\n".join((*_title(load, record, rounds), table, *_remarks(load, parts, lines), *in_tiles(record))))
    if out is not None:
        bench.write(rows, {"run": out.stem, **record}, out)
    return 0


def _usual(device: str) -> list[str]:
    """The parts that say something at every size on a device: arrangements for the CPU are the same on others."""
    left_out = ["memory", "length"] if device == "cpu" else ["fast", "bfloat16", "memory", "length"]
    left_out += [] if has_bfloat16(device) else ["bfloat16"]
    return [part for part in PARTS if part not in left_out]


def _profile(args: argparse.Namespace) -> int:
    if args.device not in ("auto", "cpu") or args.parts or args.preset:
        raise InputError("--profile has models of its own, on the CPU: leave --device, --parts and --preset out")
    rounds = _SMALL["rounds"] if args.rounds is None else args.rounds
    if rounds < 1:
        raise InputError(f"--rounds {rounds} is too small: give at least 1")
    width, height = parse_size(args.size, "--size", 128)
    out = None if args.out is None else _csv_path(args.out, f"{FILE}.csv")
    rows, record = profile.profile(height, width, rounds)
    table = parts(pd.DataFrame(rows), record)
    print(f"new frames of {width}x{height} at x2 of a running clip, {record['threads']} thread(s), {rounds} round(s)\n")
    print(markdown(shown(table.reset_index()), aligned=True), "", *sentences(table), sep="\n")
    if out is not None:
        profile.write(rows, {"run": out.stem, **record}, out)
    return 0


def _csv_path(out: Path, name: str) -> Path:
    path = out / name if out.is_dir() else out
    if path.suffix != ".csv":
        raise InputError(f"--out {out}: give a file that ends in .csv, or a folder that is there")
    if not path.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {path.parent}: make it first")
    return path


def _title(load: Workload, record: dict[str, Any], rounds: int) -> list[str]:
    threads = f", {record['threads']} thread(s)" if load.device == "cpu" else ""
    return [
        f"{record['device']}{threads}, preset {load.preset}, random weights, {rounds} round(s)",
        f"training: {load.batch} sample(s) of {load.crop}x{load.crop} a step, learned parts in {load.precision}; "
        f"interpolation: {load.width}x{load.height}, networks in {load.precision}",
        f"published: {record['protocol']['published']}",
        "",
    ]


def _remarks(load: Workload, parts: Sequence[str], lines: pd.DataFrame) -> list[str]:
    """What the numbers mean, below the table."""
    remarks = [""]
    if presets()[load.preset].flow != "scopeflow" and set(parts) & set(ON_DEVICE):
        remarks.append(f"preset {load.preset} has classical flow: no published schedule to compare")
    for line in lines[lines["part"] == "data"].dropna(subset="ratio").itertuples():
        remarks.append(
            f"{line.variant} windows: one core makes {line.ratio:.3g} times what the step ({line.against}) takes, "
            f"{math.ceil(1 / line.ratio)} core(s) keep up"
        )
    peak = bench.PEAK_MEASURED_BY.get(torch.device(load.device).type, "not measured on this device")
    return [
        *remarks,
        f"peak memory: {peak}",
        "Rates and memory are of this machine and hour. Only ratios are claims: both sides of one are of one round.",
    ]
