"""SIGTERM ends every command as Ctrl-C does: one line, nothing half-written, exit status 143."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from footage import hidden, scene, write_folder, write_video

from eqvi.errors import Terminated, interruption_status, terminable
from eqvi.media.image_files import read_image
from eqvi.paths import ROOT

FAST = ("--factor", "16", "--model", "baseline")


def ended(*arguments: object, once: Callable[[], bool]) -> tuple[int, list[str]]:
    """Exit status and what is said of a command that gets SIGTERM as soon as something is there."""
    command = [sys.executable, "-m", "eqvi", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not once() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    said, _ = process.communicate(timeout=60)
    return process.returncode, [line for line in said.splitlines() if "note" not in line]


def test_a_video_is_removed(tmp_path: Path) -> None:
    clip, out = write_video(tmp_path / "in.mp4", scene(12, (192, 108))), tmp_path / "out"
    out.mkdir()
    status, said = ended("interpolate", clip, out / "new.mp4", *FAST, once=lambda: (out / ".new.part.mp4").exists())
    assert said == ["eqvi: interrupted: nothing is kept, a video is written in one go"]
    assert status == 143
    assert list(out.iterdir()) == []


def test_finished_frames_are_kept(tmp_path: Path) -> None:
    clip, out = write_folder(tmp_path / "in", scene(12, (192, 108))), tmp_path / "out"
    status, said = ended("interpolate", clip, out, *FAST, once=lambda: len(list(out.glob("*.png"))) > 5)
    assert said == [f"eqvi: interrupted: the frames in {out} are kept, the same command goes on from there"]
    assert status == 143
    assert hidden(out) == []
    for path in out.glob("*.png"):
        read_image(path)


def test_rows_are_kept_for_the_next_run(tmp_path: Path) -> None:
    clip, rows = write_folder(tmp_path / "in", scene(21, (192, 108))), tmp_path / "out" / "rows.csv"
    journal = rows.with_name(".rows.part")
    options = ("--models", "blend", "baseline", "--out", rows)
    status, said = ended("evaluate", clip, *options, once=lambda: any(journal.glob("*.csv")))
    assert said[-1] == "eqvi: interrupted"
    assert status == 143
    assert [path.name for path in rows.parent.iterdir()] == [journal.name]


def test_clips_are_rendered_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--clips", "40", "--size", "128x128", "--frames", "9")
    status, said = ended("render", out, *options, once=lambda: any(out.rglob("*.png")))
    assert said[-1] == "eqvi: interrupted"
    assert status == 143
    assert not [path for path in tmp_path.rglob(".*") if path.suffix in (".part", ".lock") and path.name != ".lock"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_study_ends_its_kernels(tmp_path: Path, jobs: int) -> None:
    note = "from pathlib import Path; import os, time; Path('KERNEL').write_text(str(os.getpid())); time.sleep(60)"
    (tmp_path / "notebooks").mkdir()
    for name in ("01_first", "02_second"):
        code = nbformat.v4.new_code_cell(note.replace("KERNEL", name))
        nbformat.write(nbformat.v4.new_notebook(cells=[code]), tmp_path / "notebooks" / f"{name}.ipynb")
    kernels = [tmp_path / "notebooks" / name for name in ("01_first", "02_second")]
    notebooks = [kernel.with_suffix(".ipynb") for kernel in kernels]
    options = ("--jobs", jobs, "--out", tmp_path / "out")
    status, said = ended("study", *notebooks, *options, once=lambda: any(path.exists() for path in kernels))
    assert said[-1] == "eqvi: interrupted"
    assert not any("Traceback" in line for line in said)
    assert status == 143
    for kernel in kernels:
        if kernel.exists():
            with pytest.raises(ProcessLookupError):
                os.kill(int(kernel.read_text()), 0)


def test_only_the_first_is_raised() -> None:
    @terminable()
    def clean_up() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Terminated) as raised:
        clean_up()
    assert interruption_status(raised.value) == 143
    assert interruption_status(KeyboardInterrupt()) == 130
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_a_callback_swallows_comes_again(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(number)

    @terminable()
    def work() -> None:
        dying = Dying()
        del dying
        time.sleep(5)

    with pytest.raises(Terminated if number == signal.SIGTERM else KeyboardInterrupt):
        work()
    assert capfd.readouterr().err == ""


def test_other_plans_are_respected() -> None:
    received: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        with terminable():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert received == [signal.SIGTERM]
