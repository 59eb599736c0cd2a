"""Scores interpolation methods on frames that are known and writes a row for each of them.

Beside a CSV file of rows (columns: `eqvi.evaluation.journal.COLUMNS`) stands a JSON file of what made it: model,
weights, data, protocol, parameters, commit, versions, device. Means are left to the tables.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from eqvi import metrics
from eqvi.datasets.cases import Case, Target, data_sha256
from eqvi.devices import shard
from eqvi.errors import InputError
from eqvi.evaluation.journal import COLUMNS, Journal, RowKey, is_complete
from eqvi.evaluation.lpips import LPIPS, open_lpips
from eqvi.evaluation.methods import Method
from eqvi.media.window import windows
from eqvi.paths import PACKAGE, WEIGHTS
from eqvi.progress import bar
from eqvi.provenance import surroundings

#: Scores of a frame (1, 3, H, W) against the true image, by column.
Score = Callable[[Tensor, metrics.RGB8], dict[str, float]]

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
    paths = [folder / f"{method.name}{suffix}.csv" for method in methods]
    complete = [measure(p, cases, [m], dataset, parameters, **options) for p, m in zip(paths, methods, strict=True)]
    return [path for path, whole in zip(paths, complete, strict=True) if whole]


def measure(
    out: Path,
    cases: Sequence[Case],
    methods: Sequence[Method],
    dataset: str,
    parameters: Mapping[str, Any],
    device: str = "cpu",
    name_column: str = "run",
    restart: bool = False,
    progress: bool = True,
    together: bool = False,
    score: Score = metrics.score,
) -> bool:
    """Score methods on clips into one file; returns whether it is complete (other processes may still be at work).

    After an interruption, even a kill, the same call resumes. A complete file is measured again, but not under
    torchrun, where a process may start after the others have finished.

    Args:
        out: the CSV file; its JSON file stands beside it.
        cases: the clips.
        methods: what makes the frames; a single one under ``run`` is named like the file.
        dataset: name of the dataset in the rows.
        parameters: what the clips were made with, for the record.
        device: where the methods compute.
        name_column: header of the first column, which names the method.
        restart: discard an interrupted run.
        progress: show a progress bar on a terminal.
        together: score every frame by all methods before the next, for methods that share their work.
        score: which metrics; all of them by default.

    Raises:
        InputError: two clips or methods of one name, an interrupted run with other arguments, a frame that cannot be
            scored.
    """
    names = [out.stem] if name_column == "run" and len(methods) == 1 else [method.name for method in methods]
    for kind, unique in (("clips", [case.name for case in cases]), ("models", names)):
        twice = next((name for name in unique if unique.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"two {kind} are named {twice}: rename one, so that the rows can tell them apart")
    named = dict(zip(names, methods, strict=True))
    groups = [named] if together else [{name: method} for name, method in named.items()]
    keys = [
        (name, case.name, target.frame)
        for group in groups for case in cases for target in case.targets for name in group
    ]  # fmt: skip
    if not keys:
        raise InputError("no frame to score: give longer clips, or a smaller --every")
    lpips = open_lpips(WEIGHTS, device)
    models: dict[str, Any] = {
        name: {"model": method.name, "preset": method.preset, "weights_sha256": method.weights_sha256}
        for name, method in named.items()
    }
    record = {
        **({"run": names[0], **models[names[0]]} if len(names) == 1 else {"models": models}),
        "dataset": dataset,
        "clips": {case.name: len(case.targets) for case in cases},
        "data_sha256": data_sha256(cases),
        "protocol": metrics.PROTOCOL,
        "lpips_sha256": None if lpips is None else lpips.sha256,
        "parameters": dict(parameters),
        **surroundings(device, _PACKAGES),
    }
    rank, world = shard()
    if world > 1 and is_complete(out, record, keys):
        return True
    # The commit may change between an interruption and its continuation, the code that makes rows may not.
    identity = {key: value for key, value in record.items() if key != "commit"} | {"code": _code()}
    with Journal(out, identity, keys, rank, world, name_column, restart) as journal:
        pending = set(journal.share) - journal.rows().keys()
        total, hidden = len(journal.share), bool(rank) or not progress
        with bar(total=total, initial=total - len(pending), desc=out.stem, unit="frame", hidden=hidden) as shown:
            for group in groups:
                for case in cases:
                    for row in _score_clip(group, dataset, case, pending, score, lpips):
                        journal.append(row)
                        shown.update()
        return journal.finish(record)


def _score_clip(
    methods: Mapping[str, Method], dataset: str, case: Case, pending: set[RowKey], score: Score, lpips: LPIPS | None
) -> Iterator[dict[str, str]]:
    """The pending rows of one clip, frame by frame."""
    targets: dict[int, list[Target]] = {}
    for target in case.targets:
        if any((name, case.name, target.frame) in pending for name in methods):
            targets.setdefault(target.position, []).append(target)
    if not targets:
        return
    wanted = {target.frame for group in targets.values() for target in group}
    frames_at, truths = {name: method.open(case) for name, method in methods.items()}, case.truths(wanted)
    for window in windows(case.inputs(), neighbours=max(method.neighbours for method in methods.values())):
        for target in targets.get(window.position, []):
            truth_name, truth = next(truths)
            assert truth_name == target.frame
            for name, frame_at in frames_at.items():
                if (name, case.name, target.frame) not in pending:
                    continue
                frame = frame_at(window, target.t)
                try:
                    values = score(frame, truth.pixels)
                except InputError as error:
                    raise InputError(f"{case.name}, frame {target.frame}: {error}") from None
                if lpips is not None:
                    values["lpips"] = lpips(frame, truth.pixels)
                values |= case.magnitudes.get(target.frame, {})
                row = {"run": name, "dataset": dataset, "clip": case.name, "frame": target.frame}
                row["t"] = f"{float(target.t):.6g}"
                yield dict.fromkeys(COLUMNS, "") | row | {column: f"{value:.6f}" for column, value in values.items()}
        if window.position >= max(targets):
            return


def _code() -> str:
    """A hash of the code that decides a row: an interrupted run must not continue with another version's rows."""
    digest = hashlib.sha256()
    for room in (".", "model", "media", "datasets", "evaluation"):
        for path in sorted((PACKAGE / room).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
