"""The command ``python -m eqvi download``: download REDS_VTSR or published weights."""

import argparse
from pathlib import Path

from eqvi.datasets import checksums
from eqvi.datasets.download import SOURCES, check_space_for, install, is_there, locate
from eqvi.errors import InputError
from eqvi.files import write_failure
from eqvi.paths import WEIGHTS

_DEFAULTS = {"data": ["val_15fps", "val_30fps"], "weights": ["published"]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi download``."""
    parser.add_argument("kind", metavar="data|weights", choices=SOURCES, help="REDS_VTSR, or published checkpoints")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="data: val_15fps and val_30fps (what is fetched if none is named), val_60fps, train_15fps, train_30fps, "
        "train_60fps, test_15fps; weights: published (fetched if none is named), irr-pwc, vgg (training's "
        "perceptual term), lpips (AlexNet, for LPIPS), resnet18 (for RCSN's context), raft, raft-small "
        "(another flow, as in baseline@raft)",
    )
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="where it goes: for data always needed; weights: results/weights"
    )
    parser.add_argument(
        "--from",
        dest="place",
        metavar="PLACE",
        help="take the archive from this file, folder or mirror (http...) rather than from its home",
    )
    parser.add_argument(
        "--record",
        type=Path,
        default=checksums.RECORD,
        metavar="FILE",
        help="hashes of what was seen first (%(default)s)",
    )
    parser.add_argument("--keep", action="store_true", help="keep a downloaded archive after it is unpacked")


def run(args: argparse.Namespace) -> int:
    """Download and install what was asked for, one source after the other; what is installed already is left alone.

    Raises:
        InputError: an unknown name, no folder given for data, or as `eqvi.datasets.download.install`.
    """
    sources = SOURCES[args.kind]
    names = list(dict.fromkeys(args.names)) or _DEFAULTS[args.kind]
    for name in names:
        if name not in sources:
            raise InputError(f"there is no {args.kind} called {name!r}: choose from {', '.join(sources)}")
    if args.to is None and args.kind == "data":
        raise InputError("REDS_VTSR is about 70 GB in all: name a folder for it with --to /path or DATA=/path")
    root = WEIGHTS if args.to is None else args.to
    folders = {name: root / sources[name].subfolder for name in names}
    places = {name: locate(sources[name], args.place, alone=len(names) == 1) for name in names}
    missing = []
    for name, folder in folders.items():
        if is_there(sources[name], folder):
            how = f"; `python -m eqvi doctor --data {root}` checks it" if args.kind == "data" else ""
            print(f"{name}: is there already, in {folder}{how}")
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made: {write_failure(error)}") from None
        missing.append(name)
    check_space_for(root, {folders[name] / sources[name].filename: places[name] for name in missing})
    for name in missing:
        install(name, sources[name], places[name], folders[name], args.record, args.keep)
    return 0
