"""Where the time of a new frame goes: what is counted, the floors, the command; never a time."""

import argparse
import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from eqvi.cli import bench as command
from eqvi.errors import InputError
from eqvi.evaluation import profile
from eqvi.evaluation.profile import Traffic, Watch, watched
from eqvi.model import eqvi as method
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.reports import profile as report
from eqvi.reports.profile import REST, PartTime, parts, sentences, shown

TINY = EQVIConfig(flow_width=0.125, refine_width=0.125, synthesis_width=0.125, context_channels=4)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(profile.MODELS, "published widths", TINY)


def test_every_part_is_entered_and_everything_is_as_before() -> None:
    config = dataclasses.replace(PRESETS["baseline"], trajectory=8, detail=True)
    model, frames = EQVI(config).eval(), torch.rand(1, 8, 3, 64, 64)
    before, watch = dict(vars(method)), Watch()
    with torch.inference_mode():
        expected = model(frames, 0.5).frame
        with watched(model, watch):
            frame = model(frames, 0.5).frame
        watch.stop()
    assert torch.equal(frame, expected)
    own = {"features", "between", "positions", "motion", "reversal", "refinement", "warps", "mask", "detail", REST}
    assert set(watch.seconds) == own
    assert min(watch.seconds.values()) > 0
    assert dict(vars(method)) == before
    assert "between_all" not in vars(model.flow)
    assert model(frames, 0.5).frame.shape == frame.shape


def test_a_part_does_not_count_what_is_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 7.0, 15.0, 31.0])
    monkeypatch.setattr(profile.time, "perf_counter", lambda: next(clock))
    watch = Watch()
    with watch.watching("outer"), watch.watching("inner"):
        assert watch.part == "inner"
    watch.stop()
    assert dict(watch.seconds) == {REST: 1.0 + 16.0, "outer": 2.0 + 8.0, "inner": 4.0}


def test_arithmetic_goes_to_the_part_that_has_the_convolution() -> None:
    model, watch = EQVI(TINY).eval(), Watch()
    mask = [layer for layer in model.mask.modules() if isinstance(layer, torch.nn.Conv2d)]
    sizes: list[int] = []
    for layer in mask:
        layer.register_forward_hook(
            lambda layer, _, output: sizes.append(2 * output.numel() * layer.weight[0].numel())  # type: ignore[misc]
        )
    with torch.inference_mode(), watched(model, watch):
        model(torch.rand(1, 4, 3, 64, 64), 0.5)
    assert watch.operations["mask"] == sum(sizes) > 0
    assert {part for part, work in watch.operations.items() if work} == {
        "features", "between", "refinement", "mask", "residual",
    }  # fmt: skip


def test_traffic_is_what_operations_read_and_write_views_apart() -> None:
    watch, a = Watch(), torch.ones(4, 8)
    with torch.no_grad(), Traffic(watch):
        b = a[:2].t().expand(8, 2)
        assert watch.traffic[REST] == 0
        b = a + 1
        assert watch.traffic[REST] == 2 * 4 * 32
        b.add_(a)
    assert watch.traffic[REST] == (2 + 3) * 4 * 32


def rows() -> pd.DataFrame:
    """A step with much arithmetic, one with much traffic, one of which nothing is seen; two rounds."""
    given = [("mask", 0.010, 0.5, 0.001), ("warps", 0.004, 0.0, 0.02), ("between", 0.006, 0.0, 0.0)]
    return pd.DataFrame(
        PartTime("model", part, number, seconds * (1 + 0.5 * (number - 1)), gflop, gigabytes)
        for part, seconds, gflop, gigabytes in given
        for number in (1, 2)
    )


RECORD = {"rates": {"convolution, GFLOP/s": 100.0, "copy, GB/s": 10.0}}


def test_a_floor_is_the_longer_of_arithmetic_and_memory() -> None:
    table = parts(rows(), RECORD).loc["model"]
    assert list(table.index) == ["1 flow: between frames", "4 warps", "6 mask"]
    assert table["ms"].tolist() == pytest.approx([7.5, 5.0, 12.5])
    assert table["floor_ms"].tolist() == pytest.approx([0.0, 2.0, 5.0])
    assert table["bound"].tolist() == ["", "memory", "arithmetic"]
    assert table["distance_ms"].tolist() == pytest.approx([7.5, 3.0, 7.5])
    assert table["share"].sum() == pytest.approx(1)
    assert table.loc["6 mask", ["ms_low", "ms_high"]].tolist() == pytest.approx([10.0, 15.0])
    text = shown(parts(rows(), RECORD).reset_index())
    assert text.loc[2].tolist() == [
        "model",
        "6 mask",
        "12.5 (10.0 to 15.0)",
        "50.0%",
        "0.5",
        "0.00",
        "5.0",
        "arithmetic",
    ]
    assert sentences(parts(rows(), RECORD), 1) == [
        "model: 25 ms a new frame, the floor of all parts 7 ms; farthest from theirs: "
        "1 flow: between frames (8 of 8 ms)."
    ]


def given(*options: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(["--profile", *map(str, options)])


def test_the_command_writes_what_the_page_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(given("--size", "128x128", "--rounds", 2, "--out", tmp_path)) == 0
    said = capsys.readouterr().out
    assert "default for footage: " in said
    assert "published widths: " in said
    path = tmp_path / "profile_cpu.csv"
    read, record = report.read(path), json.loads(path.with_suffix(".json").read_text())
    assert set(read["model"]) == set(profile.MODELS)
    assert set(read["round"]) == {1, 2}
    assert min(record["rates"].values()) > 0
    assert record["parameters"] == {"height": 128, "width": 128, "rounds": 2, "windows": 1}
    assert parts(read, record)["share"].groupby("model").sum().tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "cuda"], "--profile has models of its own, on the CPU"),
        (["--preset", "eqvi"], "leave --device, --parts and --preset out"),
        (["--rounds", 0], "--rounds 0 is too small"),
        (["--size", "100x100"], "128"),
        (["--out", "nowhere/rows.csv"], "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_profiled_takes_one_line(options: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        command.run(given(*options))


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"rows\.csv: is no file of `python -m eqvi bench --profile`"):
        report.read(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").write_text(",".join(PartTime._fields) + "\nm,other,1,1,1,1\n")
    with pytest.raises(InputError, match="has the part 'other'"):
        report.read(tmp_path / "rows.csv")
