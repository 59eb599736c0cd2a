"""The command ``python -m eqvi windows``: render training windows into a pool, ahead of the run that reads it."""

import argparse
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from time import monotonic

from eqvi.errors import InputError
from eqvi.training.window_pool import WindowPool, fill_pool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi windows``."""
    parser.add_argument(
        "pool", type=Path, metavar="POOL", help="folder of the windows; filling it goes on where it was"
    )
    parser.add_argument("--count", type=int, default=4000, metavar="N", help="windows, 3.5 MB each (%(default)s)")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="height and width, even (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sequence of windows (%(default)s)")
    parser.add_argument("--split", choices=("train", "val"), default="train", help="whose pictures (%(default)s)")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="of photographs and cut-outs (default: scikit-image's)"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Render what is missing, in processes of low priority.

    Raises:
        InputError: an option out of range, or as `fill_pool`.
    """
    for name, value, low, high in (
        ("count", args.count, 1, 10**8), ("size", args.size, 64, 768), ("workers", args.workers, 1, 256)
    ):  # fmt: skip
        if not low <= value <= high:
            raise InputError(f"--{name} {value} is out of range: give {low} to {high}")
    if args.size % 2:
        raise InputError(f"--size {args.size} is odd: give an even number")
    pool = WindowPool(args.pool, args.count, args.size, args.seed, args.pictures, args.split)
    pool.prepare()
    start = monotonic()
    parts = [(pool, worker, args.workers) for worker in range(args.workers)]
    with multiprocessing.get_context("spawn").Pool(args.workers, _begin) as workers:
        rendered = sum(workers.starmap(_fill_part, parts))
    speed = (
        f"{rendered} rendered, {rendered / max(monotonic() - start, 1e-9):.2f} a second" if rendered else "all there"
    )
    print(f"{args.pool}: {args.count} windows of {args.size}x{args.size}, {speed}")
    return 0


def _fill_part(pool: WindowPool, worker: int, workers: int) -> int:
    return fill_pool(pool, worker, workers, progress=worker == 0 and sys.stderr.isatty())


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so, and without leaving half a window behind
    if hasattr(os, "nice"):
        os.nice(10)
