"""From one clip to another: frames in, the schedule's frames out."""

import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from eqvi.errors import InputError
from eqvi.media.clip import Clip, open_clip, parse_box, parse_size
from eqvi.media.frame_names import REDS_RATE, Names, reds_spacing
from eqvi.media.image import ClipFrame
from eqvi.media.image_files import FORMATS, list_frames
from eqvi.media.output import FrameWriter, is_video, open_folder, open_video
from eqvi.media.schedule import Schedule, parse_rate
from eqvi.media.settings import Settings
from eqvi.media.video_writer import choose_encoding
from eqvi.media.window import CutDetector, Interpolator, Window, windows


class Summary(NamedTuple):
    """What a run did.

    Attributes:
        inputs: frames read.
        new: frames computed.
        repeated: frames repeated where two shots meet.
        skipped: frames that an earlier, interrupted run had written.
        cuts: names of the last frames before a scene cut.
        uneven: gaps interpolated linearly because their neighbours are longer or shorter.
        seconds: spent in all.
    """

    inputs: int
    new: int
    repeated: int
    skipped: int
    cuts: tuple[str, ...]
    uneven: int
    seconds: float


def print_message(line: str) -> None:
    """Tell the user something, on the error stream."""
    print(f"eqvi: {line}", file=sys.stderr)


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
        target: folder, or a video file by its ending.
        model: anything with `EQVI.estimate_motion` and `EQVI.interpolate`, on `device`.
        settings: see `Settings`.
        device: where the model is.
        model_identity: by which an interrupted run recognises the model when it is taken up again.

    Raises:
        InputError: something the user gave cannot be used; nothing half-written is left.
    """
    began = time.monotonic()
    settings = settings or Settings()
    to_video = is_video(target)
    _check(settings, source, target, to_video)
    rate = _folder_rate(source, settings)
    size = parse_size(settings.size) if settings.size else None
    clip = open_clip(source, rate, size, parse_box(settings.crop) if settings.crop else None, settings.limit)
    frames = windows(clip.read(), CutDetector() if settings.scene_cuts else _no_cut)
    # The first frames are read before anything is written: most of what can be wrong with an input shows here.
    first = next(frames)
    if first.second is None and (settings.factor > 1 or settings.fps):
        raise InputError(f"{source}: holds one frame only: interpolation needs two or more")
    schedule = Schedule(
        factor=None if settings.fps else settings.factor,
        rate=parse_rate(settings.fps) if settings.fps else None,
        keep_inputs=not settings.drop_inputs,
        hold=to_video,
        origin=first.first.time,
    )
    suffix = f".{settings.format}" if settings.format else clip.suffix
    if not to_video and clip.channels in (2, 4) and FORMATS[suffix] == "JPEG":
        raise InputError(f"{target}: JPEG holds no alpha channel: choose --format png or webp")
    names = Names(settings.naming == "reds", clip.stems, first.first.time)
    new = _expected(clip, names, schedule)
    notes = _notes(clip, target, to_video, suffix)
    if rate is None and clip.source is None and (to_video or settings.fps):
        notes.append(f"no --input-fps given: the folder's frames are taken at {clip.rate} a second")
    for note in notes:
        print_message(f"note: {note}")
    opened: AbstractContextManager[FrameWriter] = (
        open_video(target, clip, schedule, settings)
        if to_video
        else open_folder(target, clip, settings, suffix, model_identity)
    )
    with opened as writer:
        interpolator = Interpolator(model, device, settings.rounding)
        counts = _put(chain([first], frames), schedule, names, writer, interpolator, new)
    return counts._replace(seconds=time.monotonic() - began)


def summary_lines(summary: Summary, target: Path) -> list[str]:
    """What a run did, in lines for people."""
    lines = []
    if summary.cuts:
        shown = ", ".join(summary.cuts[:5]) + (", ..." if len(summary.cuts) > 5 else "")
        lines.append(
            f"note: {len(summary.cuts)} scene cut(s) not interpolated across, after {shown}; "
            f"{summary.repeated} frame(s) repeated there (--no-scene-cuts turns this off)"
        )
    if summary.uneven:
        lines.append(f"note: {summary.uneven} gap(s) beside longer or shorter ones: straight motion taken there")
    if summary.skipped:
        lines.append(f"note: {summary.skipped} frame(s) were there already from an interrupted run")
    pace = f"{summary.seconds:.1f} s ({summary.new / summary.seconds:.2f} a second)"
    lines.append(f"{target}: {summary.new} new frames from {summary.inputs} in {pace}")
    return lines


def _put(
    frames: Iterable[Window],
    schedule: Schedule,
    names: Names,
    writer: FrameWriter,
    interpolator: Interpolator,
    new: int | None,
) -> Summary:
    """Everything the schedule asks for, in order."""
    counts: Counter[str] = Counter()
    cuts = []
    with tqdm(total=new, unit="new", desc="interpolating", disable=None, dynamic_ncols=True) as bar:
        for window in frames:
            frame, second = window.first, window.second
            end = frame.time + frame.duration
            steps = schedule.after(frame.time, end) if second is None else schedule.between(frame.time, second.time)
            counts["inputs"] += 1
            counts["uneven"] += window.uneven
            if window.cut:
                cuts.append(frame.stem)
            number = 0
            for step in steps:
                inside = 0 < step.t < 1
                name = names(frame.stem, second.stem if second else "", step, number)
                number += inside
                if writer.has(name):
                    counts["skipped"] += 1
                    bar.total = bar.total and bar.total - inside
                elif inside and not window.cut:
                    writer.add(name, step.time, interpolator.interpolate_image(window, step.t), None)
                    counts["new"] += 1
                    bar.update()
                else:
                    nearer = second if second is not None and step.t > Fraction(1, 2) else frame
                    writer.add(name, step.time, nearer.image, nearer.path)
                    counts["repeated"] += inside
            if second is None:
                writer.end(end)
    return Summary(
        counts["inputs"], counts["new"], counts["repeated"], counts["skipped"], tuple(cuts), counts["uneven"], 0.0
    )


def _expected(clip: Clip, names: Names, schedule: Schedule) -> int | None:
    """How many frames will be new, after making sure that all can be named; None where nobody can know."""
    if clip.stems:
        return names.check(schedule, clip.stems, clip.rate)
    # A video's timestamps are not known yet: a second's worth at its average rate stands for them.
    sample = max(2, round(clip.rate))
    new = names.check(schedule, [f"{position:06d}" for position in range(sample)], clip.rate)
    return None if clip.count is None else round(new * (clip.count - 1) / (sample - 1))


def _check(settings: Settings, source: Path, target: Path, to_video: bool) -> None:
    """Refuse options that would be without effect."""
    if target.resolve() == source.resolve():
        raise InputError(f"{target}: is the input: write elsewhere")
    if settings.limit is not None and settings.limit < 1:
        raise InputError(f"limit {settings.limit} must be 1 or more")
    if settings.input_fps and source.is_file():
        raise InputError(f"--input-fps is for folders of frames: {source} says its own rate")
    if to_video and (settings.format or settings.naming != "generic"):
        raise InputError(f"--format and --naming are for folders: {target} is a video")
    if not to_video and (settings.lossless or settings.crf is not None):
        raise InputError(f"--lossless and --crf are for videos: {target} is a folder")


def _folder_rate(source: Path, settings: Settings) -> Fraction | None:
    """Frames a second of a folder, where the user or the names say so."""
    given = parse_rate(settings.input_fps) if settings.input_fps else None
    if source.is_file():
        return None
    if settings.naming == "reds":
        rate = Fraction(REDS_RATE, reds_spacing([path.stem for path in list_frames(source)[0]]))
        if given not in (None, rate):
            raise InputError(f"--input-fps {settings.input_fps}: the names in {source} mean {rate} frames a second")
        return rate
    return given


def _notes(clip: Clip, target: Path, to_video: bool, suffix: str) -> list[str]:
    """What happens to the frames that a user might not expect."""
    notes = list(clip.notes)
    alpha, grey = clip.channels in (2, 4), clip.channels <= 2
    if grey:
        notes.append("grey frames are processed as RGB and written back " + ("as colour" if to_video else "grey"))
    if alpha and to_video:
        notes.append("the alpha channel is left out: the video holds none")
    elif alpha:
        notes.append("alpha moves with the picture and is blended by the same weights")
    depth = choose_encoding(target, clip.size, clip.depth).depth if to_video else 16 if suffix == ".png" else 8
    if depth < clip.depth:
        notes.append(f"frames of more than 8 bits a channel are written with {depth}")
    if to_video and (clip.size[0] % 2 or clip.size[1] % 2) and target.suffix.lower() != ".webm":
        even = f"{clip.size[0] // 2 * 2}x{clip.size[1] // 2 * 2}"
        notes.append(
            f"{clip.size[0]}x{clip.size[1]} is odd, so H.264 is written as 4:4:4, which some players cannot show; "
            f"--crop {even} gives plain 4:2:0"
        )
    return notes


def _no_cut(a: ClipFrame, b: ClipFrame) -> bool:
    return False
