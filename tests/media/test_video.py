"""Video files: reading, writing, colour, times, sound."""

import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
from footage import scene, sound_packets, video_seconds, with_sound, write_video

from eqvi.errors import InputError
from eqvi.media.colour import Colour
from eqvi.media.companion import Companion
from eqvi.media.image import Image
from eqvi.media.video_reader import decode, probe
from eqvi.media.video_writer import choose_encoding, encode

RATE = Fraction(30000, 1001)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(float) - b) ** 2)
    return 10 * np.log10(255**2 / error)


def remake(source: Path, target: Path, sound: bool = True, frames: int | None = None) -> None:
    """The frames of `source` in a new file, with its sound."""
    origin = probe(source)
    decoded = list(decode(origin))[:frames]
    encoding = choose_encoding(target, origin.size)
    companion = Companion(
        source, origin.start, sound and bool(origin.audio), None if frames is None else frames / origin.rate
    )
    with encode(
        target,
        encoding,
        origin.size,
        origin.rate,
        origin.time_base,
        colour=origin.colour,
        companion=companion,
    ) as writer:
        for frame in decoded:
            writer.add("", frame.time, frame.image, None)
        writer.end(decoded[-1].time + decoded[-1].duration)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov", "a.webm"])
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_lossless_is_exact(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    frames = scene(4, size)
    path = write_video(tmp_path / name, frames, lossless=True)
    origin = probe(path)
    assert origin.size == size
    decoded = list(decode(origin))
    assert len(decoded) == 4
    for frame, result in zip(frames, decoded, strict=True):
        np.testing.assert_array_equal(result.image.pixels, frame)


def test_16_bit_lossless_is_exact(tmp_path: Path) -> None:
    frames = [frame.astype(np.uint16) * 257 - 3 * (frame > 0) for frame in scene(3)]
    path = write_video(tmp_path / "a.mkv", [frame.astype(np.uint16) for frame in frames], lossless=True)
    for frame, result in zip(frames, decode(probe(path)), strict=True):
        np.testing.assert_array_equal(result.image.pixels, frame)


@pytest.mark.parametrize("matrix", [1, 2, 5, 6, 9])
@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_colours_survive(tmp_path: Path, name: str, matrix: int) -> None:
    frames = [(frame * 0.4 + 80).astype(np.uint8) for frame in scene(3, (96, 64))]
    colour = Colour(matrix=matrix, primaries=matrix, transfer=6 if matrix == 6 else 1)
    origin = probe(write_video(tmp_path / name, frames, colour=colour))
    assert origin.colour.matrix == matrix
    assert origin.colour.range == 1
    for frame, result in zip(frames, decode(origin), strict=True):
        assert psnr(result.image.pixels, frame) > 34
        # The mean shows a wrong matrix or range, and the rounding of a fast conversion; see eqvi.media.colour.
        assert np.abs(result.image.pixels.mean((0, 1)) - frame.mean((0, 1))).max() < 0.6


def test_full_range_is_read(tmp_path: Path) -> None:
    grey = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=30, width=64, height=48, options={"crf": "1"})
        stream.pix_fmt = "yuvj420p"
        stream.codec_context.color_range = 2
        frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuvj420p")
        planes = np.concatenate([grey, np.full((24, 64), 128, np.uint8)])
        frame = av.VideoFrame.from_ndarray(planes, format="yuvj420p")
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    origin = probe(tmp_path / "a.mp4")
    assert origin.colour.range == 2
    image = next(decode(origin)).image
    assert np.abs(image.pixels.astype(int) - grey[..., None]).max() <= 4


def test_ten_bits_stay_ten(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None], (64, 1, 3))
    origin = probe(write_video(tmp_path / "a.mp4", [ramp, ramp], crf=1))
    assert origin.depth == 10
    image = next(decode(origin)).image
    assert image.pixels.dtype == np.uint16
    # A step of limited 8 bits is 299, which rounding alone misses by 75 on average; one of 10 bits is 75.
    assert np.abs(image.pixels.astype(int) - ramp).mean() < 30


def test_odd_sizes(tmp_path: Path) -> None:
    frames = scene(3, (63, 47))
    for name, expected in (("a.mp4", "yuv444p"), ("a.webm", "yuv420p")):
        origin = probe(write_video(tmp_path / name, frames))
        assert origin.size == (63, 47)
        assert choose_encoding(tmp_path / name, (63, 47)).pixel_format == expected
        assert psnr(next(decode(origin)).image.pixels, frames[0]) > 33


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_times_are_kept(tmp_path: Path, name: str) -> None:
    milliseconds = [0, 33, 66, 166, 180, 400, 433]
    times = [Fraction(ms, 1000) for ms in milliseconds]
    path = write_video(tmp_path / name, scene(7), times=times, end=Fraction(1, 2))
    decoded = list(decode(probe(path)))
    assert [frame.time for frame in decoded] == times
    assert [frame.duration for frame in decoded] == [b - a for a, b in pairwise([*times, Fraction(1, 2)])]
    assert abs(video_seconds(path) - Fraction(1, 2)) <= Fraction(1, 1000)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
def test_constant_rate_and_length(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, scene(31), rate=RATE)
    origin = probe(path)
    assert origin.rate == RATE
    assert abs(video_seconds(path) - 31 / RATE) <= Fraction(1, 1000)
    decoded = list(decode(origin))
    assert len(decoded) == 31
    assert abs(decoded[-1].time + decoded[-1].duration - 31 / RATE) <= Fraction(2, 1000)
    if origin.frames is not None:
        assert origin.frames == 31


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_equal_input_gives_equal_bytes(tmp_path: Path, name: str) -> None:
    frames = scene(5)
    once = write_video(tmp_path / name, frames).read_bytes()
    assert write_video(tmp_path / f"again{name}", frames).read_bytes() == once


@pytest.mark.parametrize(("source", "target"), [("a.mp4", "b.mp4"), ("a.mp4", "b.mkv"), ("a.webm", "b.webm")])
def test_sound_is_copied_unchanged(tmp_path: Path, source: str, target: str) -> None:
    silent = write_video(tmp_path / f"silent{Path(source).suffix}", scene(45))
    loud = with_sound(silent, tmp_path / source, 1.5)
    remake(loud, tmp_path / target)
    before, after = sound_packets(loud), sound_packets(tmp_path / target)
    assert [data for _, data in after] == [data for _, data in before]
    assert max(abs(a - b) for (a, _), (b, _) in zip(before, after, strict=True)) <= Fraction(1, 1000)
    assert abs(video_seconds(tmp_path / target) - video_seconds(loud)) <= Fraction(1, 1000)
    remake(loud, tmp_path / f"quiet{target}", sound=False)
    assert probe(tmp_path / f"quiet{target}").audio == ()


def test_sound_ends_with_a_shortened_video(tmp_path: Path) -> None:
    loud = with_sound(write_video(tmp_path / "s.mp4", scene(45)), tmp_path / "a.mp4", 1.5)
    remake(loud, tmp_path / "b.mp4", frames=15)
    after = sound_packets(tmp_path / "b.mp4")
    assert [data for _, data in after] == [data for _, data in sound_packets(loud)][: len(after)]
    assert after[-1][0] < Fraction(1, 2) <= after[-1][0] + Fraction(1024, 48000) * 2


def test_container_that_cannot_hold_the_sound(tmp_path: Path) -> None:
    loud = with_sound(write_video(tmp_path / "s.mp4", scene(5)), tmp_path / "a.mp4", 0.2)
    with pytest.raises(InputError, match=r"cannot hold aac sound.*--no-audio"):
        remake(loud, tmp_path / "b.webm")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.mp4", "s.mp4"]


# The display matrix (a b; c d), and how a picture is to be shown: what FFmpeg's own tool does for each.
MATRICES = {
    (1, 0, 0, 1): lambda picture: picture,
    (-1, 0, 0, 1): lambda picture: picture[:, ::-1],
    (-1, 0, 0, -1): lambda picture: picture[::-1, ::-1],
    (1, 0, 0, -1): lambda picture: picture[::-1],
    (0, 1, 1, 0): lambda picture: picture.swapaxes(0, 1),
    (0, 1, -1, 0): lambda picture: picture.swapaxes(0, 1)[:, ::-1],
    (0, -1, -1, 0): lambda picture: picture.swapaxes(0, 1)[::-1, ::-1],
    (0, -1, 1, 0): lambda picture: picture.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_all_eight_display_matrices_are_applied(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    frames = scene(2, (64, 32))
    data = bytearray(write_video(tmp_path / "a.mov", frames, lossless=True).read_bytes())
    at = data.index(b"tkhd") + 44  # version and flags, times, number, duration, layer, volume: 40 bytes
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mov").write_bytes(data)
    origin = probe(tmp_path / "a.mov")
    expected = MATRICES[matrix](frames[0])
    assert origin.size == (expected.shape[1], expected.shape[0])
    np.testing.assert_array_equal(next(decode(origin)).image.pixels, expected)


def test_grey_and_alpha_images_are_taken(tmp_path: Path) -> None:
    grey = np.full((48, 64, 1), 99, np.uint8)
    path = write_video(tmp_path / "a.mkv", [grey, np.repeat(grey, 2, axis=2)], lossless=True)
    for frame in decode(probe(path)):
        assert (frame.image.pixels == 99).all()


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello " * 100)
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name in ("text.mp4", "empty.mp4", "missing.mp4"):
        with pytest.raises(InputError) as error:
            probe(tmp_path / name)
        assert name in str(error.value)
        assert "\n" not in str(error.value)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    loud = with_sound(write_video(tmp_path / "s.mp4", scene(5)), tmp_path / "a.mp4", 0.2)
    with av.open(str(loud)) as source, av.open(str(tmp_path / "b.m4a"), "w", format="mp4") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    with pytest.raises(InputError, match="no video stream"):
        probe(tmp_path / "b.m4a")


def test_truncated_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", scene(30))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"a\.mp4"):
        probe(path)


def test_times_that_do_not_rise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = probe(write_video(tmp_path / "a.mkv", scene(3), lossless=True))
    frames = []
    with av.open(str(tmp_path / "a.mkv")) as container:
        for frame in container.decode(video=0):
            frame.pts = 5
            frames.append(frame)
    monkeypatch.setattr("eqvi.media.video_reader._frames", lambda *_: iter(frames))
    with pytest.raises(InputError, match="do not rise"):
        list(decode(origin))


def test_frames_that_change_size(tmp_path: Path) -> None:
    origin = probe(write_video(tmp_path / "a.mkv", scene(3)))
    with pytest.raises(InputError, match="change from 32x32 to 64x48"):
        list(decode(origin._replace(size=(32, 32))))


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    encoding = choose_encoding(tmp_path / "a.mp4", (64, 48))

    def fail() -> None:
        with encode(tmp_path / "a.mp4", encoding, (64, 48), Fraction(30), Fraction(1, 30)) as writer:
            for i, frame in enumerate(scene(5)):
                writer.add("", Fraction(i, 30), Image(frame), None)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_not_writable_and_full() -> None:
    frames = scene(3)
    with pytest.raises(InputError, match="cannot be written"):
        write_video(Path("/proc/a.mp4"), frames)
    with pytest.raises(InputError, match="no video format"):
        write_video(Path("/tmp/a.avi"), frames)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # /dev/full answers every write with ENOSPC.
    monkeypatch.setattr(
        "eqvi.media.video_writer.av.open", lambda _, *a, _open=av.open, **k: _open("/dev/full", *a, format="mp4", **k)
    )
    with pytest.raises(InputError, match="disk is full"):
        write_video(tmp_path / "a.mp4", scene(3))
    assert list(tmp_path.iterdir()) == []


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    PIL.Image.fromarray(scene(1)[0]).save(tmp_path / "cover.png")
    loud = with_sound(write_video(tmp_path / "s.mp4", scene(5)), tmp_path / "a.mp4", 0.2)
    with (
        av.open(str(loud)) as source,
        av.open(str(tmp_path / "cover.png")) as cover,
        av.open(str(tmp_path / "b.mp4"), "w") as out,
    ):
        sound = out.add_stream_from_template(source.streams.audio[0])
        video = out.add_stream_from_template(cover.streams.video[0], opaque=True)
        video.disposition = av.stream.Disposition.attached_pic
        for container, stream in ((source, sound), (cover, video)):
            for packet in container.demux(container.streams.best("audio") or container.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    with pytest.raises(InputError, match="no video stream"):
        probe(tmp_path / "b.mp4")
