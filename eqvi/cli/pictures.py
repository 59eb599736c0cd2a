"""The command ``python -m eqvi pictures``: photographs and cut-outs that training windows show."""

import argparse
from collections import Counter
from pathlib import Path

from eqvi.datasets.picture_packages import FOLDER, gather, known_pictures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi pictures``."""
    packages, _ = known_pictures()
    size = sum(package.size for package in packages.values()) / 1e6
    parser.add_argument("--to", type=Path, default=FOLDER, metavar="FOLDER", help="where they go (%(default)s)")
    parser.add_argument(
        "--from",
        dest="place",
        metavar="PLACE",
        help=f"a folder that holds the Debian packages, or a mirror (http...); {size:.0f} MB are fetched otherwise",
    )


def run(args: argparse.Namespace) -> int:
    """Gather the pictures that are not there yet.

    Raises:
        InputError: as `eqvi.datasets.picture_packages.gather`.
    """
    packages, pictures = known_pictures()
    new = gather(args.to, args.place)
    print(f"{args.to}: {new} new pictures" if new else f"{args.to}: all pictures are there")
    licences = Counter(picture.licence for picture in pictures)
    print(f"{len(pictures)} from {len(packages)} Debian packages, the others from scikit-image; their licences:")
    for licence, count in licences.most_common():
        print(f"  {count:3d} {licence}")
    print(f"train on them with --pictures {args.to}")
    return 0
