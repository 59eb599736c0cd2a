"""The command ``python -m eqvi readme``: write the generated parts of README.md and of the model card anew."""

import argparse

from eqvi.files import replacing
from eqvi.paths import ROOT
from eqvi.reports.readme import DOCUMENTS, filled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi readme``."""
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if something would change")


def run(args: argparse.Namespace) -> int:
    """Write the documents anew, or say whether that would change them (1 if so).

    Raises:
        InputError: as `filled`.
    """
    stale = [path for path in DOCUMENTS if filled(path) != path.read_text(encoding="utf-8")]
    for path in DOCUMENTS:
        name = path.relative_to(ROOT)
        if path not in stale:
            print(f"{name} is in step with the project")
        elif args.check:
            print(f"{name} is out of step with the project: run `python -m eqvi readme`")
        else:
            with replacing(path) as partial:
                partial.write_text(filled(path), encoding="utf-8")
            print(f"{name}: generated parts written anew")
    return 1 if stale and args.check else 0
