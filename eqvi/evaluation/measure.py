"""Scores interpolation methods on frames that are known and writes a row for each of them.

Beside a CSV file of rows (columns: `eqvi.evaluation.journal.COLUMNS`) stands a JSON file of what made it: model,
weights, data, protocol, parameters, commit, versions, device. Means are left to the tables.
"""

import contextlib
import hashlib
import math
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from eqvi import metrics
from eqvi.datasets.cases import Case, Target, data_sha256
from eqvi.devices import shard
from eqvi.errors import InputError
from eqvi.evaluation.journal import COLUMNS, Journal, RowKey, is_complete
from eqvi.evaluation.lpips import LPIPS, open_lpips
from eqvi.evaluation.methods import Method
from eqvi.media.image import Image
from eqvi.media.side_by_side import SideBySide, at_most
from eqvi.media.window import Window, windows
from eqvi.paths import PACKAGE, WEIGHTS
from eqvi.progress import bar
from eqvi.provenance import surroundings

#: Scores of a frame (1, 3, H, W) against the true image, by column.
FrameScore = Callable[[Tensor, metrics.RGB8], dict[str, float]]

Named = TypeVar("Named")

_PACKAGES = ("torch", "numpy", "scikit-image", "opencv-python-headless", "av", "pillow")


def measure_each(
    folder: Path,
    cases: Sequence[Case],
    methods: Sequence[Method],
    dataset: str,
    parameters: Mapping[str, Any],
    **options: Any,
) -> list[Path]:
    """Write a file of rows for every method, ``METHOD_DATASET.csv``; returns those that are complete.

    Four times the frame rate and an ensemble are part of the name: ``baseline_val30_x4_flips``. Arguments as of
    `measure`.
    """
    step, ensemble = parameters.get("step", 2), parameters.get("ensemble", "none")
    suffix = f"_{dataset}" + (f"_x{step}" if step != 2 else "") + (f"_{ensemble}" if ensemble != "none" else "")
    named = _unique("models", [(f"{method.name}{suffix}", method) for method in methods])
    files = {folder / f"{name}.csv": {name: method} for name, method in named.items()}
    return _measure(files, cases, dataset, parameters, **options)


def measure(
    out: Path,
    cases: Sequence[Case],
    methods: Sequence[Method],
    dataset: str,
    parameters: Mapping[str, Any],
    *,
    name_column: str = "run",
    **options: Any,
) -> bool:
    """Score methods on clips into one file; returns whether it is complete (other processes may still be at work).

    Every frame is scored by all methods before the next, so that those that share a flow find it where it was left.
    After an interruption, even a kill, the same call resumes. A complete file is measured again, but not under
    torchrun, where a process may start after the others have finished.

    Args:
        out: the CSV file; its JSON file stands beside it.
        cases: the clips.
        methods: what makes the frames; a single one under ``run`` is named like the file.
        dataset: name of the dataset in the rows.
        parameters: what the clips were made with, for the record.
        name_column: header of the first column, which names the method.
        options: of `_measure`.

    Raises:
        InputError: two clips or methods of one name, an interrupted run with other arguments, a frame that cannot be
            scored.
    """
    names = [out.stem] if name_column == "run" and len(methods) == 1 else [method.name for method in methods]
    named = _unique("models", list(zip(names, methods, strict=True)))
    return bool(_measure({out: named}, cases, dataset, parameters, name_column=name_column, **options))


def _measure(
    files: Mapping[Path, Mapping[str, Method]],
    cases: Sequence[Case],
    dataset: str,
    parameters: Mapping[str, Any],
    *,
    name_column: str = "run",
    device: str = "cpu",
    restart: bool = False,
    progress: bool = True,
    score: FrameScore = metrics.score,
) -> list[Path]:
    """Score the methods of several files together; returns the files that are complete.

    Args:
        files: the methods of each, by their names in the rows, of which no two are equal.
        device: where the methods compute.
        restart: discard interrupted runs.
        progress: show a progress bar on a terminal.
        score: which metrics; all of them by default.
    """
    _unique("clips", [(case.name, case) for case in cases])
    frames = [(case.name, target.frame) for case in cases for target in case.targets]
    if not frames:
        raise InputError("no frame to score: give longer clips, or a smaller --every")
    lpips, (rank, world) = open_lpips(WEIGHTS, device), shard()
    common = {
        "dataset": dataset,
        "clips": {case.name: len(case.targets) for case in cases},
        "data_sha256": data_sha256(cases),
        "protocol": metrics.PROTOCOL,
        "lpips_sha256": None if lpips is None else lpips.sha256,
        "parameters": dict(parameters),
        **surroundings(device, _PACKAGES),
    }
    records = {path: _described(named) | common for path, named in files.items()}
    keys = {path: [(name, *frame) for frame in frames for name in named] for path, named in files.items()}
    complete = [path for path in files if world > 1 and is_complete(path, records[path], keys[path])]
    with contextlib.ExitStack() as stack:
        journals: dict[str, Journal] = {}  # by the names of the methods
        for path in files:
            if path not in complete:
                # The commit may change between an interruption and its continuation, the code that makes rows may not.
                identity = {key: value for key, value in records[path].items() if key != "commit"} | {"code": _code()}
                journal = stack.enter_context(Journal(path, identity, keys[path], rank, world, name_column, restart))
                journals |= dict.fromkeys(files[path], journal)
        share = {key for journal in set(journals.values()) for key in journal.share}
        pending = share - {key for journal in set(journals.values()) for key in journal.rows()}
        named = {name: method for group in files.values() for name, method in group.items() if name in journals}
        title, hidden = (
            next(iter(files)).stem if len(files) == 1 else f"{len(named)} models",
            bool(rank) or not progress,
        )
        with bar(total=len(share), initial=len(share) - len(pending), desc=title, unit="frame", hidden=hidden) as shown:
            for case in cases:
                at_once = at_most(math.prod(case.size), torch.get_num_threads()) if device == "cpu" else 1
                rows = _score_clip(named, dataset, case, pending, _with_lpips(score, lpips), at_once)
                with contextlib.closing(rows):
                    for row in rows:
                        journals[row["run"]].append(row)
                        shown.update()
        unfinished = [path for path in files if path not in complete]
        complete += [path for path in unfinished if journals[next(iter(files[path]))].finish(records[path])]
    return [path for path in files if path in complete]


def _unique(kind: str, named: Sequence[tuple[str, Named]]) -> dict[str, Named]:
    """By name; two of one name are an error."""
    names = [name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two {kind} are named {twice}: rename one, so that the rows can tell them apart")
    return dict(named)


def _described(named: Mapping[str, Method]) -> dict[str, Any]:
    """What a file's record says of its methods."""
    models: dict[str, Any] = {
        name: {"model": method.name, "preset": method.preset, "weights_sha256": method.weights_sha256}
        for name, method in named.items()
    }
    (name, single), *others = models.items()
    return {"models": models} if others else {"run": name, **single}


def _score_clip(
    methods: Mapping[str, Method], dataset: str, case: Case, pending: set[RowKey], score: FrameScore, at_once: int
) -> Generator[dict[str, str]]:
    """The pending rows of one clip, frame by frame, of which so many methods make one at a time."""
    targets: dict[int, list[Target]] = {}
    for target in case.targets:
        if any((name, case.name, target.frame) in pending for name in methods):
            targets.setdefault(target.position, []).append(target)
    if not targets:
        return
    wanted = {target.frame for group in targets.values() for target in group}
    frames_at, truths = {name: method.open(case) for name, method in methods.items()}, case.truths(wanted)

    def row(name: str, window: Window, target: Target, truth: Image) -> dict[str, str]:
        frame = frames_at[name](window, target.t)
        try:
            values = score(frame, truth.pixels) | case.magnitudes.get(target.frame, {})
        except InputError as error:
            raise InputError(f"{case.name}, frame {target.frame}: {error}") from None
        found = {"run": name, "dataset": dataset, "clip": case.name, "frame": target.frame}
        found["t"] = f"{float(target.t):.6g}"
        return dict.fromkeys(COLUMNS, "") | found | {column: f"{value:.6f}" for column, value in values.items()}

    with SideBySide(at_once) as crew:
        for window in windows(case.inputs(), neighbours=max(method.neighbours for method in methods.values())):
            for target in targets.get(window.position, []):
                truth_name, truth = next(truths)
                assert truth_name == target.frame
                names = [name for name in methods if (name, case.name, target.frame) in pending]
                rows: deque[Future[dict[str, str]]] = deque()
                for name in names:
                    rows.append(crew.submit(partial(row, name, window, target, truth)))
                    while rows and rows[0].done():
                        yield rows.popleft().result()
                yield from (one.result() for one in rows)
            if window.position >= max(targets):
                return


def _with_lpips(score: FrameScore, lpips: LPIPS | None) -> FrameScore:
    """The metrics, and LPIPS where it can be had."""
    return score if lpips is None else lambda frame, truth: score(frame, truth) | {"lpips": lpips(frame, truth)}


def _code() -> str:
    """A hash of the code that decides a row: an interrupted run must not continue with another version's rows."""
    digest = hashlib.sha256()
    for room in (".", "model", "media", "datasets", "evaluation"):
        for path in sorted((PACKAGE / room).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
