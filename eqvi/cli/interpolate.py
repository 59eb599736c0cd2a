"""The command ``python -m eqvi interpolate``: frames between those of a folder or a video file."""

import argparse
from dataclasses import fields
from pathlib import Path

from eqvi.errors import interruption_status
from eqvi.model.registry import FOOTAGE_MODEL, MODEL_HELP, TRAJECTORY


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m eqvi interpolate``."""
    add = parser.add_argument
    add("source", metavar="IN", type=Path, help="folder of PNG, JPEG or WebP frames, a video or an animation")
    add("target", metavar="OUT", type=Path, help="folder, or a video file (.mp4 .m4v .mov .mkv .webm)")
    rates = parser.add_mutually_exclusive_group()
    rates.add_argument("--factor", type=int, help="frames out for every frame in; 1 only copies (default 2)")
    rates.add_argument("--fps", metavar="RATE", help="output frames a second instead, such as 60 or 59.94")
    add("--slow", metavar="TIMES", help="slow motion: a video so many times longer, at its rate, without its sound")
    add("--dedupe", action="store_true", help="leave out frames that repeat the one before, as 24 frames in 30 do")
    add("--complete", action="store_true", help="refuse a folder in which frame numbers are missing")
    add("--drop-inputs", action="store_true", help="output new frames only")
    add("--size", metavar="WxH", help="resize inputs first")
    add("--crop", metavar="WxH[+X+Y]", help="use this part of the (resized) inputs; the middle without +X+Y")
    add("--limit", type=int, metavar="N", help="use the first N input frames only")
    add("--naming", choices=("generic", "reds"), default="generic", help="001_0.png, or positions at 120 fps")
    add("--format", choices=("png", "jpg", "webp"), help="of a folder's frames (default: as the input; PNG for video)")
    add("--input-fps", metavar="RATE", help="frames a second of a folder, for video out or --fps (default 30)")
    add("--no-scene-cuts", dest="scene_cuts", action="store_false", help="interpolate everywhere")
    add("--model", default=FOOTAGE_MODEL, metavar="NAME|FILE", help=MODEL_HELP)
    trajectory = "correct motion by paths over up to N frames, 4 or more, even (default 8); 0: the paper's motion"
    add("--trajectory", type=int, default=TRAJECTORY, metavar="N", help=trajectory)
    add(
        "--no-detail",
        dest="detail",
        action="store_const",
        const=False,
        help="frames as soft as bilinear warps make them",
    )
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute (default auto)")
    precision = "float32 in the order that is fastest here, exactly as measured, or bfloat16 where there is hardware"
    add("--precision", choices=("float32", "exact", "bfloat16"), default="float32", help=precision + " (%(default)s)")
    memory = "most memory to use, such as 4GB: larger frames are computed in tiles (default: most of what is free)"
    add("--memory", metavar="SIZE", help=memory)
    add("--rounding", choices=("round", "truncate"), default="round", help="truncate: as the published writer")
    add("--lossless", action="store_true", help="keep every bit: FFV1 in .mkv, H.264 RGB in .mp4, VP9 in .webm")
    add("--crf", type=int, help="video quality, smaller is better (default 18 for H.264, 28 for VP9)")
    add("--encoder-threads", type=int, default=1, metavar="N", help="more is faster, 1 as repeatable as the encoder")
    add("--no-audio", dest="audio", action="store_false", help="leave the sound out")
    add("--overwrite", action="store_true", help="replace an existing output instead of refusing or resuming")


def run(args: argparse.Namespace) -> int:
    """Interpolate; 0, or 130 or 143 if it is interrupted.

    Raises:
        InputError: the input or an option cannot be used; no half-written file is left.
    """
    # Imported here, because torch, OpenCV and PyAV take seconds and --help needs none of them.
    from eqvi.devices import choose_device
    from eqvi.media.convert import Settings, convert, print_message, summary_lines
    from eqvi.media.memory_budget import parse_memory
    from eqvi.media.output import is_video
    from eqvi.media.precision import for_clips
    from eqvi.model.registry import load_for_footage

    settings = Settings(**{field.name: getattr(args, field.name) for field in fields(Settings)})
    to_video = is_video(args.target)
    try:
        device = choose_device(args.device)
        model, identity = load_for_footage(args.model, device, args.trajectory, args.detail)
        memory = None if args.memory is None else parse_memory(args.memory)
        model, identity = for_clips(model, args.precision, device, memory), f"{identity}, {args.precision}"
        summary = convert(args.source, args.target, model, settings, device, identity)
    except KeyboardInterrupt as interruption:
        frames = f"the frames in {args.target} are kept, the same command goes on from there"
        print_message("interrupted: " + ("nothing is kept, a video is written in one go" if to_video else frames))
        return interruption_status(interruption)
    for line in summary_lines(summary, args.target):
        print_message(line)
    return 0
