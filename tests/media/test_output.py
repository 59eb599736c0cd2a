"""Outputs that exist, are interrupted or cannot be written: what is resumed, refused, kept and removed."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from footage import Blend, file_contents, file_names, hidden, interpolate, scene

from eqvi.errors import InputError
from eqvi.media.convert import Settings, convert
from eqvi.media.image import Image
from eqvi.media.image_files import write_image
from eqvi.media.memory_budget import DEPTH
from eqvi.media.output import RECORD
from eqvi.media.video_reader import probe


class Interrupted(Blend):
    """Raises KeyboardInterrupt at its n-th new frame."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def interpolate(self, frames: Any, motion: object, t: float) -> Any:
        if len(self.times) == self.after:
            raise KeyboardInterrupt
        return super().interpolate(frames, motion, t)


def test_an_interrupted_run_is_resumed(tmp_path: Path, clip: Path) -> None:
    whole = interpolate(clip, tmp_path / "whole", factor=4)
    with pytest.raises(KeyboardInterrupt):
        interpolate(clip, tmp_path / "out", Interrupted(5), factor=4)
    # Frames are written behind: what still waited is let go of. What there is are the first ones, each whole.
    there = file_contents(tmp_path / "out")
    first = sorted(file_names(tmp_path / "whole"))[: len(there)]
    assert sorted(there) == first
    assert 2 + 5 - DEPTH - 1 <= len(there) <= 2 + 5
    assert hidden(tmp_path / "out") == []
    model = Blend()
    summary = interpolate(clip, tmp_path / "out", model, factor=4)
    assert summary.new == len(model.times)
    assert whole.new - 5 <= summary.new <= whole.new - 5 + DEPTH + 1
    assert summary.skipped == len(there)
    assert file_contents(tmp_path / "out") == file_contents(tmp_path / "whole")
    again = Blend()
    assert interpolate(clip, tmp_path / "out", again, factor=4).new == 0
    assert again.windows == []


def test_what_a_kill_left_beside_a_frame_is_removed(tmp_path: Path, clip: Path) -> None:
    interpolate(clip, tmp_path / "out")
    whole = file_contents(tmp_path / "out")
    frame = sorted(file_names(tmp_path / "out"))[1]
    stem, suffix = frame.rsplit(".", 1)
    for overwrite in (False, True):
        for name in (f".{frame}.lock", f".{stem}.part.{suffix}"):  # killed after the frame, before its lock's end
            (tmp_path / "out" / name).touch()
        interpolate(clip, tmp_path / "out", overwrite=overwrite)
        assert hidden(tmp_path / "out") == []
        assert file_contents(tmp_path / "out") == whole


def test_a_run_with_other_settings_is_not_resumed(tmp_path: Path, clip: Path) -> None:
    interpolate(clip, tmp_path / "out", factor=4)
    before = file_contents(tmp_path / "out")
    with pytest.raises(InputError, match=r"holds a run with factor 4, not 2.*--overwrite"):
        interpolate(clip, tmp_path / "out")
    with pytest.raises(InputError, match="rounding round, not truncate"):
        interpolate(clip, tmp_path / "out", factor=4, rounding="truncate")
    with pytest.raises(InputError, match="holds a run with model"):
        convert(clip, tmp_path / "out", Blend(), Settings(factor=4), model_identity="another")
    write_image(clip / "003.png", Image(scene(1, seed=9)[0]))
    with pytest.raises(InputError, match=r"holds a run with input in \("):
        interpolate(clip, tmp_path / "out", factor=4)
    assert file_contents(tmp_path / "out") == before


def test_overwrite_removes_what_was_written(tmp_path: Path, clip: Path) -> None:
    interpolate(clip, tmp_path / "out", factor=4)
    (tmp_path / "out" / "mine.txt").write_text("kept")
    interpolate(clip, tmp_path / "out", overwrite=True)
    assert file_names(tmp_path / "out") == sorted(
        [f"{i:03d}.png" for i in range(1, 6)] + [f"{i:03d}_0.png" for i in range(1, 5)] + ["mine.txt"]
    )
    settings = json.loads((tmp_path / "out" / RECORD).read_text().splitlines()[0])
    assert settings["factor"] == 2


def test_a_foreign_record_cannot_reach_outside(tmp_path: Path, clip: Path) -> None:
    victim = tmp_path / "victim.png"
    victim.write_text("x")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / RECORD).write_text("{}\n../victim.png\n" + str(victim) + "\n")
    interpolate(clip, tmp_path / "out", overwrite=True)
    assert victim.exists()


def test_a_folder_with_other_files_is_refused(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "001_0.png").write_text("not ours")
    with pytest.raises(InputError, match="holds other files"):
        interpolate(clip, tmp_path / "out")
    assert (tmp_path / "out" / "001_0.png").read_text() == "not ours"
    (tmp_path / "out" / RECORD).write_text("rubbish")
    with pytest.raises(InputError, match="cannot be read"):
        interpolate(clip, tmp_path / "out")


def test_an_existing_video_is_refused(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "out.mp4").write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        interpolate(clip, tmp_path / "out.mp4", input_fps="30")
    assert (tmp_path / "out.mp4").read_text() == "precious"
    interpolate(clip, tmp_path / "out.mp4", input_fps="30", overwrite=True)
    assert probe(tmp_path / "out.mp4").frames == 10


def test_an_interrupted_video_leaves_nothing(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interpolate(clip, tmp_path / "out.mp4", Interrupted(2), input_fps="30")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in"]


def test_a_damaged_frame_keeps_the_frames_before_it(tmp_path: Path, clip: Path) -> None:
    data = (clip / "004.png").read_bytes()
    (clip / "004.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"004\.png: is truncated"):
        interpolate(clip, tmp_path / "out")
    assert file_names(tmp_path / "out") == ["001.png", "001_0.png"]
    assert hidden(tmp_path / "out") == []
    with pytest.raises(InputError, match=r"004\.png: is truncated"):
        interpolate(clip, tmp_path / "out.mp4", input_fps="30")
    assert not list(tmp_path.glob("*.mp4"))
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_keeps_what_is_complete(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = PIL.Image.Image.save

    def full(self: PIL.Image.Image, path: Path, *args: Any, **options: Any) -> None:
        if "002_0" in Path(path).name:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, *args, **options)

    monkeypatch.setattr(PIL.Image.Image, "save", full)
    with pytest.raises(InputError, match=r"002_0\.png: cannot be written: the disk is full"):
        interpolate(clip, tmp_path / "out")
    assert file_names(tmp_path / "out") == ["001.png", "001_0.png", "002.png"]
    assert hidden(tmp_path / "out") == []
    monkeypatch.undo()
    interpolate(clip, tmp_path / "out")
    assert len(file_names(tmp_path / "out")) == 9


def test_a_full_disk_is_one_line_for_copies_too(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(InputError, match="disk is full"):
        interpolate(clip, tmp_path / "out")


@pytest.mark.parametrize("target", ["/proc/out", "/proc/out.mp4", "/dev/null/out"])
def test_places_that_are_not_writable_are_named(clip: Path, target: str) -> None:
    with pytest.raises(InputError, match=target):
        interpolate(clip, Path(target), input_fps="30" if target.endswith("mp4") else None)


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(InputError, match="out: cannot be written"):
        interpolate(clip, tmp_path / "out")
    with pytest.raises(InputError, match="there is no folder"):
        interpolate(clip, tmp_path / "out" / "a.mp4", input_fps="30")


class Second(Blend):
    """At its first new frame, another run into the same place begins."""

    def __init__(self, source: Path, target: Path) -> None:
        super().__init__()
        self.source, self.target, self.refusals = source, target, list[str]()

    def interpolate(self, frames: Any, motion: object, t: float) -> Any:
        if not self.times:
            with pytest.raises(InputError, match="another process writes it now") as error:
                interpolate(self.source, self.target, input_fps="30", overwrite=True)
            self.refusals.append(str(error.value))
        return super().interpolate(frames, motion, t)


@pytest.mark.parametrize("name", ["out", "out.mp4"])
def test_two_runs_into_one_place_are_refused(tmp_path: Path, clip: Path, name: str) -> None:
    model = Second(clip, tmp_path / name)
    interpolate(clip, tmp_path / name, model, input_fps="30")
    assert [refusal.split(":")[0] for refusal in model.refusals] == [str(tmp_path / name)]
    if name == "out":
        assert len(file_names(tmp_path / "out")) == 9
        assert hidden(tmp_path / "out") == []
    else:
        assert probe(tmp_path / "out.mp4").frames == 10
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in", name]
