"""The benchmark: what is compared does the same work, rates and ratios are right, files are whole; never a time."""

import argparse
import csv
import dataclasses
import json
import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from eqvi.cli import bench as bench_command
from eqvi.errors import InputError
from eqvi.evaluation import bench, memory, workloads
from eqvi.evaluation.panned import PAN, panned, panned_batch
from eqvi.evaluation.precision import float32_precision
from eqvi.evaluation.published_schedule import PUBLISHED_CALLS, published_motion
from eqvi.evaluation.workloads import Task, Workload
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.model.registry import TRAJECTORY
from eqvi.model.scopeflow import Bidirectional, ScopeFlow
from eqvi.provenance import surroundings
from eqvi.reports.speed import Row, described, length, read, summary

TINY = EQVIConfig(flow_width=0.125, refine_width=0.125, synthesis_width=0.125, context_channels=4)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two presets that are quick, among those that there are."""
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    monkeypatch.setitem(PRESETS, "tiny-dis", dataclasses.replace(TINY, flow="dis"))


def small(preset: str = "tiny", **options: object) -> Workload:
    return dataclasses.replace(Workload(preset, crop=64, batch=1, height=128, width=128, windows=1), **options)


def given(*options: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench_command.add_arguments(parser)
    return parser.parse_args(["--device", "cpu", *map(str, options)])


@pytest.mark.parametrize("multi_scale", [False, True])
def test_the_published_schedule_gives_the_same_frame(multi_scale: bool) -> None:
    model = EQVI(dataclasses.replace(TINY, multi_scale=multi_scale)).eval()
    frames = panned((128, 128) if multi_scale else (64, 96), range(4))[None]
    with torch.inference_mode():
        ours, published = model.estimate_motion(frames), published_motion(model, frames)
        for name in ours._fields[:6]:
            assert torch.equal(getattr(published, name), getattr(ours, name)), name
        assert (published.half is None) == (not multi_scale)
        assert torch.equal(model.interpolate(frames, published, 0.5).frame, model.interpolate(frames, ours, 0.5).frame)


def test_the_published_schedule_makes_eight_calls_both_ways_for_every_new_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    def counted(name: str, answer: Callable[[torch.Tensor], object]) -> None:
        monkeypatch.setattr(ScopeFlow, name, lambda self, image, *_: calls.append(name) or answer(image))

    counted("features", lambda image: image)
    counted("between", lambda image: torch.zeros_like(image[:, :2]))
    counted("bidirectional", lambda image: Bidirectional(*[torch.zeros_like(image[:, :k]) for k in (2, 2, 1, 1)]))
    monkeypatch.setattr(ScopeFlow, "between_all", lambda self, pairs: [self.between(*pair) for pair in pairs])
    counts = {}
    for task in (*workloads.training(small(batch=2)), *workloads.interpolation(small(windows=2))):
        prepared = task.prepare()
        calls.clear()
        task.run(prepared)
        kinds = ("bidirectional", "between", "features")
        counts[task.part, task.variant] = (task.amount, *map(calls.count, kinds))
    assert len(PUBLISHED_CALLS) == 8
    assert counts == {  # made; calls both ways, forward only, for a pyramid. A batch of two is found at once.
        ("training", "published"): (2, 8, 0, 16),
        ("training", "ours"): (2, 0, 6, 4),
        ("training", "stored"): (2, 0, 0, 0),
        ("interpolation", "published"): (2, 16, 0, 32),
        ("interpolation", "x2"): (2, 0, 8, 2),
        ("interpolation", "x4"): (6, 0, 8, 2),
    }


def test_whole_clips_have_shorter_windows_at_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    between = ScopeFlow.between_all
    monkeypatch.setattr(ScopeFlow, "between_all", lambda self, pairs: calls.append(len(pairs)) or between(self, pairs))
    flows = {}
    for task in workloads.length(small()):
        model = task.prepare()
        calls.clear()
        task.run(model)
        flows[task.variant] = (task.amount, sum(calls))
    # Two between a gap's frames, and further ones, new in each window, where both have a neighbour.
    assert flows == {"1": (1, 2), "2": (2, 4), "4": (4, 12), "8": (8, 28), "16": (16, 60)}


def test_every_step_of_training_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(workloads, "EQVI", lambda config: made.append(EQVI(config)) or made[-1])
    ends = {}
    for variant in ("published", "ours", "stored"):
        task = next(task for task in workloads.training(small()) if task.variant == variant)
        before = {name: value.clone() for name, value in made[-1].state_dict().items()}
        task.run(task.prepare())
        ends[variant] = made[-1].state_dict()
        changed = {name.split(".")[0] for name, value in ends[variant].items() if not torch.equal(value, before[name])}
        assert changed == {"refinement", "mask", "residual"}
    for name, value in ends["ours"].items():
        assert torch.equal(value, ends["published"][name]), name


def test_the_published_schedule_is_timed_where_the_preset_has_scopeflow(tmp_path: Path) -> None:
    for preset, first in (("tiny", ["published"]), ("tiny-dis", [])):
        for part, names in (("training", ["ours", "stored"]), ("interpolation", ["x2", "x4"])):
            tasks = workloads.PARTS[part](small(preset), tmp_path)
            assert [(task.part, task.variant) for task in tasks] == [(part, name) for name in [*first, *names]]


def test_what_footage_gets_by_default_is_timed_on_windows_of_eight_frames() -> None:
    x2, x4 = workloads.interpolation(small("footage"))
    clip = x2.run.__self__  # type: ignore[attr-defined] # a bound method
    assert (clip.model.config.trajectory, clip.model.config.detail) == (TRAJECTORY, True)
    x4.run(x4.prepare())
    assert [window.shape[1] for window in clip._windows] == [8, 8]
    assert len(x4.run.__self__.frames) == x4.amount == 3  # type: ignore[attr-defined]


def test_samples_are_made_on_one_core_and_never_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered, stored = workloads.data(small(), tmp_path)
    seen = []
    monkeypatch.setattr(
        workloads.PooledWindows, "sample", lambda self, number: seen.append((number, torch.get_num_threads()))
    )
    torch.set_num_threads(2)
    try:
        for task in (rendered, stored, rendered):
            task.run(task.prepare())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert len(seen) == 2 * rendered.amount + stored.amount
    assert len({number for number, _ in seen}) == len(seen)
    assert {threads for _, threads in seen} == {1}


def test_the_batch_shows_the_motion_that_its_flows_say() -> None:
    batch = panned_batch(4, 96)
    assert batch.flows is not None
    frames, inside = batch.frames, slice(24, 72)
    for place, (a, b) in enumerate(workloads.FLOW_PAIRS):
        x, y = batch.flows[0, place, :, 0, 0].int().tolist()
        assert y == 0
        moved = frames[0, b].roll(-x, -1)
        assert torch.equal(moved[..., inside], frames[0, a][..., inside])
    for truth, t in zip(batch.truth, batch.t, strict=True):
        pixels = round(PAN * t.item())
        assert torch.equal(truth[..., inside], frames[0, 1].roll(pixels, -1)[..., inside])


def rows_of(part: str, variant: str, seconds: list[float], made: int = 1, peak: float | None = None) -> list[Row]:
    return [Row(part, variant, "frames", number, made, time, peak) for number, time in enumerate(seconds, 1)]


def test_ratios_are_taken_within_a_round() -> None:
    # The machine is twice as slow in the second round and ten times in the third: no ratio knows it.
    slow = [1.0, 2.0, 10.0]
    rows = [
        *rows_of("interpolation", "published", [8 * factor for factor in slow], peak=600),
        *rows_of("interpolation", "x2", [2 * factor for factor in slow], peak=150),
        *rows_of("interpolation", "x4", [4 * factor for factor in slow], made=3),
        *rows_of("data", "rendered", [1.0, 1.0, 1.0]),
    ]
    lines = summary(rows).set_index(["part", "variant"])
    published, x2, x4 = (lines.loc["interpolation", name] for name in ("published", "x2", "x4"))
    ratio, rate = ["ratio", "ratio_low", "ratio_high"], ["rate", "rate_low", "rate_high"]
    assert published[["ratio", "against", "memory_ratio"]].isna().all()
    assert published[rate].tolist() == [1 / 16, 1 / 80, 1 / 8]
    assert (x2[ratio].tolist(), x2["against"], x2["memory_ratio"]) == ([4, 4, 4], "interpolation published", 0.25)
    assert x4[ratio].tolist() == pytest.approx([6, 6, 6])
    assert x4[["peak_mib", "memory_ratio"]].isna().all()
    assert lines.loc[("data", "rendered"), ratio].isna().all(), "what it is compared with was not measured"


def test_a_step_with_known_flows_is_held_against_ours_where_nothing_was_published() -> None:
    rows = [*rows_of("training", "ours", [4.0, 6.0]), *rows_of("training", "stored", [2.0, 2.0])]
    rows += rows_of("data", "stored", [1.0, 0.5], made=4)
    ours, stored, data = summary(rows).itertuples()
    assert pd.isna(ours.against)
    assert (stored.against, stored.ratio, stored.ratio_low, stored.ratio_high) == ("training ours", 2.5, 2, 3)
    assert (data.against, data.ratio, data.ratio_low, data.ratio_high) == ("training stored", 12, 8, 16)
    text = described(summary(rows))
    assert text.iloc[1].tolist()[2:] == ["0.5 frames/s (0.5 to 0.5)", "2.5x (2 to 3)", "training ours", "", ""]


def test_variants_take_turns_in_an_order_that_turns_round(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def task(name: str) -> Task:
        return Task("training", name, "samples", 1, lambda: name, done.append)

    monkeypatch.setattr(bench, "PARTS", {"training": lambda load, folder: [task("published"), task("ours")]})
    names = [("training", "published"), ("training", "ours")]
    monkeypatch.setattr(bench, "_peaks_on_cpu", lambda load, tasks, bar: dict.fromkeys(names, 7.0))
    rows = bench.measure(small(), ["training"], rounds=3, progress=False)
    assert done == ["ours", "published", "published", "ours", "ours", "published", "published", "ours"]
    assert [(row.variant, row.round) for row in rows] == [(v, r) for v in ("published", "ours") for r in (1, 2, 3)]
    assert {row.peak_mib for row in rows} == {7.0}
    assert all(row.seconds > 0 for row in rows)


def test_a_measurement_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = {"idle": 200.0, "training ours": 230.0, "training stored": 215.0}
    monkeypatch.setattr(bench, "peak_memory", lambda job, what, advice: pickle.dumps(job) and alone[what])
    options = ("--preset", "eqvi-quarter-dis", "--crop", 64, "--batch", 1, "--rounds", 2, "--parts", "training", "data")
    assert bench_command.run(given(*options, "--out", tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "classical flow: no published schedule to compare" in shown
    assert "rendered windows: one core makes" in shown
    assert "Only ratios are claims" in shown
    with (tmp_path / "bench_cpu.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == Row._fields
    names = [("training", "ours"), ("training", "stored"), ("data", "rendered"), ("data", "stored")]
    found = [(row["part"], row["variant"], row["round"]) for row in rows]
    assert found == [(*name, number) for name in names for number in "12"]
    assert [row["peak_mib"] for row in rows] == [*2 * ["30.0"], *2 * ["15.0"], *4 * [""]]
    assert all(float(row["seconds"]) > 0 for row in rows)
    record = json.loads((tmp_path / "bench_cpu.json").read_text())
    assert record["run"] == "bench_cpu"
    assert record["parameters"]["preset"] == "eqvi-quarter-dis"
    assert record["parameters"]["rounds"] == 2
    assert record["weights"] == "random"
    assert record["versions"]["torch"] == torch.__version__
    assert record["threads"] == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bench_cpu.csv", "bench_cpu.json"]


def test_a_peak_is_of_its_own_process_alone() -> None:
    held = torch.ones(2**26)  # 256 MiB: what a process holds that starts another is none of the other's
    idle = memory.peak_memory(partial(len, "nothing"), "idle", "")
    assert idle < memory.resident_peak() - 256
    assert held.any()
    found = memory.peak_memory(partial(os.urandom, 2**26), "idle", "")
    assert found - idle == pytest.approx(64, abs=8)
    # A process can do every task by itself: torch and a step of training take more than 100 MiB.
    step = partial(workloads.run_task, small("eqvi-quarter-dis"), ("training", "stored"), 1)
    assert memory.peak_memory(step, "training", "") > idle + 100


def test_what_goes_wrong_in_a_process_of_its_own_is_said() -> None:
    with pytest.raises(InputError, match="training ours: its process was killed, as too little memory does: go small"):
        memory.peak_memory(partial(os._exit, 9), "training ours", "go small")
    with pytest.raises(ValueError, match="invalid literal"):
        memory.peak_memory(partial(int, "x"), "", "")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), RuntimeError("can't allocate memory: 9 bytes")])
def test_too_little_memory_is_one_line(error: RuntimeError) -> None:
    with pytest.raises(InputError, match="too small: give a smaller"), bench._enough_memory(small()):
        raise error
    with pytest.raises(RuntimeError, match="another"), bench._enough_memory(small()):
        raise RuntimeError("another")


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bench.csv"
    rows = rows_of("training", "ours", [1.0, 2.0])
    bench.write(rows, {"run": "bench"}, path)
    whole = path.read_bytes()

    def full(self: Path, text: str, **_: object) -> None:
        self.write_bytes(text[:20].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="the disk is full"):
        bench.write(rows[:1], {}, path)
    assert path.read_bytes() == whole
    assert whole.decode().splitlines()[1] == "training,ours,frames,1,1,1.000000,"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bench.csv", "bench.json"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preset", "huge"], "--preset huge is not known: choose one of"),
        (["--preset", "baseline"], "nothing to train: give --parts interpolation"),
        (["--rounds", 0], "--rounds 0 is too small"),
        (["--windows", 0], "--windows 0 is too small"),
        (["--batch", 0], "batch 0 cannot be used: give at least 1"),
        (["--crop", 100], "crop 100 cannot be used"),
        (["--crop", 0, "--preset", "baseline", "--parts", "data"], "crop 0 cannot be used"),
        (["--size", "448"], "--size '448' must be WIDTHxHEIGHT"),
        (["--size", "64x448"], "at least 128x128"),
        (["--device", "cuda"], "--device cuda: none found here"),
        (["--preset", "matching", "--parts", "memory"], "computes frames whole"),
        (["--out", "nowhere/bench.csv"], "there is no folder nowhere"),
        (["--out", "bench.txt"], "ends in .csv"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_mistakes_are_named_before_anything_is_measured(
    options: list[object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "measure", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError) as caught:
        bench_command.run(given(*options))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_without_weights_can_be_timed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(bench, "_peaks_on_cpu", lambda load, tasks, bar: {})
    options = ("--preset", "baseline", "--parts", "interpolation", "--size", "128x128", "--rounds", 1)
    assert bench_command.run(given(*options)) == 0
    shown = capsys.readouterr().out
    assert [line.split()[1:4:2] for line in shown.splitlines() if line.startswith("| interpolation ")] == [
        ["interpolation", "x2"],
        ["interpolation", "x4"],
    ]
    assert "no published schedule to compare" in shown


def test_tf32_is_off_while_measuring_and_as_before_afterwards() -> None:
    before = torch.backends.cudnn.allow_tf32
    for wanted in (False, True):
        with float32_precision(wanted):
            assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is wanted
    assert torch.backends.cudnn.allow_tf32 is before


def test_surroundings_name_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = surroundings("cpu", ("torch", "no-such-package"))
    assert found["versions"].keys() == {"torch", "no-such-package", "python"}
    assert found["versions"]["no-such-package"] is None
    assert found["device"] == "cpu"
    monkeypatch.setenv("PATH", "")
    assert surroundings("cpu", ())["commit"] == "unknown", "no git here"


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "bench_cpu.csv"
    file.write_text("part,variant,unit,round,made,seconds,peak_mib\ntraining,ours,samples,1,2,4.5,\n")
    assert read(file).iloc[0].tolist()[:6] == ["training", "ours", "samples", 1, 2, 4.5]
    assert read(file)["peak_mib"].isna().all()
    file.write_text("step,psnr\n1,30\n")
    with pytest.raises(InputError, match=r"bench_cpu.csv: is no file of `python -m eqvi bench`"):
        read(file)


def test_lengths_of_clips_are_numbers_even_where_no_other_variant_is_written(tmp_path: Path) -> None:
    rows = [Row("length", gaps, "frames", number, int(gaps), int(gaps) / 4, None) for gaps in "12" for number in (1, 2)]
    for name, width in (("bench_a", 448), ("bench_b", 1280)):
        made_with = {"preset": "footage", "device": "cpu", "width": width, "height": 256}
        bench.write(rows, {"run": name, "parameters": made_with}, tmp_path / f"{name}.csv")
    lengths = length(tmp_path)
    assert list(lengths) == [f"default for footage, cpu, {width}x256" for width in (448, 1280)]
    assert lengths.index.tolist() == [1, 2]
    assert set(lengths.to_numpy().flatten()) == {0.25}
