"""A clip's windows on CUDA graphs; without CUDA, the static arguments and results of graphs."""

from typing import Any

import pytest
import torch
from torch import Tensor

from eqvi.errors import InputError
from eqvi.evaluation.panned import panned
from eqvi.media.memory_budget import MemoryBudget
from eqvi.model.eqvi import EQVI
from eqvi.model.graphs import Captured, OnGraphs
from eqvi.model.registry import presets
from eqvi.model.tiles import Box, tiled

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]
SIZE = (64, 96)


def whole(height: int, width: int) -> list[Box]:
    """A frame in one piece."""
    return [Box(0, 0, height, width)]


def made(model: Any, device: str) -> list[Tensor]:
    """Two new frames of each gap of a clip that has a pair of frames at either end, and the same clip again."""
    frames = panned(SIZE, range(6)).to(device)
    new = []
    with torch.inference_mode():
        for _ in range(2):
            motion = None
            for first in range(5):
                window = frames[None, first : first + 2] if first in (0, 4) else frames[None, first - 1 : first + 3]
                motion = model.estimate_motion(window, previous=None if first in (0, 1, 4) else motion)
                new += [model.interpolate(window, motion, t).frame for t in (0.25, 0.5)]
    return new


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("preset", ["eqvi-quarter", "finishing"])
def test_a_clip_on_graphs_is_the_same(preset: str, device: str) -> None:
    torch.manual_seed(0)
    model = tiled(EQVI(presets()[preset]).eval().to(device), whole)
    graphs = OnGraphs(model, device, lambda height, width: True)
    for ours, theirs in zip(made(graphs, device), made(model, device), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5 if device == "cpu" else 1e-3, rtol=0)
    captured = [graph for graph in graphs._graphs.values() if graph is not None]
    # of a network's flow, of windows of two frames and of four
    assert len(captured) == (3 if preset == "eqvi-quarter" else 2)


@pytest.mark.parametrize(("room", "grid"), [(False, whole), (True, lambda height, width: [*whole(32, width)] * 2)])
def test_no_graph_without_room_or_of_tiles(room: bool, grid: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    captured = []
    original = Captured.__init__
    monkeypatch.setattr(Captured, "__init__", lambda *given: captured.append(given[1].__name__) or original(*given))
    model = tiled(EQVI(presets()["baseline"]).eval(), grid)
    made(OnGraphs(model, "cpu", lambda height, width: room), "cpu")
    assert captured == []


def test_a_time_that_is_none_is_refused() -> None:
    model = tiled(EQVI(presets()["baseline"]).eval(), whole)
    graphs, frames = OnGraphs(model, "cpu", lambda height, width: True), panned(SIZE, range(4))[None]
    motion = graphs.estimate_motion(frames)
    for _ in range(3):
        with pytest.raises(InputError, match="t=1.5 must lie between 0 and 1"):
            graphs.interpolate(frames, motion, 1.5)


def test_room_for_a_graph_is_what_the_budget_leaves() -> None:
    config = presets()["baseline"]
    assert MemoryBudget(config, "cpu", 10**12).has_room(*SIZE)
    assert not MemoryBudget(config, "cpu", 1).has_room(*SIZE)
