"""The command ``python -m eqvi camera``: the paths of clips' cameras as numbers, `eqvi.evaluation.camera_path`."""

import argparse
from pathlib import Path

from eqvi.evaluation.camera_path import write
from eqvi.paths import RESULTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi camera``."""
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="folders of frames or video files")
    out = "CSV file of the paths, a row a frame (results/camera_paths.csv)"
    parser.add_argument("--out", type=Path, default=RESULTS / "camera_paths.csv", help=out)


def run(args: argparse.Namespace) -> int:
    """Follow every camera and write the rows; nothing is written if a clip cannot be read.

    Raises:
        InputError: a clip cannot be read, two have one name, or the file cannot be written.
    """
    write(args.clips, args.out)
    print(f"{len(args.clips)} camera paths: {args.out}")
    return 0
