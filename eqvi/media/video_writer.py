"""Writing video files: H.264, VP9 or lossless, with the audio and the titles of the source video copied unchanged."""

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from eqvi.errors import InputError
from eqvi.files import replacing
from eqvi.media.colour import BT709, Colour, to_frame
from eqvi.media.companion import CONTAINERS, AudioCopy, Companion, check_sound, copy_metadata
from eqvi.media.container import file_url, open_input
from eqvi.media.image import Image

# FFmpeg's names of the containers that derive a video's length from decoding times. With a variable frame rate and
# reordered frames those are not spaced as the frames are.
_LENGTH_BY_DTS = ("mp4", "mov", "ipod")
# OpenCV's CPU_AVX_512F, which its Python module does not name.
_AVX_512F = 13


class Encoding(NamedTuple):
    """How frames are stored: FFmpeg's encoder, pixel format and options."""

    codec: str
    pixel_format: str
    options: dict[str, str]

    @property
    def depth(self) -> int:
        """Bits a channel."""
        return max(component.bits for component in av.VideoFormat(self.pixel_format).components)

    @property
    def holds_hdr10(self) -> bool:
        """Whether the encoder writes HDR10 mastering data."""
        return self.codec.startswith("libx264")


def choose_encoding(
    path: Path, size: tuple[int, int], depth: int = 8, lossless: bool = False, crf: int | None = None
) -> Encoding:
    """The encoding for a file of that suffix.

    H.264 in mp4, mov and mkv, VP9 in webm, 4:2:0, and 10 bits where `depth` is more than 8 and the codec can. H.264
    cannot store odd sizes in 4:2:0, so those become 4:4:4. `lossless` keeps RGB bit for bit: FFV1 in mkv (8 or 16
    bits), H.264 in mp4 and mov, VP9 in webm. `crf` is the quality, by default 18 (H.264) or 28 (VP9).

    Raises:
        InputError: no video container has that suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise InputError(f"{path}: {suffix or 'no ending'!r} is no video format to write: use {', '.join(CONTAINERS)}")
    if suffix == ".webm":
        if lossless:
            return Encoding("libvpx-vp9", "gbrp", {"lossless": "1"})
        return Encoding("libvpx-vp9", "yuv420p", {"crf": str(28 if crf is None else crf), "b": "0", "cpu-used": "4"})
    if lossless and suffix == ".mkv":
        return Encoding("ffv1", "bgr0" if depth == 8 else "gbrp16le", {"level": "3"})
    if lossless:
        return Encoding("libx264rgb", "rgb24", {"qp": "0"})
    layout = "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
    return Encoding("libx264", layout + ("" if depth == 8 else "10le"), {"crf": str(18 if crf is None else crf)})


@contextlib.contextmanager
def encode(
    path: Path,
    encoding: Encoding,
    size: tuple[int, int],
    rate: Fraction,
    time_base: Fraction,
    threads: int = 1,
    colour: Colour = BT709,
    pixel_aspect: Fraction | None = None,
    companion: Companion | None = None,
    hdr10: str = "",
) -> Iterator["VideoWriter"]:
    """Open a video file for writing; it appears under its name when the block ends, and not at all if that fails.

    Args:
        path: the file to write; its suffix chooses the container.
        encoding: from `choose_encoding`.
        size: (width, height) in pixels.
        rate: frames a second, a hint to players: frames appear at the times that they are added with.
        time_base: seconds a tick; frames' times are rounded to it.
        threads: encoder threads; with one, equal frames give equal bytes.
        colour: tags to write.
        pixel_aspect: width over height of a pixel as shown, where it is not 1.
        companion: the video to copy sound, titles and chapters from.
        hdr10: mastering data, of `eqvi.media.hdr`; only x264 writes it.

    Raises:
        InputError: the container cannot hold the audio, another process writes the file, the place is not writable or
            the disk is full.
    """
    if companion is not None:
        check_sound(path, companion)
    with replacing(path, patience=0) as partial, contextlib.ExitStack() as stack:
        try:
            # bitexact: no random identifiers and no version strings, so that equal input gives equal bytes.
            container = stack.enter_context(av.open(file_url(partial), "w", options={"fflags": "+bitexact"}))
            options = encoding.options | (_x264_params(hdr10) if encoding.codec.startswith("libx264") else {})
            stream = container.add_stream(
                encoding.codec, rate=rate, time_base=time_base, options=options, width=size[0], height=size[1]
            )
            context = stream.codec_context
            assert isinstance(context, VideoCodecContext)
            context.pix_fmt, context.thread_count = encoding.pixel_format, threads
            tags = colour.stored_as(encoding.pixel_format, size)
            context.colorspace, context.color_range = tags.matrix, tags.range
            context.color_primaries, context.color_trc = tags.primaries, tags.transfer
            if pixel_aspect is not None:
                context.sample_aspect_ratio = pixel_aspect
            audio = None
            if companion is not None:
                source = stack.enter_context(open_input(companion.path))
                copy_metadata(source, container, companion)
                audio = AudioCopy(source, container, companion) if companion.audio else None
            container.start_encoding()  # now: what the container cannot hold is to be said before the first frame
            if (longest := stream.time_base or time_base) > 1 / rate:
                most = f"{1 / longest} frames a second at most"
                raise InputError(f"{path}: a {path.suffix} file tells {most}: write .mp4, or give a lower rate")
            yield VideoWriter(container, context, time_base, colour, audio)
            container.close()
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise  # `replacing` has the message for a full disk
            raise InputError(f"{path}: cannot be encoded: {error}") from None


def _x264_params(hdr10: str) -> dict[str, str]:
    """x264's own options.

    Its AVX-512 code for macroblock trees gives one of many results for equal frames, depending on what lies in memory;
    its AVX2 code always gives that of its C code.
    """
    repeatable = "asm=avx2" if cv2.checkHardwareSupport(_AVX_512F) else ""
    params = ":".join(filter(None, (repeatable, hdr10)))
    return {"x264-params": params} if params else {}


class VideoWriter:
    """Writes the frames of one video file in order; from `encode`."""

    def __init__(
        self,
        container: OutputContainer,
        context: VideoCodecContext,
        time_base: Fraction,
        colour: Colour,
        audio: "AudioCopy | None",
    ) -> None:
        self._container, self._context, self._time_base = container, context, time_base
        self._colour, self._audio = colour, audio
        self._pending: tuple[Image, int] | None = None  # the last frame added, until its duration is known
        self._durations: dict[int, int] = {}
        self._last: Packet | None = None  # the last packet encoded, whose duration `end` may correct
        self._first_tick: int | None = None
        self._first_dts: int | None = None

    def has(self, name: str) -> bool:
        """Always False: an interrupted video cannot be resumed."""
        return False

    def add(self, name: str, time: Fraction, image: Image, path: Path | None) -> None:
        """Add a frame shown from `time` seconds until the next one; `name` and `path` are not used."""
        tick = round(time / self._time_base)
        own = self._container.streams.video[0].time_base or self._time_base
        if self._pending is not None and round(tick * self._time_base / own) <= round(
            self._pending[1] * self._time_base / own
        ):
            raise InputError(f"two frames at {float(time):.4f} s: the container cannot tell them apart, write .mp4")
        self._encode_pending(tick)
        self._pending = (image, tick)

    def end(self, time: Fraction) -> None:
        """End the last frame at `time` seconds, and write what is left of the encoder's packets and the audio."""
        end = round(time / self._time_base)
        self._encode_pending(end)
        self._write(self._context.encode(None))
        if self._last is not None:
            if self._container.format.name in _LENGTH_BY_DTS and self._first_dts is not None:
                length = end - (self._first_tick or 0)
                self._last.duration = length + self._first_dts - int(self._last.dts or 0)
            self._mux(self._last)
        if self._audio is not None:
            self._audio.finish(end * self._time_base)

    def _encode_pending(self, until: int) -> None:
        """Encode the pending frame, which is shown until the tick `until`."""
        if self._pending is None:
            return
        image, tick = self._pending
        self._pending = None
        if self._first_tick is None:
            self._first_tick = tick
        assert self._context.pix_fmt is not None
        frame = to_frame(image, self._colour, self._context.pix_fmt)
        frame.pts, frame.time_base = tick, self._time_base
        self._durations[tick] = until - tick
        self._write(self._context.encode(frame))

    def _write(self, packets: Iterable[Packet]) -> None:
        """Write encoded packets, except the last one so far."""
        for packet in packets:
            # The encoder does not set durations; without them the container cannot tell when the last frame ends.
            packet.duration = self._durations.pop(int(packet.pts or 0))
            packet.stream = self._container.streams.video[0]
            if self._last is None:
                self._first_dts = packet.dts
            else:
                self._mux(self._last)
            self._last = packet

    def _mux(self, packet: Packet) -> None:
        if self._audio is not None:
            self._audio.copy((packet.dts or 0) * self._time_base)
        self._container.mux(packet)
