"""Video files as FFmpeg opens them: which stream is the picture, and which of the others are left out."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from eqvi.errors import InputError

#: Pixels of the largest frame that is decoded, Pillow's limit for pictures.
LARGEST = 178_956_970


def file_url(path: Path) -> str:
    """The name by which FFmpeg opens exactly the file `path`: a colon in it would otherwise name a protocol."""
    return f"file:{path}"


@contextlib.contextmanager
def open_input(path: Path) -> Iterator[InputContainer]:
    """A video or sound file to read.

    Raises:
        InputError: there is no such file, it may not be read, or it is none.
    """
    try:
        container = av.open(file_url(path), metadata_errors="replace")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file or folder") from None
    except PermissionError:
        raise InputError(f"{path}: may not be read: check its permissions") from None
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(f"{path}: is not a video that can be read ({getattr(error, 'strerror', error)})") from None
    with container:
        yield container


def picture_stream(path: Path, container: InputContainer) -> av.VideoStream:
    """The first video stream that FFmpeg can decode; a cover picture is none.

    Raises:
        InputError: there is none.
    """
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise InputError(f"{path}: holds no video stream: give a video or a folder of frames")
    known = [stream for stream in streams if is_known(stream)]
    if not known:
        raise InputError(f"{path}: FFmpeg has no decoder for its video: convert it with the program that made it")
    width, height = known[0].codec_context.width, known[0].codec_context.height
    if width * height > LARGEST:
        raise InputError(f"{path}: claims frames of {width}x{height}, which take too much memory: is it damaged?")
    return known[0]


def is_known(stream: Stream) -> bool:
    """Whether FFmpeg has a decoder for a stream."""
    return stream.codec_context is not None


def left_out(path: Path, container: InputContainer, picture: av.VideoStream) -> list[str]:
    """A note for each kind of stream that is neither the picture nor sound that can be copied."""
    videos = [stream for stream in container.streams.video if stream.index != picture.index]
    others = sum(not _is_cover(stream) for stream in videos)
    unknown = sum(not is_known(stream) for stream in container.streams.audio)
    # MP4 stores the names of chapters as a data track.
    tracks = 0 if container.chapters() else len(container.streams.data)
    kinds = [
        ("{} more video stream(s)", others),
        ("{} cover picture(s)", len(videos) - others),
        ("{} sound track(s) that FFmpeg has no decoder for", unknown),
        ("subtitles", len(container.streams.subtitles)),
        ("{} data track(s)", tracks),
        ("{} attachment(s)", len(container.streams.attachments)),
    ]
    notes = [f"{path.name} has {kind.format(count)}, left out" for kind, count in kinds if count]
    if ("alpha_mode", "1") in (
        (key.lower(), value) for key, value in picture.metadata.items()
    ):  # VP8 and VP9 in WebM, which FFmpeg's own decoder reads without it
        notes.append(f"{path.name} has an alpha channel, which is left out")
    return notes


def side_data(frame: VideoFrame, kind: Type) -> NDArray[np.int32] | None:
    """The integers of a frame's side data of one kind; None if it has none."""
    by_kind: Mapping[Any, Any] = frame.side_data
    data = by_kind.get(kind)
    return None if data is None else np.frombuffer(bytes(data), np.int32)


def _is_cover(stream: Stream) -> bool:
    """Whether a stream is the cover picture of a music file, which is stored as a video of one frame."""
    return bool(stream.disposition & Disposition.attached_pic)
