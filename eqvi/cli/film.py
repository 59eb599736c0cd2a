"""The command ``python -m eqvi film``: a short loop and a strip of new frames of a clip."""

import argparse
from pathlib import Path

from eqvi.devices import choose_device
from eqvi.errors import InputError
from eqvi.files import write_failure
from eqvi.media.clip import open_clip
from eqvi.model.registry import FOOTAGE_MODEL, MODEL_HELP, load_for_footage
from eqvi.paths import FIGURES
from eqvi.viz import film


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi film``."""
    parser.epilog = "Only new frames are written, at t = 1/6, 1/2 and 5/6 of each gap: the clip's own never are."
    add = parser.add_argument
    add("clip", metavar="CLIP", type=Path, help="folder of PNG, JPEG or WebP frames, or a video file")
    add("--from", dest="start", type=int, metavar="N", help="frame of the clip, from 0, where the film starts (middle)")
    add("--step", type=int, default=2, metavar="N", help="take every N-th frame of the clip as input (%(default)s)")
    add("--gaps", type=int, default=6, metavar="N", help="gaps between inputs to fill, three frames each (%(default)s)")
    add("--width", type=int, default=320, metavar="PX", help="of the loop, no wider than the clip (%(default)s)")
    add("--fps", type=int, default=12, help="frames a second of the loop, 1 to 50 (%(default)s)")
    add("--model", default=FOOTAGE_MODEL, metavar="NAME|FILE", help=MODEL_HELP)
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute (default auto)")
    out = "writes PREFIX_loop.webp, which runs forth and back, and PREFIX_strip.png (%(default)s)"
    add("--out", type=Path, default=FIGURES / "film", metavar="PREFIX", help=out)


def run(args: argparse.Namespace) -> int:
    """Write the loop and the strip.

    Raises:
        InputError: the clip is too short or cannot be used, an option is out of range, or nothing can be written.
    """
    for option, least, most in (("step", 1, None), ("gaps", 1, None), ("width", 16, None), ("fps", 1, 50)):
        value = getattr(args, option)
        if value < least or (most is not None and value > most):
            raise InputError(f"--{option} {value}: give {least} " + ("or more" if most is None else f"to {most}"))
    if not args.out.name:
        raise InputError(f"--out {args.out}: give what the names of the files begin with, such as figures/film")
    frames = film.input_frames(open_clip(args.clip), args.start, args.step, args.gaps)
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{args.out}: cannot be written: {write_failure(error)}") from None
    device = choose_device(args.device)
    model, _ = load_for_footage(args.model, device)
    new = film.interpolate(frames, model, device, args.width)
    loop = args.out.with_name(f"{args.out.name}_loop.webp")
    count = film.write_loop(new.loop, loop, args.fps)
    width, height = new.loop[0].size
    print(f"{loop}: {count} pictures of {width}x{height}, {loop.stat().st_size / 1e3:.0f} kB")

    from eqvi.viz import figure, layouts  # imported here, as no other command needs matplotlib

    page = layouts.strip(film.strip_panels(new), film.strip_alt(new), len(film.TIMES))
    strip = figure.save(page, f"{args.out.name}_strip", args.out.parent)
    print(f"{strip}: {strip.stat().st_size / 1e3:.0f} kB")
    return 0
