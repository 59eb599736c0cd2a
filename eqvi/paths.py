"""The folders of the project; no other file names them."""

import os
import sys
from pathlib import Path

from eqvi.errors import InputError

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
NOTEBOOKS = ROOT / "notebooks"
PARAMS = NOTEBOOKS / "params"
FIGURES = ROOT / "figures"
RESULTS = ROOT / "results"
WEIGHTS = RESULTS / "weights"
BUILD = ROOT / "build"
#: Numbers of the released implementation, which parity is measured against.
GOLDEN = ROOT / "tests" / "golden"


def check_folder() -> None:
    """Refuse to work in another copy of the project than the one that this package is of.

    An environment that was copied with its clone has the original's package installed: a notebook of the copy would
    silently import that, and write the original's figures and results.

    Raises:
        InputError: the working folder, or the one above it, is another copy.
    """
    working = os.path.abspath(os.curdir) if os.path.exists(os.curdir) else os.sep
    for folder in (Path(working), Path(working).parent):
        other = folder / PACKAGE.name
        if (other / Path(__file__).name).is_file() and other.resolve() != PACKAGE:
            raise InputError(
                f"this is {folder}, but Python imports the package of {ROOT}: "
                f"run `{sys.executable} -m pip install --no-deps -e {folder}`, then start again"
            )
