"""The command ``python -m eqvi readme``: rewrite the generated parts of the project's documents."""

import argparse

from eqvi.files import replacing
from eqvi.paths import ROOT
from eqvi.reports.readme import DOCUMENTS, filled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi readme``."""
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if something would change")


def run(args: argparse.Namespace) -> int:
    """Rewrite the documents, or print which ones that would change (exit status 1 then).

    Raises:
        InputError: as `filled`.
    """
    documents = {path: filled(path) for path in DOCUMENTS}
    stale = [path for path, text in documents.items() if text != path.read_text(encoding="utf-8")]
    for path, text in documents.items():
        name = path.relative_to(ROOT)
        if path not in stale:
            print(f"{name} is in step with the project")
        elif args.check:
            print(f"{name} is out of step with the project: run `python -m eqvi readme`")
        else:
            with replacing(path) as partial:
                partial.write_text(text, encoding="utf-8")
            print(f"{name}: generated parts rewritten")
    return 1 if stale and args.check else 0
