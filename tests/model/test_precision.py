"""Lower precision and captured graphs: what a GPU asks of the model, as far as a CPU can hold it."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from eqvi.evaluation.workloads import panned, published_motion
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.model.eqvi import EQVI, Interpolation

TINY = EQVIConfig(flow_width=0.125, refine_width=0.125, synthesis_width=0.125, context_channels=4)


def tiny(name: str) -> EQVI:
    """The preset of that name at an eighth of the published widths."""
    widths = {field: getattr(TINY, field) for field in ("flow_width", "refine_width", "synthesis_width")}
    return EQVI(dataclasses.replace(PRESETS[name], **widths, context_channels=TINY.context_channels)).eval()


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
    model.config = dataclasses.replace(model.config, trajectory=trajectory)
    size = (128, 128) if model.config.multi_scale else (64, 96)
    frames = panned(size, range(trajectory or 4))[None]
    exact, rounded = (interpolated(model, frames, 0.25, kind) for kind in (torch.float32, torch.bfloat16))
    for field, value in rounded._asdict().items():
        if value is not None:
            assert value.dtype == torch.float32, field
            assert value.isfinite().all(), field
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


class _HostTraffic(TorchDispatchMode):
    """Collects the operations that wait for the device or copy from the host, which no CUDA graph can capture."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(part in str(func) for part in ("lift_fresh", "local_scalar", "nonzero", "masked_select", "is_nonzero")):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def test_a_window_can_be_captured_in_a_graph() -> None:
    """Flows, published schedule, trajectories and two scales neither read the device nor copy from the host."""
    with _HostTraffic() as traffic:
        torch.ones(2).new_tensor((1.0, 2.0))
        float(torch.ones(2).sum())
    assert len(traffic.found) == 2, traffic.found
    model = EQVI(dataclasses.replace(TINY, multi_scale=True, trajectory=6)).eval()
    frames = panned((128, 128), range(6))[None]
    with torch.inference_mode(), _HostTraffic() as traffic:
        motion = model.estimate_motion(frames)
        model.interpolate(frames, model.estimate_motion(frames, previous=motion), 0.25)
        published_motion(model, frames[:, 1:5])
    assert traffic.found == []
