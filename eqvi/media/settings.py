"""The options of an interpolation of a clip, and which of them go together."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from eqvi.errors import InputError
from eqvi.media.frame_names import REDS_RATE, reds_spacing
from eqvi.media.image import Rounding
from eqvi.media.image_files import list_frames
from eqvi.media.schedule import parse_rate, parse_slow

#: The settings that the frames in a folder depend on: a run is resumed only if these are equal.
FRAME_SETTINGS = ["factor", "fps", "drop_inputs", "size", "crop", "naming", "scene_cuts", "rounding", "limit"]
FRAME_SETTINGS += ["dedupe"]


@dataclass(frozen=True)
class Settings:
    """The options of ``python -m eqvi interpolate``, under the same names."""

    factor: int | None = None  # output frames for every input frame; None: 2, or as `slow` needs; 1 only copies
    fps: str | None = None  # output frames a second instead, such as 60, 29.97 or 30000/1001
    drop_inputs: bool = False  # output new frames only
    size: str | None = None  # WxH to resize input frames to
    crop: str | None = None  # WxH[+X+Y], the part of the (resized) input frames to use
    naming: Literal["generic", "reds"] = "generic"  # see `eqvi.media.frame_names`
    scene_cuts: bool = True  # detect scene cuts and do not interpolate across them
    input_fps: str | None = None  # rate of a folder of frames; by default 30
    rounding: Rounding = "round"  # or truncate, as the published writer does
    format: Literal["png", "jpg", "webp"] | None = None  # of a folder's frames; None = as the input
    limit: int | None = None  # use the first so many input frames only
    overwrite: bool = False  # replace an existing output
    lossless: bool = False  # for this and the next three see `eqvi.media.video_writer`
    crf: int | None = None
    encoder_threads: int = 1
    audio: bool = True
    complete: bool = False  # refuse a folder in which frame numbers are missing
    dedupe: bool = False  # leave out frames that repeat the one before
    slow: str | None = None  # how many times longer a video becomes, such as 2 or 1.5


def check_options(settings: Settings, source: Path, target: Path, to_video: bool) -> None:
    """Raise InputError if an option would be without effect."""
    if target.resolve() == source.resolve():
        raise InputError(f"{target}: is the input: write elsewhere")
    if to_video and not target.parent.is_dir():
        raise InputError(f"{target}: there is no folder {target.parent}: make it first")
    if settings.slow and not to_video:
        raise InputError(f"--slow is for videos: {target} is a folder, which has no duration")
    if settings.limit is not None and settings.limit < 1:
        raise InputError(f"limit {settings.limit} must be 1 or more")
    if settings.input_fps and source.is_file():
        raise InputError(f"--input-fps is for folders of frames: {source} says its own rate")
    if to_video and (settings.format or settings.naming != "generic"):
        raise InputError(f"--format and --naming are for folders: {target} is a video")
    if not to_video and (settings.lossless or settings.crf is not None):
        raise InputError(f"--lossless and --crf are for videos: {target} is a folder")


def with_factor(settings: Settings) -> Settings:
    """The settings with their default factor: as many frames as keep the rate of a slowed video, if that is whole."""
    if settings.factor is not None or settings.fps:
        return replace(settings, factor=2 if settings.factor is None else settings.factor)
    slow = parse_slow(settings.slow) if settings.slow else Fraction(2)
    return replace(settings, factor=int(slow)) if slow.denominator == 1 else settings


def folder_rate(source: Path, settings: Settings) -> Fraction | None:
    """Frames a second of a folder, by the option or by its REDS names; else None."""
    rate = parse_rate(settings.input_fps) if settings.input_fps else None
    if source.is_file():
        return None
    if settings.naming == "reds":
        named = Fraction(REDS_RATE, reds_spacing([path.stem for path in list_frames(source)[0]]))
        if rate not in (None, named):
            raise InputError(f"--input-fps {settings.input_fps}: the names in {source} mean {named} frames a second")
        return named
    return rate
