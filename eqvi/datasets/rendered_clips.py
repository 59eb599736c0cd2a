"""Rendered clips on disk, laid out like REDS_VTSR.

Frames lie at 15, 30 and 60 a second in ``SPLIT/SPLIT_15fps/000/00000000.png`` and so on; rates share their frames.
``SPLIT/SPLIT_motion/000.json`` describes clip 000: ``kind``, ``split``, ``seed``, ``size`` (width, height) and
``intervals``, from which it is drawn; the ``pictures`` and the ``camera`` drawn; and under ``frames``, by its name, the
`Magnitude` of every frame between two input frames.
"""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from eqvi.datasets.camera import expose
from eqvi.datasets.random_scenes import RenderedClip, draw_clip, magnitude
from eqvi.datasets.reds import SPACING, rate_folder
from eqvi.errors import InputError
from eqvi.files import parse_json, reason, replacing, replacing_folder
from eqvi.metrics import to_8bit

# What to do about metadata that cannot be read.
_ADVICE = "remove this file and the folders named {} beside its own, and render the clip again"


def write_rendered_clip(root: Path, name: str, clip: RenderedClip, fastest: int = 60) -> int:
    """Write a clip at 15, 30 and 60 frames a second, or at those rates up to `fastest`; the number of frames rendered.

    A complete clip is left alone. The metadata are written first, so that an unfinished clip is recognised when the
    same command is run again.

    Raises:
        InputError: the folder is not writable or the disk is full.
    """
    positions = range(0, SPACING[15] * clip.intervals + 1, SPACING[fastest])
    rates = {rate: positions[:: SPACING[rate] // SPACING[fastest]] for rate in SPACING if rate <= fastest}
    folders = {rate: rate_folder(root, clip.split, rate) / name for rate in rates}
    description = metadata_path(root, clip.split, name)
    if description.is_file() and all(_names(folders[rate]) == _files(rates[rate]) for rate in rates):
        return 0
    with replacing(description) as partial:
        description.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(metadata(clip, fastest), indent=1) + "\n", encoding="utf-8")
    with contextlib.ExitStack() as stack:
        partials = {rate: stack.enter_context(replacing_folder(folder)) for rate, folder in folders.items()}
        for position in positions:
            frame = expose(clip.scene, clip.camera, position / SPACING[15] - clip.intervals / 2)
            first, *copies = (partials[rate] / f"{position:08d}.png" for rate in rates if position in rates[rate])
            Image.fromarray(to_8bit(frame)).save(first)
            for copy in copies:
                shutil.copyfile(first, copy)
    return len(positions)


def metadata(clip: RenderedClip, fastest: int = 60) -> dict[str, Any]:
    """The metadata of a clip, as they are written to its JSON file."""
    frames = {}
    for position in range(0, SPACING[15] * clip.intervals, SPACING[fastest]):
        gap, inside = divmod(position, SPACING[15])
        if inside:
            values = magnitude(clip, gap - clip.intervals / 2, inside / SPACING[15])._asdict()
            frames[f"{position:08d}"] = {name: round(value, 4) for name, value in values.items()}
    return _definition(clip) | {"frames": frames}


def redraw_clip(metadata: dict[str, Any]) -> RenderedClip:
    """The clip that metadata describe: its scene gives exact flow between any two times."""
    width, height = metadata["size"]
    return draw_clip(metadata["seed"], metadata["split"], (height, width), metadata["kind"], metadata["intervals"])


def metadata_path(root: Path, split: str, name: str) -> Path:
    """The file of a clip's metadata."""
    return root / split / f"{split}_motion" / f"{name}.json"


def read_metadata(root: Path, split: str, name: str) -> dict[str, Any] | None:
    """The metadata of a clip; None if the clip was not rendered.

    Raises:
        InputError: the file cannot be read.
    """
    path = metadata_path(root, split, name)
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}): {_ADVICE.format(name)}") from None
    if not isinstance(content, dict) or not isinstance(content.get("frames"), dict):
        raise InputError(f"{path}: is no record of a rendered clip: {_ADVICE.format(name)}")
    return content


def check_folder(root: Path, split: str, clips: dict[str, RenderedClip]) -> None:
    """Make sure that the folder holds no clips but these.

    Raises:
        InputError: it holds another.
    """
    for rate in SPACING:
        folder = rate_folder(root, split, rate)
        for name in sorted(name for name in _names(folder) if not name.startswith(".")):
            known = read_metadata(root, split, name)
            if known is None or name not in clips or not _definition(clips[name]).items() <= known.items():
                raise InputError(f"{folder / name}: is no clip of this command: choose an empty folder, or remove it")


def _definition(clip: RenderedClip) -> dict[str, Any]:
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


def _files(positions: Iterable[int]) -> set[str]:
    return {f"{position:08d}.png" for position in positions}


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
