"""What each stage trains, freezes and has as its model."""

import dataclasses

import pytest
import torch
from small_runs import TINY

from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.losses import Loss
from eqvi.training.objectives import FlowObjective, FrameObjective
from eqvi.training.samples import FlowBatch, FrameBatch
from eqvi.training.stages import STAGES, freeze_all_but, stage_config

pytestmark = pytest.mark.usefixtures("tiny_presets")


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "flow"])
def test_only_what_a_stage_names_changes(stage: str) -> None:
    parts = set(STAGES[stage].trains)
    base = TINY
    if stage in ("matching", "finishing"):
        own = {stage: True, "detail": stage == "finishing"}
        base = dataclasses.replace(TINY, flow="dis", refine=False, residual=False, **own)
    model = EQVI(stage_config(STAGES[stage], base))
    trained = freeze_all_but(model, STAGES[stage].trains)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.1)
    frames, truth = torch.rand(1, 4, 3, 64, 64), torch.rand(1, 3, 64, 64)
    objective = FrameObjective(model, Loss({"l1": 1.0}))
    for _ in range(2):  # matching's last layers are zero: those before them learn from the second step on
        optimizer.zero_grad()
        objective(FrameBatch(frames, truth, torch.tensor([0.5])))["total"].backward()
        with_gradient = {name for name, value in model.named_parameters() if value.grad is not None}
        optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    expected = {
        name
        for name, _ in model.named_parameters()
        if name.partition(".")[0] in parts and not name.startswith("residual.context")
    }
    assert with_gradient == expected
    assert changed == expected
    assert {name.partition(".")[0] for name in changed} == parts


def test_stage_flow_trains_all_but_the_occlusion_decoder() -> None:
    model = ScopeFlow(1 / 16)
    trained = freeze_all_but(model, STAGES["flow"].trains)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.1)
    a, b, flow = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), torch.randn(1, 2, 64, 64)
    FlowObjective(model)(FlowBatch(a, b, flow, torch.ones(1, 1, 64, 64)))["total"].backward()
    expected = {name for name, _ in model.named_parameters() if not name.startswith("occlusion.")}
    assert {name for name, value in model.named_parameters() if value.grad is not None} == expected
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == expected


@pytest.mark.parametrize(("stage", "count"), [("scratch", 21_699_500), ("3", 21_699_500), ("4", 11_297)])
def test_trainable_parameters_at_published_widths(stage: str, count: int) -> None:
    with torch.device("meta"):
        model = EQVI(stage_config(STAGES[stage], PRESETS["eqvi"]))
    trained = freeze_all_but(model, STAGES[stage].trains)
    assert sum(parameter.numel() for parameter in trained) == count
    # The published count of 28 071 018 has two constant kernels of nine among them.
    fusion = 11_297 if stage == "4" else 0
    assert sum(parameter.numel() for parameter in model.parameters()) == 28_071_018 - 18 + fusion


@pytest.mark.parametrize(
    ("stage", "motion", "residual", "multi_scale"),
    [
        ("1", "quadratic", False, False), ("2", "quadratic", True, False), ("3", "rectified", True, False),
        ("4", "rectified", True, True), ("scratch", "rectified", True, False),
    ],
)  # fmt: skip
def test_what_a_stage_makes(stage: str, motion: str, residual: bool, multi_scale: bool) -> None:
    config = stage_config(STAGES[stage], TINY)
    assert (config.motion, config.residual, config.multi_scale) == (motion, residual, multi_scale)
    ablation = stage_config(STAGES[stage], TINY, "linear", False)
    assert (ablation.motion, ablation.residual) == ("linear", False)
