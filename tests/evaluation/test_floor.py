"""The floor of a new frame and its parity: counted work, a rate, and columns that follow from them."""

import dataclasses
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from eqvi.errors import InputError
from eqvi.evaluation import bench, floor, workloads
from eqvi.evaluation.workloads import Workload
from eqvi.media.memory_budget import MemoryBudget
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.model.fast_convolution import PackedConv2d
from eqvi.model.tiles import Box
from eqvi.reports.speed import Row, described, in_tiles, read_record, summary, with_floor

TINY = EQVIConfig(flow="dis", refine_width=0.125, synthesis_width=0.125, context_channels=4)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Workload:
    monkeypatch.setitem(PRESETS, "tiny-dis", TINY)
    return Workload("tiny-dis", height=128, width=128, windows=1)


def test_the_fast_parts_make_the_frames_of_interpolation(load: Workload) -> None:
    found = floor.parity(load)
    assert found["fast"] > 90
    assert all(value > 35 for value in found.values())
    tasks = workloads.fast(load)
    assert [(task.part, task.variant, task.amount) for task in tasks] == [("fast", "x2", 1), ("fast", "x4", 3)]
    clip = tasks[0].run.__self__  # type: ignore[attr-defined] # a bound method
    assert any(isinstance(layer, PackedConv2d) for layer in clip.model._model.modules())


def test_work_is_that_of_the_convolutions(load: Workload) -> None:
    work = floor.work(load)
    assert list(work) == ["x2", "x4"]
    assert work["x2"] == pytest.approx(work["x4"]), "DIS has no convolutions, and all others are a frame's own"
    half = floor.work(dataclasses.replace(load, width=256))
    assert half["x2"] == pytest.approx(2 * work["x2"], rel=0.01)


def test_the_rate_is_of_as_many_operations_as_are_said(load: Workload) -> None:
    for task in floor.convolution(load):
        image, weight = task.prepare()
        assert image.dtype == weight.dtype == getattr(torch, task.variant)
        operations = 2 * weight.numel() * image.shape[-2] * image.shape[-1] * floor._TIMES
        assert task.amount == pytest.approx(operations / 1e9, rel=0.005)


def test_a_frame_in_tiles_is_measured_beside_the_whole_one(load: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "BESIDE", 1)
    wide = dataclasses.replace(load, height=128, width=800)
    monkeypatch.setattr(MemoryBudget, "_grid", _in_two_if_little)
    found = floor.seams(wide)
    assert found["count"] == 2
    assert 0 <= found["largest"] < 0.1, "the margin is as wide as the networks look"
    assert found["above"] == 0
    assert [(task.part, task.variant, task.amount) for task in workloads.memory(wide)] == [
        ("memory", "whole", 1), ("memory", "tiles", 1),
    ]  # fmt: skip
    (text,) = in_tiles({"tiles": found, "parameters": {"width": 800, "height": 128}})
    assert text.startswith("A frame of 800x128 in 2 tiles differs from the whole one by at most ")
    assert in_tiles({}) == []


def _in_two_if_little(budget: MemoryBudget, height: int, width: int) -> list[Box]:
    halves = [Box(0, 0, height, width // 2), Box(0, width // 2, height, width)]
    return halves if budget.limit < sys.maxsize else [Box(0, 0, height, width)]


def test_shares_of_the_floor_are_of_one_run() -> None:
    rows = [
        Row("interpolation", "x2", "frames", 1, 1, 0.5, None),
        Row("fast", "x2", "frames", 1, 1, 0.25, None),
        Row("bfloat16", "x2", "frames", 1, 1, 0.125, None),
        Row("convolution", "float32", "GFLOP", 1, 19, 0.19, None),
        Row("convolution", "bfloat16", "GFLOP", 1, 19, 0.095, None),
    ]
    record = {"gflop_a_frame": {"x2": 20.0}, "parity_db": {"fast": 150.0, "bfloat16": 80.0}}
    lines = with_floor(summary(rows), record)
    assert lines["floor_share"].tolist()[:3] == pytest.approx([0.4, 0.8, 0.8])
    assert lines["floor_share"].isna().tolist() == [False, False, False, True, True]
    assert lines["parity_db"].tolist()[1:3] == [150.0, 80.0]
    assert pd.isna(lines["parity_db"].iloc[0])
    text = described(summary(rows), record)
    assert text["floor"].tolist() == ["40%", "80%", "80%", "", ""]
    assert "floor" not in described(summary(rows))


def test_a_file_without_a_record_has_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "bench.csv") == {}


def test_bfloat16_that_is_not_there_is_refused_before_anything_is_measured(
    load: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "has_bfloat16", lambda device: False)
    with pytest.raises(InputError, match="--parts bfloat16: cpu does not compute in it"):
        bench.check(load, ["bfloat16"], 1)
