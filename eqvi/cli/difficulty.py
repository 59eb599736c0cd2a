"""The command ``python -m eqvi difficulty``: how hard rendered training windows are beside real clips."""

import argparse
from pathlib import Path

from eqvi.datasets.pictures import load_pictures
from eqvi.errors import InputError
from eqvi.evaluation.difficulty import write
from eqvi.paths import RESULTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi difficulty``."""
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="videos or folders of frames, 8-bit RGB")
    parser.add_argument("--rendered", type=int, default=200, metavar="N", help="rendered windows (%(default)s)")
    parser.add_argument("--each", type=int, default=12, metavar="N", help="windows of a clip at x2, x4 (%(default)s)")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="of the rendered windows (default: scikit-image's)"
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS / "difficulty.csv", metavar="FILE", help="rows (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure and write the rows.

    Raises:
        InputError: an option out of range, or as `eqvi.evaluation.difficulty.write`.
    """
    for name, value in (("rendered", args.rendered), ("each", args.each)):
        if value < 1:
            raise InputError(f"--{name} {value} is out of range: give at least 1")
    write(args.clips, load_pictures(args.pictures), args.out, args.rendered, args.each)
    print(args.out)
    return 0
