"""Metadata of a rendered clip, ``SPLIT/SPLIT_motion/000.json`` (written by `eqvi.datasets.rendered_clips`).

``kind``, ``split``, ``seed``, ``size`` (width, height) and ``intervals`` say how it was drawn, ``pictures`` and
``camera`` what is seen and how; ``frames`` holds, for every frame between two input frames, how much happens there.
"""

import json
from pathlib import Path
from typing import Any

from eqvi.errors import InputError


def record_path(root: Path, split: str, name: str) -> Path:
    """Where the record of a clip lies."""
    return root / split / f"{split}_motion" / f"{name}.json"


def read_record(root: Path, split: str, name: str) -> dict[str, Any] | None:
    """The record of a clip; None for a clip that was not rendered.

    Raises:
        InputError: it cannot be read.
    """
    path = record_path(root, split, name)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}): remove it and render the clip again") from None
    if not isinstance(found, dict) or not isinstance(found.get("frames"), dict):
        raise InputError(f"{path}: is no record of a rendered clip: remove it and render the clip again")
    return found


def read_magnitudes(root: Path, split: str, name: str) -> dict[str, dict[str, float]]:
    """What is known of each frame between two input frames, by its name; empty for a clip that was not rendered.

    For every frame ``motion``, ``acceleration`` and ``occlusion``, as in `eqvi.datasets.random_scenes.Magnitude`.

    Raises:
        InputError: as `read_record`.
    """
    found = read_record(root, split, name)
    return {} if found is None else found["frames"]
