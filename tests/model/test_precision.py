"""Lower precision and captured graphs: what a GPU asks of the model, as far as a CPU can hold it."""

import dataclasses

import pytest
import torch
from host_traffic import HostTraffic
from torch import Tensor
from torch.utils import _pytree as pytree

from eqvi.evaluation.panned import panned
from eqvi.evaluation.published_schedule import published_motion
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.model.interpolation import Interpolation

TINY = EQVIConfig(flow_width=0.125, refine_width=0.125, synthesis_width=0.125, context_channels=4)


def tiny(name: str) -> EQVI:
    """The preset of that name at an eighth of the published widths."""
    widths = {field: getattr(TINY, field) for field in ("flow_width", "refine_width", "synthesis_width")}
    model = EQVI(dataclasses.replace(PRESETS[name], **widths, context_channels=TINY.context_channels)).eval()
    for parameter in model.parameters():
        if not parameter.any():  # heads that start at zero would hide what comes before them
            torch.nn.init.normal_(parameter, std=0.01)
    return model


@torch.inference_mode()
def interpolated(model: EQVI, frames: Tensor, t: float | Tensor, precision: torch.dtype) -> Interpolation:
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        return model(frames, t)


@pytest.mark.parametrize(
    ("name", "trajectory"), [*((name, 0) for name in PRESETS), ("baseline", 6), ("eqvi-eighth-dis", 6)]
)
def test_every_preset_computes_under_autocast(name: str, trajectory: int) -> None:
    """Results are float32 as without it; the frame differs by bfloat16's rounding only."""
    model = tiny(name)
    if trajectory:
        model.config = dataclasses.replace(model.config, trajectory=trajectory)
    size = (128, 128) if model.config.multi_scale else (64, 96)
    frames = panned(size, range(model.config.trajectory or 4))[None]
    exact, rounded = (interpolated(model, frames, 0.25, kind) for kind in (torch.float32, torch.bfloat16))
    for field, value in rounded._asdict().items():
        for tensor in pytree.tree_leaves(value):
            if tensor is not None:
                assert tensor.dtype == torch.float32, field
                assert tensor.isfinite().all(), field
    difference = rounded.frame - exact.frame
    assert difference.square().mean() < 1e-3
    # Only what has a network is rounded at all.
    assert bool(difference.any()) == PRESETS[name].has_weights


@pytest.mark.parametrize("name", ["eqvi", "eqvi-ms", "eqvi-eighth-dis"])
def test_training_computes_under_autocast(name: str) -> None:
    model = tiny(name)
    frames = panned((128, 128), range(4))[None]
    with torch.autocast("cpu", torch.bfloat16):
        frame = model(frames, torch.tensor([0.5])).frame
    frame.square().mean().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_a_window_can_be_captured_in_a_graph() -> None:
    """Flows, published schedule, trajectories and two scales neither read the device nor copy from the host."""
    with HostTraffic() as traffic:
        torch.ones(2).new_tensor((1.0, 2.0))
        float(torch.ones(2).sum())
    assert len(traffic.found) == 2, traffic.found
    model = EQVI(dataclasses.replace(TINY, multi_scale=True, trajectory=6)).eval()
    frames = panned((128, 128), range(6))[None]
    with torch.inference_mode(), HostTraffic() as traffic:
        motion = model.estimate_motion(frames)
        model.interpolate(frames, model.estimate_motion(frames, previous=motion), 0.25)
        published_motion(model, frames[:, 1:5])
    assert traffic.found == []
