"""Measure interpolation: make frames that are known, compare, and keep a row for every one of them.

Beside a file of rows (columns: `eqvi.evaluation.journal.COLUMNS`) stands a JSON file of what made it: model, weights,
data, protocol, parameters, commit, versions, device. Means are for tables to take.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eqvi import metrics
from eqvi.datasets.cases import Case, Target, data_sha256
from eqvi.devices import shard
from eqvi.errors import InputError
from eqvi.evaluation.journal import COLUMNS, Journal, Key, is_complete
from eqvi.evaluation.lpips import LPIPS, open_lpips
from eqvi.evaluation.methods import Method
from eqvi.media.window import windows
from eqvi.paths import PACKAGE, WEIGHTS
from eqvi.provenance import surroundings

_PACKAGES = ("torch", "numpy", "scikit-image", "opencv-python-headless", "av", "pillow")


def measure_each(
    folder: Path,
    cases: Sequence[Case],
    methods: Sequence[Method],
    dataset: str,
    parameters: Mapping[str, Any],
    **options: Any,
) -> list[Path]:
    """A file of rows for every method, ``METHOD_DATASET.csv``; those that are complete.

    Four times the rate and an ensemble are named, too: ``baseline_val30_x4_flips``. Arguments as of `measure`.
    """
    step, ensemble = parameters.get("step", 2), parameters.get("ensemble", "none")
    ending = f"_{dataset}" + (f"_x{step}" if step != 2 else "") + (f"_{ensemble}" if ensemble != "none" else "")
    paths = [folder / f"{method.name}{ending}.csv" for method in methods]
    done = [measure(p, cases, [m], dataset, parameters, **options) for p, m in zip(paths, methods, strict=True)]
    return [path for path, complete in zip(paths, done, strict=True) if complete]


def measure(
    out: Path,
    cases: Sequence[Case],
    methods: Sequence[Method],
    dataset: str,
    parameters: Mapping[str, Any],
    device: str = "cpu",
    first: str = "run",
    restart: bool = False,
    timed: bool = False,
    progress: bool = True,
) -> bool:
    """Score methods on clips into one file; whether it is complete, or waits for another process.

    Interrupted, even by a kill, it goes on where it stopped when called again with the same arguments. Complete, it is
    measured anew; but not under torchrun, where a process may come when the others have finished.

    Args:
        out: the CSV file; its JSON file stands beside it.
        cases: what is scored.
        methods: who makes the frames; one if `first` is ``run``, which is then named like the file.
        dataset: what the rows call it.
        parameters: what the cases were made with, for the record.
        device: where the methods work.
        first: what the first column is called.
        restart: throw away what an interrupted run left.
        timed: fill the column of seconds; two runs then differ.
        progress: show a bar where there is a terminal.

    Raises:
        InputError: two cases or methods of one name, an interrupted run with other arguments, a frame that cannot be
            scored.
    """
    names = [out.stem] if first == "run" and len(methods) == 1 else [method.name for method in methods]
    for kind, given in (("clips", [case.name for case in cases]), ("models", names)):
        twice = next((name for name in given if given.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"two {kind} are named {twice}: rename one, so that the rows can tell them apart")
    keys = [(name, case.name, target.frame) for name in names for case in cases for target in case.targets]
    if not keys:
        raise InputError("no frame to score: give longer clips, or a smaller --every")
    lpips = open_lpips(WEIGHTS, device)
    made_by = provenance(names, methods, cases, dataset, parameters, device, lpips)
    rank, world = shard()
    if world > 1 and is_complete(out, made_by, keys):
        return True
    # What an interrupted run must share with the one that goes on, besides what the record says.
    exactly = {key: value for key, value in made_by.items() if key != "commit"} | {"timed": timed, "code": _code()}
    with Journal(out, exactly, keys, rank, world, first, restart) as journal:
        share, done = set(journal.share(rank, world)), journal.done()
        left = share - done.keys()
        hidden = True if rank or not progress else None  # None: shown where there is a terminal
        bar = tqdm(total=len(share), initial=len(share) - len(left), desc=out.stem, unit="frame", disable=hidden)
        with bar:
            for name, method in zip(names, methods, strict=True):
                for case in cases:
                    for row in _score(name, dataset, method, case, left, lpips, timed):
                        journal.add(row)
                        bar.update()
        return journal.finish(made_by)


def provenance(
    names: Sequence[str],
    methods: Sequence[Method],
    cases: Sequence[Case],
    dataset: str,
    parameters: Mapping[str, Any],
    device: str,
    lpips: LPIPS | None,
) -> dict[str, Any]:
    """What made a file of rows."""
    models: dict[str, Any] = {
        name: {"model": method.name, "preset": method.preset, "weights_sha256": method.weights_sha256}
        for name, method in zip(names, methods, strict=True)
    }
    return {
        **({"run": names[0], **models[names[0]]} if len(names) == 1 else {"models": models}),
        "dataset": dataset,
        "clips": {case.name: len(case.targets) for case in cases},
        "data_sha256": data_sha256(cases),
        "protocol": metrics.PROTOCOL,
        "lpips_sha256": None if lpips is None else lpips.sha256,
        "parameters": dict(parameters),
        **surroundings(device, _PACKAGES),
    }


def _score(
    name: str, dataset: str, method: Method, case: Case, left: set[Key], lpips: LPIPS | None, timed: bool
) -> Iterator[dict[str, str]]:
    """The rows of a clip that are still to be made."""
    todo: dict[int, list[Target]] = {}
    for target in case.targets:
        if (name, case.name, target.frame) in left:
            todo.setdefault(target.position, []).append(target)
    if not todo:
        return
    fill, truths = method.open(case), case.truths({target.frame for targets in todo.values() for target in targets})
    for window in windows(case.inputs(), cut=lambda a, b: False):
        for target in todo.get(window.position, []):
            began = time.perf_counter()
            frame = fill(window, target.t)
            seconds = time.perf_counter() - began
            truth_name, truth = next(truths)
            assert truth_name == target.frame
            try:
                values = metrics.score(frame, truth.pixels)
            except InputError as error:
                raise InputError(f"{case.name}, frame {target.frame}: {error}") from None
            if lpips is not None:
                values["lpips"] = lpips(frame, truth.pixels)
            values |= case.magnitudes.get(target.frame, {})
            row = {"run": name, "dataset": dataset, "clip": case.name, "frame": target.frame}
            row["t"] = f"{float(target.t):.6g}"
            row |= {column: f"{value:.6f}" for column, value in values.items()}
            row["seconds"] = f"{seconds:.3f}" if timed else ""
            yield dict.fromkeys(COLUMNS, "") | row
        if window.position >= max(todo):
            return


def _code() -> str:
    """A hash of the code that decides a row: an interrupted run must not go on with another version's rows."""
    digest = hashlib.sha256()
    for room in (".", "model", "media", "datasets", "evaluation"):
        for path in sorted((PACKAGE / room).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
