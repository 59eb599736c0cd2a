"""The command ``python -m eqvi render``: rendered clips with exact optical flow, laid out like REDS_VTSR."""

import argparse
import sys
from pathlib import Path
from time import monotonic
from typing import get_args

from tqdm import tqdm

from eqvi.datasets.photographs import SPLITS
from eqvi.datasets.random_scenes import INTERVALS, MAX_CLIPS, draw_clips
from eqvi.datasets.rendered_clips import check_folder, write_rendered_clip
from eqvi.datasets.rendering import PathKind
from eqvi.errors import InputError
from eqvi.media.clip import parse_size

#: Input frames of a clip of REDS_VTSR.
_REDS_FRAMES = 46


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi render``."""
    parser.add_argument("out", type=Path, metavar="OUT", help="folder that gets val/ or train/, as a copy of REDS_VTSR")
    parser.add_argument("--clips", type=int, default=8, metavar="N", help="how many clips (%(default)s)")
    parser.add_argument("--split", choices=list(SPLITS), default="val", help="whose pictures they show (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which clips are drawn (%(default)s)")
    parser.add_argument("--size", default="448x256", metavar="WxH", help="of the frames, pixels (%(default)s)")
    parser.add_argument(
        "--frames",
        type=int,
        default=INTERVALS + 1,
        metavar="N",
        help=f"a clip at 15 a second (%(default)s; REDS_VTSR: {_REDS_FRAMES}); in longer clips motion is gentler",
    )
    parser.add_argument("--kind", choices=get_args(PathKind), help="of every path (default: each in turn)")


def run(args: argparse.Namespace) -> int:
    """Render the clips that are not there yet, so that an interrupted run is completed by the same command.

    Raises:
        InputError: an option out of range, or a folder that holds other clips; nothing is written then.
    """
    width, height = parse_size(args.size)
    for name, value, low, high in (("clips", args.clips, 1, MAX_CLIPS), ("frames", args.frames, 4, _REDS_FRAMES)):
        if not low <= value <= high:
            raise InputError(f"--{name} {value} is out of range: give {low} to {high}")
    clips = draw_clips(args.clips, args.seed, args.split, (height, width), args.kind, args.frames - 1)
    check_folder(args.out, args.split, clips)
    start, frames = monotonic(), 0
    for name, clip in tqdm(clips.items(), unit="clip", disable=None, file=sys.stderr):
        frames += write_rendered_clip(args.out, name, clip)
    speed = f"{frames / (monotonic() - start):.1f} frames/s" if frames else "all there before"
    print(
        f"{len(clips)} clips of {args.frames} frames at 15 a second, {width}x{height}: {args.out / args.split}, {speed}"
    )
    return 0
