"""All stages one after the other, each from what the one before it wrote, and what became of the model's parts."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.markdown import markdown_table
from eqvi.model import checkpoint
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.curve import read_curve
from eqvi.training.initialization import initial_model
from eqvi.training.loading import validation_samples
from eqvi.training.losses import PUBLISHED, Loss
from eqvi.training.objectives import FlowLearner, FrameLearner
from eqvi.training.recipe import Recipe
from eqvi.training.run_folder import WEIGHTS_FILE
from eqvi.training.samples import FlowBatch, FrameBatch, FrameSample, collate
from eqvi.training.stages import find_stage
from eqvi.training.train import train


class Link(NamedTuple):
    """One run of a chain.

    Attributes:
        name: of the run.
        recipe: what it did.
        folder: where it is.
        learning: parameters that learn.
        before, after: every part of its model with a hash of its weights, at the beginning and at the end.
        scores: the first and the last, each by name.
        losses: on what it is scored on, before the first step and after the last; of frames the published loss,
            whatever else the run may have minimised.
    """

    name: str
    recipe: Recipe
    folder: Path
    learning: int
    before: dict[str, str]
    after: dict[str, str]
    scores: tuple[dict[str, float], dict[str, float]]
    losses: tuple[float, float]


def train_chain(
    folder: Path,
    runs: Mapping[str, Mapping[str, Any]],
    common: Mapping[str, Any],
    device: str = "cpu",
    restart: bool = False,
) -> list[Link]:
    """Carry out runs in their order; one that is done already is only read.

    Args:
        folder: gets a folder for each run.
        runs: name -> what is special about it, as fields of a `Recipe`; in ``after`` and ``flow`` the name of an
            earlier run stands for its weights.
        common: fields that all share.
        device: where.
        restart: throw away what is there.

    Raises:
        InputError: as `eqvi.training.train.train`.
    """
    links = []
    for name, special in runs.items():
        values = {**common, **special}
        given = {field: str(folder / values[field] / WEIGHTS_FILE) for field in ("after", "flow") if values.get(field)}
        links.append(_carried_out(name, Recipe.from_values(values | given), folder / name, device, restart))
    return links


def parts_of(model: EQVI | ScopeFlow) -> dict[str, nn.Module]:
    """The parts that stages train or freeze, by name, those without weights left out.

    ``occlusion``, a part of the flow network that EQVI does not read, stands apart from ``flow``, and ``context``, the
    fixed convolution of RCSN, from ``residual``.
    """
    parts: dict[str, nn.Module] = {"flow": model} if isinstance(model, ScopeFlow) else dict(model.named_children())
    found: dict[str, nn.Module] = {}
    for name, part in parts.items():
        apart = {"flow": "occlusion", "residual": "context"}.get(name)
        inner = dict(part.named_children())
        if apart in inner:
            alone = inner.pop(apart)
            found |= {name: nn.ModuleList(inner.values()), apart: alone}
        else:
            found[name] = part
    return {name: part for name, part in found.items() if any(True for _ in part.parameters())}


def hashes_of(model: EQVI | ScopeFlow) -> dict[str, str]:
    """Every part of `parts_of` with a hash of its weights."""
    found = {}
    for name, part in parts_of(model).items():
        digest = hashlib.sha256()
        for value in part.state_dict().values():
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        found[name] = digest.hexdigest()
    return found


def frozen_table(model: EQVI | ScopeFlow) -> str:
    """Every part of a model with its parameters, and whether it learns."""
    rows = []
    for name, part in parts_of(model).items():
        count = sum(parameter.numel() for parameter in part.parameters())
        learns = any(parameter.requires_grad for parameter in part.parameters())
        rows.append((name, f"{count:,}", "learns" if learns else "frozen"))
    return markdown_table(["part", "parameters", ""], rows)


def frames_of(links: list[Link], window: FrameSample) -> dict[str, Float[Tensor, "1 3 h w"]]:
    """The new frame of a window by each run's model, flow networks left out; run -> (1, 3, H, W)."""
    found = {}
    with torch.inference_mode():
        for link in links:
            if link.recipe.stage != "flow":
                found[link.name] = checkpoint.load(link.folder / WEIGHTS_FILE)(window.frames[None], window.t).frame
    return found


def chain_table(links: list[Link]) -> str:
    """A row for each run: where it starts, what learns, and how loss and score moved."""
    rows = []
    for link in links:
        digits, unit = (3, "px") if link.recipe.stage == "flow" else (2, "dB")
        own = next(iter(link.scores[0]))
        score = [f"{scores[own]:.{digits}f} {unit}" for scores in link.scores]
        start = Path(link.recipe.after or link.recipe.flow).parent.name or "nothing"
        learns = ", ".join(find_stage(link.recipe.stage).trains)
        loss = [f"{value:.3f}" for value in link.losses]
        rows.append((link.name, start, learns, f"{link.learning:,}", *loss, *score))
    header = ["run", "starts from", "trains", "parameters", "loss before", "after", "score before", "after"]
    return markdown_table(header, rows)


def parts_table(links: list[Link]) -> str:
    """A row for each run, a column for each part: the first digits of its hash, and whether the run changed it."""
    names = list(dict.fromkeys(name for link in links for name in link.after))
    rows = []
    for link in links:
        cells = []
        for name in names:
            digest = link.after.get(name, "")[:6]
            cells.append((f"**{digest}** new" if digest != link.before.get(name, "")[:6] else digest) or "none")
        rows.append((link.name, *cells))
    return markdown_table(["run", *names], rows)


def _carried_out(name: str, recipe: Recipe, folder: Path, device: str, restart: bool) -> Link:
    first = initial_model(recipe)
    learning = sum(parameter.numel() for parameter in first.parameters() if parameter.requires_grad)
    train(recipe, folder, device, progress=False, restart=restart)
    weights = folder / WEIGHTS_FILE
    last = checkpoint.load_flow(weights) if recipe.stage == "flow" else checkpoint.load(weights)
    samples = collate(validation_samples(recipe))
    losses = _loss(first, samples), _loss(last, samples)
    scores = [{key: float(value) for key, value in row.items()} for row in read_curve(folder / "scores.csv")]
    for row in scores:
        del row["step"]
    return Link(name, recipe, folder, learning, hashes_of(first), hashes_of(last), (scores[0], scores[-1]), losses)


def _loss(model: EQVI | ScopeFlow, samples: FrameBatch | FlowBatch) -> float:
    learner = FlowLearner(model) if isinstance(model, ScopeFlow) else FrameLearner(model, Loss(PUBLISHED))
    with torch.inference_mode():
        return learner(samples)["total"].item()
