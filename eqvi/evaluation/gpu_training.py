"""The steps ``training_rate`` and ``weights`` of a visit to a GPU.

Tables of training_rate.json:

- ``rows``: a training step at the published crop and batch, by ``precision``, ``variant`` and ``round``: the samples
  ``made``, in how many ``seconds``, with which peak memory.
- ``rendering``: windows rendered by torch, on one core and on the device: ``where``, ``made``, ``seconds``.
- ``left_out``: what was not measured, and ``why``.

weights.json has the run's scores; its files lie in the folder ``weights``, none larger than `LARGEST_FILE`.
"""

import dataclasses
import gc
import json
import shutil
import time
from pathlib import Path

import torch

from eqvi.datasets.camera import expose
from eqvi.devices import one_thread
from eqvi.errors import InputError
from eqvi.evaluation.gpu_record import Task
from eqvi.evaluation.gpu_speed import measure
from eqvi.evaluation.precision import float32_precision
from eqvi.evaluation.workloads import Workload, training
from eqvi.files import parse_json, replacing
from eqvi.paths import BUILD
from eqvi.training.captured import train_captured
from eqvi.training.recipe import Recipe
from eqvi.training.rendered import RenderedWindows
from eqvi.training.run_folder import RECORD_FILE, STATE_FILE, WEIGHTS_FILE, is_finished
from eqvi.training.train import Progress

#: Rounds, besides one that warms up.
ROUNDS = 2
#: The most bytes of a file that comes back from a machine that is lent.
LARGEST_FILE = 15 * 2**20
#: The part of the time in which the run's last state is written and divided.
_CLOSING_SHARE, _CLOSING_LEAST = 0.08, 8.0
_PART = ".part"


def training_rate(task: Task) -> None:
    """A step of training at the published crop and batch, ours beside the published schedule; rendering by torch."""
    device, toy = task.visit.device, task.visit.toy
    preset, crop, batch = ("eqvi-eighth-dis", 64, 1) if toy else ("eqvi", 512, 12)
    for precision in ("tf32", "bfloat16"):
        case = {"precision": precision, "crop": crop, "batch": batch}
        if task.left() < 0:
            task.record.add("left_out", **case, variant="all", why="no time left")
            continue
        reduced = "bfloat16" if precision == "bfloat16" else "float32"
        with float32_precision(True):
            tasks = training(Workload(preset, crop=crop, batch=batch, precision=reduced, device=device))
            rows = measure(task, case, tasks, 1 if toy else ROUNDS)
        rates = ", ".join(f"{row.variant} {row.made / row.seconds:.2f}" for row in rows if row.round == 1)
        task.say(f"{precision}, {batch} samples of {crop}x{crop}: samples a second: {rates or 'none'}")
        del tasks
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
    _render(task, crop)


def _render(task: Task, side: int) -> None:
    """Windows of `eqvi.training.rendered.RenderedWindows`, rendered on one core and on the device."""
    source = RenderedWindows((side, side), epoch=100)
    for where in dict.fromkeys(("one core", task.visit.device)):
        device = "cpu" if where == "one core" else where
        seconds = []
        for number in range(2):  # the first opens the pictures
            start = time.perf_counter()
            with one_thread():
                clip, times, _ = source.draw(number)
                expose(clip.scene, clip.camera, times.to(device))
                torch.get_device_module(torch.device(device)).synchronize()
            seconds.append(time.perf_counter() - start)
        task.record.add("rendering", where=where, side=side, made=1, seconds=seconds[-1])


def weights(task: Task) -> None:
    """A training run by the visit's recipe, until it is finished or the time is over; the same call later resumes it.

    Raises:
        InputError: the recipe cannot be used.
    """
    name, recipe = task.visit.run, task.visit.recipe
    kept, folder = task.visit.folder / "weights" / name, BUILD / "gpu_run" / name
    shutil.rmtree(folder, ignore_errors=True)
    if _is_of(recipe, kept):
        join_files(kept, folder)
        task.say(f"{name}: goes on from {kept}")
    closing = max(_CLOSING_SHARE * task.left(), _CLOSING_LEAST if not task.visit.toy else 1.0)
    torch.backends.cudnn.benchmark = True
    with float32_precision(True):
        progress = train_captured(
            recipe, folder, task.visit.device, task.left() - closing, lambda progress: task.say(_scores(progress))
        )
    finished = is_finished(folder)
    task.record.note(
        run=name, run_step=progress.step, run_steps=progress.steps, scores=progress.scores, finished=finished
    )
    for path in divide_files(folder, kept, leave_out=(STATE_FILE,) if finished else ()):
        task.record.add("files", name=path.name, bytes=path.stat().st_size)
    if finished:
        assert {WEIGHTS_FILE, RECORD_FILE} <= {path.name for path in folder.iterdir()}
    task.say(f"{name}: {progress.step} of {progress.steps} steps, {'finished' if finished else 'to be resumed'}")


def _is_of(recipe: Recipe, kept: Path) -> bool:
    """Whether a folder has a run of that recipe, as `divide_files` left it."""
    try:
        record = parse_json((kept / RECORD_FILE).read_text(encoding="utf-8"))
        return record["recipe"] == json.loads(json.dumps(dataclasses.asdict(recipe)))
    except (OSError, ValueError, KeyError):
        return False


def _scores(progress: Progress) -> str:
    return f"step {progress.step}: " + ", ".join(f"{name} {value:.3f}" for name, value in progress.scores.items())


def divide_files(folder: Path, target: Path, leave_out: tuple[str, ...] = ()) -> list[Path]:
    """Copy a folder's files; those that are larger than `LARGEST_FILE` in parts, which `join_files` puts together.

    Raises:
        InputError: the target cannot be written.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", *leave_out)):
        content, name = path.read_bytes(), path.relative_to(folder).as_posix().replace("/", "_")
        pieces = range(0, max(len(content), 1), LARGEST_FILE)
        for number, first in enumerate(pieces):
            written.append(target / (f"{name}{_PART}{number:03d}" if len(pieces) > 1 else name))
            with replacing(written[-1]) as partial:
                partial.write_bytes(content[first : first + LARGEST_FILE])
    return written


def join_files(folder: Path, target: Path) -> None:
    """The files that `divide_files` copied, whole again.

    Raises:
        InputError: the target cannot be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    names = {path.name.partition(_PART)[0] for path in folder.iterdir() if path.is_file()}
    for name in sorted(names):
        parts = sorted(folder.glob(f"{name}{_PART}*")) or [folder / name]
        with replacing(target / name) as partial:
            partial.write_bytes(b"".join(path.read_bytes() for path in parts))
    if not names:
        raise InputError(f"{folder}: holds no files of a run: remove it")
