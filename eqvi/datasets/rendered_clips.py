"""The command ``python -m eqvi render``: rendered clips in a folder laid out like REDS_VTSR.

Frames lie at 15, 30 and 60 a second under ``SPLIT/SPLIT_15fps/000/00000000.png`` and so on, the same picture wherever
the rates share it. Beside them ``SPLIT/SPLIT_motion/000.json`` says what each clip is and how much moves in it.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from eqvi.datasets.camera import expose
from eqvi.datasets.clip_metadata import read_record, record_path
from eqvi.datasets.random_scenes import RenderedClip, draw_clip, magnitude
from eqvi.datasets.reds import SPACING, rate_folder
from eqvi.errors import InputError
from eqvi.files import replacing, write_failure
from eqvi.metrics import to_8bit


def write_rendered_clip(root: Path, name: str, clip: RenderedClip, fastest: int = 60) -> int:
    """Write a clip at 15, 30 and 60 frames a second, or only at those up to `fastest`; how many frames were rendered.

    A complete clip is left alone. The metadata are written first, so that an interrupted run can tell its own
    unfinished clip from another's.

    Raises:
        InputError: the folder is not writable or the disk is full.
    """
    positions = range(0, SPACING[15] * clip.intervals + 1, SPACING[fastest])
    rates = {rate: positions[:: SPACING[rate] // SPACING[fastest]] for rate in SPACING if rate <= fastest}
    folders = {rate: rate_folder(root, clip.split, rate) / name for rate in rates}
    place = record_path(root, clip.split, name)
    if place.is_file() and all(_names(folders[rate]) == _files(rates[rate]) for rate in rates):
        return 0
    try:
        for folder in (place.parent, *(folder.parent for folder in folders.values())):
            folder.mkdir(parents=True, exist_ok=True)
        with replacing(place) as beside:
            beside.write_text(json.dumps(metadata(clip, fastest), indent=1) + "\n", encoding="utf-8")
        hidden = {rate: folder.with_name(f".{name}") for rate, folder in folders.items()}
        for folder in (*hidden.values(), *folders.values()):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in hidden.values():
            folder.mkdir()
        for position in positions:
            time = position / SPACING[15] - clip.intervals / 2
            frame = expose(clip.scene, clip.camera, time)
            first, *others = (hidden[rate] / f"{position:08d}.png" for rate in rates if position in rates[rate])
            Image.fromarray(to_8bit(frame)).save(first)
            for file in others:
                shutil.copyfile(first, file)
        for rate, folder in hidden.items():
            folder.rename(folders[rate])
    except OSError as error:
        raise InputError(f"{root}: cannot be written: {write_failure(error)}") from None
    return len(positions)


def metadata(clip: RenderedClip, fastest: int = 60) -> dict[str, Any]:
    """What a clip is, enough to draw it again, and how much happens at each frame between its input frames."""
    frames = {}
    for position in range(0, SPACING[15] * clip.intervals, SPACING[fastest]):
        gap, inside = divmod(position, SPACING[15])
        if inside:
            found = magnitude(clip, gap - clip.intervals / 2, inside / SPACING[15])
            frames[f"{position:08d}"] = {name: round(value, 4) for name, value in found._asdict().items()}
    return _identity(clip) | {"frames": frames}


def drawn_again(found: dict[str, Any]) -> RenderedClip:
    """The clip that a record is of: its scene gives exact flow between any two times."""
    width, height = found["size"]
    return draw_clip(found["seed"], found["split"], (height, width), found["kind"], found["intervals"])


def _identity(clip: RenderedClip) -> dict[str, Any]:
    """What tells a clip from every other."""
    height, width = clip.scene.size
    return {
        "kind": clip.kind,
        "split": clip.split,
        "seed": clip.seed,
        "size": [width, height],
        "intervals": clip.intervals,
        "pictures": [layer.photograph for layer in clip.scene.layers],
        "camera": dataclasses.asdict(clip.camera),
    }


def check_folder(root: Path, split: str, clips: dict[str, RenderedClip]) -> None:
    """Make sure that whatever lies in the folder is a clip that this very run would make."""
    for rate in SPACING:
        folder = rate_folder(root, split, rate)
        for name in sorted(name for name in _names(folder) if not name.startswith(".")):
            found = read_record(root, split, name)
            if found is None or name not in clips or not _identity(clips[name]).items() <= found.items():
                raise InputError(f"{folder / name}: is no clip of this command: choose an empty folder, or remove it")


def _files(positions: Iterable[int]) -> set[str]:
    return {f"{position:08d}.png" for position in positions}


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
