"""Long runs of small things: memory over time, and files, processes and threads before and after.

``make soak``, or ``python -m faults.soak`` with tests/ in the path. Rows go to ``soak.csv`` in a folder: one for every
sample of a run in a process of its own, its first and last included.
"""

import argparse
import dataclasses
import datetime
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1"}

from faults.children import Child
from faults.jobs import command, fill_stores
from footage import scene, write_folder, write_video
from small_runs import all_on

from eqvi.evaluation.journal import write_rows
from eqvi.provenance import surroundings
from eqvi.training.train import train


class Row(NamedTuple):
    """One look at a running process.

    Attributes:
        run: what it does.
        done: how far it was: frames, rows or steps.
        seconds: since it began.
        memory_mib: its resident memory.
        handles: open files.
        processes: it and its children.
        temporary: entries of the folder for temporary files.
    """

    run: str
    done: int
    seconds: float
    memory_mib: float
    handles: int
    processes: int
    temporary: int


def look(run: str, pid: int, done: int, began: float, temporary: Path) -> Row:
    """Look at a process."""
    proc = Path(f"/proc/{pid}")
    pages = int((proc / "statm").read_text().split()[1])
    children = sum(len(path.read_text().split()) for path in proc.glob("task/*/children"))
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    handles = len(list((proc / "fd").iterdir()))
    return Row(run, done, round(time.monotonic() - began, 1), round(memory, 1), handles, 1 + children,
               len(list(temporary.iterdir())))  # fmt: skip


def watch(run: str, action: Callable[[], int], progress: Callable[[], int], folder: Path, pause: float) -> list[Row]:
    """Carry it out in a process of its own, looking at it now and then."""
    temporary = folder / "temporary"
    temporary.mkdir()

    def live() -> int:
        tempfile.tempdir = str(temporary)
        os.environ["TMPDIR"] = str(temporary)
        return action()

    began = time.monotonic()
    child = Child(live, folder / "log", f"soak-{folder.name}")
    rows = [look(run, child.pid, 0, began, temporary)]
    while (status := child.wait(pause)) is None:
        rows.append(look(run, child.pid, progress(), began, temporary))
    rows = [row for row in rows if row.memory_mib]  # it may just have ended
    if status or child.orphans():
        raise SystemExit(f"{run}: status {status}: {child.said()[-1000:]}")
    left = list(temporary.iterdir())
    print(f"{run}: ended, {[path.name for path in left]} left among the temporary files")
    return [*rows, Row(run, progress(), round(time.monotonic() - began, 1), 0.0, 0, 0, len(left))]


def interpolation(folder: Path, frames: int) -> tuple[Callable[[], int], Callable[[], int]]:
    """A video of so many frames, interpolated into a folder."""
    part = scene(40)
    write_video(folder / "clip.mp4", [part[index % 40] for index in range(frames)])
    out = folder / "frames"
    options = ("--model", "baseline", "--no-scene-cuts")
    return lambda: command("interpolate", folder / "clip.mp4", out, *options), lambda: _count(out, "*.png")


def evaluation(folder: Path, clips: int) -> tuple[Callable[[], int], Callable[[], int]]:
    """So many clips of seven frames."""
    names = [write_folder(folder / f"clip{number:04d}", scene(7, seed=number)) for number in range(clips)]
    rows = folder / ".rows.part" / "0-of-1.csv"
    every = ("--models", "linear", "--out", folder / "rows.csv")
    return lambda: command("evaluate", *names, *every), lambda: _lines(rows) or _lines(folder / "rows.csv")


def training(folder: Path, steps: int) -> tuple[Callable[[], int], Callable[[], int]]:
    """So many steps of the smallest model, one window each."""
    fill_stores(folder)
    more = {"steps": steps, "batch": 1, "accumulate": 1, "score_every": max(1, steps // 10)}
    recipe = dataclasses.replace(all_on(folder / "store"), **more)

    def action() -> int:
        train(recipe, folder / "run", progress=False, save_every=5.0)
        return 0

    return action, lambda: max(0, _lines(folder / "run" / "curve.csv") - 1)


def _count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern)) if folder.is_dir() else 0


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def main() -> int:
    """Carry the three runs out one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two looks")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of the rows; without it they are printed")
    args, began = parser.parse_args(), time.monotonic()
    runs = {
        "interpolation": (interpolation, args.frames),
        "evaluation": (evaluation, args.clips),
        "training": (training, args.steps),
    }
    rows: list[Row] = []
    for run, (prepare, size) in runs.items():
        with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
            action, progress = prepare(Path(scratch), size)
            rows += watch(run, action, progress, Path(scratch), args.pause)
        print(*rows[-3:], sep="\n", flush=True)
    if args.out is not None:
        sizes = {"frames": args.frames, "clips": args.clips, "steps": args.steps}
        minutes = round((time.monotonic() - began) / 60, 1)
        record = {"sizes": sizes, "minutes": minutes, "date": datetime.date.today().isoformat()}
        write_rows(args.out / "soak.csv", Row._fields, rows, record | surroundings("cpu", ("torch", "av", "numpy")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
