"""``python -m eqvi`` as a user meets it: one line for a mistake, exit 2, nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from footage import hidden, scene, with_sound, write_folder, write_video
from PIL import Image

from eqvi.__main__ import COMMANDS, main
from eqvi.cli import doctor
from eqvi.media.image_files import read_image
from eqvi.media.video_reader import probe
from eqvi.model.registry import DEFAULT_MODEL as OURS
from eqvi.model.registry import FOOTAGE_MODEL
from eqvi.paths import ROOT

# What a test is not about is done by the fast model.
FAST = ("--model", "baseline")


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, without the tests' type checks."""
    command = [sys.executable, "-m", "eqvi", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False, **options)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "in", scene(4))


def mistake(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must fail as a user's mistake; its one line."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if not line.startswith("eqvi: note:")]
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("eqvi: error: ")
    return lines[0]


def test_help_is_quick_and_imports_no_torch() -> None:
    for arguments in (["--help"], ["interpolate", "--help"], ["doctor", "--help"]):
        code = (
            f"import sys; sys.argv[1:] = {arguments}\nfrom eqvi.__main__ import main\n"
            "try: main()\nexcept SystemExit as error: assert not error.code\n"
            "assert not {'torch', 'av', 'cv2', 'numpy'} & set(sys.modules), sorted(sys.modules)"
        )
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "usage: eqvi" in done.stdout
        # Half a second with nothing else running; tests run beside each other.
        assert time.perf_counter() - began < 5


def test_every_command_is_listed_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert main([]) == 0
    assert capsys.readouterr().out == shown
    for command in COMMANDS:
        assert command in shown
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert f"usage: eqvi {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["interpolate"], ["interpolate", "a", "b", "--factor", "x"]])
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: eqvi" in capsys.readouterr().err


def test_a_user_interpolates_a_folder(tmp_path: Path, clip: Path) -> None:
    done = run("interpolate", clip, tmp_path / "out", "--factor", 2, *FAST)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"{tmp_path / 'out'}: 3 new frames from 4" in done.stderr
    new = read_image(tmp_path / "out" / "002_0.png").pixels
    # The weight-free baseline on a pan of two pixels a frame: half way is one pixel.
    truth = np.roll(read_image(clip / "002.png").pixels, -1, axis=1)
    assert np.abs(new.astype(int) - truth)[8:-8, 8:-8].mean() < 2


def test_without_a_model_named_it_is_the_finished_one(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    makes = {"default": (), "named": ("--model", FOOTAGE_MODEL), "free": FAST, "ours": ("--model", OURS)}
    for name, options in makes.items():
        assert main(["interpolate", str(clip), str(tmp_path / name), *options]) == 0
    made, named, free, ours = ((tmp_path / name / "002_0.png").read_bytes() for name in makes)
    assert made == named
    assert len({made, free, ours}) == 3
    capsys.readouterr()
    line = mistake(capsys, "interpolate", clip, tmp_path / "soft", "--no-detail")
    assert f"--no-detail: {FOOTAGE_MODEL} starts from frames with detail: give --model baseline" in line
    assert main(["interpolate", str(clip), str(tmp_path / "soft"), "--no-detail", *FAST]) == 0
    capsys.readouterr()
    monkeypatch.setattr("eqvi.model.registry.WEIGHTS", tmp_path / "none")
    line = mistake(capsys, "interpolate", clip, tmp_path / "out", "--model", OURS)
    assert f"--model {OURS} needs weights" in line
    assert not (tmp_path / "out").exists()


def test_a_user_interpolates_a_video(tmp_path: Path) -> None:
    silent = write_video(tmp_path / "s.mp4", scene(8))
    loud = with_sound(silent, tmp_path / "in.mp4", 8 / 30)
    assert main(["interpolate", str(loud), str(tmp_path / "out.mp4"), "--fps", "60", "--model", "baseline-linear"]) == 0
    origin = probe(tmp_path / "out.mp4")
    assert (origin.rate, origin.frames, origin.audio, origin.end) == (60, 16, ("aac",), Fraction(8, 30))


def test_missing_and_empty_inputs(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "nowhere" in mistake(capsys, "interpolate", tmp_path / "nowhere", tmp_path / "out", *FAST)
    for size in ("lots", "1MB"):
        assert "give " in mistake(capsys, "interpolate", clip, tmp_path / "out", "--memory", size, *FAST)
    assert "holds no pictures" in mistake(capsys, "interpolate", tmp_path / "empty", tmp_path / "out", *FAST)
    assert "single picture" in mistake(capsys, "interpolate", clip / "001.png", tmp_path / "out", *FAST)
    assert not (tmp_path / "out").exists()


def test_one_frame_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path / "in", scene(1))
    write_video(tmp_path / "one.mkv", scene(1))
    assert "one frame only" in mistake(capsys, "interpolate", tmp_path / "in", tmp_path / "out", *FAST)
    assert "one frame only" in mistake(capsys, "interpolate", tmp_path / "one.mkv", tmp_path / "out", *FAST)
    assert "one frame only" in mistake(capsys, "interpolate", tmp_path / "one.mkv", tmp_path / "out.mp4", *FAST)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in", "one.mkv"]


def test_different_sizes(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(scene(1, (32, 32))[0]).save(clip / "003.png")
    line = mistake(capsys, "interpolate", clip, tmp_path / "out", *FAST)
    assert all(part in line for part in ("001.png is 64x48", "003.png is 32x32"))
    assert not (tmp_path / "out").exists()


def test_damaged_pictures(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (clip / "001.png").read_bytes()
    (clip / "001.png").write_bytes(whole[: len(whole) // 2])
    assert "001.png: is truncated or damaged" in mistake(capsys, "interpolate", clip, tmp_path / "out", *FAST)
    (clip / "001.png").write_text("just text")
    assert "001.png: is not a PNG" in mistake(capsys, "interpolate", clip, tmp_path / "out", *FAST)
    assert not (tmp_path / "out").exists()


def test_no_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_text("text")
    assert "is not a video" in mistake(capsys, "interpolate", tmp_path / "a.mp4", tmp_path / "out", *FAST)
    loud = with_sound(write_video(tmp_path / "s.mp4", scene(5)), tmp_path / "b.mp4", 0.2)
    webm = tmp_path / "out.webm"
    assert "cannot hold aac sound" in mistake(capsys, "interpolate", loud, webm, *FAST)
    assert not webm.exists()
    assert main(["interpolate", str(loud), str(webm), "--no-audio", "--model", "baseline-linear"]) == 0
    assert probe(webm).audio == ()


def test_places_that_cannot_be_written(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file", tmp_path / "file" / "out", "/proc/out", "/proc/out.mp4"):
        assert "cannot be written" in mistake(capsys, "interpolate", clip, target, *FAST)


def test_models_and_devices(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert "no such file or preset" in mistake(capsys, "interpolate", clip, out, "--model", "nonsense")
    (tmp_path / "weights.safetensors").write_text("text")
    line = mistake(capsys, "interpolate", clip, out, "--model", tmp_path / "weights.safetensors")
    assert "weights.safetensors" in line
    import torch

    if not torch.cuda.is_available():
        assert "--device cuda" in mistake(capsys, "interpolate", clip, out, "--device", "cuda", *FAST)
    assert not out.exists()


def test_preset_that_needs_weights(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eqvi.model.registry.WEIGHTS", tmp_path / "none")
    line = mistake(capsys, "interpolate", clip, tmp_path / "out", "--model", "eqvi")
    assert "needs weights" in line
    assert "baseline" in line


def test_interrupt_keeps_finished_frames(tmp_path: Path) -> None:
    clip = write_folder(tmp_path / "in", scene(20, (192, 108)))
    options = ("interpolate", str(clip), str(tmp_path / "out"), "--factor", "4", *FAST)
    process = subprocess.Popen(
        [sys.executable, "-m", "eqvi", *options],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    for _ in range(600):
        if len(list((tmp_path / "out").glob("*.png"))) > 10 or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert [line for line in err.splitlines() if "note" not in line] == [
        f"eqvi: interrupted: the frames in {tmp_path / 'out'} are kept, the same command goes on from there"
    ]
    assert hidden(tmp_path / "out") == []
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}
    for name in kept:
        read_image(tmp_path / "out" / name)
    assert main(list(options)) == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 19 * 4 + 1
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == stamp for name, stamp in kept.items())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_disk_that_fills(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        for target, *options in ((disk / "out",), (disk / "out.mkv", "--lossless")):
            line = mistake(capsys, "interpolate", clip, target, "--factor", "8", *options, *FAST)
            assert "the disk is full" in line
            assert not list(disk.rglob("*part*"))
        for path in (disk / "out").glob("*.png"):
            read_image(path)
        assert not (disk / "out.mkv").exists()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for part in ("Packages", "torch", "Devices", "thread(s)", "Video", "libx264", "Weights", "baseline"):
        assert part in shown


def test_doctor_says_whose_package_notebooks_import(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "imported_elsewhere", lambda: "/another/clone")
    assert main(["doctor"]) == 1
    assert f"/another/clone -- run `{sys.executable} -m pip install --no-deps -e {ROOT}`" in capsys.readouterr().out


def test_a_reader_that_has_gone_ends_a_command_quietly(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as `| head` does when it has its lines
    with open(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["doctor"]) == 141
        monkeypatch.undo()
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_output_that_is_full_is_one_line(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["doctor"]) == 2
        monkeypatch.undo()
    error = capfd.readouterr().err
    assert error.startswith("eqvi: error: the output cannot be written: the disk is full")
    assert error.count("\n") == 1


def test_doctor_says_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "tqdm":
            raise doctor.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: ["tqdm>=4", "numpy>=2", "pytest; extra == 'dev'"])
    monkeypatch.setattr(doctor, "_CODECS", {"nonsense": ("w", "no nonsense can be written")})
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "tqdm                     missing -- run" in shown
    assert "missing -- no nonsense can be written" in shown
    assert "pytest" not in shown


def test_trajectories_are_an_option_that_a_run_is_resumed_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_folder(tmp_path / "clip", scene(6))
    for frames, out in ((8, "longer"), (0, "paper")):
        options = ["--model", "baseline", "--trajectory", str(frames)]
        assert main(["interpolate", str(clip), str(tmp_path / out), *options]) == 0
    new = [sorted((tmp_path / out).glob("*_0.png"))[2].read_bytes() for out in ("longer", "paper")]
    assert new[0] != new[1]
    capsys.readouterr()
    line = mistake(capsys, "interpolate", clip, tmp_path / "longer", "--model", "baseline", "--trajectory", "0")
    assert "--overwrite" in line
    line = mistake(capsys, "interpolate", clip, tmp_path / "odd", "--model", "baseline", "--trajectory", "7")
    assert "trajectory=7 must be an even number of frames" in line
