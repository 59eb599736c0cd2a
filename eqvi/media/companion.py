"""What a new video takes over from its source besides the picture: titles, chapters, and the sound, unchanged."""

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Disposition

from eqvi.errors import InputError
from eqvi.media.container import is_known, open_input

#: Suffixes of the video files that can be written, and FFmpeg's name of each container.
CONTAINERS = {".mp4": "mp4", ".m4v": "ipod", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
# Metadata that describes the source's container rather than its content.
_CONTAINER_METADATA = {"major_brand", "minor_version", "compatible_brands", "encoder"}
# Metadata of a sound track that the user sees.
_TRACK_METADATA = ("language", "title")


class Companion(NamedTuple):
    """The source video, whose titles, chapters and sound are copied into the new one."""

    path: Path
    start: Fraction  # seconds on its own clock that count as 0
    audio: bool  # whether to copy its sound
    end: Fraction | None = None  # seconds at which sound and chapters end; None: where they end by themselves
    slow: Fraction = Fraction(1)  # how many times longer the new video is


def check_sound(path: Path, companion: Companion) -> None:
    """Make sure that the container of `path` can hold the sound that is to be copied.

    Raises:
        InputError: it cannot; the message names a container that can.
    """
    with open_input(companion.path) as source:
        names = [stream.codec_context.codec.canonical_name for stream in known_sound(source)]
    if not companion.audio or not names or _holds(path.suffix.lower(), companion.path):
        return
    others = [suffix for suffix in (".mkv", ".mov", ".mp4") if _holds(suffix, companion.path)]
    advice = f"write {others[0]}, or leave" if others else "convert the sound first, or leave"
    raise InputError(
        f"{path}: a {path.suffix} file cannot hold {' and '.join(dict.fromkeys(names))} sound: "
        f"{advice} the sound out with --no-audio"
    )


def known_sound(source: InputContainer) -> list[AudioStream]:
    """The sound tracks that can be copied: those that FFmpeg knows."""
    return [stream for stream in source.streams.audio if is_known(stream)]


def _holds(suffix: str, path: Path) -> bool:
    """Whether the container of that suffix takes the first packet of every sound track of a file."""
    with open_input(path) as source:
        streams = known_sound(source)
        try:
            with av.open(os.devnull, "w", format=CONTAINERS[suffix]) as target:
                copies = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in streams}
                target.start_encoding()
                waiting = set(copies)
                for packet in source.demux(streams):
                    if packet.dts is not None and packet.stream.index in waiting:
                        waiting.remove(packet.stream.index)
                        packet.stream = copies[packet.stream.index]
                        target.mux(packet)
                    if not waiting:
                        break
        except (av.error.FFmpegError, ValueError):
            return False
    return True


def copy_metadata(source: InputContainer, target: OutputContainer, companion: Companion) -> None:
    """Copy titles and chapters; before the target's header is written."""
    target.metadata.update({k: v for k, v in source.metadata.items() if k not in _CONTAINER_METADATA})
    chapters: list[Any] = _moved(source.chapters(), companion)
    target.set_chapters(chapters)


def _moved(chapters: Sequence[Mapping[str, Any]], companion: Companion) -> list[dict[str, Any]]:
    """Chapters on the clock of the new video, up to its end."""
    moved: list[dict[str, Any]] = []
    for chapter in chapters:
        tick = chapter["time_base"] or Fraction(1, 1000)
        start, end = ((chapter[key] * tick - companion.start) * companion.slow for key in ("start", "end"))
        if companion.end is None or start < companion.end:
            end = end if companion.end is None else min(end, companion.end)
            moved.append({**chapter, "start": round(max(start, Fraction(0)) / tick), "end": round(end / tick)})
    return moved


class AudioCopy:
    """Copies the audio packets of one file into another unchanged, interleaved with the video."""

    def __init__(self, source: InputContainer, target: OutputContainer, companion: Companion) -> None:
        self._target, self._companion = target, companion
        self._streams = {}
        for stream in known_sound(source):
            copy = target.add_stream_from_template(stream, opaque=True)
            copy.metadata.update({key: stream.metadata[key] for key in _TRACK_METADATA if key in stream.metadata})
            if "title" in stream.metadata:  # MP4 has no other place for it
                copy.metadata["handler_name"] = stream.metadata["title"]
            copy.disposition = Disposition(stream.disposition)
            self._streams[stream.index] = copy
        self._packets = source.demux(known_sound(source))
        self._next = next(self._packets, None)

    def copy(self, until: Fraction | None) -> None:
        """Copy the packets that start before `until` seconds, or all that are left."""
        while self._next is not None:
            packet = self._next
            # At its end the demuxer gives a packet without a time.
            if packet.dts is not None and packet.time_base is not None:
                shift = round(self._companion.start / packet.time_base)
                if until is not None and (packet.dts - shift) * packet.time_base >= until:
                    return
                packet.dts -= shift
                packet.pts = None if packet.pts is None else packet.pts - shift
                packet.stream = self._streams[packet.stream.index]
                self._target.mux(packet)
            self._next = next(self._packets, None)

    def finish(self, end: Fraction) -> None:
        """Copy what is left: up to `end`, where the last frame ends, if the sound is to be cut there."""
        self.copy(end if self._companion.end is not None else None)
