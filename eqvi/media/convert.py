"""Interpolation of a whole clip: input frames are read, the frames of the schedule are computed and written."""

import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tqdm import tqdm

from eqvi.errors import InputError
from eqvi.media.clip import Clip, open_clip, parse_box, parse_size, slowed
from eqvi.media.colour import BT709
from eqvi.media.companion import Companion
from eqvi.media.frame_names import REDS_RATE, FrameNamer, reds_spacing
from eqvi.media.image import Rounding
from eqvi.media.image_files import FORMATS, list_frames
from eqvi.media.output import FrameWriter, is_video, open_folder
from eqvi.media.repeats import cadence_note, without_repeats
from eqvi.media.scene_cuts import CutDetector
from eqvi.media.schedule import Schedule, common_tick, parse_rate, parse_slow
from eqvi.media.video_writer import choose_encoding, encode
from eqvi.media.window import Interpolator, Window, neighbours_of, windows

# The settings that the frames in a folder depend on: a run is resumed only if these are equal.
_FRAME_SETTINGS = ["factor", "fps", "drop_inputs", "size", "crop", "naming", "scene_cuts", "rounding", "limit"]
_FRAME_SETTINGS += ["dedupe"]


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


class Summary(NamedTuple):
    """What a run did."""

    inputs: int  # frames read
    new: int  # frames computed
    repeated: int  # frames repeated at scene cuts
    skipped: int  # frames that an earlier, interrupted run had written
    cuts: tuple[str, ...]  # names of the last frames before a scene cut
    uneven: int  # gaps interpolated linearly because their neighbours are longer or shorter
    seconds: float  # duration of the run


def convert(
    source: Path,
    target: Path,
    model: Any,
    settings: Settings | None = None,
    device: str = "cpu",
    model_identity: str = "",
) -> Summary:
    """Interpolate a folder of frames or a video file into a folder or a video file.

    Args:
        source: folder of PNG, JPEG or WebP frames, or a video file.
        target: folder, or a video file by its suffix.
        model: anything with `EQVI.estimate_motion` and `EQVI.interpolate`, on `device`.
        settings: see `Settings`.
        device: where the model is.
        model_identity: an interrupted run is resumed only with an equal one.

    Raises:
        InputError: the input or a setting cannot be used; no half-written file is left.
    """
    started = time.monotonic()
    settings = _with_factor(settings or Settings())
    to_video = is_video(target)
    _check_options(settings, source, target, to_video)
    slow = parse_slow(settings.slow) if settings.slow else None
    folder_rate = _folder_rate(source, settings)
    size = parse_size(settings.size) if settings.size else None
    clip = open_clip(source, folder_rate, size, parse_box(settings.crop) if settings.crop else None, settings.limit)
    if clip.holes and settings.complete:
        raise InputError(f"{source}: numbers are missing between {clip.holes[0][0]} and {clip.holes[0][1]}")
    if settings.dedupe:
        clip = without_repeats(clip)
    if slow is not None:
        settings = settings if settings.factor or settings.fps else replace(settings, fps=str(clip.rate))
        clip = slowed(clip, slow)
    all_windows = windows(clip.read(), CutDetector() if settings.scene_cuts else None, neighbours_of(model))
    # The first frames are read before anything is written: most faults of an input show here.
    first = next(all_windows)
    if first.second is None and (settings.fps or settings.factor != 1):
        raise InputError(f"{source}: holds one frame only: interpolation needs two or more")
    schedule = Schedule(
        factor=None if settings.fps else settings.factor,
        rate=parse_rate(settings.fps) if settings.fps else None,
        keep_inputs=not settings.drop_inputs,
        repeat_last=to_video,
        origin=first.first.time,
    )
    suffix = f".{settings.format}" if settings.format else clip.suffix
    if not to_video and clip.channels in (2, 4) and FORMATS[suffix] == "JPEG":
        raise InputError(f"{target}: JPEG holds no alpha channel: choose --format png or webp")
    namer = FrameNamer(settings.naming == "reds", clip.stems, first.first.time)
    new = _count_new(clip, namer, schedule)
    notes = _notes(clip, target, to_video, suffix, settings)
    if settings.factor != 1 and not settings.dedupe and (note := cadence_note(clip)):
        notes.append(note)
    if folder_rate is None and clip.stems and (to_video or settings.fps):
        notes.append(f"no --input-fps given: the folder's frames are taken at {clip.rate} a second")
    for note in notes:
        print_message(f"note: {note}")
    output: AbstractContextManager[FrameWriter]
    if to_video:
        output = _open_video(target, clip, schedule, settings)
    else:
        facts = {name: getattr(settings, name) for name in _FRAME_SETTINGS}
        facts |= {"input": clip.identity, "model": model_identity, "rate": str(clip.rate), "format": suffix}
        output = open_folder(target, suffix, facts, settings.overwrite)
    with output as writer:
        interpolator = Interpolator(model, device, settings.rounding)
        summary = _write_frames(chain([first], all_windows), schedule, namer, writer, interpolator, new)
    return summary._replace(seconds=time.monotonic() - started)


def summary_lines(summary: Summary, target: Path) -> list[str]:
    """The summary as lines to print."""
    lines = []
    if summary.cuts:
        names = ", ".join(summary.cuts[:5]) + (", ..." if len(summary.cuts) > 5 else "")
        lines.append(
            f"note: {len(summary.cuts)} scene cut(s) not interpolated across, after {names}; "
            f"{summary.repeated} frame(s) repeated there (--no-scene-cuts turns this off)"
        )
    if summary.uneven:
        lines.append(f"note: {summary.uneven} gap(s) beside longer or shorter ones: straight motion taken there")
    if summary.skipped:
        lines.append(f"note: {summary.skipped} frame(s) were there already from an interrupted run")
    speed = f"{summary.seconds:.1f} s ({summary.new / summary.seconds:.2f} a second)"
    lines.append(f"{target}: {summary.new} new frames from {summary.inputs} in {speed}")
    return lines


def print_message(line: str) -> None:
    """Print a line for the user on the error stream."""
    print(f"eqvi: {line}", file=sys.stderr)


def _write_frames(
    frames: Iterable[Window],
    schedule: Schedule,
    namer: FrameNamer,
    writer: FrameWriter,
    interpolator: Interpolator,
    new: int | None,
) -> Summary:
    """Write every frame of the schedule in order; `new` is the expected number of new ones, for the progress bar."""
    counts = Counter(inputs=0, new=0, repeated=0, skipped=0, uneven=0)
    cuts = []
    with tqdm(total=new, unit="new", desc="interpolating", disable=None, dynamic_ncols=True) as bar:
        for window in frames:
            first, second = window.first, window.second
            end = first.time + first.duration
            steps = schedule.between(first.time, second.time) if second else schedule.after_last(first.time, end)
            counts["inputs"] += 1
            counts["uneven"] += window.uneven
            if window.cut:
                cuts.append(first.stem)
            for name, step in namer.names(steps, first.stem, second.stem if second else ""):
                if writer.has(name):
                    counts["skipped"] += 1
                    bar.total = bar.total and bar.total - step.is_new
                elif step.is_new and not window.cut:
                    writer.add(name, step.time, interpolator.interpolate_image(window, step.t), None)
                    counts["new"] += 1
                    bar.update()
                else:
                    nearer = second if second and step.t > Fraction(1, 2) else first
                    writer.add(name, step.time, nearer.image, nearer.path)
                    counts["repeated"] += step.is_new
            if second is None:
                writer.end(end)
    return Summary(**counts, cuts=tuple(cuts), seconds=0.0)


def _count_new(clip: Clip, namer: FrameNamer, schedule: Schedule) -> int | None:
    """How many frames will be new, after a check that all can be named; None if the clip's length is not known."""
    if clip.stems:
        return namer.count_new(schedule, clip.stems, clip.rate)
    # A video's timestamps are not known yet: one second at its average rate is checked instead.
    sample = max(2, round(clip.rate))
    new = namer.count_new(schedule, [f"{position:06d}" for position in range(sample)], clip.rate)
    return None if clip.count is None else round(new * (clip.count - 1) / (sample - 1))


def _check_options(settings: Settings, source: Path, target: Path, to_video: bool) -> None:
    """Refuse options that would be without effect."""
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


def _with_factor(settings: Settings) -> Settings:
    """The settings with their default factor: as many frames as keep the rate of a slowed video, if that is whole."""
    if settings.factor is not None or settings.fps:
        return replace(settings, factor=2 if settings.factor is None else settings.factor)
    slow = parse_slow(settings.slow) if settings.slow else Fraction(2)
    return replace(settings, factor=int(slow)) if slow.denominator == 1 else settings


def _folder_rate(source: Path, settings: Settings) -> Fraction | None:
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


def _notes(clip: Clip, target: Path, to_video: bool, suffix: str, settings: Settings) -> list[str]:
    """What is done to the frames that a user might not expect, one line each."""
    notes = list(clip.notes)
    if clip.holes:
        (a, b), more = clip.holes[0], f", and {len(clip.holes) - 1} more such" if len(clip.holes) > 1 else ""
        notes.append(f"numbers are missing between {a} and {b}{more}: taken as neighbours (--complete refuses)")
    if clip.meaning and (to_video or (suffix != ".png" and clip.meaning != "ICC profile")):
        notes.append(f"{clip.meaning} of the frames is left out: {target.name} holds none")
    if settings.slow and clip.video and clip.video.audio and settings.audio:
        notes.append("the sound is left out, because the video becomes longer")
    has_alpha, is_grey = clip.channels in (2, 4), clip.channels <= 2
    if is_grey:
        notes.append("grey frames are processed as RGB and written back " + ("as colour" if to_video else "grey"))
    if has_alpha and to_video:
        notes.append("the alpha channel is left out: the video holds none")
    elif has_alpha:
        notes.append("alpha moves with the picture and is blended by the same weights")
    encoding = choose_encoding(target, clip.size, clip.depth, settings.lossless) if to_video else None
    depth = encoding.depth if encoding else 16 if suffix == ".png" else 8
    if clip.video and clip.video.hdr10 and not (encoding and encoding.holds_hdr10):
        notes.append(f"HDR10 mastering data is left out: {target.name} cannot hold it")
    if depth < (clip.video.depth if clip.video else clip.depth):
        notes.append(f"frames of more than 8 bits a channel are written with {depth}")
    width, height = clip.size
    if to_video and (width % 2 or height % 2) and target.suffix.lower() != ".webm":
        notes.append(
            f"{width}x{height} is odd, so H.264 is written as 4:4:4, which some players cannot show; "
            f"--crop {width // 2 * 2}x{height // 2 * 2} gives plain 4:2:0"
        )
    return notes


def _open_video(path: Path, clip: Clip, schedule: Schedule, settings: Settings) -> AbstractContextManager[FrameWriter]:
    """A video file with the colour, pixel aspect and audio of the source video, if there is one.

    Raises:
        InputError: the file exists.
    """
    if path.exists() and not settings.overwrite:
        raise InputError(f"{path}: exists already: give --overwrite to replace it, or another name")
    video = clip.video
    rate = schedule.rate or clip.rate * (settings.factor or 1)
    tick = common_tick(1 / rate, clip.time_base) if schedule.rate else clip.time_base / (settings.factor or 1)
    slow = parse_slow(settings.slow) if settings.slow else Fraction(1)
    companion = None
    if video is not None:
        audio = settings.audio and bool(video.audio) and not settings.slow
        # Sound and chapters of a shortened video end with it.
        end = None if settings.limit is None else (clip.count or settings.limit) / clip.rate
        companion = Companion(video.path, video.start, audio, end, slow)
    return encode(
        path,
        choose_encoding(path, clip.size, clip.depth, settings.lossless, settings.crf),
        clip.size,
        rate,
        tick,
        threads=settings.encoder_threads,
        colour=video.colour if video else BT709,
        # Resized frames have square pixels: after --size 512x512 a player should show a square.
        pixel_aspect=video.pixel_aspect if video and not settings.size else None,
        companion=companion,
        hdr10=video.hdr10 if video else "",
    )
