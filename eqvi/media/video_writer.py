"""A new video file: frames in, H.264, VP9 or lossless out, with another file's sound carried over unchanged."""

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from eqvi.errors import InputError
from eqvi.files import replacing
from eqvi.media.colour import Colour, to_frame
from eqvi.media.image import Image

#: Endings of the video files that are written.
CONTAINERS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
# Containers that take a video's length from decoding times, which with a variable frame rate and reordered frames are
# not spread as the frames are.
_LENGTH_BY_DTS = ("mp4", "mov", "ipod")
# Tags of the container itself rather than of what was filmed.
_OWN_METADATA = {"major_brand", "minor_version", "compatible_brands", "encoder"}


class Encoding(NamedTuple):
    """How frames are stored: FFmpeg's encoder, pixel format and options."""

    codec: str
    pixel_format: str
    options: dict[str, str]

    @property
    def depth(self) -> int:
        """Bits a channel."""
        return max(component.bits for component in av.VideoFormat(self.pixel_format).components)


def choose_encoding(
    path: Path, size: tuple[int, int], depth: int = 8, lossless: bool = False, crf: int | None = None
) -> Encoding:
    """The encoding that suits the ending of `path`.

    H.264 in mp4, mov and mkv, VP9 in webm, 4:2:0, and 10 bits where `depth` is more than 8 and the codec can. H.264
    cannot store odd sizes in 4:2:0, so those become 4:4:4. `lossless` keeps RGB bit for bit: FFV1 in mkv (8 or 16
    bits), H.264 in mp4 and mov, VP9 in webm. `crf` is the quality, by default 18 (H.264) or 28 (VP9).

    Raises:
        InputError: no video container has that ending.
    """
    ending = path.suffix.lower()
    if ending not in CONTAINERS:
        raise InputError(f"{path}: {ending or 'no ending'!r} is no video format to write: use {', '.join(CONTAINERS)}")
    if ending == ".webm":
        if lossless:
            return Encoding("libvpx-vp9", "gbrp", {"lossless": "1"})
        return Encoding("libvpx-vp9", "yuv420p", {"crf": str(28 if crf is None else crf), "b": "0", "cpu-used": "4"})
    if lossless and ending == ".mkv":
        return Encoding("ffv1", "bgr0" if depth == 8 else "gbrp16le", {"level": "3"})
    if lossless:
        return Encoding("libx264rgb", "rgb24", {"qp": "0"})
    layout = "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
    return Encoding("libx264", layout + ("" if depth == 8 else "10le"), {"crf": str(18 if crf is None else crf)})


class Companion(NamedTuple):
    """The video that a new one is made from, for what is taken over from it.

    Attributes:
        path: the file.
        start: seconds on its own clock that count as 0.
        sound: whether to take over its sound; titles and the like always are.
    """

    path: Path
    start: Fraction
    sound: bool


@contextlib.contextmanager
def encode(
    path: Path,
    encoding: Encoding,
    size: tuple[int, int],
    rate: Fraction,
    time_base: Fraction,
    threads: int = 1,
    colour: Colour | None = None,
    pixel_aspect: Fraction | None = None,
    companion: Companion | None = None,
    cut_sound: bool = False,
) -> Iterator["Writer"]:
    """Open a video file for writing; it appears under its name when the block ends, and not at all if that fails.

    Args:
        path: where to; its ending chooses the container.
        encoding: from `choose_encoding`.
        size: (width, height) in pixels.
        rate: frames a second, a hint to players; the times given with the frames are what counts.
        time_base: seconds a tick; frames' times are rounded to it.
        threads: encoder threads; one is as repeatable as the encoder is (see `eqvi.media.h264`).
        colour: tags to write, by default BT.709.
        pixel_aspect: width over height of a pixel as shown, where it is not 1.
        companion: the video to take sound and title from.
        cut_sound: end the sound with the last frame instead of where it ends by itself.

    Raises:
        InputError: the container cannot hold the sound, the place is not writable or the disk is full.
    """
    with replacing(path) as partial, contextlib.ExitStack() as stack:
        try:
            # bitexact: no random identifiers and no version strings, so that equal input gives equal bytes.
            container = stack.enter_context(av.open(str(partial), "w", options={"fflags": "+bitexact"}))
            stream = container.add_stream(
                encoding.codec, rate=rate, time_base=time_base, options=encoding.options, width=size[0], height=size[1]
            )
            context = stream.codec_context
            assert isinstance(context, VideoCodecContext)
            context.pix_fmt, context.thread_count = encoding.pixel_format, threads
            tags = (colour or Colour()).stored_as(encoding.pixel_format)
            context.colorspace, context.color_range = tags.matrix, tags.range
            context.color_primaries, context.color_trc = tags.primaries, tags.transfer
            if pixel_aspect is not None:
                context.sample_aspect_ratio = pixel_aspect
            sound = None
            if companion is not None:
                source = stack.enter_context(av.open(str(companion.path), metadata_errors="replace"))
                container.metadata.update({k: v for k, v in source.metadata.items() if k not in _OWN_METADATA})
                sound = Sound(source, container, companion.start, path) if companion.sound else None
            writer = Writer(container, context, time_base, encoding.pixel_format, colour or Colour(), sound, cut_sound)
            yield writer
            writer.flush()
            container.close()
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise  # `replacing` knows what to say of a full disk
            raise InputError(f"{path}: cannot be encoded: {error}") from None


class Writer:
    """Takes the frames of one video file in order; made by `encode`."""

    def __init__(
        self,
        container: OutputContainer,
        context: VideoCodecContext,
        time_base: Fraction,
        pixel_format: str,
        colour: Colour,
        sound: "Sound | None",
        cut_sound: bool,
    ) -> None:
        self._container, self._context, self._time_base = container, context, time_base
        self._pixel_format, self._colour, self._sound = pixel_format, colour, sound
        self._pending: tuple[Image, int] | None = None
        self._durations: dict[int, int] = {}
        self._cut_sound = cut_sound
        self._start: int | None = None
        self._end = 0
        self._last: Packet | None = None
        self._first_dts: int | None = None

    def has(self, name: str) -> bool:
        """Never: a video is written in one go."""
        return False

    def add(self, name: str, time: Fraction, picture: Image, path: Path | None) -> None:
        """Add a frame that appears `time` seconds from the start and stays until the next one; it needs no name."""
        tick = round(time / self._time_base)
        self._push(tick)
        self._pending = (picture, tick)

    def end(self, time: Fraction) -> None:
        """Say when the last frame ends, in seconds."""
        self._end = round(time / self._time_base)
        self._push(self._end)

    def flush(self) -> None:
        """Write what encoder and sound still hold."""
        self._queue(self._context.encode(None))
        if self._last is not None:
            if self._container.format.name in _LENGTH_BY_DTS and self._first_dts is not None:
                length = self._end - (self._start or 0)
                self._last.duration = length + self._first_dts - int(self._last.dts or 0)
            self._mux(self._last)
        if self._sound is not None:
            self._sound.copy(self._end * self._time_base if self._cut_sound else None)

    def _push(self, until: int) -> None:
        """Encode the frame held back, now that it is known to last until the tick `until`."""
        if self._pending is None:
            return
        picture, tick = self._pending
        self._pending = None
        self._start = tick if self._start is None else self._start
        frame = to_frame(picture, self._colour, self._pixel_format)
        frame.pts, frame.time_base = tick, self._time_base
        self._durations[tick] = until - tick
        self._queue(self._context.encode(frame))

    def _queue(self, packets: Iterable[Packet]) -> None:
        """Write encoded packets, all but the very last."""
        for packet in packets:
            # Without this the container would not know how long the last frame is shown.
            packet.duration = self._durations.pop(int(packet.pts or 0))
            packet.stream = self._container.streams.video[0]
            if self._first_dts is None:
                self._first_dts = packet.dts
            if self._last is not None:
                self._mux(self._last)
            self._last = packet

    def _mux(self, packet: Packet) -> None:
        if self._sound is not None:
            self._sound.copy((packet.dts or 0) * self._time_base)
        self._container.mux(packet)


class Sound:
    """Carries a file's sound into another, packet by packet, unchanged, in step with the picture."""

    def __init__(self, source: InputContainer, target: OutputContainer, start: Fraction, path: Path) -> None:
        self._target, self._start = target, start
        self._streams = {}
        for stream in source.streams.audio:
            try:
                self._streams[stream.index] = target.add_stream_from_template(stream)
            except ValueError:
                raise InputError(
                    f"{path}: a {path.suffix} file cannot hold {stream.codec_context.codec.canonical_name} sound: "
                    "write .mkv, or leave the sound out with --no-audio"
                ) from None
        self._packets = source.demux(source.streams.audio)
        self._next = next(self._packets, None)

    def copy(self, until: Fraction | None) -> None:
        """Copy the packets that start before `until` seconds, or all that are left."""
        while self._next is not None:
            packet = self._next
            # A packet without a time is the demuxer's mark of the end.
            if packet.dts is not None and packet.time_base is not None:
                shift = round(self._start / packet.time_base)
                if until is not None and (packet.dts - shift) * packet.time_base >= until:
                    return
                packet.dts -= shift
                packet.pts = None if packet.pts is None else packet.pts - shift
                packet.stream = self._streams[packet.stream.index]
                self._target.mux(packet)
            self._next = next(self._packets, None)
