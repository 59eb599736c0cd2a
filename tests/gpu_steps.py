"""Steps of a visit to a GPU that go wrong, for the plan's tests; imported by the steps' own processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

from eqvi.evaluation.gpu_record import Task


def fail(task: Task) -> None:
    task.record.add("rows", number=1)
    raise RuntimeError("made to fail")


def hang(task: Task) -> None:
    """Never ends, nor does a process of its own, whose number it leaves."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    task.record.add("rows", number=1)
    (task.visit.folder / "child").write_text(str(child.pid))
    time.sleep(600)


def crash(task: Task) -> None:
    os._exit(3)


def work(task: Task) -> None:
    task.record.add("rows", number=float("nan"), left=task.left(), path=Path("a"))


def pictures(task: Task) -> None:
    task.record.add("rows", paused=(task.visit.folder / "paused").exists())
