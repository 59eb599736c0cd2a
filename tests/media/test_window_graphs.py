"""A clip's windows on CUDA graphs; without CUDA, the static arguments and results of graphs."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from footage import scene
from torch import Tensor

from eqvi.errors import InputError
from eqvi.evaluation.panned import panned
from eqvi.graphs import Captured
from eqvi.media.image import ClipFrame, Image
from eqvi.media.memory_budget import MemoryBudget
from eqvi.media.window import Interpolator, windows
from eqvi.media.window_graphs import OnGraphs
from eqvi.model.eqvi import EQVI
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
    captured = [kind.graph for kind in graphs._kinds.values() if kind.graph is not None]
    # of a network's flow, of windows of two frames and of four
    assert len(captured) == (3 if preset == "eqvi-quarter" else 2)


@pytest.mark.parametrize("alpha", [False, True])
def test_an_interpolated_clip_is_the_same_on_graphs(alpha: bool) -> None:
    """Frames are handed on as images, and a window's motion to the next window, while results are overwritten."""
    torch.manual_seed(0)
    model = tiled(EQVI(presets()["eqvi-quarter"]).eval(), whole)
    pictures = [np.dstack((picture, picture[..., :1])) if alpha else picture for picture in scene(7)]
    clip = [
        ClipFrame(Image(picture), str(k), Fraction(k, 30), Fraction(1, 30), None) for k, picture in enumerate(pictures)
    ]
    images = []
    for kind in (model, OnGraphs(model, "cpu", lambda height, width: True)):
        interpolator = Interpolator(kind)
        gaps = [window for window in windows(clip) if window.second is not None]
        images.append([interpolator.prepared_image(gap, Fraction(n, 4))().pixels for gap in gaps for n in (1, 2, 3)])
    assert all((ours == theirs).all() for ours, theirs in zip(*images, strict=True))


def test_no_graph_where_there_is_no_room_or_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiled(EQVI(presets()["eqvi-quarter"]).eval(), whole)
    asked = []
    graphs = OnGraphs(model, "cpu", lambda height, width: bool(asked.append((height, width))))
    made(graphs, "cpu")
    assert asked == [SIZE] * 3, "each is asked for once"
    captures = []

    def overfilled(*_: Any) -> None:
        captures.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Captured, "__init__", overfilled)
    graphs = OnGraphs(model, "cpu", lambda height, width: True)
    for ours, theirs in zip(made(graphs, "cpu"), made(model, "cpu"), strict=True):
        assert torch.equal(ours, theirs)
    assert len(captures) == 3
    assert graphs.mib == 0


def test_graphs_count_what_was_there_before_them_once() -> None:
    model = tiled(EQVI(presets()["eqvi-quarter"]).eval(), whole)
    graphs = OnGraphs(model, "cpu", lambda height, width: True)
    made(graphs, "cpu")
    captured = [kind.graph for kind in graphs._kinds.values() if kind.graph is not None]
    for before, graph in enumerate(captured, start=5):
        graph.before_mib, graph.peak_mib = before, before + 10
    assert graphs.mib == 5 + 10 * len(captured) == 35


def test_a_frame_in_tiles_is_in_no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Captured, "__init__", lambda *_: pytest.fail("captured"))
    model = tiled(EQVI(presets()["baseline"]).eval(), lambda height, width: [*whole(32, width)] * 2)
    made(OnGraphs(model, "cpu", lambda height, width: True), "cpu")


def test_a_time_that_is_none_is_refused() -> None:
    model = tiled(EQVI(presets()["baseline"]).eval(), whole)
    graphs, frames = OnGraphs(model, "cpu", lambda height, width: True), panned(SIZE, range(4))[None]
    motion = graphs.estimate_motion(frames)
    for _ in range(3):
        with pytest.raises(InputError, match=r"t=1\.5 must lie between 0 and 1"):
            graphs.interpolate(frames, motion, 1.5)


def test_room_for_a_graph_is_what_the_budget_leaves() -> None:
    config = presets()["baseline"]
    assert MemoryBudget(config, "cpu", 10**12).has_room(*SIZE)
    assert not MemoryBudget(config, "cpu", 1).has_room(*SIZE)
