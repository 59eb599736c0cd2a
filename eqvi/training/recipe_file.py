"""Recipes in files, read without PyYAML: a machine that is lent for minutes may not have it."""

import dataclasses
import re
from pathlib import Path
from typing import Any, NamedTuple

from eqvi.errors import InputError
from eqvi.files import parse_json, reason
from eqvi.paths import BUILD
from eqvi.training.recipe import Recipe
from eqvi.training.run_folder import WEIGHTS_FILE

#: The parameters of notebook 13 that say how a run is carried out; for commands they are options.
OTHER_PARAMETERS = ("out", "device", "workers", "minutes", "threads", "restart")
#: What makes a file one of an ablation: the values of each row, by its name, and the seeds of its runs. A row may give
#: another as ``after``: its runs start from the other's weights, seed by seed.
ROWS, SEEDS = "rows", "seeds"
_OUTER_COMMA = re.compile(r",(?![^{]*})")
#: Where a visit to a GPU makes its runs, a folder each.
VISITED = BUILD / "gpu_run"


class Runs(NamedTuple):
    """The runs of a file.

    Attributes:
        is_ablation: whether they are rows and seeds of an ablation, and so worth nothing without each other.
        recipes: by the run's name; of an ablation ``ROW_SEED``, all rows with the first seed before the next.
    """

    is_ablation: bool
    recipes: dict[str, Recipe]


def read_recipe(path: Path) -> tuple[str, Recipe]:
    """The run's name and its recipe, from a YAML file of ``notebooks/params``.

    Raises:
        InputError: the file cannot be read, is written in other YAML, or gives no single recipe.
    """
    runs = read_runs(path)
    if runs.is_ablation:
        raise InputError(f"--recipe {path}: holds an ablation of {len(runs.recipes)} runs: give a recipe of one")
    return next(iter(runs.recipes.items()))


def read_runs(path: Path) -> Runs:
    """The run of a recipe, or those of an ablation: a recipe with `ROWS` and `SEEDS`.

    Raises:
        InputError: the file cannot be read, is written in other YAML, or gives no recipe.
    """
    values = _read_values(path)
    rows, seeds = values.pop(ROWS, None), values.pop(SEEDS, None)
    known = {field.name for field in dataclasses.fields(Recipe)}
    unknown = [name for name in values if name not in known and name not in OTHER_PARAMETERS]
    if unknown:
        raise InputError(f"--recipe {path}: a recipe has no {unknown[0]!r}")
    common = {name: value for name, value in values.items() if name in known}
    if rows is None and seeds is None:
        return Runs(False, {Path(str(values.get("out") or path.stem)).name: Recipe.from_values(common)})
    if not isinstance(rows, dict) or not rows or not all(isinstance(row, dict) for row in rows.values()):
        raise InputError(f"--recipe {path}: {ROWS} has a line 'NAME: {{...}}', indented, for each row")
    if not isinstance(seeds, list) or not seeds or len(set(map(str, seeds))) < len(seeds):
        raise InputError(f"--recipe {path}: {SEEDS} is a list such as [0, 1, 2]")
    recipes: dict[str, Recipe] = {}
    for seed in seeds:
        for name, row in rows.items():
            values = common | row | {"seed": seed}
            if before := row.get("after"):
                if f"{before}_{seed}" not in recipes:
                    raise InputError(f"--recipe {path}: row {name}: after {before!r} is no row above it")
                values["after"] = str(visited(f"{before}_{seed}") / WEIGHTS_FILE)
            recipes[f"{name}_{seed}"] = Recipe.from_values(values)
    return Runs(True, recipes)


def visited(name: str) -> Path:
    """The folder of a run that a visit to a GPU makes."""
    return VISITED / name


def _read_values(path: Path) -> dict[str, Any]:
    """The values of a file. Of YAML it knows what recipes are written in: a line ``name: value`` for each value, with
    comments, and indented lines under a name without one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--recipe {path}: cannot be read: {reason(error)}") from None
    values: dict[str, Any] = {}
    above: dict[str, Any] | None = None
    for number, line in enumerate(lines, start=1):
        text = line.partition(" #")[0].rstrip() if not line.startswith("#") else ""
        if not text.strip():
            continue
        name, colon, value = text.partition(":")
        indented = line.startswith(" ")
        if not colon or (indented and above is None):
            raise InputError(f"--recipe {path}: line {number} is no 'name: value'")
        if indented and above is not None:
            above[name.strip()] = _plain(value.strip())
        else:
            above = None if value.strip() else {}
            values[name] = _plain(value.strip()) if above is None else above
    if not values:
        raise InputError(f"--recipe {path}: holds no recipe: write 'name: value', a line for each")
    return values


def _plain(text: str) -> Any:
    """A number, true or false, a text, a list, or a mapping of such in braces, which may hold one."""
    if text.startswith("{") and text.endswith("}"):
        pairs = (item.partition(":") for item in _OUTER_COMMA.split(text[1:-1]) if item.strip())
        return {name.strip(): _plain(value.strip()) for name, _, value in pairs}
    try:
        return parse_json(text)
    except ValueError:
        return text.strip("'\"")
