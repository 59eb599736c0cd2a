"""The film command: which new frames it shows, in which order, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from footage import scene, write_folder, write_video
from PIL import Image

from eqvi.__main__ import main
from eqvi.errors import InputError
from eqvi.media.clip import open_clip
from eqvi.model import checkpoint
from eqvi.model.config import EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.model.registry import load_model
from eqvi.viz import film

#: A panning scene, a pixel a picture; of these every sixth is the clip, so that t = 1/6 is a pixel.
PAN = scene(60, (128, 96), speed=1)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "in", PAN[::6], start=0)


@pytest.fixture
def learned(tmp_path: Path) -> Path:
    """A small model with every learned part, its weights drawn at random."""
    config = EQVIConfig(flow="dis", refine_width=1 / 32, synthesis_width=1 / 32, context_channels=4)
    checkpoint.save(EQVI(config), tmp_path / "learned.safetensors")
    return tmp_path / "learned.safetensors"


@pytest.fixture
def make(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Make a film of the clip with some options; returns the lines that were printed."""

    def run(*options: object, out: str = "out/film") -> list[str]:
        arguments = {"--step": 1, "--gaps": 2, "--width": 64, "--model": "baseline", "--out": tmp_path / out}
        arguments |= dict(zip(options[::2], options[1::2], strict=True))
        assert main(["film", str(clip), *(str(word) for pair in arguments.items() for word in pair)]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def mistake(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["film", *map(str, arguments)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("filming")]
    assert line.startswith("eqvi: error: ")
    return line


def pictures(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """The pictures of an animation, and for how many milliseconds each is shown."""
    shown, times = [], []
    with Image.open(path) as file:
        assert file.info["loop"] == 0  # for ever
        for number in range(file.n_frames):
            file.seek(number)
            shown.append(np.asarray(file.convert("RGB")).astype(float))
            times.append(file.info["duration"])
    return shown, times


def test_a_loop_and_a_strip_are_written(make: Callable[..., list[str]], tmp_path: Path) -> None:
    lines = make("--fps", 10)
    loop, strip = tmp_path / "out/film_loop.webp", tmp_path / "out/film_strip.png"
    assert lines[0].startswith(f"{loop}: 10 pictures of 64x48, ")
    assert lines[1].startswith(f"{strip}: ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["film_loop.webp", "film_strip.png"]
    shown, times = pictures(loop)
    assert times == [100] * 10
    assert {picture.shape for picture in shown} == {(48, 64, 3)}
    with Image.open(strip) as page:
        assert "not shown" in page.info["Description"]


def test_the_loop_runs_forth_and_back_without_standing_still(make: Callable[..., list[str]], tmp_path: Path) -> None:
    make()
    shown, _ = pictures(tmp_path / "out/film_loop.webp")
    # Six new frames and the inner four of them again: compression aside, the way back is the way there.
    for number in range(1, 5):
        nearest = min(range(6), key=lambda other: np.abs(shown[10 - number] - shown[other]).mean())
        assert nearest == number
    steps = [np.abs(b - a).mean() for a, b in zip(shown, [*shown[1:], shown[0]], strict=True)]
    assert min(steps) > 0.5 * max(steps)


def test_all_frames_are_new_and_evenly_spaced(clip: Path) -> None:
    model, _ = load_model("baseline")
    made = film.interpolate(film.input_frames(open_clip(clip), 3, 1, 3), model, "cpu", 128)
    # The first gap begins at the clip's frame 3, which is the scene's 18; a sixth of a gap is one pixel.
    for picture, truth in zip(made.loop, range(19, 36, 2), strict=True):
        errors = [np.abs(picture.pixels.astype(float) - other)[16:-16, 16:-16].mean() for other in PAN]
        assert int(np.argmin(errors)) == truth
        assert min(errors) < 2
    assert [frame.shape for frame in made.row] == [(1, 3, 96, 128)] * 3
    for frame, picture in zip(made.row, made.loop[3:6], strict=True):
        np.testing.assert_array_equal((frame[0] * 255).round().permute(1, 2, 0).numpy(), picture.pixels)


def test_the_parts_shown_are_those_of_the_frame_shown(clip: Path, learned: Path) -> None:
    model, _ = load_model(str(learned))
    made = film.interpolate(film.input_frames(open_clip(clip), None, 1, 2), model, "cpu", 64)
    torch.testing.assert_close(made.middle.frame, made.row[1])
    titles = [title.split(",")[0] for title in film.strip_panels(made)]
    assert titles == ["new frame"] * 3 + ["$F_{t1}$", "mask", "residual"]
    plain = film.interpolate(film.input_frames(open_clip(clip), None, 1, 2), load_model("baseline")[0], "cpu", 64)
    assert [title.split(",")[0] for title in film.strip_panels(plain)] == ["new frame"] * 3 + ["$F_{t1}$", "mask"]


def test_two_films_of_one_clip_are_the_same_bytes(
    make: Callable[..., list[str]], tmp_path: Path, learned: Path
) -> None:
    for name in ("a", "b"):
        make("--model", learned, "--gaps", 1, out=f"{name}/film")
    for file in ("film_loop.webp", "film_strip.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_which_frames_are_taken(tmp_path: Path, clip: Path) -> None:
    def numbers(start: int | None, step: int, gaps: int) -> list[int]:
        return [int(frame.stem) for frame in film.input_frames(open_clip(clip), start, step, gaps)]

    assert numbers(1, 1, 1) == [0, 1, 2, 3]
    assert numbers(5, 2, 1) == [3, 5, 7, 9]
    assert numbers(None, 1, 5) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert numbers(None, 3, 1) == [0, 3, 6, 9]
    with pytest.raises(InputError, match=r"--from 1: .* give 2 to 5"):
        numbers(1, 2, 1)
    with pytest.raises(InputError, match=r"--from 6: .* give 2 to 5"):
        numbers(6, 2, 1)
    with pytest.raises(InputError, match="holds 10 frames, --gaps 3 with --step 2 take 11"):
        numbers(None, 2, 3)
    video = write_video(tmp_path / "in.mkv", PAN[::6], lossless=True)
    taken = film.input_frames(open_clip(video), 5, 2, 1)
    for frame, number in zip(taken, (3, 5, 7, 9), strict=True):
        np.testing.assert_array_equal(frame.image.pixels, PAN[6 * number])


def test_no_film_goes_across_a_scene_cut(tmp_path: Path) -> None:
    other = [255 - picture for picture in scene(60, (128, 96), seed=7, speed=1)]
    two = open_clip(write_folder(tmp_path / "two", PAN[:36:6] + other[::6], start=0))
    with pytest.raises(InputError, match="a scene cut after frame 5 lies within the film"):
        film.input_frames(two, 5, 1, 1)
    assert len(film.input_frames(two, 3, 1, 1)) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--step", "0"], "--step 0: give 1 or more"),
        (["--gaps", "0"], "--gaps 0: give 1 or more"),
        (["--width", "15"], "--width 15: give 16 or more"),
        (["--fps", "51"], "--fps 51: give 1 to 50"),
        (["--gaps", "4"], "take 13"),
        (["--gaps", "1", "--from", "0"], "--from 0"),
        (["--gaps", "1", "--out", "."], "--out ."),
        (["--gaps", "1", "--out", "/proc/none/film"], "cannot be written"),
        (["--gaps", "1", "--model", "nonsense"], "no such file or preset"),
    ],
)
def test_mistakes(clip: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in mistake(capsys, clip, *options)


def test_a_loop_that_is_too_large_is_not_left_behind(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(film, "MAX_BYTES", 100)
    line = mistake(capsys, clip, "--step", 1, "--gaps", 1, "--model", "baseline", "--out", tmp_path / "out/film")
    assert "more than 100: give a smaller --width or fewer --gaps" in line
    assert list((tmp_path / "out").iterdir()) == []


def test_weights_that_are_not_there_are_named(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("eqvi.model.registry.WEIGHTS", tmp_path)
    assert "--model eqvi-quarter-dis needs weights" in mistake(
        capsys, clip, "--model", "eqvi-quarter-dis", "--gaps", 1, "--out", tmp_path / "film"
    )


def test_help_says_that_the_clips_own_frames_stay_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["film", "--help"])
    assert "the clip's own never are" in " ".join(capsys.readouterr().out.split())
