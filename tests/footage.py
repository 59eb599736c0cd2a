"""Small clips and videos, and a stand-in for the model, for the tests of reading and writing."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import PIL.Image
import torch
from torch import Tensor

from eqvi.media.colour import BT709, Colour
from eqvi.media.convert import Settings, Summary, convert
from eqvi.media.image import Image
from eqvi.media.video_writer import choose_encoding, encode


class Blended(NamedTuple):
    """The fields of `eqvi.model.interpolation.Interpolation` that are used."""

    frame: Tensor
    flow_t1: Tensor
    flow_t2: Tensor
    mask: Tensor


class Blend:
    """A stand-in with EQVI's two stages: it blends the neighbours and records its calls."""

    def __init__(self) -> None:
        self.windows: list[tuple[int, bool]] = []  # frames in the window, whether `previous` was given
        self.times: list[float] = []

    def estimate_motion(self, frames: Tensor, previous: object = None) -> object:
        self.windows.append((frames.shape[1], previous is not None))
        return object()

    def interpolate(self, frames: Tensor, motion: object, t: float) -> Blended:
        assert motion is not None
        self.times.append(t)
        middle = frames.shape[1] // 2
        first, second = frames[:, middle - 1], frames[:, middle]
        still = torch.zeros_like(first[:, :2])
        return Blended((1 - t) * first + t * second, still, still, torch.full_like(first[:, :1], 0.5))


def scene(count: int, size: tuple[int, int] = (64, 48), seed: int = 0, speed: int = 2) -> list[np.ndarray]:
    """Smooth coloured texture, panning: `count` RGB frames (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    width, height = size
    coarse = rng.uniform(0, 255, (height // 8 + 2, (width + speed * count) // 8 + 2, 3)).astype(np.uint8)
    wide = PIL.Image.fromarray(coarse).resize((width + speed * count, height), PIL.Image.Resampling.BICUBIC)
    return [np.asarray(wide)[:, speed * i : speed * i + width].copy() for i in range(count)]


def write_folder(folder: Path, frames: Sequence[np.ndarray], name: str = "{:03d}.png", start: int = 1) -> Path:
    """Frames as image files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start):
        PIL.Image.fromarray(frame).save(folder / name.format(number))
    return folder


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    rate: Fraction = Fraction(30),
    times: Sequence[Fraction] | None = None,
    end: Fraction | None = None,
    lossless: bool = False,
    colour: Colour = BT709,
    crf: int | None = None,
) -> Path:
    """Frames as a video, at a constant rate or at given times."""
    times = times or [i / rate for i in range(len(frames))]
    size = (frames[0].shape[1], frames[0].shape[0])
    depth = 8 if frames[0].dtype == np.uint8 else 16
    encoding = choose_encoding(path, size, depth, lossless, crf)
    with encode(path, encoding, size, rate, Fraction(1, 90000), colour=colour) as writer:
        for frame, time in zip(frames, times, strict=True):
            writer.add("", time, Image(frame), None)
        writer.end(end or times[-1] + 1 / rate)
    return path


def with_sound(path: Path, target: Path, seconds: float) -> Path:
    """The video `path` again, with a tone of AAC (Opus in webm)."""
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        video = out.add_stream_from_template(source.streams.video[0], opaque=True)
        sound = out.add_stream("libopus" if target.suffix == ".webm" else "aac", rate=48000)
        sound.layout = "mono"
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        tone = np.sin(np.arange(int(48000 * seconds)) * 0.05).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        resampler = av.AudioResampler(format=sound.format, layout="mono", rate=48000)
        for piece in resampler.resample(frame):
            out.mux(sound.encode(piece))
        out.mux(sound.encode(None))
    return target


def sound_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """Time, from the first video frame, and bytes of every sound packet.

    Matroska shifts video and audio alike where the sound starts before 0, as AAC does.
    """
    with av.open(str(path)) as container:
        start = next(container.decode(video=0))
        begin = start.pts * start.time_base
    with av.open(str(path)) as container:
        packets = container.demux(audio=0)
        return [(p.pts * p.time_base - begin, bytes(p)) for p in packets if p.pts is not None]


def video_seconds(path: Path) -> Fraction:
    """The duration of the video stream; where that is unknown, of the file from the first video frame on."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.duration is not None:
            return stream.duration * stream.time_base
        start = next(container.decode(stream))
        return Fraction(container.duration, av.time_base) - start.pts * start.time_base


def hidden(folder: Path) -> list[str]:
    """Names of hidden files other than the record of a run, none of which a failure may leave."""
    return [entry.name for entry in folder.iterdir() if entry.name.startswith(".") and entry.name != ".eqvi-run"]


def file_names(folder: Path) -> list[str]:
    """Names of the visible files, sorted."""
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


def file_contents(folder: Path) -> dict[str, bytes]:
    """Bytes of the visible files by name."""
    return {name: (folder / name).read_bytes() for name in file_names(folder)}


def interpolate(source: Path, target: Path, model: Blend | None = None, **options: Any) -> Summary:
    """`convert` with a stand-in for the model and some options."""
    return convert(source, target, model or Blend(), Settings(**options))
