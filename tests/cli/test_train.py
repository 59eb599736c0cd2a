"""``python -m eqvi train`` as a user meets it: one line for a mistake, exit 2; after SIGINT or SIGTERM it resumes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from eqvi.__main__ import main
from eqvi.paths import ROOT
from eqvi.training.run_folder import read_curve

SMALL = ("--preset", "eqvi-quarter-dis", "--begin", "plain", "--crop", "64", "--windows", "4", "--batch", "2")
SMALL += ("--steps", "2", "--scored", "1", "--score-every", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs keep their four windows."""
    return tmp_path_factory.mktemp("store")


def train(*options: object) -> int:
    """The command in this process."""
    return main(["train", *SMALL, *map(str, options)])


def mistake(capsys: pytest.CaptureFixture[str], *options: object) -> str:
    """Run a command that must fail as a user's mistake; its one line."""
    assert train(*options) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("eqvi: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_run_from_a_recipe_and_again(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    path, out = tmp_path / "recipe.yaml", tmp_path / "run"
    path.write_text("{stage: '1', rate: 0.002, schedule: constant, terms: {l1: 1.0}, out: elsewhere}\n")
    options = ("--recipe", path, "--store", store, "--out", out, "--rate", "1e-3")
    assert train(*options) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: step 2 of 2 (psnr ")
    assert said.endswith("; done\n")
    record = json.loads((out / "run.json").read_text())
    made = record["recipe"]
    assert (made["stage"], made["rate"], made["terms"], made["crop"]) == ("1", 1e-3, {"l1": 1.0}, 64)
    assert record["weights_sha256"]
    assert [float(row["rate"]) for row in read_curve(out / "curve.csv")] == [1e-3, 1e-3]
    names = {
        ".lock",
        "state.pt",
        "curve.csv",
        "scores.csv",
        "run.json",
        "weights.safetensors",
        "curves.png",
        "examples",
        "latest.safetensors",
    }
    assert {path.name for path in out.iterdir()} == names
    stamps = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    began = time.monotonic()
    assert train(*options) == 0
    assert time.monotonic() - began < 5
    assert capsys.readouterr().out == said
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == stamps
    assert "holds a run with rate=0.001, not 0.002" in mistake(capsys, *options, "--rate", "2e-3")
    (out / "mine.txt").write_text("kept")
    assert train(*options, "--rate", "2e-3", "--restart") == 0
    assert {path.name for path in out.iterdir()} == names | {"mine.txt"}
    assert [float(row["rate"]) for row in read_curve(out / "curve.csv")] == [2e-3, 2e-3]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{colour: 1}", "recipe.yaml: a recipe has no 'colour': choose from accumulate, after,"),
        ("{device: cpu, rate: fast}", "rate='fast' must be of type float"),
        ("{batch: 2.5}", "batch=2.5 must be of type int"),
        ("{stage: 1}", "stage=1 must be of type str"),
        ("{stage: '7'}", "stage '7' is not known: choose one of flow, 1, 2"),
        ("{channels_last: 1}", "channels_last=1 must be of type bool"),
        ("{sped: 2}", "recipe.yaml: a recipe has no 'sped': did you mean 'seed'?"),
        ("13_train: {stage: '1'}", "recipe.yaml: a recipe has no '13_train'"),
        ("[1, 2]", "write 'PARAMETER: VALUE'"),
        ("{", "is not valid YAML"),
        ("", "holds no recipe"),
        (None, "No such file"),
    ],
)
def test_bad_recipes(
    content: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    path = tmp_path / "recipe.yaml"
    if content is not None:
        path.write_text(content)
    assert main(["train", "--recipe", str(path), "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr().err
    assert said in captured
    assert captured.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--minutes", "0"), "--minutes 0.0 must be above 0"),
        (("--minutes", "nan"), "--minutes nan must be above 0"),
        (("--terms", "nonsense"), "--terms nonsense: write NAME=WEIGHT"),
        (("--terms", "l1=1", "l2=1"), "loss term 'l2' is not known"),
        (("--terms", "l1=0"), "must be a positive number"),
        (("--crop", "100"), "crop 100 cannot be used: give a multiple of 32"),
        (("--stage", "flow"), "preset eqvi-quarter-dis has no flow network to train"),
        (("--stage", "2"), "give after, a checkpoint of stage 1"),
        (("--preset", "eqvi-quarter"), "give flow, its checkpoint"),
        (("--data", "/missing"), "/missing: there is no such folder"),
        (("--context", __file__), "cannot be read (UnpicklingError): `python -m eqvi download weights resnet18`"),
        (("--stage", "scratch-vgg", "--vgg", "/missing.pth"), "ms_ssim"),
    ],
)
def test_bad_options(
    options: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    assert said in mistake(capsys, *options, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_restart_that_is_refused_loses_nothing(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    assert train("--store", store, "--out", tmp_path / "run") == 0
    files = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    capsys.readouterr()
    wrong = ("--store", store, "--out", tmp_path / "run", "--after", tmp_path / "typo", "--restart")
    assert "there is no such checkpoint" in mistake(capsys, *wrong)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == files


def test_a_time_budget(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--store", store, "--out", tmp_path)
    assert train(*options, "--minutes", "1e-9") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{tmp_path}: step 1 of 2 (psnr ")
    assert printed.endswith("); run the same command to resume\n")
    row = read_curve(tmp_path / "scores.csv")[0]
    shown = dict(pair.split() for pair in printed.split("(")[1].split(")")[0].split(", "))
    assert {name: float(text) for name, text in shown.items()} == pytest.approx(
        {name: float(text) for name, text in row.items() if name != "step"}, abs=1e-3
    )
    assert train(*options) == 0
    assert capsys.readouterr().out.endswith("; done\n")


@pytest.mark.parametrize(("world", "name"), [(1, "SIGINT"), (1, "SIGTERM"), (2, "SIGTERM")])
def test_a_polite_end(world: int, name: str, store: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "eqvi", "train", *SMALL, "--steps", "4000", "--store", str(store)]
    command += ["--score-every", "5000", "--out", str(tmp_path / "run")]
    if world > 1:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
        command = [*torchrun, "--no-python", *command]
    errors = tmp_path / "errors"
    with errors.open("w") as file:
        process = subprocess.Popen(
            command,
            stderr=file,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        curve = tmp_path / "run/curve.csv"
        begun = time.monotonic()
        while time.monotonic() < begun + 90 and process.poll() is None:
            if curve.is_file() and curve.read_bytes().count(b"\n") > 2:
                break
            time.sleep(0.01)
        process.send_signal(getattr(signal, name))
        code = process.wait(timeout=60)
    said = errors.read_text()
    own = [line for line in said.splitlines() if line.startswith("eqvi: ")]
    assert own == ["eqvi: interrupted"] * world, said
    if world == 1:
        assert code == 128 + getattr(signal, name)
        assert said == "eqvi: interrupted\n"
    # torchrun's own complaint at being ended is not ours to still.
    assert "eqvi/training" not in said
    state = torch.load(tmp_path / "run/state.pt")
    assert state["step"] == int(read_curve(curve)[-1]["step"]) >= 2
    assert not (tmp_path / "run/weights.safetensors").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_disk_that_fills(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    # Room for a state (14 MB with its optimiser's) but for no other beside it.
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        options = ("--store", store, "--out", disk / "run")
        assert train(*options, "--minutes", "1e-9") == 0
        capsys.readouterr()
        line = mistake(capsys, *options)
        assert "state.pt: cannot be written" in line
        assert "disk" in line
        assert torch.load(disk / "run/state.pt")["step"] == 1
        assert not (disk / "run/.state.pt").exists()
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        assert train(*options) == 0
        assert load_file(disk / "run/weights.safetensors")
    finally:
        subprocess.run(["umount", disk], check=True)
