"""Interpolation of a whole clip: input frames are read, the frames of the schedule are computed and written."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from eqvi.errors import InputError
from eqvi.media.clip import Clip, open_clip, parse_box, parse_size, slowed
from eqvi.media.colour import BT709
from eqvi.media.companion import Companion
from eqvi.media.frame_names import FrameNamer
from eqvi.media.image import Image
from eqvi.media.image_files import FORMATS
from eqvi.media.output import FrameWriter, is_video, open_folder
from eqvi.media.pipeline import WriteBehind, read_ahead
from eqvi.media.precision import ask_for_tiles
from eqvi.media.repeats import cadence_note, without_repeats
from eqvi.media.scene_cuts import CutDetector
from eqvi.media.schedule import Schedule, common_tick, parse_rate, parse_slow
from eqvi.media.settings import FRAME_SETTINGS, check_options, folder_rate, with_factor
from eqvi.media.settings import Settings as Settings
from eqvi.media.side_by_side import SideBySide, frames_at_once
from eqvi.media.video_writer import choose_encoding, encode
from eqvi.media.window import Interpolator, Window, neighbours_of, windows


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
    with contextlib.ExitStack() as reading:
        summary = _convert(source, target, model, settings or Settings(), device, model_identity, reading)
    return summary._replace(seconds=time.monotonic() - started)


def _convert(
    source: Path,
    target: Path,
    model: Any,
    settings: Settings,
    device: str,
    model_identity: str,
    reading: contextlib.ExitStack,
) -> Summary:
    """As `convert`; `reading` gets what has to be closed."""
    settings = with_factor(settings)
    to_video = is_video(target)
    check_options(settings, source, target, to_video)
    slow = parse_slow(settings.slow) if settings.slow else None
    rate_of_folder = folder_rate(source, settings)
    size = parse_size(settings.size) if settings.size else None
    clip = open_clip(source, rate_of_folder, size, parse_box(settings.crop) if settings.crop else None, settings.limit)
    if clip.holes and settings.complete:
        raise InputError(f"{source}: numbers are missing between {clip.holes[0][0]} and {clip.holes[0][1]}")
    if hasattr(model, "grid"):
        ask_for_tiles(model, clip.size[1], clip.size[0])  # too small a budget shows before anything is written
    if settings.dedupe:
        clip = without_repeats(clip)
    if slow is not None:
        settings = settings if settings.factor or settings.fps else replace(settings, fps=str(clip.rate))
        clip = slowed(clip, slow)
    frames = reading.enter_context(contextlib.closing(read_ahead(clip.read())))
    all_windows = windows(frames, CutDetector() if settings.scene_cuts else None, neighbours_of(model))
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
    if rate_of_folder is None and clip.stems and (to_video or settings.fps):
        notes.append(f"no --input-fps given: the folder's frames are taken at {clip.rate} a second")
    for note in notes:
        print_message(f"note: {note}")
    output: AbstractContextManager[FrameWriter]
    if to_video:
        output = _open_video(target, clip, schedule, settings)
    else:
        facts = {name: getattr(settings, name) for name in FRAME_SETTINGS}
        facts |= {"input": clip.identity, "model": model_identity, "rate": str(clip.rate), "format": suffix}
        output = open_folder(target, suffix, facts, settings.overwrite)
    with output as writer, WriteBehind(writer) as behind:
        interpolator = Interpolator(model, device, settings.rounding)
        crew = SideBySide(frames_at_once(model, clip.size[1], clip.size[0]))
        return _write_frames(chain([first], all_windows), schedule, namer, behind, interpolator, crew, new)


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
    writer: WriteBehind,
    interpolator: Interpolator,
    crew: SideBySide,
    new: int | None,
) -> Summary:
    """Write every frame of the schedule in order; `new` is the expected number of new ones, for the progress bar."""
    counts = Counter(inputs=0, new=0, repeated=0, skipped=0, uneven=0)
    cuts = []

    def made(_: Future[Image]) -> None:
        with bar.get_lock():
            bar.update()

    with tqdm(total=new, unit="new", desc="interpolating", disable=None, dynamic_ncols=True) as bar, crew:
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
                    image = crew.submit(interpolator.prepared_image(window, step.t))
                    image.add_done_callback(made)
                    writer.add(name, step.time, image, None)
                    counts["new"] += 1
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
