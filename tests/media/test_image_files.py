"""Image files and folders of them, and images in memory."""

import errno
import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from PIL import ImageOps

from eqvi.errors import InputError
from eqvi.media.image import Image, alpha_to_tensor, crop_image, from_tensor, resize_image, to_tensor
from eqvi.media.image_files import list_frames, read_header, read_headers, read_image, write_image

RNG = np.random.default_rng(1)


def noise(channels: int, dtype: type = np.uint8, size: tuple[int, int] = (37, 21)) -> Image:
    return Image(RNG.integers(0, np.iinfo(dtype).max, (size[1], size[0], channels), dtype=dtype, endpoint=True))


def one_line(error: pytest.ExceptionInfo[InputError], *parts: object) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_is_exact(tmp_path: Path, channels: int, dtype: type) -> None:
    image = noise(channels, dtype)
    write_image(tmp_path / "a.png", image)
    again = read_image(tmp_path / "a.png")
    if (channels, dtype) == (2, np.uint16):  # stored as RGB with alpha
        np.testing.assert_array_equal(again.pixels, image.pixels[..., [0, 0, 0, 1]])
    else:
        np.testing.assert_array_equal(again.pixels, image.pixels)
    assert again.pixels.dtype == dtype
    header = read_header(tmp_path / "a.png")
    assert (header.size, header.depth) == ((37, 21), 8 * np.dtype(dtype).itemsize)
    assert header.channels == again.pixels.shape[2]
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]


def test_16_bit_grey_with_alpha_is_read(tmp_path: Path) -> None:
    image = noise(2, np.uint16)
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image.pixels)
    header = struct.pack(">IIBBBBB", *image.size, 16, 4, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, image.pixels)


def test_webp_is_lossless_and_jpeg_close(tmp_path: Path) -> None:
    for channels in (3, 4):
        image = noise(channels)
        image.pixels[..., 3:] |= 1  # WebP may drop the colour where alpha is 0
        write_image(tmp_path / "a.webp", image)
        np.testing.assert_array_equal(read_image(tmp_path / "a.webp").pixels, image.pixels)
    smooth = Image(np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (50, 1, 3)))
    write_image(tmp_path / "a.jpg", smooth)
    assert np.abs(read_image(tmp_path / "a.jpg").pixels.astype(int) - smooth.pixels).max() <= 2
    write_image(tmp_path / "deep.jpg", Image(smooth.pixels.astype(np.uint16) * 257))
    np.testing.assert_array_equal(read_image(tmp_path / "deep.jpg").pixels, read_image(tmp_path / "a.jpg").pixels)
    with pytest.raises(InputError) as error:
        write_image(tmp_path / "b.jpg", noise(4))
    one_line(error, "b.jpg", "alpha")
    with pytest.raises(InputError, match="no picture format"):
        write_image(tmp_path / "b.gif", noise(3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_profile_is_kept(tmp_path: Path, dtype: type) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_image(tmp_path / "a.png", noise(3, dtype)._replace(profile=profile))
    again = read_image(tmp_path / "a.png")
    assert again.profile == profile
    assert from_tensor(to_tensor(again), again).profile == profile


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    stored = PIL.Image.fromarray(noise(3).pixels)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(PIL.Image.open(tmp_path / "a.png")))
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.pixels, expected)
    assert read_header(tmp_path / "a.png").size == image.size


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("P", 3), ("CMYK", 3), ("LA", 2)])
def test_other_modes(tmp_path: Path, mode: str, channels: int) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    PIL.Image.fromarray(noise(3).pixels).convert(mode).save(path)
    assert read_image(path).pixels.shape[2] == channels == read_header(path).channels


def test_palette_with_transparency_has_alpha(tmp_path: Path) -> None:
    PIL.Image.fromarray(noise(3).pixels).convert("P").save(tmp_path / "a.png", transparency=3)
    assert read_image(tmp_path / "a.png").pixels.shape[2] == 4


@pytest.mark.parametrize(("dtype", "peak"), [(np.uint8, 255), (np.uint16, 65535)])
def test_tensors_hold_every_value(dtype: type, peak: int) -> None:
    values = np.arange(peak + 1, dtype=dtype).reshape(-1, 256, 1)
    for channels in (1, 3):
        image = Image(np.repeat(values, channels, axis=2))
        tensor = to_tensor(image)
        assert tensor.shape == (1, 3, *values.shape[:2])
        assert (tensor.min(), tensor.max()) == (0, 1)
        np.testing.assert_array_equal(from_tensor(tensor, image).pixels, image.pixels)


def test_rounding_and_truncation() -> None:
    like = Image(np.zeros((1, 4, 3), np.uint8))
    frame = torch.tensor([0.0, 10.4, 10.6, 300.0]).div(255).expand(1, 3, 1, 4)
    assert from_tensor(frame, like).pixels[0, :, 0].tolist() == [0, 10, 11, 255]
    assert from_tensor(frame, like, "truncate").pixels[0, :, 0].tolist() == [0, 10, 10, 255]


def test_alpha_goes_alongside() -> None:
    image = noise(4)
    alpha = alpha_to_tensor(image)
    assert alpha.shape == (1, 1, 21, 37)
    np.testing.assert_array_equal(from_tensor(to_tensor(image), image, alpha=alpha).pixels, image.pixels)
    assert from_tensor(to_tensor(image), image).pixels[..., 3].min() == 255
    assert alpha_to_tensor(noise(3)).min() == 1


def test_resize_and_crop() -> None:
    image = noise(4, np.uint16)
    assert resize_image(image, (37, 21)) is image
    small = resize_image(image, (18, 10))
    assert (small.size, small.pixels.dtype, small.pixels.shape[2]) == ((18, 10), np.uint16, 4)
    flat = Image(np.full((20, 30, 1), 77, np.uint8))
    assert (resize_image(flat, (45, 9)).pixels == 77).all()
    np.testing.assert_array_equal(crop_image(image, (5, 6, 7, 8)).pixels, image.pixels[8:14, 7:12])


def test_frames_are_in_natural_order(tmp_path: Path) -> None:
    for name in ("frame10.png", "frame2.png", "frame2_0.png", "Frame1.PNG", "frame2_10.png", "frame2_9.png"):
        PIL.Image.fromarray(noise(3).pixels).save(tmp_path / name)
    for name in ("notes.txt", ".hidden.png", "flow.flo"):
        (tmp_path / name).write_text("x")
    (tmp_path / "sub.png").mkdir()
    paths, ignored = list_frames(tmp_path)
    names = [path.name for path in paths]
    assert names == ["Frame1.PNG", "frame2.png", "frame2_0.png", "frame2_9.png", "frame2_10.png", "frame10.png"]
    assert ignored == 3


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        list_frames(tmp_path / "nowhere")
    one_line(error, tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError) as error:
        list_frames(tmp_path)
    one_line(error, tmp_path, "no pictures")
    with pytest.raises(InputError) as error:
        list_frames(tmp_path / "notes.txt")
    one_line(error, "notes.txt")
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "none.png")


def test_text_named_png(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    (tmp_path / "b.png").write_bytes(b"")
    for name in ("a.png", "b.png"):
        with pytest.raises(InputError) as error:
            read_header(tmp_path / name)
        one_line(error, name, "is not a PNG")


@pytest.mark.parametrize(("suffix", "dtype"), [(".png", np.uint8), (".png", np.uint16), (".jpg", np.uint8)])
def test_truncated(tmp_path: Path, suffix: str, dtype: type) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, noise(3, dtype, (200, 150)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    read_header(path)  # the header alone cannot tell
    with pytest.raises(InputError) as error:
        read_image(path)
    one_line(error, path.name, "truncated or damaged")


def test_damaged_png(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise(3, size=(200, 150)))
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("other", "name", "what"),
    [
        (noise(3, size=(37, 22)), "b.png", ("size", "37x21", "37x22")),
        (noise(1), "b.png", ("colour", "RGB", "grey")),
        (noise(4), "b.png", ("colour", "RGB", "RGB with alpha")),
        (noise(3, np.uint16), "b.png", ("depth", "8 bit", "16 bit")),
        (noise(3), "b.jpg", ("file format", "PNG", "JPEG")),
    ],
)
def test_frames_that_differ(tmp_path: Path, other: Image, name: str, what: tuple[str, ...]) -> None:
    write_image(tmp_path / "a.png", noise(3))
    write_image(tmp_path / name, other)
    with pytest.raises(InputError) as error:
        read_headers([tmp_path / "a.png", tmp_path / name])
    one_line(error, "a.png", name, *what)


def test_animation_is_refused(tmp_path: Path) -> None:
    frames = [PIL.Image.fromarray(noise(3).pixels) for _ in range(2)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="animation"):
        read_header(tmp_path / "a.webp")


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", noise(3))
    before = (tmp_path / "a.png").read_bytes()

    def full(self: PIL.Image.Image, path: Path, *args: object, **options: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PIL.Image.Image, "save", full)
    with pytest.raises(InputError) as error:
        write_image(tmp_path / "a.png", noise(3))
    one_line(error, "a.png", "disk is full")
    assert (tmp_path / "a.png").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_not_writable() -> None:
    with pytest.raises(InputError) as error:
        write_image(Path("/proc/a.png"), noise(3))
    one_line(error, "/proc/a.png", "cannot be written")


def test_decompression_bomb_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    buffer = io.BytesIO()
    PIL.Image.fromarray(noise(3).pixels).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    with pytest.raises(InputError) as error:
        read_header(tmp_path / "a.png")
    one_line(error, "a.png")
