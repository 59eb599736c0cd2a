"""Folders whose frames are stored in various ways, what their colours mean, animations, and missing numbers."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from footage import file_names, interpolate, scene, write_folder, write_video
from PIL import ImageCms
from PIL.PngImagePlugin import PngInfo

from eqvi.errors import InputError
from eqvi.media.clip import open_clip, parse_box
from eqvi.media.frame_names import missing_numbers
from eqvi.media.image import Image
from eqvi.media.image_files import list_frames, read_header, read_image, write_image
from eqvi.media.png import read_colour_chunks

LINEAR = (100_000).to_bytes(4, "big")  # gAMA of linear light
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def write_pictures(folder: Path, save: Callable[[int, PIL.Image.Image, str], None]) -> Path:
    """Three frames, each written by `save` from its number, the picture and its path without ending."""
    folder.mkdir()
    for index, frame in enumerate(scene(3)):
        save(index, PIL.Image.fromarray(frame), str(folder / str(index)))
    return folder


def gamma(number: int = 0, content: bytes = LINEAR) -> PngInfo:
    info = PngInfo()
    info.add(b"gAMA", content)
    info.add(b"cICP", bytes((9, 16, 0, 1)))
    return info


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_chunks_are_the_same_on_copied_and_new_frames(tmp_path: Path, dtype: type) -> None:
    chunks = ((b"gAMA", LINEAR), (b"cICP", bytes((9, 16, 0, 1))))
    (tmp_path / "in").mkdir()
    for index, frame in enumerate(scene(3)):
        image = Image(frame.astype(dtype), None, chunks)
        write_image(tmp_path / "in" / f"{index}.png", image)
    interpolate(tmp_path / "in", tmp_path / "out")
    assert {frozenset(read_colour_chunks(tmp_path / "out" / name)) for name in file_names(tmp_path / "out")} == {
        frozenset(chunks)
    }


def test_colour_chunks_that_a_target_cannot_hold_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_pictures(tmp_path / "in", lambda n, picture, path: picture.save(f"{path}.png", pnginfo=gamma()))
    interpolate(clip, tmp_path / "out.mp4", input_fps="25")
    assert "gAMA, cICP of the frames is left out: out.mp4 holds none" in capsys.readouterr().err
    interpolate(clip, tmp_path / "out", format="webp")
    assert "is left out" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_profile_is_the_same_on_copied_and_new_frames(tmp_path: Path, ending: str) -> None:
    clip = write_pictures(tmp_path / "in", lambda n, picture, path: picture.save(f"{path}.{ending}", icc_profile=SRGB))
    interpolate(clip, tmp_path / "out")
    assert {read_image(tmp_path / "out" / name).profile for name in file_names(tmp_path / "out")} == {SRGB}


def test_colours_that_mean_different_things_lose_that_on_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def save(number: int, picture: PIL.Image.Image, path: str) -> None:
        picture.save(f"{path}.png", pnginfo=gamma() if number == 1 else None)

    interpolate(write_pictures(tmp_path / "in", save), tmp_path / "out")
    assert "vary in what their colours mean" in capsys.readouterr().err
    assert {read_colour_chunks(tmp_path / "out" / name) for name in file_names(tmp_path / "out")} == {()}


def test_cmyk_is_converted_on_copied_and_new_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def save(number: int, picture: PIL.Image.Image, path: str) -> None:
        picture.convert("CMYK").save(f"{path}.jpg", quality=100)

    interpolate(write_pictures(tmp_path / "in", save), tmp_path / "out")
    assert "CMYK frames are converted to sRGB" in capsys.readouterr().err
    headers = [read_header(tmp_path / "out" / name) for name in file_names(tmp_path / "out")]
    assert [header.converted for header in headers] == [""] * 5  # none is CMYK
    shown = read_image(tmp_path / "out" / "0.jpg").pixels
    assert np.abs(shown.astype(int) - scene(3)[0]).mean() < 4


@pytest.mark.parametrize(
    ("other", "ending", "channels", "depth", "note"),
    [
        ("L", "png", 3, 8, "taken as RGB, 8 bits"),
        ("RGBA", "png", 4, 8, "taken as RGB with alpha, 8 bits"),
        ("LA", "png", 4, 8, "taken as RGB with alpha, 8 bits"),
        ("I;16", "png", 3, 16, "taken as RGB, 16 bits"),
        ("RGB", "jpg", 3, 8, r"vary in format \(JPEG, PNG\)"),
    ],
)
def test_storage_that_varies_within_a_clip_becomes_one(
    tmp_path: Path, other: str, ending: str, channels: int, depth: int, note: str
) -> None:
    def save(number: int, picture: PIL.Image.Image, path: str) -> None:
        if number != 1:
            picture.save(f"{path}.png")
        elif other == "I;16":
            PIL.Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(f"{path}.png")
        else:
            picture.convert(other).save(f"{path}.{ending}")

    source = write_pictures(tmp_path / "in", save)
    clip = open_clip(source)
    assert any(re.search(note, line) for line in clip.notes)
    assert (clip.channels, clip.depth) == (channels, depth)
    images = [frame.image for frame in clip.read()]
    assert {(image.pixels.shape[2], image.pixels.dtype.itemsize * 8) for image in images} == {(channels, depth)}
    colour = images[0].pixels[..., :3] // (257 if depth == 16 else 1)
    np.testing.assert_array_equal(colour, scene(3)[0])
    interpolate(source, tmp_path / "out")
    assert not open_clip(tmp_path / "out").notes


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.apng", "a.gif"])
def test_animated_pictures_are_read_as_clips(tmp_path: Path, name: str) -> None:
    first, *others = [PIL.Image.fromarray(frame).quantize(64).convert("RGB") for frame in scene(4)]
    options: dict[str, Any] = {"format": "PNG"} if name == "a.apng" else {}
    options |= {"lossless": True} if name == "a.webp" else {}
    first.save(tmp_path / name, save_all=True, append_images=others, duration=[40, 40, 120, 40], **options)
    clip = open_clip(tmp_path / name)
    assert (clip.size, clip.rate, clip.count, clip.channels) == ((64, 48), 25, 4, 3)
    frames = list(clip.read())
    assert [frame.time for frame in frames] == [Fraction(ms, 1000) for ms in (0, 40, 80, 200)]
    if name != "a.gif":  # which chooses other palettes
        np.testing.assert_array_equal(frames[3].image.pixels, np.asarray(others[2]))
    interpolate(tmp_path / name, tmp_path / "out.mp4")
    interpolate(tmp_path / name, tmp_path / "out")
    assert len(file_names(tmp_path / "out")) == 7


def test_what_pillow_asserts_of_a_frame_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = map(PIL.Image.fromarray, scene(2))
    first.save(tmp_path / "a.webp", save_all=True, append_images=others)

    def no_palette(frame: PIL.Image.Image) -> bool:
        raise AssertionError

    monkeypatch.setattr(PIL.Image.Image, "has_transparency_data", property(no_palette))
    with pytest.raises(InputError, match=r"a\.webp: is truncated or damaged"):
        open_clip(tmp_path / "a.webp")


def test_a_single_picture_is_no_clip(tmp_path: Path) -> None:
    for name in ("a.png", "a.gif", "a.jpg"):
        PIL.Image.fromarray(scene(1)[0]).save(tmp_path / name)
        with pytest.raises(InputError, match="is a single picture"):
            open_clip(tmp_path / name)


def test_other_digits_are_text_in_names_and_refused_in_options(tmp_path: Path) -> None:
    for name in ("f10", "f2", "f①", "f²", "f３"):
        PIL.Image.fromarray(scene(1)[0]).save(tmp_path / f"{name}.png")
    assert [path.stem for path in list_frames(tmp_path)[0]] == ["f2", "f10", "f²", "f①", "f３"]
    for text in ("5x5+²+1", "5x5+１+1", "５x5"):
        with pytest.raises(InputError, match="such as"):
            parse_box(text)


def test_missing_numbers_are_named_and_can_be_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_folder(tmp_path / "in", scene(6))
    (clip / "003.png").unlink()
    interpolate(clip, tmp_path / "out")
    assert "numbers are missing between 002 and 004: taken as neighbours" in capsys.readouterr().err
    with pytest.raises(InputError, match="numbers are missing between 002 and 004"):
        interpolate(clip, tmp_path / "other", complete=True)
    assert missing_numbers(["a0", "a8", "a16", "a32"]) == [("a16", "a32")]
    assert missing_numbers(["1", "2", "4", "8", "16"]) == []  # no count of frames
    assert missing_numbers(["1", "b", "3"]) == []
    write_video(tmp_path / "a.mp4", scene(3))
    interpolate(tmp_path / "a.mp4", tmp_path / "b.mp4", complete=True)
