"""Measure interpolation on real footage: leave frames out of a clip, put them back, compare.

A row for every scored frame goes to a CSV file, what made it to a JSON file beside it; means are for tables to take.
"""

import argparse
import csv
import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from eqvi.choose import choose_device, load_model
from eqvi.clip import Clip, open_clip
from eqvi.errors import InputError
from eqvi.metrics import psnr, ssim
from eqvi.paths import ROOT
from eqvi.picture import Frame, Picture, from_tensor, replacing, to_tensor
from eqvi.report import means_table
from eqvi.window import Filler, Window, windows

#: Anything that makes the picture at t in (0, 1) between a window's first and second frame.
Interpolator = Callable[[Window, Fraction], Picture]


class Row(NamedTuple):
    """One scored frame.

    Attributes:
        clip, frame: where the truth stands.
        model: what made the new frame.
        t: its place between the kept frames.
        psnr, ssim: in dB and as a fraction, by the primary protocol of `eqvi.metrics`.
    """

    clip: str
    frame: str
    model: str
    t: str
    psnr: float
    ssim: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi evaluate``."""
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="folders of frames or video files")
    parser.add_argument("--step", type=int, default=2, help="keep every so many frames, score the rest (%(default)s)")
    parser.add_argument("--every", type=int, default=1, help="score only every so many gaps (%(default)s)")
    parser.add_argument("--limit", type=int, help="use the first so many frames of each clip")
    parser.add_argument(
        "--models",
        nargs="+",
        default=["blend", "baseline-linear", "baseline"],
        metavar="MODEL",
        help="presets, checkpoints, or blend, the average of the neighbours (%(default)s)",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="CSV", help="where the rows go; by default only means are shown")


def run(args: argparse.Namespace) -> int:
    """Score every model on every clip, show the means, write the rows."""
    for name in ("step", "every"):
        if getattr(args, name) < (2 if name == "step" else 1):
            raise InputError(f"--{name} {getattr(args, name)} is too small: give at least {2 if name == 'step' else 1}")
    clips = {_name(path): open_clip(path, limit=args.limit) for path in args.clips}
    if len(clips) < len(args.clips):
        raise InputError("two clips have the same name: rename one, so that the rows can tell them apart")
    device = choose_device(args.device)
    loaded = {name: load_model(name, device) for name in args.models if name != "blend"}
    rows: list[Row] = []
    for name, clip in clips.items():
        total = None if clip.count is None else max(0, (clip.count - 1) // args.step)
        # A filler remembers the frames and flows of its clip, so every clip has its own.
        models: dict[str, Interpolator] = {
            m: Filler(loaded[m][0], device).picture if m in loaded else blend for m in args.models
        }
        scored = score(name, clip, models, args.step, args.every)
        bar = tqdm(total=total, desc=name, unit="gap", disable=None, file=sys.stderr)
        for gap in scored:
            rows += gap
            bar.update()
        bar.close()
    if not rows:
        raise InputError(f"no gap of {args.step} frames in {args.clips[0]}: give longer clips or a smaller --step")
    print(means_table([row._asdict() for row in rows], "clip", "model", "psnr"))
    if args.out is not None:
        settings = {"step": args.step, "every": args.every, "limit": args.limit}
        identities = {name: loaded[name][1] if name in loaded else name for name in args.models}
        _write(args.out, rows, provenance(clips, identities, device, settings))
        print(f"{len(rows)} rows: {args.out}")
    return 0


def score(name: str, clip: Clip, models: dict[str, Interpolator], step: int, every: int = 1) -> Iterator[list[Row]]:
    """The rows of one gap after another; a gap that is passed over gives none.

    Args:
        name: the clip's.
        clip: true frames.
        models: what is scored, by name.
        step: every so many frames are kept.
        every: every so many gaps are scored, from the first that has a neighbour on both sides.
    """
    truth: dict[int, list[Frame]] = {}
    for window in windows(_kept(clip, step, truth), cut=lambda a, b: False):
        between = truth.pop(window.position, [])
        if window.second is None or len(between) < step - 1:
            continue
        rows = []
        if window.position % every == (1 % every):
            for number, frame in enumerate(between, 1):
                t = Fraction(number, step)
                for model, interpolate in models.items():
                    made = interpolate(window, t).pixels
                    values = (psnr(made, frame.picture.pixels), ssim(made, frame.picture.pixels))
                    rows.append(Row(name, frame.stem, model, str(t), *(round(value, 6) for value in values)))
        yield rows


def blend(window: Window, t: Fraction) -> Picture:
    """The average of the two neighbours, weighted by time."""
    assert window.second is not None
    first, second = to_tensor(window.first.picture), to_tensor(window.second.picture)
    return from_tensor((1 - float(t)) * first + float(t) * second, window.first.picture)


def provenance(
    clips: dict[str, Clip], models: dict[str, str], device: str, settings: dict[str, int | None]
) -> dict[str, object]:
    """What made a file of rows."""
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    packages = ("torch", "numpy", "scikit-image", "opencv-python-headless", "av", "pillow")
    return {
        "settings": settings,
        "models": models,
        "clips": {name: {"sha256": _hash(clip.path), "size": list(clip.size)} for name, clip in clips.items()},
        "commit": commit.stdout.strip() or "unknown",
        "device": device,
        "machine": platform.machine(),
        "versions": {name: importlib.metadata.version(name) for name in packages}
        | {"python": platform.python_version()},
    }


def _kept(clip: Clip, step: int, truth: dict[int, list[Frame]]) -> Iterator[Frame]:
    """Every `step`-th frame; those between are put by under the number of the gap they belong to."""
    for index, frame in enumerate(clip.read()):
        if frame.picture.pixels.shape[2] != 3 or frame.picture.peak != 255:
            raise InputError(f"{clip.path}: frame {frame.stem} is not 8-bit RGB, which the metrics are defined for")
        if index % step == 0:
            yield frame
        else:
            truth.setdefault(index // step, []).append(frame)


def _name(path: Path) -> str:
    return path.resolve().stem


def _hash(path: Path) -> str:
    """sha256 of a file, or of a folder's files in the order of their names."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.iterdir()):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _write(path: Path, rows: list[Row], made_by: dict[str, object]) -> None:
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(rows)
    with replacing(path.with_suffix(".json")) as beside:
        beside.write_text(json.dumps(made_by, indent=1) + "\n", encoding="utf-8")
