"""What the outcome of a notebook depends on, as one hash: while that is unchanged, the notebook need not run again.

It depends on its cells and parameters, the pinned packages, the modules of this package that it imports (and those
that they import), the weights if it has a model, and the rows in `results/` if it reads them.
"""

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat

from eqvi.files import sha256
from eqvi.paths import FIGURES, PACKAGE, RESULTS, ROOT, WEIGHTS

#: How the names of notebooks begin that read the rows of others: they run after those, and again when rows change.
_READERS = ("03b_", "12_", "2")
#: How those begin that show the figures of others as well: they run last.
_LAST = ("00_",)


def stage(notebook: Path) -> int:
    """When a notebook runs: 0 first, 1 if it reads rows that others write, 2 if it shows their figures."""
    return 2 if notebook.stem.startswith(_LAST) else int(notebook.stem.startswith(_READERS))


def fingerprint(notebook: Path, parameters: Mapping[str, Any]) -> str:
    """The hash of all that decides the outcome of a notebook, in hexadecimal."""
    cells = nbformat.read(notebook, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    modules = reached(set(imported(code)))
    inputs = [*modules, ROOT / "requirements.lock"]
    if PACKAGE / "model" / "checkpoint.py" in modules:
        inputs += sorted(WEIGHTS.rglob("*.safetensors"))
    if stage(notebook):
        inputs += sorted(path for path in RESULTS.rglob("*") if path.suffix in {".csv", ".json"})
    if stage(notebook) == 2:
        inputs += sorted(FIGURES.iterdir())
    hashes = {str(path): sha256(path) for path in inputs if path.is_file()}
    text = json.dumps([[cell.source for cell in cells], dict(parameters), hashes], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def reached(names: set[str]) -> list[Path]:
    """The files of this package that importing modules of these full names loads."""
    todo, files = {path for name in names for path in _files(name)}, set[Path]()
    while todo:
        path = todo.pop()
        files.add(path)
        todo |= {other for name in imported(path.read_text(encoding="utf-8")) for other in _files(name)} - files
    return sorted(files)


def imported(source: str) -> Iterator[str]:
    """The full names of this package's modules, and of what is taken from them, that a source text imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "eqvi")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "eqvi":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(name: str) -> Iterator[Path]:
    """The files that stand behind a dotted name: the module or package itself, or the one that it is taken from."""
    parts = name.split(".")[1:]
    for length in range(len(parts) + 1):
        path = PACKAGE.joinpath(*parts[:length])
        yield from (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file() and length)
    if not parts or parts[0] in {"EQVI", "EQVIConfig", "PRESETS", "load"}:
        yield from sorted((PACKAGE / "model").glob("*.py"))
