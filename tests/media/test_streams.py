"""What people's videos hold besides a plain picture: unknown codecs, odd times and names, tracks, chapters, HDR10."""

import os
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from footage import Blend, file_names, interpolate, scene, with_sound, write_folder, write_video

from eqvi.errors import InputError
from eqvi.media.clip import open_clip
from eqvi.media.companion import CONTAINERS
from eqvi.media.image import Image
from eqvi.media.image_files import write_image
from eqvi.media.timestamps import spread
from eqvi.media.video_reader import decode, probe
from eqvi.media.video_writer import choose_encoding, encode


def add_track(path: Path, target: Path, kind: str = "aac", rate: int = 48000, **tags: str) -> Path:
    """The video `path` again, with one more sound track."""
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        copies = {stream.index: out.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        for stream in source.streams:
            copies[stream.index].metadata.update(stream.metadata)
        sound = out.add_stream(kind, rate=rate, bit_rate=64000)
        sound.layout = "stereo"
        sound.metadata.update(tags)
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
        sample_format = sound.format.name
        planar = np.zeros((2, rate // 10), np.float32)
        frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        for piece in av.AudioResampler(sample_format, "stereo", rate).resample(frame):
            out.mux(sound.encode(piece))
        out.mux(sound.encode(None))
    return target


def rename_last(path: Path, code: bytes, other: bytes, config: bytes = b"") -> Path:
    """The MP4 file with another name for the codec of its last track, which FFmpeg then does not know."""
    data = bytearray(path.read_bytes())
    at = data.rindex(code, 0, data.rindex(config) if config else len(data))
    data[at : at + 4] = other
    if config:
        data[data.index(config, at) :][:4] = b"none"
        place = data.index(config, at)
        data[place : place + 4] = b"none"
    path.write_bytes(data)
    return path


@pytest.fixture
def loud(tmp_path: Path) -> Path:
    """A short video with a tone."""
    return with_sound(write_video(tmp_path / "silent.mp4", scene(4)), tmp_path / "loud.mp4", 0.13)


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out"])
def test_sound_without_a_decoder_is_left_out_and_named(
    tmp_path: Path, loud: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = rename_last(add_track(loud, tmp_path / "phone.mp4"), b"mp4a", b"apac", b"esds")
    interpolate(source, tmp_path / target)
    assert "1 sound track(s) that FFmpeg has no decoder for, left out" in capsys.readouterr().err
    if target != "out":
        assert probe(tmp_path / target).audio == ("aac",)
    interpolate(source, tmp_path / f"quiet{target}", audio=False)


def test_a_picture_without_a_decoder_is_called_that(tmp_path: Path) -> None:
    path = rename_last(write_video(tmp_path / "a.mp4", scene(3)), b"avc1", b"zzzz", b"avcC")
    with pytest.raises(InputError, match="FFmpeg has no decoder for its video"):
        probe(path)


@pytest.mark.parametrize("name", ["12:30:00.mp4", "concat:a.mkv", "100%03d.mp4"])
def test_names_that_ffmpeg_takes_for_protocols(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path(name), scene(3))
    interpolate(Path(name), Path(f"x2_{name}"))
    assert len(list(decode(probe(Path(f"x2_{name}"))))) == 6


def test_names_that_are_no_utf8_or_long(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    source = write_folder(tmp_path / odd, scene(3), name=odd + "{}.png")
    interpolate(source, tmp_path / f"{odd}_x2")
    interpolate(source, tmp_path / f"{odd}_x2", overwrite=True)
    assert file_names(tmp_path / f"{odd}_x2") == [f"{odd}{n}.png" for n in ("1", "1_0", "2", "2_0", "3")]
    interpolate(source, tmp_path / f"{odd}.mp4")
    write_video(tmp_path / ("x" * 250 + ".mp4"), scene(3))
    long = write_folder(tmp_path / "long", scene(3), name="y" * 250 + "{}.png")
    with pytest.raises(InputError, match="names of new frames would be too long"):
        interpolate(long, tmp_path / "out")
    with pytest.raises(InputError, match="there is no folder"):
        interpolate(source, tmp_path / "nowhere" / "a.mp4")
    assert not (tmp_path / "out").exists()


def stamped(path: Path, stamps: Callable[[int], int | None], options: dict[str, str] | None = None) -> Path:
    """A video of 20 frames whose packets, in decoding order, have these times (in 1/25 s) for both clocks."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, width=64, height=48, options=options or {"bf": "2"})
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 25)
        packets = []
        for index, pixels in enumerate(scene(20)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts = index
            packets += stream.encode(frame)
        for index, packet in enumerate([*packets, *stream.encode(None)]):
            packet.pts = packet.dts = stamps(index)
            packet.time_base = Fraction(1, 25)
            out.mux(packet)
    return path


def test_decoding_times_only_are_read_as_what_is_shown(tmp_path: Path) -> None:
    """As in AVI: times rise from packet to packet, while the frames are shown in another order."""
    origin = probe(stamped(tmp_path / "a.mp4", lambda index: index))
    assert origin.times is not None  # there are reordered frames
    assert [frame.time for frame in decode(origin)] == [Fraction(index, 25) for index in range(20)]
    assert (origin.rate, origin.frames, origin.notes) == (25, 20, ())


def test_equal_timestamps_are_spread_with_a_note(tmp_path: Path) -> None:
    path = stamped(tmp_path / "a.mkv", lambda index: index // 2, {"bf": "0"})
    origin = probe(path)
    assert [frame.time for frame in decode(origin)] == [Fraction(index, 50) for index in range(20)]
    assert any("equal or missing timestamps" in note for note in origin.notes)
    interpolate(path, tmp_path / "out.mp4")
    assert spread([0, 0, 3, 4, 4]) == [0, Fraction(3, 2), 3, 4, Fraction(9, 2)]


def test_raw_streams_without_timestamps_are_spaced_evenly(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mkv", scene(4), rate=Fraction(25))
    with av.open(str(source)) as container, av.open(str(tmp_path / "a.h264"), "w", format="h264") as out:
        stream = out.add_stream_from_template(container.streams.video[0], opaque=True)
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    times = [frame.time for frame in decode(probe(tmp_path / "a.h264"))]
    assert len(times) == 4
    assert len({b - a for a, b in pairwise(times)}) == 1


def test_more_frames_than_a_container_can_tell_apart_are_refused(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(InputError, match=r"1000 frames a second at most: write \.mp4"):
        interpolate(clip, tmp_path / "a.mkv", input_fps="600")
    interpolate(clip, tmp_path / "a.mp4", input_fps="600")
    times = [frame.time for frame in decode(probe(tmp_path / "a.mp4"))]
    assert times == [Fraction(index, 1200) for index in range(10)]
    assert file_names(tmp_path) == ["a.mp4", "in"]


@pytest.mark.parametrize("target", ["b.mkv", "b.mp4"])
def test_language_title_default_and_chapters_of_sound_go_along(tmp_path: Path, loud: Path, target: str) -> None:
    two = add_track(loud, tmp_path / "two.mkv", language="jpn", title="Original")
    with av.open(str(two)) as source, av.open(str(tmp_path / "a.mkv"), "w") as out:
        copies = [out.add_stream_from_template(stream, opaque=True) for stream in source.streams]
        for stream, copy in zip(source.streams, copies, strict=True):
            copy.metadata.update(stream.metadata)
        copies[1].disposition, copies[2].disposition = 0, av.stream.Disposition.default
        marks = [(0, 60, "One"), (60, 130, "Two")]
        out.set_chapters(
            [
                {"id": n, "start": a, "end": b, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                for n, (a, b, title) in enumerate(marks)
            ]
        )
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    interpolate(tmp_path / "a.mkv", tmp_path / target)
    with av.open(str(tmp_path / target)) as container:
        first, second = container.streams.audio
        title = second.metadata.get("title") or second.metadata["handler_name"]  # MP4 has the latter only
        assert (second.metadata["language"], title) == ("jpn", "Original")
        assert not first.disposition & av.stream.Disposition.default
        assert second.disposition & av.stream.Disposition.default
        chapters = [(c["start"] * c["time_base"], c["metadata"]["title"]) for c in container.chapters()]
    assert chapters == [(0, "One"), (Fraction(60, 1000), "Two")]
    assert not any("data track" in note for note in probe(tmp_path / target).notes)


def test_a_second_video_and_alpha_of_vp9_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_video(tmp_path / "a.webm", scene(3))
    with av.open(str(source)) as container, av.open(str(tmp_path / "b.webm"), "w") as out:
        video = container.streams.video[0]
        copies = [out.add_stream_from_template(video, opaque=True) for _ in range(2)]
        copies[0].metadata["alpha_mode"] = "1"
        for packet in container.demux(video):
            if packet.size:
                packet.stream = copies[0]
                out.mux(packet)
    interpolate(tmp_path / "b.webm", tmp_path / "out")
    notes = capsys.readouterr().err
    assert "1 more video stream(s), left out" in notes
    assert "alpha channel, which is left out" in notes


def test_hdr10_mastering_data_goes_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):cll=1000,400"
    frames = [frame.astype(np.uint16) * 257 for frame in scene(3)]
    with encode(
        tmp_path / "a.mp4", choose_encoding(tmp_path / "a.mp4", (64, 48), 16), (64, 48), Fraction(25), Fraction(1, 25),
        hdr10=data,
    ) as writer:  # fmt: skip
        for index, frame in enumerate(frames):
            writer.add("", Fraction(index, 25), Image(frame), None)
        writer.end(Fraction(3, 25))
    interpolate(tmp_path / "a.mp4", tmp_path / "b.mkv")
    assert probe(tmp_path / "b.mkv").hdr10 == data
    assert capsys.readouterr().err == ""
    interpolate(tmp_path / "a.mp4", tmp_path / "b.webm")
    assert "HDR10 mastering data is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "source", "target", "advice"),
    [
        ("flac", "a.mkv", "b.mov", "write .mkv"),
        ("pcm_s16le", "a.mkv", "b.webm", "write .mkv"),
        ("wmav2", "a.wmv", "b.mkv", "convert the sound first"),
    ],
)
def test_sound_that_a_container_does_not_take_is_refused_before_the_first_frame(
    tmp_path: Path, kind: str, source: str, target: str, advice: str
) -> None:
    path = add_track(write_video(tmp_path / "s.mp4", scene(4)), tmp_path / source, kind)
    model = Blend()
    with pytest.raises(InputError, match=f"cannot hold {kind} sound: {advice}, or leave the sound out with --no-audio"):
        interpolate(path, tmp_path / target, model)
    assert model.times == []
    assert not (tmp_path / target).exists()
    if advice == "write .mkv":
        interpolate(path, tmp_path / "b.mkv")
        assert probe(tmp_path / "b.mkv").audio == (kind,)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
def test_rgb_sources_are_tagged_by_what_is_written(tmp_path: Path, name: str) -> None:
    frames = [(frame * 0.4 + 80).astype(np.uint8) for frame in scene(3, (96, 64))]
    source = write_video(tmp_path / name, frames, lossless=True)
    assert probe(source).colour.matrix == 0
    interpolate(source, tmp_path / "out.mp4")
    out = probe(tmp_path / "out.mp4")
    assert (out.colour.matrix, out.colour.range) == (6, 1)  # BT.601, as its size says
    shown = next(decode(out)).image.pixels
    assert np.abs(shown.mean((0, 1)) - frames[0].mean((0, 1))).max() < 0.6
    interpolate(source, tmp_path / "again.mp4", lossless=True)
    np.testing.assert_array_equal(next(decode(probe(tmp_path / "again.mp4"))).image.pixels, frames[0])


def test_a_matrix_that_is_not_converted_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25, width=64, height=48)
        stream.pix_fmt, stream.codec_context.colorspace = "yuv444p", 8
        frame = av.VideoFrame.from_ndarray(np.full((3, 48, 64), 90, np.uint8), format="yuv444p", channel_last=False)
        frame.colorspace = 8
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(InputError, match="stored as YCgCo, which is not supported"):
        probe(tmp_path / "a.mp4")


# Everything that can be written, of every kind of frame: suffix, options, whether it is kept bit for bit.
WRITTEN = [(suffix, lossless) for suffix in CONTAINERS for lossless in (False, True)]


@pytest.mark.parametrize(("suffix", "lossless"), [*WRITTEN, (".png", True), (".jpg", False), (".webp", True)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_all_that_is_written_can_be_read_again(
    tmp_path: Path, suffix: str, lossless: bool, dtype: type, channels: int
) -> None:
    (tmp_path / "in").mkdir()
    for index, frame in enumerate(scene(2, (24, 16))):
        stack = np.dstack([frame, np.full_like(frame[..., 0], 255 if index else 99)])
        pixels = stack[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]
        write_image(tmp_path / "in" / f"{index}.png", Image(pixels.astype(dtype) * (np.iinfo(dtype).max // 255)))
    video = suffix in CONTAINERS
    if suffix == ".jpg" and channels in (2, 4):
        pytest.skip("JPEG holds no alpha: refused before anything is written")
    options = {"input_fps": "25", "lossless": lossless} if video else {"format": suffix[1:]}
    target = tmp_path / (f"out{suffix}" if video else "out")
    interpolate(tmp_path / "in", target, **options)
    frames = list(open_clip(target).read())
    assert len(frames) == (4 if video else 3)
    assert frames[0].image.size == (24, 16)
    interpolate(target, tmp_path / ("again" + (suffix if video else "")), factor=1)
