"""The facts of the model card: every file of weights and how it came to be. Knows no torch."""

import json
from pathlib import Path
from typing import Any

from eqvi.files import sha256
from eqvi.markdown import markdown_table
from eqvi.paths import RESULTS


def weights_table(folder: Path = RESULTS) -> str:
    """Every file of weights with what its training was: one line each, from the records that `eqvi.cli.ship` keeps."""
    rows = []
    for path in sorted((folder / "weights").rglob("*.safetensors")):
        name = path.relative_to(folder / "weights").with_suffix("").as_posix()
        place = folder / "training" / name / "run.json"
        size, digest = f"{path.stat().st_size / 1e6:.2f}", f"`{sha256(path)[:16]}`"
        if not place.is_file():
            rows.append([f"`{name}`", "no record of a training run", "", "", "", "", size, digest])
            continue
        record = json.loads(place.read_text(encoding="utf-8"))
        recipe = record["recipe"]
        windows = f"{record['steps']} x {recipe['batch']} of {recipe['crop']}x{recipe['crop']}"
        rows.append(
            [f"`{name}`", _what(recipe), windows, _data(recipe), str(recipe["seed"]), _time(record), size, digest]
        )
    header = ["weights", "made by", "steps x windows", "rendered windows", "seed", "device-minutes", "MB", "sha256"]
    return markdown_table(header, rows)


def _what(recipe: dict[str, Any]) -> str:
    words = [f"stage {recipe['stage']}"]
    words += [f"motion {recipe['motion']}"] if recipe["motion"] else []
    terms = " + ".join(f"{weight:g} {term}" for term, weight in recipe["terms"].items())
    words += [f"loss {terms}"] if terms else []
    words += [f"after {Path(recipe['after']).parent.name}"] if recipe["after"] else []
    return ", ".join(words)


def _data(recipe: dict[str, Any]) -> str:
    kept = f"{recipe['windows']} kept" if recipe["store"] else "without end"
    shares = [f"{100 * recipe[name]:.0f} % {name}" for name in ("calm", "compressed") if recipe.get(name)]
    return ", ".join([kept, *shares])


def _time(record: dict[str, Any]) -> str:
    spent = record.get("device_time")
    if spent is None:
        return "not recorded"
    part = "" if spent["of_steps"] == record["steps"] else f" for {spent['of_steps']} of the steps"
    return f"{spent['minutes']:.0f}{part} ({record['device']})"
