"""The command ``python -m eqvi site``: the whole study as one folder of web pages that opens from disk."""

import argparse
import time
from pathlib import Path

from eqvi.paths import BUILD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi site``."""
    parser.add_argument("--out", type=Path, default=BUILD / "site", help="folder of the site (default: %(default)s)")
    parser.add_argument("--executed", type=Path, default=BUILD / "notebooks", metavar="FOLDER",
                        help="where the executed notebooks are (default: %(default)s)")  # fmt: skip
    parser.add_argument("--partial", action="store_true", help="leave out notebooks that were not executed")


def run(args: argparse.Namespace) -> int:
    """Make the site and say what it holds.

    Raises:
        InputError: notebooks that were not executed, a link that leads nowhere, a site that is too large.
    """
    from eqvi.site.build import Study, build  # imports torch and Jupyter, which --help need not wait for

    start = time.monotonic()
    print("making the pages, then the pictures of the explorer: some minutes", flush=True)
    site = build(args.out, Study(executed=args.executed), partial=args.partial)
    if site.left_out:
        print(f"left out, because not executed: {', '.join(site.left_out)}")
    print(
        f"{args.out}/index.html: {site.pages} pages, {site.links} checked links, {site.size / 1e6:.1f} MB, "
        f"{time.monotonic() - start:.0f} s"
    )
    return 0
