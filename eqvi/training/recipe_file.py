"""Recipes in files, read without PyYAML: a machine that is lent for minutes may not have it."""

import dataclasses
from pathlib import Path
from typing import Any

from eqvi.errors import InputError
from eqvi.files import parse_json, reason
from eqvi.training.recipe import Recipe

#: The parameters of notebook 13 that say how a run is carried out; for commands they are options.
OTHER_PARAMETERS = ("out", "device", "workers", "minutes", "threads", "restart")


def read_recipe(path: Path) -> tuple[str, Recipe]:
    """The run's name and its recipe, from a YAML file of ``notebooks/params``.

    Of YAML it knows what recipes are written in: a line ``name: value`` for each value, with comments.

    Raises:
        InputError: the file cannot be read, is written in other YAML, or gives no recipe.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--recipe {path}: cannot be read: {reason(error)}") from None
    values: dict[str, Any] = {}
    for number, line in enumerate(lines, start=1):
        text = line.partition(" #")[0].rstrip() if not line.startswith("#") else ""
        if not text.strip():
            continue
        name, colon, value = text.partition(":")
        if not colon or line.startswith(" "):
            raise InputError(f"--recipe {path}: line {number} is no 'name: value'")
        values[name] = _plain(value.strip())
    if not values:
        raise InputError(f"--recipe {path}: holds no recipe: write 'name: value', a line for each")
    known = {field.name for field in dataclasses.fields(Recipe)}
    unknown = [name for name in values if name not in known and name not in OTHER_PARAMETERS]
    if unknown:
        raise InputError(f"--recipe {path}: a recipe has no {unknown[0]!r}")
    folder = Path(str(values.get("out") or path.stem))
    return folder.name, Recipe.from_values({name: value for name, value in values.items() if name in known})


def _plain(text: str) -> Any:
    """A number, true or false, a text, or a mapping of such in braces."""
    if text.startswith("{") and text.endswith("}"):
        pairs = (item.partition(":") for item in text[1:-1].split(",") if item.strip())
        return {name.strip(): _plain(value.strip()) for name, _, value in pairs}
    try:
        return parse_json(text)
    except ValueError:
        return text.strip("'\"")
