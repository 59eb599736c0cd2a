"""Whether the same command gives the same bytes, and by how much threads and batches move a frame.

``python -m faults.repeat`` with tests/ in the path. A row for every comparison: with the first run by itself, on one
thread and one frame at a time.
"""

import argparse
import datetime
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1"}

import torch
from faults.children import Child
from faults.faults import Stage
from faults.jobs import JOBS, contents

import eqvi
from eqvi.datasets.rendering import demo_scene
from eqvi.evaluation.journal import write_rows
from eqvi.paths import WEIGHTS
from eqvi.provenance import processor, surroundings
from eqvi.viz.quadruplet import from_scene

#: Commands whose outputs are compared byte by byte.
COMMANDS = ("interpolate to a folder", "interpolate to a video", "evaluate", "train", "render", "site")


class Row(NamedTuple):
    """One comparison.

    Attributes:
        what: a command, or a model.
        against: how the second run differs from the first.
        equal: whether all bytes are.
        largest: difference of a value in [0, 1]; empty where bytes are compared.
    """

    what: str
    against: str
    equal: bool
    largest: str


def commands(root: Path) -> list[Row]:
    """Every command again, and again while others keep the processors busy."""
    rows = []
    for name in COMMANDS:
        stage = Stage(JOBS[name], root / name.replace(" ", "_"))
        for against, busy in (("a second run", 0), ("under load", os.cpu_count() or 1)):
            stage.clear()
            others = [Child(_spin, root / "log", "spin") for _ in range(busy)]
            stage.run()
            for other in others:
                other.kill()
            rows.append(Row(name, against, contents(stage.out) == stage.truth, ""))
    return rows


def _spin() -> int:
    while True:
        sum(range(1000))


def frames(root: Path) -> list[Row]:
    """A frame of the default model and of the weight-free one, on more threads and in larger batches."""
    window = from_scene(demo_scene("cubic", (128, 160)), "the demo scene").frames
    rows = []
    for name in ("baseline", "eqvi-quarter-dis"):
        ways: dict[str, Callable[[], torch.Tensor]] = {"": lambda name=name: _frame(name, window, 1, 1)}
        ways["a second run"] = ways[""]
        ways |= {f"{n} threads": lambda n=n, name=name: _frame(name, window, n, 1) for n in (2, 4)}
        ways |= {f"in a batch of {n}": lambda n=n, name=name: _frame(name, window, 1, n) for n in (2, 4)}
        made = {}
        for against, way in ways.items():
            path = root / f"{name}{len(made)}.pt"

            def action(way: Callable[[], torch.Tensor] = way, path: Path = path) -> int:
                torch.save(way(), path)
                return 0

            child = Child(action, root / "log", "frame")
            if child.wait():
                raise SystemExit(child.said())
            made[against] = torch.load(path)
        first = made.pop("")
        rows += [
            Row(name, against, torch.equal(frame, first), f"{(frame - first).abs().max().item():.2e}")
            for against, frame in made.items()
        ]
    return rows


@torch.no_grad()
def _frame(name: str, window: torch.Tensor, threads: int, batch: int) -> torch.Tensor:
    torch.set_num_threads(threads)
    model = eqvi.load(WEIGHTS / f"{name}.safetensors") if name not in ("baseline",) else eqvi.EQVI(eqvi.PRESETS[name])
    return model.eval()(window.expand(batch, -1, -1, -1, -1), 0.5).frame[:1].clone()


def main() -> int:
    """Compare, and write the rows; 1 if a command differs from itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of the rows")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="repeat-") as scratch:
        rows = frames(Path(scratch))
        print(*rows, sep="\n", flush=True)
        more = commands(Path(scratch))
        print(*more, sep="\n")
    if args.out is not None:
        record = {"date": datetime.date.today().isoformat(), **processor()}
        packages = ("torch", "numpy", "opencv-python-headless", "av")
        write_rows(args.out / "repeatability.csv", Row._fields, rows + more, record | surroundings("cpu", packages))
    return 0 if all(row.equal for row in more) else 1


if __name__ == "__main__":
    sys.exit(main())
