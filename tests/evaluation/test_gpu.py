"""The visit to a GPU, rehearsed: the plan keeps its time whatever its steps do, on a machine with little installed."""

import dataclasses
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch.utils.flop_counter import FlopCounterMode

import eqvi
from eqvi.devices import has_bfloat16
from eqvi.errors import InputError
from eqvi.evaluation import gpu, gpu_speed, gpu_weights, workloads
from eqvi.evaluation.gpu import PLAN, Step
from eqvi.evaluation.gpu_record import Record, Task, Visit
from eqvi.evaluation.gpu_rendering import TOY_ABLATION, TOY_RUNS, Rendering
from eqvi.evaluation.panned import panned
from eqvi.evaluation.running_clip import RunningClip
from eqvi.files import parse_json
from eqvi.graphs import Captured
from eqvi.model.eqvi import EQVI
from eqvi.model.registry import presets
from eqvi.paths import PARAMS, ROOT
from eqvi.reports.ablation import GPU_ROWS
from eqvi.training import captured, recipe_file, run_folder
from eqvi.training.initialization import initial_model
from eqvi.training.loading import window_pool
from eqvi.training.recipe import Recipe
from eqvi.training.recipe_file import read_recipe, read_runs
from eqvi.training.samples import WindowBatch
from eqvi.training.shared_windows import shared_pools
from eqvi.training.validation import weight_free
from eqvi.training.window_objective import middle_frames
from eqvi.training.window_pool import WindowPool, fill_pool

BARE = ROOT / "tests" / "bare.py"
RECIPES = [path for kind in ("train", "family") for path in PARAMS.glob(f"{kind}_*.yaml")]


def visit_to(folder: Path, **options: Any) -> Visit:
    return Visit(folder, "cpu", True, "python -m eqvi gpu --device cpu --toy", **options)


def results(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_the_rehearsal_carries_out_every_step_on_a_bare_machine(tmp_path: Path) -> None:
    """No process finds a package that a GPU machine has not got; every step ends as done, with rows."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(BARE.read_text())
    environment = os.environ | {"PYTHONPATH": f"{tmp_path / 'bare'}:{ROOT}"}
    absent = subprocess.run([sys.executable, "-c", "import av"], capture_output=True, env=environment, check=False)
    assert b"No module named 'av'" in absent.stderr
    # More minutes than it takes: tests run beside each other.
    command = ["-m", "eqvi", "gpu", "--device", "cpu", "--toy", "--minutes", "20", "--out", str(tmp_path / "out")]
    command += ["--packed", str(tmp_path / "few")]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("eqvi gpu: a rehearsal at toy size on cpu, at most 20 minutes: environment ")
    assert (tmp_path / "out" / "log.txt").read_text().splitlines() == lines
    found = results(tmp_path / "out")
    assert found.pop("rendering")["tables"]["windows"][-1]["there"] == 5  # four to train on, one to score
    assert {name: len(rows) for name, rows in found["weights"]["tables"].items()} == {"runs": 6, "files": 4}
    few = sorted(path.name for path in (tmp_path / "few").iterdir())
    assert few == ["ablation_0.zip", "ablation_1.zip", "records.zip", "toy.zip", "toy_matching.zip"]
    with zipfile.ZipFile(tmp_path / "few" / "records.zip") as packed:
        assert set(packed.namelist()) == {"log.txt", "rendering.json", *(f"{step.name}.json" for step in PLAN)}
        for name in packed.namelist():
            assert packed.read(name) == (tmp_path / "out" / name).read_bytes()
    assert set(found) == {step.name for step in PLAN}
    for name, record in found.items():
        assert (record["status"], record["why"]) == ("done", ""), name
        assert record["tables"], name
        assert (record["device_kind"], record["toy"]) == ("cpu", True)
        assert record["command"] == f"python {' '.join(command)}"
        assert len(record["provenance"]["source_sha256"]) == 64
    low = {"bfloat16", "arranged bfloat16"}
    modes = {"float32", "tf32", "channels last", "arranged float32"} | (low if has_bfloat16("cpu") else set())
    assert {row["mode"] for row in found["parity"]["tables"]["stages"]} == modes
    assert {row["mode"] for row in found["parity"]["tables"].get("left_out", ())} == low - modes
    assert all(row["within"] for row in found["parity"]["tables"]["stages"] if row["mode"] == "float32")
    assert len(found["parity"]["tables"]["splat"]) == 2 * 19
    speeds = {(row["execution"], row["variant"]) for row in found["speed"]["tables"]["rows"]}
    executions = {case.execution for case in gpu_speed.TOY_CASES}
    assert speeds == {("eager", "published"), *((name, variant) for name in executions for variant in ("x2", "x4"))}
    assert executions == {"eager", "arranged", "clip", "tiled", "graph"}
    assert found["speed"]["tables"]["profile"]
    assert {row["stage"] for row in found["compiled"]["tables"]["stages"]} >= {"F12", "It_warp"}


def test_a_step_that_fails_hangs_or_crashes_leaves_the_others_alone(tmp_path: Path) -> None:
    plan = (
        PLAN[0]._replace(share=0.5),
        Step("failing", "", 0.1, 1, "gpu_steps:fail"),
        Step("hanging", "", 0.02, 1, "gpu_steps:hang"),
        Step("crashing", "", 0.1, 1, "gpu_steps:crash"),
        Step("missing", "", 0.1, 1, "gpu_steps:nothing"),
        Step("late", "", 0.0, 6000, "gpu_steps:work"),
        Step("last", "", 0.5, 1, "gpu_steps:work"),
    )
    gpu.begin(plan)
    until = time.monotonic() + 60
    statuses = gpu.carry_out(visit_to(tmp_path), until, plan)
    assert time.monotonic() < until
    assert statuses == {
        "environment": "done", "failing": "failed", "hanging": "stopped", "crashing": "failed", "missing": "failed",
        "late": "skipped", "last": "done",
    }  # fmt: skip
    found = results(tmp_path)
    assert found["failing"]["why"] == "RuntimeError: made to fail"
    assert found["failing"]["tables"] == found["hanging"]["tables"] == {"rows": [{"number": 1}]}, "rows are kept"
    assert "ran past its" in found["hanging"]["why"]
    child = int((tmp_path / "child").read_text())  # what a stopped step has started is stopped with it
    assert ended(child)
    assert found["crashing"]["why"] == "its process ended with status 3"
    assert "has no attribute 'nothing'" in found["missing"]["why"]
    assert found["late"]["why"].startswith("needs at least 600 s, ")
    assert found["last"]["tables"]["rows"][0] | {"left": 0} == {"number": None, "left": 0, "path": "a"}
    log = (tmp_path / "log.txt").read_text()
    assert "failing: failed after" in log
    assert all(name in log for name in statuses)


def ended(process: int) -> bool:
    """Whether it ends within ten seconds; one that nobody has waited for yet has ended, too."""
    for _ in range(100):
        status = Path(f"/proc/{process}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


def test_processes_are_started_afresh_where_forked_ones_cannot_use_the_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here no process can, so that the step says so."""
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device on this machine")
    plan = (Step("last", "", 1, 1, "gpu_steps:work"),)
    gpu.begin(plan)
    visit = visit_to(tmp_path)._replace(device="cuda")
    assert gpu.carry_out(visit, time.monotonic() + 90, plan) == {"last": "failed"}
    assert "processes are started afresh" in capsys.readouterr().out
    assert results(tmp_path)["last"]["why"]


def test_rendering_waits_while_a_step_wants_to_be_alone(tmp_path: Path) -> None:
    class Background:
        def pause(self) -> None:
            (tmp_path / "paused").touch()

        def resume(self) -> None:
            (tmp_path / "paused").unlink()

    plan = (
        Step("alone", "", 0.5, 1, "gpu_steps:pictures", alone=True),
        Step("beside", "", 0.5, 1, "gpu_steps:pictures"),
    )
    gpu.begin(plan)
    assert set(gpu.carry_out(visit_to(tmp_path), time.monotonic() + 60, plan, Background()).values()) == {"done"}
    found = results(tmp_path)
    assert [found[name]["tables"]["rows"][0]["paused"] for name in ("alone", "beside")] == [True, False]


def test_rendering_is_timed_until_its_last_window(tmp_path: Path) -> None:
    recipe = dataclasses.replace(TOY_RUNS["toy"], store=str(tmp_path / "pool"), windows=2)
    gpu.begin()
    made = []
    for _ in range(2):
        began = time.monotonic()
        rendering = Rendering(visit_to(tmp_path), [recipe], 2)
        while len(list(tmp_path.glob("pool*/0*.npz"))) < 3:
            time.sleep(0.05)
        there = time.monotonic() - began
        time.sleep(2)  # in which nothing is made any more
        rendering.end()
        made.append(Record.read(visit_to(tmp_path), "rendering", 0).rows("windows")[-1])
        assert made[-1]["seconds"] <= there + 0.5
    assert [(row["there"], row["made"]) for row in made] == [(3, 3), (3, 0)]
    assert made[1]["seconds"] == 0


def test_the_plan_fills_its_minutes_and_its_steps_can_be_found() -> None:
    assert sum(step.share for step in PLAN) == pytest.approx(1)
    for step in PLAN:
        module, _, name = step.function.partition(":")
        assert callable(getattr(__import__(module, fromlist=[name]), name))
        # Nine minutes are enough to begin every step, even where none leaves time over.
        assert step.least < 9 * 60 * step.share


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "cuda"], "--device cuda: none found here"),
        (["--minutes", "0"], "--minutes 0 cannot be used"),
        (["--minutes", "nan"], "--minutes nan cannot be used"),
        (["--device", "cpu", "--out", "/proc/gpu"], "--out /proc/gpu: cannot be written"),
        (["--device", "cpu", "--recipe", "nowhere.yaml"], "--recipe nowhere.yaml: cannot be read"),
        (["--device", "cpu", "--toy", "--pictures", "/nowhere"], "/nowhere: is no folder of pictures"),
        (
            ["--device", "cpu", "--toy", "--out", "build/gpu_test", "--packed", "/proc/few"],
            "--packed /proc/few: cannot be",
        ),
    ],
)
def test_mistakes_are_named_before_anything_is_done(
    options: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from eqvi.__main__ import main

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "carry_out", lambda *_, **__: pytest.fail("begun"))
    assert main(["gpu", *options]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert shown.err.count("\n") == 1


def test_too_few_minutes_are_said_for_every_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from eqvi.__main__ import main

    assert main(["gpu", "--device", "cpu", "--toy", "--minutes", "0.01", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("skipped after 0.0 s (no rows): needs at least") == len(PLAN)
    found = results(tmp_path)
    assert {found[step.name]["status"] for step in PLAN} == {"skipped"}


def test_a_captured_clip_gives_the_frames_that_it_gives_window_by_window() -> None:
    """A graph's static arguments: what the CPU can hold of it, with results passed to the next call."""
    torch.manual_seed(0)
    model = EQVI(presets()["eqvi-quarter"]).eval()
    frames = panned((64, 96), range(7))
    windows = [frames[None, first : first + 4] for first in range(4)]
    made = {}
    for execution in ("eager", "graph"):
        clip = RunningClip(model, windows, 2, "float32", "cpu", execution == "graph")
        for _ in range(2):
            clip.run(clip.begin())
        made[execution] = clip.frames[0].clone()
    assert torch.equal(made["eager"], made["graph"])
    assert not torch.equal(made["eager"], frames[3:4])


def test_a_captured_function_may_be_given_its_own_results() -> None:
    following = Captured(lambda a, b: (b, a + b), (torch.ones(2), torch.ones(2)), "cpu")
    pair = (torch.ones(2), torch.ones(2))
    for expected in ((1, 2), (2, 3), (3, 5), (5, 8)):
        pair = following(*pair)
        assert [value[0].item() for value in pair] == list(expected)
    with pytest.raises(ValueError, match="of the form"):
        following(torch.ones(2))


def test_the_arithmetic_is_counted_as_torch_counts_it() -> None:
    timed = next(timed for timed in workloads.interpolation(small_load()) if timed.variant == "x2")
    prepared, work = timed.prepare(), list[int]()
    with FlopCounterMode(display=False) as counter, gpu_speed.counted(work.append):
        timed.run(prepared)
    assert sum(work) == counter.get_total_flops() > 0


def small_load() -> workloads.Workload:
    return gpu_speed.load_of(gpu_speed.TOY_CASES[0], "cpu", True)


def test_what_does_not_fit_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interpolation(load: workloads.Workload) -> list[workloads.Task]:
        def too_large(_: None) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

        make = workloads.Task
        return [
            make("interpolation", "published", "frames", 1, lambda: None, too_large),
            make("interpolation", "x2", "frames", 1, lambda: None, lambda _: None),
        ]

    monkeypatch.setattr(gpu_speed, "interpolation", interpolation)
    monkeypatch.setattr(gpu_speed, "TOY_CASES", gpu_speed.TOY_CASES[:1])
    visit = visit_to(tmp_path)
    record = Record(visit, "speed", 60)
    gpu_speed.speed(Task(visit, record, time.monotonic() + 60))
    assert [(row["variant"], row["why"]) for row in record.rows("left_out")] == [
        ("published", "does not fit into the memory: CUDA out of memory. Tried to allocate 9 GiB")
    ]
    assert [row["variant"] for row in record.rows("rows")] == ["x2"]


def test_cases_without_time_are_left_out(tmp_path: Path) -> None:
    visit = visit_to(tmp_path)
    record = Record(visit, "speed", 60)
    gpu_speed._measure(Task(visit, record, time.monotonic() - 1), gpu_speed.TOY_CASES)
    assert [row["why"].partition(":")[0] for row in record.rows("left_out")] == ["no time left"] * len(
        gpu_speed.TOY_CASES
    )
    assert record.rows("rows") == []


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The rehearsal's run, on a pool of its own that is full."""
    monkeypatch.setattr(recipe_file, "VISITED", tmp_path / "build" / "gpu_run")
    recipe = dataclasses.replace(TOY_RUNS["toy"], store=str(tmp_path / "windows"))
    fill_pool(window_pool(recipe, "train"), progress=False)
    return recipe


def ablation(toy: Recipe) -> dict[str, Recipe]:
    return {name: dataclasses.replace(recipe, store=toy.store) for name, recipe in TOY_ABLATION.items()}


def carry_out_weights(visit: Visit, seconds: float = 600) -> Record:
    record = Record(visit, "weights", seconds)
    gpu_weights.weights(Task(visit, record, time.monotonic() + seconds))
    return record


def members(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as packed:
        return set(packed.namelist())


def test_weights_come_back_in_parts_and_training_goes_on_from_them(
    tmp_path: Path, toy: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_weights, "LARGEST_FILE", 20_000)
    visit, steps = visit_to(tmp_path, runs={"toy": toy}), list[int]()
    original, clock = captured.CapturedStep.__call__, time.monotonic

    def interrupted(self: captured.CapturedStep, batch: WindowBatch) -> None:
        steps.append(self._trainer.step)
        original(self, batch)
        if len(steps) == 1:  # its time is over after one step
            monkeypatch.setattr(captured.time, "monotonic", lambda: 1e12)

    monkeypatch.setattr(captured.CapturedStep, "__call__", interrupted)
    for finished in (False, True):
        monkeypatch.setattr(captured.time, "monotonic", clock)
        record = carry_out_weights(visit)
        assert [row["finished"] for row in record.rows("runs")] == [finished]
        assert bool(record.rows("left_out")) is not finished
        parts = sorted(tmp_path.glob("toy.zip*"))
        assert len(parts) > 1
        assert max(path.stat().st_size for path in parts) <= 20_000
        assert [row["name"] for row in record.rows("files")] == [path.name for path in parts]
    assert steps == [0, 1]
    gpu_weights.join_parts(tmp_path / "toy.zip")
    assert members(tmp_path / "toy.zip") == {"weights.safetensors", "run.json", "curve.csv", "scores.csv"}
    with zipfile.ZipFile(tmp_path / "toy.zip") as packed:
        packed.extractall(tmp_path / "whole")
    assert run_folder.is_finished(tmp_path / "whole")


def test_an_ablation_comes_back_seed_by_seed(tmp_path: Path, toy: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs on the same windows, read once; a second visit makes none of them again."""
    reads = list[int]()
    original = WindowPool.read_packed

    def counted(self: WindowPool, number: int) -> dict[str, Any]:
        reads.append(number)
        return original(self, number)

    monkeypatch.setattr(WindowPool, "read_packed", counted)
    runs = ablation(toy)
    visit = visit_to(tmp_path, runs={"toy": toy}, ablation=runs)
    record = carry_out_weights(visit)
    assert sorted(reads) == [0, 1, 2, 3]
    assert [row["run"] for row in record.rows("runs")] == ["toy", "linear_0", "quadratic_0", "linear_1", "quadratic_1"]
    assert record.rows("left_out") == []
    files = {"weights.safetensors", "run.json", "curve.csv", "scores.csv"}
    for seed in (0, 1):
        archive = tmp_path / f"ablation_{seed}.zip"
        names = {name for name, recipe in runs.items() if recipe.seed == seed}
        assert members(archive) == {f"{name}/{file}" for name in names for file in files}
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(tmp_path / "unpacked")
        for name in names:
            folder = tmp_path / "unpacked" / name
            assert run_folder.is_finished(folder)
            made = parse_json((folder / "run.json").read_text())
            assert (made["steps"], made["data"]["count"]) == (2, 3)
            # With its last layers at zero a row is the weight-free method with its motion.
            assert made["psnr_start"] == pytest.approx(made["scores"]["warp"], abs=1e-3)
            assert eqvi.load(folder / "weights.safetensors").config.motion == name.partition("_")[0]
    monkeypatch.setattr(gpu_weights, "_row_of_ablation", lambda *_: pytest.fail("made again"))
    again = carry_out_weights(visit)
    assert [row["run"] for row in again.rows("runs")] == [row["run"] for row in record.rows("runs")]


def test_runs_without_time_or_windows_are_left_out_and_named(tmp_path: Path, toy: Recipe) -> None:
    runs = ablation(toy)
    record = carry_out_weights(visit_to(tmp_path, ablation=runs), 0.1)
    assert [row["run"] for row in record.rows("left_out")] == list(runs)
    assert "no time left" in record.rows("left_out")[0]["why"]
    assert not list(tmp_path.glob("*.zip"))
    more = {name: dataclasses.replace(recipe, windows=9) for name, recipe in runs.items()}
    record = carry_out_weights(visit_to(tmp_path, ablation=more), 8)
    assert [row["run"] for row in record.rows("left_out")] == list(runs)
    assert record.rows("left_out")[0]["why"] == "4 of 9 windows were there when the time was over"
    more = {name: dataclasses.replace(recipe, store=str(tmp_path / "none_yet")) for name, recipe in runs.items()}
    record = carry_out_weights(visit_to(tmp_path, ablation=more), 8)
    assert record.rows("left_out")[0]["why"] == "0 of 3 windows were there when the time was over"


def test_a_run_that_fails_leaves_the_others_alone(tmp_path: Path, toy: Recipe) -> None:
    bad = dataclasses.replace(toy, terms={"colour": 1.0})
    visit = visit_to(tmp_path, runs={"bad": bad, "toy": toy})
    record = Record(visit, "weights", 600)
    with pytest.raises(InputError, match="1 runs failed, the first of them bad: InputError: loss term 'colour'"):
        gpu_weights.weights(Task(visit, record, time.monotonic() + 600))
    assert [row["run"] for row in record.rows("runs")] == ["toy"]
    assert (tmp_path / "toy.zip").is_file()


def test_each_recipe_is_trained_once_with_each_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from eqvi.__main__ import main

    visits: list[Visit] = []
    monkeypatch.setattr(gpu, "carry_out", lambda visit, *_, **__: visits.append(visit) or {})
    options = ["--device", "cpu", "--toy", "--steps", "environment", "--out", str(tmp_path)]
    assert main(["gpu", *options, "--seeds", "3", "4"]) == 0
    assert main(["gpu", *options]) == 0
    assert {name: run.seed for name, run in visits[0].runs.items()} == {
        "toy_3": 3, "toy_4": 4, "toy_matching_3": 3, "toy_matching_4": 4
    }  # fmt: skip
    assert list(visits[1].runs) == ["toy", "toy_matching"]
    assert visits[0].ablation == visits[1].ablation, "which has seeds of its own"


def test_what_a_case_takes_is_judged_by_cases_of_its_own_kind_and_size() -> None:
    eager, graph = gpu_speed.Case(256, 448, "tf32", "eager", 8), gpu_speed.Case(256, 448, "tf32", "graph", 8)
    large = gpu_speed.Case(720, 1280, "tf32", "eager", 3)
    assert gpu_speed._expected(eager, {}) == 0
    assert gpu_speed._expected(graph, {eager: 40.0}) == 40, "no other is known"
    assert gpu_speed._expected(graph._replace(precision="bfloat16"), {eager: 40.0, graph: 8.0, large: 30.0}) == 8
    whole = gpu_speed.Case(2160, 3840, "tf32", "eager", 1)
    assert gpu_speed._expected(whole, {eager: 40.0, large: 30.0}) == pytest.approx(90), (
        "by pixels from the nearest size"
    )


def test_chosen_steps_share_the_minutes() -> None:
    plan = gpu.chosen_steps(["weights", "environment"])
    assert [step.name for step in plan] == ["environment", "weights"]
    assert sum(step.share for step in plan) == pytest.approx(1)


def test_the_ablation_has_the_rows_of_its_pages_alike_but_for_what_they_say() -> None:
    runs = read_runs(PARAMS / "ablation_gpu.yaml").recipes
    content = yaml.safe_load((PARAMS / "ablation_gpu.yaml").read_text())
    assert list(runs) == [f"{row}_{seed}" for seed in content["seeds"] for row in content["rows"]]
    assert set(content["rows"]) - {"stage1", "stage2"} == set(GPU_ROWS)
    for name, recipe in runs.items():
        row = GPU_ROWS.get(name.rpartition("_")[0])
        assert (recipe.windows, recipe.batch, recipe.crop) == (2000, 32, 128)
        assert recipe.begin == "weight_free"
        if row is not None and row.trained == "at once":
            config, (start, _, frames) = recipe.config(), row.start.partition("+")
            assert config.motion == presets()[start].motion
            assert config.trajectory == (int(frames[0]) if frames else 0)
            assert config.residual == row.rcsn
    steps = {row: runs[f"{row}_0"].steps for row in content["rows"]}
    stages = [steps.pop(stage) for stage in ("stage1", "stage2", "stages")]
    assert {*steps.values(), sum(stages)} == {content["steps"]}
    pools = shared_pools([read_recipe(PARAMS / "train_finishing_gpu.yaml")[1], *runs.values()])
    assert [pool.count for pool in pools.values()] == [64, 8000], "one to score on, one to train on"
    with pytest.raises(InputError, match="holds an ablation of 36 runs"):
        read_recipe(PARAMS / "ablation_gpu.yaml")


def test_a_row_goes_on_from_the_one_that_it_names_seed_by_seed(tmp_path: Path) -> None:
    path = tmp_path / "rows.yaml"
    lines = [
        "seeds: [0, 3]",
        "rows:",
        '  a: {stage: "1", terms: {l1: 1.0, laplacian: 2}, rate: 0.5}',
        "  b: {after: a}",
    ]
    path.write_text("\n".join(lines) + "\n")
    runs = read_runs(path).recipes
    assert list(runs) == ["a_0", "b_0", "a_3", "b_3"]
    assert (runs["a_3"].terms, runs["a_3"].rate, runs["a_3"].after) == ({"l1": 1.0, "laplacian": 2}, 0.5, "")
    assert [Path(runs[f"b_{seed}"].after).parts[-2:] for seed in (0, 3)] == [
        (f"a_{seed}", "weights.safetensors") for seed in (0, 3)
    ]
    path.write_text("\n".join([*lines[:2], "  b: {after: a}", lines[2]]) + "\n")
    with pytest.raises(InputError, match="row b: after 'a' is no row above it"):
        read_runs(path)


FIRST = {name: run for name, run in read_runs(PARAMS / "ablation_gpu.yaml").recipes.items() if name[-1] == "0"}


@pytest.mark.parametrize("name", [name for name, recipe in FIRST.items() if not recipe.after])
def test_every_row_of_the_ablation_begins_at_the_weight_free_method(name: str) -> None:
    model = initial_model(FIRST[name])
    assert isinstance(model, EQVI)
    make = torch.Generator().manual_seed(0)
    frames = F.avg_pool2d(torch.rand(1, 24, 68, 84, generator=make), 5, 1).unflatten(1, (8, 3))
    flows = 2 * torch.randn(1, 16, 2, 1, 1, generator=make).expand(1, 16, 2, 64, 80)
    frames = middle_frames(WindowBatch(frames, *[frames] * 5), model)
    plain = weight_free(model, torch.device("cpu"))
    assert not plain.config.refine
    with torch.inference_mode():
        ours, theirs = (m.eval().interpolate(frames, m.known_motion(frames, flows), 0.4).frame for m in (model, plain))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("path", sorted(RECIPES), ids=lambda path: path.stem)
def test_recipes_are_read_as_yaml_reads_them(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    name, recipe = read_recipe(path)
    known = {field.name for field in dataclasses.fields(Recipe)}
    assert recipe == Recipe.from_values({key: value for key, value in content.items() if key in known})
    assert name == Path(content.get("out", path.stem)).name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# nothing\n", "holds no recipe"),
        ("seed: 1\nstage\n", "line 2 is no 'name: value'"),
        ("stages: 3\n", "a recipe has no 'stages'"),
        ("  rows: 1\n", "line 1 is no 'name: value'"),
        ("seed: 1\nrows:\n", "rows has a line"),
        ("rows:\n  a: {seed: 1}\n", "seeds is a list such as"),
        ("seeds: [0, 0]\nrows:\n  a: {crop: 64}\n", "seeds is a list such as"),
        ("crop: 100\n", "crop 100 cannot be used"),
        ("crop: wide\n", "must be of type int"),
    ],
)
def test_mistakes_in_a_recipe_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_recipe(tmp_path / "recipe.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
