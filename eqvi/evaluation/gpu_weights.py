"""The step ``weights`` of a visit to a GPU: training runs by their recipes, then the runs of an ablation.

They share their windows. A run by a recipe has a share of the time, to which its number of steps is fitted; what it
leaves lies in ``NAME.zip``, with the state only if it is to be resumed. The runs of an ablation all have the steps of
their recipes: what is not finished is no result. Those of one seed lie in ``ablation_SEED.zip``, weights in half
precision. Both are written whole after each run, and divided into parts of at most `LARGEST_FILE` bytes if need be.

Tables of weights.json:

- ``runs``: ``run``, its ``seed``, ``step`` of ``steps``, whether it is ``finished``, ``seconds`` of ``timed`` steps,
  its scores, and as ``psnr_start`` the PSNR before the first step.
- ``left_out``: the ``run`` that was not made or ended early, and ``why``.
- ``files``: ``name`` and ``bytes``.
"""

import dataclasses
import gc
import json
import shutil
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from eqvi.errors import InputError
from eqvi.evaluation.gpu_record import Task
from eqvi.evaluation.gpu_speed import TRIED
from eqvi.evaluation.precision import float32_precision
from eqvi.files import parse_json, reason, replacing, sha256
from eqvi.training.captured import train_captured
from eqvi.training.recipe import Recipe
from eqvi.training.recipe_file import visited
from eqvi.training.run_folder import (
    CURVE_FILE,
    LATEST_FILE,
    RECORD_FILE,
    SCORES_FILE,
    STATE_FILE,
    WEIGHTS_FILE,
    is_finished,
    read_curve,
)
from eqvi.training.shared_windows import SharedWindows
from eqvi.training.train import Progress

#: The most bytes of a file that comes back from a machine that is lent.
LARGEST_FILE = 15 * 2**20
#: An ablation's share of the time, where each run by a recipe has 1.
ABLATION_SHARE = 3
#: Seconds in which a run's files are written.
_CLOSING, _TOY_CLOSING = 2.5, 0.5
#: A run of an ablation is begun if there is so many times the time that those before it took.
_SPARE = 1.15
_PART = ".part"


def weights(task: Task) -> None:
    """All training runs of the visit; the same call later resumes those that are not finished.

    Raises:
        InputError: a run failed; the others were made.
    """
    visit = task.visit
    shared = SharedWindows([*visit.runs.values(), *visit.ablation.values()], torch.device(visit.device))
    torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit = True, TRIED
    with float32_precision(True):
        for place, (name, recipe) in enumerate(visit.runs.items()):
            shares = len(visit.runs) - place + (ABLATION_SHARE if visit.ablation else 0)
            _guarded(task, name, lambda n=name, r=recipe, s=shares: _single(task, shared, n, r, _left(task) / s))
        _ablation(task, shared)
    failed = [row for row in task.record.rows("left_out") if row["failed"]]
    if failed:
        raise InputError(f"{len(failed)} runs failed, the first of them {failed[0]['run']}: {failed[0]['why']}")


def _single(task: Task, shared: SharedWindows, name: str, recipe: Recipe, seconds: float) -> None:
    """A run by a recipe, or as much of it as is made in its seconds."""
    archive, folder = _place(task) / f"{name}.zip", _emptied(name)
    join_parts(archive)
    if _packed_record(archive, "").get("recipe") == _plain(recipe):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        task.say(f"{name}: goes on from {archive}")
    task.say(f"{name}: {seconds:.0f} s")
    progress = train_captured(
        recipe,
        folder,
        task.visit.device,
        seconds,
        lambda progress: task.say(_scores(progress)),
        shared=shared,
        fit=True,
    )
    finished = is_finished(folder)
    left_out = {".lock", *((STATE_FILE, LATEST_FILE) if finished else ())}
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name not in left_out}
    record = parse_json(files[RECORD_FILE])
    _add_to(task, archive, files, anew=True)
    task.record.add("runs", **_row(name, record, progress.step, progress.scores, _first_psnr(folder)))
    if not finished:
        why = f"its time was over after step {progress.step} of {progress.steps}; the next visit resumes it"
        task.record.add("left_out", run=name, why=why, failed=False)
    task.say(f"{name}: {progress.step} of {progress.steps} steps, {'finished' if finished else 'to be resumed'}")


def _ablation(task: Task, shared: SharedWindows) -> None:
    """The runs of the ablation, as many as the time allows."""
    todo, taken, anew = dict(task.visit.ablation), list[float](), set[str]()
    for name, recipe in list(todo.items()):
        archive = _place(task) / f"ablation_{recipe.seed}.zip"
        join_parts(archive)
        record, follows = _packed_record(archive, f"{name}/"), Path(recipe.after).parent.name in anew
        if record.get("recipe") == _plain(recipe) and not follows:  # made by a visit before
            task.record.add("runs", **_row(name, record, record["steps"], record["scores"], record["psnr_start"]))
            _unpack(archive, name)
            del todo[name]
            continue
        if why := _cannot_begin(task, shared, recipe, taken):
            for left in todo:
                task.record.add("left_out", run=left, why=why, failed=False)
            task.say(f"{len(todo)} runs of the ablation are left out: {why}")
            return
        started = time.monotonic()
        _guarded(task, name, lambda n=name, r=recipe, a=archive: _row_of_ablation(task, shared, n, r, a))
        taken.append(time.monotonic() - started)
        anew.add(name)
        del todo[name]


def _cannot_begin(task: Task, shared: SharedWindows, recipe: Recipe, taken: list[float]) -> str:
    """Why no run of the ablation can be begun; empty if one can. Waits for its windows."""
    longest = max(taken[-2:], default=0.0)  # the first ones choose kernels
    if _left(task) < _SPARE * longest or _left(task) <= 0:
        return f"no time left: a run took {longest:.1f} s, {max(_left(task), 0):.1f} s were left"
    shared.source(recipe)  # prepares the pool
    windows = shared.draws(recipe, 0).windows
    if not windows.wait_for(recipe.windows, time.monotonic() + _left(task), recipe.windows):
        return f"{len(windows)} of {recipe.windows} windows were there when the time was over"
    return ""


def _row_of_ablation(task: Task, shared: SharedWindows, name: str, recipe: Recipe, archive: Path) -> None:
    folder = _emptied(name)
    device, every = task.visit.device, recipe.windows
    progress = train_captured(recipe, folder, device, _left(task), shared=shared, fewest=every)
    if not is_finished(folder):
        why = f"its time was over after step {progress.step} of {progress.steps}"
        task.record.add("left_out", run=name, why=why, failed=False)
        return
    record, start = parse_json((folder / RECORD_FILE).read_text(encoding="utf-8")), _first_psnr(folder)
    record |= {"psnr_start": start, "precision": "weights in float16", "weights_sha256": sha256(folder / LATEST_FILE)}
    files = {WEIGHTS_FILE: (folder / LATEST_FILE).read_bytes(), RECORD_FILE: (json.dumps(record) + "\n").encode()}
    files |= {file: (folder / file).read_bytes() for file in (CURVE_FILE, SCORES_FILE)}
    _add_to(task, archive, {f"{name}/{file}": content for file, content in files.items()})
    (folder / WEIGHTS_FILE).write_bytes(files[WEIGHTS_FILE])  # so that rows that go on start from what is kept
    task.record.add("runs", **_row(name, record, progress.step, progress.scores, start))
    task.say(f"{name}: {progress.step} steps, psnr {start:.3f} -> {progress.scores['psnr']:.3f}")


def _guarded(task: Task, name: str, make: Any) -> None:
    """Make a run; what makes it fail is recorded, and leaves the others alone."""
    try:
        make()
    except Exception as error:
        why = f"{type(error).__name__}: {reason(error)}"[:300]
        task.record.add("left_out", run=name, why=why, failed=True)
        task.say(f"{name}: failed: {why}")
    gc.collect()  # a captured graph keeps its memory until then
    if task.visit.device == "cuda":
        torch.cuda.empty_cache()


def _left(task: Task) -> float:
    return task.left() - (_TOY_CLOSING if task.visit.toy else _CLOSING)


def _place(task: Task) -> Path:
    return task.visit.packed or task.visit.folder


def _emptied(name: str) -> Path:
    folder = visited(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _unpack(archive: Path, name: str) -> None:
    """Put the weights of a run of the ablation where one that starts from them looks for them."""
    with zipfile.ZipFile(archive) as packed:
        (_emptied(name) / WEIGHTS_FILE).write_bytes(packed.read(f"{name}/{WEIGHTS_FILE}"))


def _plain(recipe: Recipe) -> Any:
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def _first_psnr(folder: Path) -> float:
    return float(read_curve(folder / SCORES_FILE)[0]["psnr"])


def _row(name: str, record: Mapping[str, Any], step: int, scores: Mapping[str, float], start: float) -> dict[str, Any]:
    """The row of table ``runs``."""
    timed = record.get("device_time", {})
    seconds = {"seconds": timed.get("seconds"), "timed": timed.get("of_steps")}
    at = {"seed": record["recipe"]["seed"], "step": step, "steps": record["steps"]}
    return {"run": name, **at, "finished": step == record["steps"], **seconds, "psnr_start": start, **scores}


def _scores(progress: Progress) -> str:
    return f"step {progress.step}: " + ", ".join(f"{name} {value:.3f}" for name, value in progress.scores.items())


def _packed_record(archive: Path, prefix: str) -> dict[str, Any]:
    """The record of a run in an archive; empty if there is none."""
    try:
        with zipfile.ZipFile(archive) as packed:
            record = parse_json(packed.read(f"{prefix}{RECORD_FILE}"))
        return record if isinstance(record, dict) else {}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return {}


def _add_to(task: Task, archive: Path, files: Mapping[str, bytes], anew: bool = False) -> None:
    """Add files to an archive, which is whole before and after."""
    join_parts(archive)
    with replacing(archive) as partial:
        if archive.is_file() and not anew:
            shutil.copyfile(archive, partial)
        with zipfile.ZipFile(partial, "a", zipfile.ZIP_DEFLATED) as packed:
            for name, content in files.items():
                packed.writestr(name, content)
    rows = [row for row in task.record.rows("files") if not row["name"].startswith(archive.name)]
    rows += [{"name": path.name, "bytes": path.stat().st_size} for path in divide(archive)]
    task.record.values["tables"]["files"] = rows
    task.record.write()


def divide(path: Path) -> list[Path]:
    """Divide a file of more than `LARGEST_FILE` bytes into parts, which `join_parts` puts together; what there is then.

    Raises:
        InputError: a part cannot be written.
    """
    for part in path.parent.glob(f"{path.name}{_PART}*"):
        part.unlink()
    if path.stat().st_size <= LARGEST_FILE:
        return [path]
    content, parts = path.read_bytes(), []
    for number, first in enumerate(range(0, len(content), LARGEST_FILE)):
        parts.append(path.with_name(f"{path.name}{_PART}{number:03d}"))
        with replacing(parts[-1]) as partial:
            partial.write_bytes(content[first : first + LARGEST_FILE])
    path.unlink()
    return parts


def join_parts(path: Path) -> None:
    """Put a file together that `divide` divided; one that is whole stays.

    Raises:
        InputError: it cannot be written.
    """
    parts = sorted(path.parent.glob(f"{path.name}{_PART}*"))
    if not parts:
        return
    with replacing(path) as partial:
        partial.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()
