"""Interpolation of a whole clip with a stand-in for the model: folder or video in, folder or video out."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import (
    Blend,
    file_contents,
    file_names,
    hidden,
    interpolate,
    scene,
    sound_packets,
    video_seconds,
    with_sound,
    write_folder,
    write_video,
)

from eqvi.errors import InputError
from eqvi.media import convert as convert_module
from eqvi.media.convert import summary_lines
from eqvi.media.image import Image
from eqvi.media.image_files import read_image, write_image
from eqvi.media.video_reader import decode, probe
from eqvi.media.video_writer import choose_encoding, encode


def test_a_folder_gets_new_frames_between_copies_of_its_own(tmp_path: Path, clip: Path) -> None:
    model = Blend()
    summary = interpolate(clip, tmp_path / "out", model, factor=4)
    assert (summary.inputs, summary.new, summary.repeated, summary.cuts) == (5, 12, 0, ())
    expected = {f"{i:03d}.png" for i in range(1, 6)} | {f"{i:03d}_{k}.png" for i in range(1, 5) for k in range(3)}
    assert set(file_names(tmp_path / "out")) == expected
    for i in range(1, 6):
        assert (tmp_path / "out" / f"{i:03d}.png").read_bytes() == (clip / f"{i:03d}.png").read_bytes()
    assert model.windows == [(2, False), (4, True), (4, True), (2, True)]
    assert model.times == [0.25, 0.5, 0.75] * 4
    a, b, new = (read_image(tmp_path / "out" / f"{name}.png").pixels.astype(float) for name in ("001", "002", "001_0"))
    assert np.abs(new - (0.75 * a + 0.25 * b)).max() <= 0.5
    assert hidden(tmp_path / "out") == []


def test_truncation_lowers_a_value_by_one_level_at_most(tmp_path: Path, clip: Path) -> None:
    interpolate(clip, tmp_path / "a")
    interpolate(clip, tmp_path / "b", rounding="truncate")
    rounded, truncated = (read_image(tmp_path / name / "001_0.png").pixels.astype(int) for name in "ab")
    assert set(np.unique(rounded - truncated)) == {0, 1}


def test_drop_inputs_leaves_new_frames_only(tmp_path: Path, clip: Path) -> None:
    interpolate(clip, tmp_path / "out", factor=3, drop_inputs=True)
    assert file_names(tmp_path / "out") == [f"{i:03d}_{k}.png" for i in range(1, 5) for k in range(2)]


def test_factor_one_copies_without_the_model(tmp_path: Path, clip: Path) -> None:
    model = Blend()
    interpolate(clip, tmp_path / "out", model, factor=1)
    assert file_contents(tmp_path / "out") == file_contents(clip)
    assert model.windows == []


def test_a_folder_is_resampled_to_a_rate(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interpolate(clip, tmp_path / "out", fps="48", input_fps="24")
    assert len(file_names(tmp_path / "out")) == 9
    assert capsys.readouterr().err == ""
    interpolate(clip, tmp_path / "slow", fps="15")
    assert file_names(tmp_path / "slow") == ["001.png", "003.png", "005.png"]
    assert "no --input-fps given" in capsys.readouterr().err


def test_a_folder_keeps_reds_names(tmp_path: Path) -> None:
    clip = tmp_path / "in"
    clip.mkdir()
    for i, frame in enumerate(scene(4)):
        write_image(clip / f"{8 * i:08d}.png", Image(frame))
    interpolate(clip, tmp_path / "out", factor=4, naming="reds")
    assert file_names(tmp_path / "out") == [f"{i:08d}.png" for i in range(0, 25, 2)]
    with pytest.raises(InputError, match="positions at 120"):
        interpolate(clip, tmp_path / "three", factor=3, naming="reds")
    assert not (tmp_path / "three").exists()
    with pytest.raises(InputError, match="mean 15 frames a second"):
        interpolate(clip, tmp_path / "three", naming="reds", input_fps="30")


def test_frames_are_resized_cropped_and_stored_as_asked(tmp_path: Path, clip: Path) -> None:
    interpolate(clip, tmp_path / "out", size="32x24", crop="20x10+4+6", format="webp")
    assert {Path(name).suffix for name in file_names(tmp_path / "out")} == {".webp"}
    assert read_image(tmp_path / "out" / "001_0.webp").size == (20, 10)
    interpolate(clip, tmp_path / "middle", crop="20x10")
    whole = read_image(clip / "001.png").pixels
    np.testing.assert_array_equal(read_image(tmp_path / "middle" / "001.png").pixels, whole[19:29, 22:42])
    with pytest.raises(InputError, match="larger than the frames, which are 64x48"):
        interpolate(clip, tmp_path / "large", crop="65x10")
    for option, value in (("size", "12"), ("size", "0x5"), ("crop", "5x5+1"), ("crop", "5x5+a+b"), ("limit", 0)):
        with pytest.raises(InputError, match=option):
            interpolate(clip, tmp_path / "bad", **{option: value})
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    ("channels", "dtype", "note"),
    [(1, np.uint8, "grey"), (4, np.uint8, "alpha"), (3, np.uint16, ""), (1, np.uint16, "grey")],
)
def test_grey_alpha_and_depth_are_kept(
    tmp_path: Path, channels: int, dtype: type, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scale = np.iinfo(dtype).max // 255
    (tmp_path / "in").mkdir()
    for i, frame in enumerate(scene(3)):
        pixels = np.dstack([frame, frame[..., 0]])[..., :channels].astype(dtype) * scale
        write_image(tmp_path / "in" / f"{i}.png", Image(pixels))
    interpolate(tmp_path / "in", tmp_path / "out")
    new = read_image(tmp_path / "out" / "0_0.png")
    assert new.pixels.shape[2] == channels
    assert new.pixels.dtype == dtype
    notes = capsys.readouterr().err
    assert note in notes
    assert notes.count("\n") == bool(note)


def test_ignored_files_are_counted(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clip / "notes.txt").write_text("x")
    (clip / "flow.flo").write_text("x")
    (clip / ".hidden.png").write_text("x")
    interpolate(clip, tmp_path / "out")
    assert f"2 entries of {clip} ignored" in capsys.readouterr().err


def test_frames_are_repeated_at_a_scene_cut(tmp_path: Path) -> None:
    size = (160, 96)
    clip = write_folder(tmp_path / "in", [*scene(4, size, seed=1), *scene(4, size, seed=2)])
    model = Blend()
    summary = interpolate(clip, tmp_path / "out", model, factor=4)
    assert summary.cuts == ("004",)
    assert (summary.new, summary.repeated) == (18, 3)
    assert model.windows == [(2, False), (4, True), (2, True), (2, False), (4, True), (2, True)]
    out = file_contents(tmp_path / "out")
    assert out["004_0.png"] == out["004_1.png"] == out["004.png"]
    assert out["004_2.png"] == out["005.png"]
    assert any("1 scene cut(s)" in line and "004" in line for line in summary_lines(summary, tmp_path))
    assert interpolate(clip, tmp_path / "all", factor=4, scene_cuts=False).new == 21


def test_a_folder_becomes_a_video(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interpolate(clip, tmp_path / "out.mp4", factor=3, input_fps="25")
    origin = probe(tmp_path / "out.mp4")
    assert (origin.rate, origin.frames, video_seconds(tmp_path / "out.mp4")) == (75, 15, Fraction(5, 25))
    assert capsys.readouterr().err == ""
    interpolate(clip, tmp_path / "thirty.mkv", factor=1, lossless=True)
    assert "30 a second" in capsys.readouterr().err
    assembled = [frame.image.pixels for frame in decode(probe(tmp_path / "thirty.mkv"))]
    for pixels, path in zip(assembled, sorted(clip.iterdir()), strict=True):
        np.testing.assert_array_equal(pixels, read_image(path).pixels)


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv"])
@pytest.mark.parametrize("options", [{"factor": 2}, {"factor": 3}, {"fps": "50"}, {"fps": "10"}, {"factor": 1}])
def test_a_video_keeps_its_sound_and_duration(tmp_path: Path, target: str, options: dict[str, Any]) -> None:
    silent = write_video(tmp_path / "s.mp4", scene(31), rate=Fraction(30000, 1001))
    loud = with_sound(silent, tmp_path / "in.mp4", 1.0)
    interpolate(loud, tmp_path / target, **options)
    assert [data for _, data in sound_packets(tmp_path / target)] == [data for _, data in sound_packets(loud)]
    assert abs(video_seconds(tmp_path / target) - video_seconds(loud)) <= Fraction(1, 1000)
    rate = Fraction(options["fps"]) if "fps" in options else Fraction(30000, 1001) * options["factor"]
    times = [frame.time for frame in decode(probe(tmp_path / target))]
    assert abs(len(times) - video_seconds(loud) * rate) < 1
    assert all(abs(time - times[0] - i / rate) <= Fraction(1, 1000) for i, time in enumerate(times))


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [Fraction(ms, 1000) for ms in (0, 30, 60, 90, 190, 220, 250)]
    source = write_video(tmp_path / "in.mp4", scene(7), times=times, end=Fraction(3, 10))
    model = Blend()
    summary = interpolate(source, tmp_path / "out.mp4", model)
    out = list(decode(probe(tmp_path / "out.mp4")))
    expected = [Fraction(ms, 1000) for ms in (0, 15, 30, 45, 60, 75, 90, 140, 190, 205, 220, 235, 250, 275)]
    assert [frame.time for frame in out] == expected
    assert out[-1].time + out[-1].duration == Fraction(3, 10)
    # The long gap and both its neighbours have no even window.
    assert summary.uneven == 3
    assert [count for count, _ in model.windows] == [2, 4, 2, 2, 2, 2]
    interpolate(source, tmp_path / "even.mp4", fps="100")
    assert [frame.time for frame in decode(probe(tmp_path / "even.mp4"))] == [Fraction(i, 100) for i in range(30)]


def test_a_video_becomes_a_folder_up_to_the_limit(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mkv", scene(9), lossless=True)
    summary = interpolate(source, tmp_path / "out", limit=3)
    assert (summary.inputs, summary.new) == (3, 2)
    assert file_names(tmp_path / "out") == ["000000.png", "000000_0.png", "000001.png", "000001_0.png", "000002.png"]
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "000002.png").pixels, scene(9)[2])
    interpolate(source, tmp_path / "out.mp4", limit=3)
    assert video_seconds(tmp_path / "out.mp4") == Fraction(3, 30)


def test_a_video_gets_reds_names(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mkv", scene(3), rate=Fraction(15))
    interpolate(source, tmp_path / "out", naming="reds", factor=2)
    assert file_names(tmp_path / "out") == [f"{i:08d}.png" for i in range(0, 17, 4)]
    with pytest.raises(InputError, match="positions at 120"):
        interpolate(source, tmp_path / "bad", naming="reds", factor=16)


def test_odd_sizes_give_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_folder(tmp_path / "in", scene(3, (63, 47)))
    interpolate(clip, tmp_path / "out.mp4", input_fps="30")
    assert "63x47 is odd" in capsys.readouterr().err
    assert probe(tmp_path / "out.mp4").size == (63, 47)
    interpolate(clip, tmp_path / "even.mp4", input_fps="30", crop="62x46")
    assert capsys.readouterr().err == ""


def test_wide_pixels_stay_wide(tmp_path: Path) -> None:
    encoding = choose_encoding(tmp_path / "in.mp4", (64, 48))
    wide = Fraction(4, 3)
    with encode(tmp_path / "in.mp4", encoding, (64, 48), Fraction(30), Fraction(1, 30), pixel_aspect=wide) as writer:
        for i, frame in enumerate(scene(3)):
            writer.add("", Fraction(i, 30), Image(frame), None)
        writer.end(Fraction(3, 30))
    interpolate(tmp_path / "in.mp4", tmp_path / "out.mkv")
    assert probe(tmp_path / "out.mkv").pixel_aspect == wide
    interpolate(tmp_path / "in.mp4", tmp_path / "square.mp4", size="32x32")
    assert probe(tmp_path / "square.mp4").pixel_aspect == 1


# x264 with macroblock trees, as in a lossy .mp4, may give one of several results: see eqvi.media.h264.
@pytest.mark.parametrize(("suffix", "lossless"), [(".mp4", True), (".mkv", True), (".webm", False)])
def test_equal_runs_give_equal_bytes(tmp_path: Path, clip: Path, suffix: str, lossless: bool) -> None:
    once, again = (tmp_path / f"{name}{suffix}" for name in ("once", "again"))
    for path in (once, again):
        interpolate(clip, path, input_fps="30", lossless=lossless)
    assert once.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(
    ("target", "options", "text"),
    [
        ("in", {}, "is the input"),
        ("out.gif", {}, "give a folder, or a video file"),
        ("out.png", {}, "give a folder, or a video file"),
        ("out.mp4", {"format": "png"}, "are for folders"),
        ("out.mp4", {"naming": "reds"}, "are for folders"),
        ("out", {"crf": 3}, "are for videos"),
        ("out", {"lossless": True}, "are for videos"),
        ("out", {"factor": 0}, "factor 0"),
        ("out", {"factor": 1, "drop_inputs": True}, "leaves nothing"),
        ("out", {"fps": "many"}, "frame rate 'many'"),
        ("out", {"limit": 1}, "one frame only"),
    ],
)
def test_options_without_effect_are_refused(
    tmp_path: Path, clip: Path, target: str, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(InputError, match=text) as error:
        interpolate(clip, tmp_path / target, **options)
    assert "\n" not in str(error.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in"]


def test_input_rate_of_a_video_is_refused(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", scene(3))
    with pytest.raises(InputError, match="says its own rate"):
        interpolate(source, tmp_path / "out", input_fps="30")


def test_jpeg_with_alpha_is_refused_before_work(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        write_image(tmp_path / "in" / f"{i}.png", Image(np.zeros((8, 8, 4), np.uint8)))
    with pytest.raises(InputError, match="JPEG holds no alpha"):
        interpolate(tmp_path / "in", tmp_path / "out", format="jpg")
    assert not (tmp_path / "out").exists()


def test_misnamed_pictures_get_the_right_ending(tmp_path: Path, clip: Path) -> None:
    for path in list(clip.iterdir()):
        path.rename(path.with_suffix(".jpg"))  # PNG inside
    interpolate(clip, tmp_path / "out")
    assert {Path(name).suffix for name in file_names(tmp_path / "out")} == {".png"}
    assert read_image(tmp_path / "out" / "001_0.png").size == (64, 48)


def test_progress_is_shown_on_a_terminal(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    observed: dict[str, Any] = {}
    bar = convert_module.tqdm

    class Observed(bar):  # type: ignore[valid-type, misc]
        def __init__(self, **options: Any) -> None:
            observed.update(options)
            super().__init__(**{**options, "disable": False})

        def close(self) -> None:
            observed["done"] = self.n
            super().close()

    monkeypatch.setattr(convert_module, "tqdm", Observed)
    interpolate(clip, tmp_path / "out")
    assert (observed["total"], observed["done"]) == (4, 4)
    assert "new/s" in capsys.readouterr().err
