"""A Python that has only what a GPU machine has: put this file's text into a folder of PYTHONPATH as sitecustomize.py.

No process then finds the modules of installed packages that none of `INSTALLED` needs.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from typing import Any

#: What is installed on the machine that `python -m eqvi gpu` is for.
INSTALLED = (
    "torch", "numpy", "scipy", "pandas", "matplotlib", "scikit-image", "opencv-python-headless", "safetensors",
    "jaxtyping", "tqdm", "pytest", "triton",
)  # fmt: skip


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(name: str) -> Iterator[str]:
    """The names of the packages that one needs, without extras."""
    try:
        requirements = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        if "extra ==" not in requirement:
            yield canonical(re.split(r"[\s;<>=!~\[(]", requirement, maxsplit=1)[0])


def available() -> set[str]:
    """`INSTALLED`, and all that these need."""
    todo, seen = [canonical(name) for name in INSTALLED], set[str]()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += needed(name)
    return seen


class Without:
    """A finder that does not find the modules of packages that are not there."""

    def __init__(self, finder: Any, absent: set[str]) -> None:
        self.finder, self.absent = finder, absent

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.partition(".")[0] in self.absent else self.finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


def absent() -> set[str]:
    """The modules of installed packages that are not `available`; an installed copy of this package is not meant."""
    here, owners = available(), importlib.metadata.packages_distributions()
    return {module for module, names in owners.items() if not {canonical(name) for name in names} & here} - {"eqvi"}


if __name__ == "sitecustomize":
    sys.meta_path[:] = [Without(finder, absent()) for finder in sys.meta_path]
