"""The folders of the project; no other file names them.

Notebooks write rows and figures where `writable` says: what is committed is replaced by the study's own command alone,
``python -m eqvi study``, and a notebook that is run in any other way writes into ``build/play``.
"""

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
#: What notebooks write that are run otherwise than by the study's own command.
PLAY = BUILD / "play"
#: The environment variable by which that command names the folders that a notebook may replace files in.
REPLACES = "EQVI_REPLACES"
#: Numbers of the released implementation, which parity is measured against.
GOLDEN = ROOT / "tests" / "golden"


def writable(committed: Path) -> Path:
    """Where a notebook writes what belongs into a committed folder, `RESULTS` or `FIGURES`.

    That folder in the study's own command, else the folder of its name in `PLAY`, which is made.

    Raises:
        InputError: it cannot be made.
    """
    if committed.name in os.environ.get(REPLACES, "").split():
        return committed
    folder = PLAY / committed.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}; make room for what is tried out") from None
    return folder


def shown(path: Path) -> str:
    """A path as a message names it: from the project's folder on, if it is in there."""
    path = Path(os.path.abspath(path))
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


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
