"""Models by name: a preset, weights of our own, or the path of a checkpoint; with another flow, MODEL@FLOW."""

import dataclasses
from pathlib import Path
from typing import Any

from eqvi.errors import InputError
from eqvi.files import sha256
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.paths import WEIGHTS

#: The default model of explorer and site, which show every part: weights of this study, not the published ones.
DEFAULT_MODEL = "eqvi-quarter-dis"
#: The default model of users' footage: the weight-free method with `TRAJECTORY`, both ways of flow and detail, finished
#: by our weights. By the rows in ``results/detail_x2.csv`` and ``detail_x4.csv`` it is above every other in the mean.
FOOTAGE_MODEL = "finishing"
#: Frames of the paths that correct the motion of users' footage (`eqvi.model.trajectories`).
TRAJECTORY = 8
#: What users' footage gets by default.
FOOTAGE_CONFIG = dataclasses.replace(PRESETS[FOOTAGE_MODEL], trajectory=TRAJECTORY, detail=True)
MODEL_HELP = (
    f"preset or checkpoint (default {FOOTAGE_MODEL}: small weights of ours; baseline: none; {DEFAULT_MODEL}: EQVI with "
    "ours, not the published)"
)


def presets() -> dict[str, EQVIConfig]:
    """What a benchmark can time: the presets, and ``footage``, what users' footage gets by default."""
    return {**PRESETS, "footage": FOOTAGE_CONFIG}


def load_model(
    name: str,
    device: str = "cpu",
    trajectory: int | None = None,
    detail: bool | None = None,
    two_way: bool | None = None,
) -> tuple[Any, str]:
    """A model in evaluation mode, and its identity: the preset's name or the start of its file's SHA-256.

    Args:
        name: a weight-free preset, the path of a checkpoint, or NAME for ``results/weights/NAME.safetensors``; any of
            them with another flow after an ``@``, see `load_flow`.
        device: where the model goes.
        trajectory: frames of its trajectories in place of its own number; see `eqvi.EQVIConfig`.
        detail: whether the detail that warps lose is given back, in place of its own; see there. A model that was
            trained without it has learned to make up for it, and loses by both.
        two_way: whether the flows of both ways are combined, in place of its own; see there. Without a trajectory they
            are not.

    Raises:
        InputError: there is no such preset or file, the file is not a model's, no such number of frames is possible,
            finishing without the detail that it starts from, or as `load_flow`.
    """
    import eqvi  # here, so that --help does not import torch

    if any(option is not None for option in (trajectory, detail, two_way)):
        model, identity = load_model(name, device)
        if model.config.finishing and detail is False:
            raise InputError(f"--no-detail: {name} starts from frames with detail: give --model baseline as well")
        if trajectory == 0 and model.config.two_way:
            two_way = False
        given = {"trajectory": trajectory, "detail": detail, "two_way": two_way}
        given = {key: value for key, value in given.items() if value is not None}
        model.config = dataclasses.replace(model.config, **given)
        return model, "".join((identity, *(f"+{key}={value}" for key, value in given.items())))

    synthesis, flow = divided(name)
    if flow:
        model, identity = load_model(synthesis, device)
        network, digest = load_flow(flow)
        model.flow = network.to(device)
        return model, f"{identity}@{digest[:16]}"
    path = weights_file(name)
    if name in PRESETS and not PRESETS[name].has_weights:
        return eqvi.EQVI(PRESETS[name]).eval().to(device), name
    if path.is_file():
        return eqvi.load(path).eval().to(device), sha256(path)[:16]
    free = ", ".join(preset for preset, config in PRESETS.items() if not config.has_weights)
    if name in PRESETS:
        raise InputError(f"--model {name} needs weights and {path} is not there: give a checkpoint, or one of {free}")
    raise InputError(f"--model {name}: there is no such file or preset: give a checkpoint, or one of {free}")


def load_for_footage(
    name: str, device: str, trajectory: int = TRAJECTORY, detail: bool | None = None
) -> tuple[Any, str]:
    """A model for users' footage, see `load_model`: without weights it gives detail back unless `detail` is False.

    Without weights it combines the flows of both ways as well.

    Raises:
        InputError: as `load_model`.
    """
    synthesis, _ = divided(name)
    two_way = None
    if synthesis in PRESETS and not PRESETS[synthesis].has_weights:
        detail, two_way = detail is not False, trajectory > 0 or None
    return load_model(name, device, trajectory, detail, two_way)


def load_flow(name: str) -> tuple[Any, str]:
    """A flow network in evaluation mode, on the CPU, and the sha256 of its file.

    Args:
        name: a flow network of ours, by name or path; the path of ScopeFlow's or IRR-PWC's checkpoint; or RAFT, see
            `eqvi.model.raft.open_raft`.

    Raises:
        InputError: there is no such file, it holds no flow network, or RAFT cannot be had.
    """
    from eqvi.model import checkpoint, raft  # here, so that --help does not import torch

    if raft.network_of(name) is not None:
        return raft.open_raft(name)
    path = weights_file(name)
    if not path.is_file():
        raise InputError(
            f"flow {name}: {path} is not there: name a flow network of results/weights, a file, or "
            f"{' or '.join(raft.NETWORKS)}"
        )
    return checkpoint.load_flow(path), sha256(path)


def divided(name: str) -> tuple[str, str]:
    """The model and the flow in MODEL@FLOW; the flow is empty where the model has its own."""
    if "@" not in name or Path(name).is_file():
        return name, ""
    synthesis, _, flow = name.partition("@")
    return synthesis, flow


def weights_file(name: str) -> Path:
    """The path `name` if it is a file, else ``results/weights/NAME.safetensors``, which may not exist."""
    return Path(name) if Path(name).is_file() else WEIGHTS / f"{name}.safetensors"
