"""Training runs of the smallest size, and how to compare what they leave."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from eqvi.model.config import EQVIConfig
from eqvi.training.recipe import Recipe
from eqvi.training.train import train

TINY = EQVIConfig(flow_width=1 / 16, refine_width=1 / 32, synthesis_width=1 / 32, context_channels=4)
TINY_DIS = dataclasses.replace(TINY, flow="dis")
CPU = torch.device("cpu")

#: A run in a process of its own; its arguments are the recipe's values, the folder and how often to save.
SCRIPT = f"""
import dataclasses, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.training.train import train
from eqvi.training.recipe import Recipe
PRESETS["tiny-dis"] = {TINY_DIS!r}
values = eval(sys.argv[1])
if __name__ == "__main__":
    train(Recipe(**values), Path(sys.argv[2]), progress=False, save_every=float(sys.argv[3]))
"""


def script_command(recipe: Recipe, folder: Path, save_every: float = 0.0) -> list[str]:
    """Python's arguments that carry a recipe out in a process of its own."""
    return ["-c", SCRIPT, repr(dataclasses.asdict(recipe)), str(folder), str(save_every)]


def small_recipe(**values: Any) -> Recipe:
    """A recipe of four steps."""
    small = {"preset": "tiny-dis", "crop": 64, "windows": 4, "batch": 2, "steps": 4, "scored": 1, "score_every": 2}
    return Recipe(**small | {"rate": 1e-3, "begin": "plain", "schedule": "constant"} | values)


def all_on(store: Path, **values: Any) -> Recipe:
    """A recipe of eight steps with everything that a state has to carry."""
    more = {"augment": "full", "average": 0.9, "accumulate": 2, "clip": 1.0, "steps": 8}
    return small_recipe(**on(store) | more | {"schedule": "cosine", "decay": 1e-3, "score_every": 3} | values)


def on(store: Path) -> dict[str, Any]:
    """What a recipe says of windows in a store."""
    return {"store": str(store), "stored": 96, "pictures": str(pictures_of(store))}


def pictures_of(store: Path) -> Path:
    """The folder of the pictures that a store's windows show."""
    return store.with_name("pictures")


def run(recipe: Recipe, folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    """Carry a recipe out; the weights."""
    train(recipe, folder, progress=False, **options)
    return load_file(folder / "weights.safetensors")


def largest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """The largest difference between two sets of weights."""
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def equal_runs(a: Path, b: Path) -> bool:
    """Whether two runs left the same weights, bit for bit, and the same curves."""
    equal = all((a / name).read_bytes() == (b / name).read_bytes() for name in ("curve.csv", "scores.csv"))
    # Not the bytes of the whole file: safetensors writes its metadata in any order.
    return equal and same(*(load_file(folder / "weights.safetensors") for folder in (a, b)))
