"""All stages one after the other, each from the weights of the one before it, and the parts that each changed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model import checkpoint
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.initialization import initial_model
from eqvi.training.recipe import Recipe
from eqvi.training.run_folder import SCORES_FILE, WEIGHTS_FILE, read_curve
from eqvi.training.samples import FrameSample
from eqvi.training.stages import STAGES
from eqvi.training.train import train


class StageRun(NamedTuple):
    """The finished run of one stage.

    Attributes:
        name, recipe, folder: of the run.
        trained: number of trained parameters.
        before, after: part of the model -> hash of its weights, before the first step and after the last.
        scores: of the first and the last validation.
    """

    name: str
    recipe: Recipe
    folder: Path
    trained: int
    before: dict[str, str]
    after: dict[str, str]
    scores: tuple[dict[str, float], dict[str, float]]


def train_stages(
    folder: Path,
    runs: Mapping[str, Mapping[str, Any]],
    common: Mapping[str, Any],
    device: str = "cpu",
    restart: bool = False,
) -> list[StageRun]:
    """Carry out runs in their order; a finished one is only read.

    Args:
        folder: gets a folder for each run.
        runs: name -> its own fields of a `Recipe`; in ``after`` and ``flow`` the name of an earlier run stands for its
            weights.
        common: fields that all share.
        device: where to train.
        restart: remove the runs that are there.

    Raises:
        InputError: as `eqvi.training.train.train`.
    """
    stage_runs = []
    for name, own in runs.items():
        values = {**common, **own}
        values |= {field: str(folder / values[field] / WEIGHTS_FILE) for field in ("after", "flow") if field in values}
        stage_runs.append(_train_stage(name, Recipe.from_values(values), folder / name, device, restart))
    return stage_runs


def parameters_by_part(model: EQVI | ScopeFlow) -> dict[str, list[nn.Parameter]]:
    """The parameters of each part that stages train or freeze.

    Two that are never trained are parts of their own: the ``occlusion`` decoder of the flow network, which EQVI does
    not use, and ``context``, the fixed convolution of RCSN.
    """
    prefix = "flow." if isinstance(model, ScopeFlow) else ""
    parts: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        part, child = f"{prefix}{name}".split(".")[:2]
        apart = (part, child) in (("flow", "occlusion"), ("residual", "context"))
        parts.setdefault(child if apart else part, []).append(parameter)
    return parts


def part_hashes(model: EQVI | ScopeFlow) -> dict[str, str]:
    """The sha256 of each part's weights."""
    return {
        part: hashlib.sha256(b"".join(p.detach().cpu().numpy().tobytes() for p in parameters)).hexdigest()
        for part, parameters in parameters_by_part(model).items()
    }


def parts_table(model: EQVI | ScopeFlow) -> pd.DataFrame:
    """A row for each part: its number of parameters, and whether they are trained."""
    rows = {
        part: (sum(p.numel() for p in parameters), any(p.requires_grad for p in parameters))
        for part, parameters in parameters_by_part(model).items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["parameters", "trained"]).rename_axis("part")


def new_frames(runs: list[StageRun], window: FrameSample) -> dict[str, Float[Tensor, "1 3 h w"]]:
    """The new frame of a window by each run's model, flow networks left out; run -> (1, 3, H, W)."""
    with torch.inference_mode():
        return {
            run.name: checkpoint.load(run.folder / WEIGHTS_FILE)(window.frames[None], window.t).frame
            for run in runs
            if run.recipe.stage != "flow"
        }


def stage_table(runs: list[StageRun]) -> pd.DataFrame:
    """A row for each run: what it starts from, what it trains, and the score before and after."""
    rows = []
    for run in runs:
        score = next(iter(run.scores[0]))
        rows.append(
            {
                "run": run.name,
                "starts from": Path(run.recipe.after or run.recipe.flow).parent.name or "nothing",
                "trains": ", ".join(STAGES[run.recipe.stage].trains),
                "parameters": run.trained,
                "score": {"epe": "EPE, px", "psnr": "PSNR, dB"}[score],
                "score before": run.scores[0][score],
                "score after": run.scores[1][score],
            }
        )
    return pd.DataFrame(rows).set_index("run")


def hash_table(runs: list[StageRun]) -> pd.DataFrame:
    """A row for each run, a column for each part: the start of its hash, with a star where the run changed it."""
    rows = {
        run.name: {name: digest[:6] + "*" * (digest != run.before.get(name)) for name, digest in run.after.items()}
        for run in runs
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")


def _train_stage(name: str, recipe: Recipe, folder: Path, device: str, restart: bool) -> StageRun:
    first = initial_model(recipe)
    trained = sum(parameter.numel() for parameter in first.parameters() if parameter.requires_grad)
    train(recipe, folder, device, progress=False, restart=restart)
    load = checkpoint.load_flow if recipe.stage == "flow" else checkpoint.load
    last = load(folder / WEIGHTS_FILE)
    rows = [{key: float(value) for key, value in row.items()} for row in read_curve(folder / SCORES_FILE)]
    scores = [{key: value for key, value in row.items() if key != "step"} for row in (rows[0], rows[-1])]
    return StageRun(name, recipe, folder, trained, part_hashes(first), part_hashes(last), (scores[0], scores[1]))
