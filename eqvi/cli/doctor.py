"""The command ``python -m eqvi doctor``: what is installed, which devices and weights are here, and what is missing.

With ``--data``: whether a copy of REDS_VTSR is complete and intact.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal

from eqvi.model.config import PRESETS
from eqvi.paths import ROOT, WEIGHTS

#: Codecs of FFmpeg: written or read, and what does not work without them.
_CODECS: dict[str, tuple[Literal["w", "r"], str]] = {
    "libx264": ("w", "no .mp4, .mov or .mkv can be written"),
    "libx264rgb": ("w", "no lossless .mp4 or .mov can be written"),
    "libvpx-vp9": ("w", "no .webm can be written"),
    "ffv1": ("w", "no lossless .mkv can be written"),
    "h264": ("r", "most videos cannot be read"),
    "hevc": ("r", "videos of most phones cannot be read"),
    "vp9": ("r", "most .webm files cannot be read"),
    "libdav1d": ("r", "AV1 videos cannot be read"),
}

Finding = tuple[str, str, str]  # name, state, and what is wrong (empty if nothing)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi doctor``."""
    help = "check this copy of REDS_VTSR (the folder with train/ and val/) instead"
    parser.add_argument("--data", type=Path, metavar="FOLDER", help=help)


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 if a required package is missing or something is wrong with the data.

    Raises:
        InputError: nothing of REDS_VTSR is in the folder given.
    """
    if args.data is not None:
        return check_data(args.data)
    sections = {"Packages": packages(), "Devices": devices(), "Video": codecs(), "Weights": weights()}
    missing = False
    for title, section in sections.items():
        print(title)
        for name, state, problem in section:
            print(f"  {name:24} {state}" + (f" -- {problem}" if problem else ""))
            missing |= title == "Packages" and problem != ""
    return int(missing)


def check_data(root: Path) -> int:
    """Print what a copy of REDS_VTSR holds and every fault in it; 1 if there is one.

    Raises:
        InputError: as `run`.
    """
    from eqvi.datasets.reds_check import check_copy  # here, because torch takes a second that --help can do without

    reports = check_copy(root)
    for name, contents, problems in reports:
        print(f"{name:24} {contents}")
        for problem in problems:
            print(f"  -- {name}/{problem}" if problem[:3].isdigit() else f"  -- {name}: {problem}")
    faults = sum(len(problems) for _, _, problems in reports)
    print(f"{faults} {'fault' if faults == 1 else 'faults'} in {root}" if faults else f"nothing wrong with {root}")
    return int(faults > 0)


def packages() -> Iterator[Finding]:
    """This package, Python, and every required package, with versions."""
    try:
        version, needs = metadata.version("eqvi"), metadata.requires("eqvi") or []
        yield "eqvi", f"{version}, in {ROOT}", ""
    except metadata.PackageNotFoundError:
        needs = []
        yield "eqvi", f"not installed, used from {ROOT}", f"run `pip install -e {ROOT}` to see what it needs"
    installed = imported_elsewhere()
    advice = f"run `{sys.executable} -m pip install --no-deps -e {ROOT}`"
    yield "imported by notebooks", installed or "nothing", "" if installed == str(ROOT) else advice
    yield "python", f"{platform.python_version()} on {platform.platform()}", ""
    for need in needs:
        if "extra ==" not in need:
            name = re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0]
            try:
                yield name, metadata.version(name), ""
            except metadata.PackageNotFoundError:
                yield name, "missing", f"run `pip install {name}`, or `make` what needs it anew"


def imported_elsewhere() -> str:
    """The project whose package Python imports outside this folder, as in a notebook; empty if there is none."""
    command = [sys.executable, "-c", "import eqvi.paths; print(eqvi.paths.ROOT)"]
    return subprocess.run(command, cwd=os.sep, capture_output=True, text=True, check=False).stdout.strip()


def devices() -> Iterator[Finding]:
    """Where torch can compute, and with how many threads."""
    try:
        import torch
    except ImportError as error:
        yield "torch", "cannot be imported", str(error)
        return
    yield "cpu", f"{torch.get_num_threads()} thread(s), {os.cpu_count()} core(s), {platform.machine()}", ""
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield f"cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB", ""
    if not torch.cuda.is_available():
        cuda = torch.version.cuda
        yield "cuda", f"none (torch {torch.__version__} is built for CUDA {cuda})" if cuda else "none (CPU build)", ""
    yield "mps", "available" if torch.backends.mps.is_available() else "none", ""


def codecs() -> Iterator[Finding]:
    """The video codecs that PyAV brings."""
    try:
        import av
    except ImportError as error:
        yield "av", "cannot be imported", f"{error}: videos can be neither read nor written"
        return
    yield "libavcodec", ".".join(map(str, av.library_versions["libavcodec"])), ""
    for name, (mode, problem) in _CODECS.items():
        try:
            av.Codec(name, mode)
            yield name, "writes" if mode == "w" else "reads", ""
        except ValueError:
            yield name, "missing", problem


def weights() -> Iterator[Finding]:
    """Which presets can be used, and the files in the project's folder of weights."""
    preset_files = {WEIGHTS / f"{name}.safetensors": name for name in PRESETS}
    for path, name in preset_files.items():
        if not PRESETS[name].has_weights:
            yield name, "ready, needs no weights", ""
        elif path.is_file():
            yield name, f"ready, {path} ({path.stat().st_size / 1e6:.1f} MB)", ""
        else:
            yield name, "no weights", f"give a checkpoint with --model, or put one at {path}"
    for path in sorted(WEIGHTS.rglob("*")):
        if path.is_file() and path not in preset_files:
            yield path.relative_to(WEIGHTS).as_posix(), f"{path.stat().st_size / 1e6:.1f} MB", ""
