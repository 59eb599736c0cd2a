"""Progress bars with the time left: text on a terminal, a widget in a notebook that somebody looks at, else none."""

import os
import sys
from typing import Any

from tqdm import tqdm

from eqvi.paths import REPLACES


def bar(*arguments: Any, hidden: bool = False, **options: Any) -> Any:
    """A bar of tqdm; nothing is shown if `hidden`, or if nobody looks.

    A notebook that the study runs headless shows none: its copy must not depend on how long things took.
    """
    if hidden or not in_notebook():
        return tqdm(*arguments, disable=hidden or None, **options)  # None: shown on a terminal only
    from tqdm.notebook import tqdm as widget  # needs ipywidgets, which a machine for training may lack

    return widget(*arguments, **options)


def in_notebook() -> bool:
    """Whether this is a notebook's kernel that the study has not started."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel") and REPLACES not in os.environ
