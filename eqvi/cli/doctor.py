"""The command ``python -m eqvi doctor``: what is installed, which devices and weights are here, and what is missing.

With ``--data``: whether a copy of REDS_VTSR is whole.
"""

import argparse
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from eqvi.model.config import PRESETS
from eqvi.paths import ROOT, WEIGHTS

#: FFmpeg's encoders and decoders, and what goes without them.
_CODECS = {
    "libx264": ("w", "no .mp4, .mov or .mkv can be written"),
    "libx264rgb": ("w", "no lossless .mp4 or .mov can be written"),
    "libvpx-vp9": ("w", "no .webm can be written"),
    "ffv1": ("w", "no lossless .mkv can be written"),
    "h264": ("r", "most videos cannot be read"),
    "hevc": ("r", "videos of most phones cannot be read"),
    "vp9": ("r", "most .webm files cannot be read"),
    "libdav1d": ("r", "AV1 videos cannot be read"),
}


class Finding(NamedTuple):
    """A line of the report: what was looked for, what was found, and what is wrong with that (empty if nothing)."""

    name: str
    found: str
    problem: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi doctor``."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="check this copy of REDS_VTSR (the folder with train/ and val/) instead",
    )


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 if something is missing that the package cannot do without, or wrong with the data.

    Raises:
        InputError: nothing of REDS_VTSR is in the folder given.
    """
    if args.data is not None:
        return data(args.data)
    missing = False
    for title, findings in (
        ("Packages", packages()),
        ("Devices", devices()),
        ("Video", codecs()),
        ("Weights", weights()),
    ):
        print(title)
        for name, found, problem in findings:
            print(f"  {name:24} {found}" + (f" -- {problem}" if problem else ""))
        missing = missing or (title == "Packages" and any(problem for _, _, problem in findings))
    return int(missing)


def data(root: Path) -> int:
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
    faults = sum(len(report.problems) for report in reports)
    counted = f"{faults} {'fault' if faults == 1 else 'faults'} in {root}"
    print(counted if faults else f"nothing wrong with {root}")
    return int(faults > 0)


def packages() -> list[Finding]:
    """This package, Python, and every package that it says it needs, with versions."""
    try:
        own, needs = metadata.version("eqvi"), metadata.requires("eqvi") or []
    except metadata.PackageNotFoundError:
        problem = f"run `pip install -e {ROOT}` to see what it needs"
        return [Finding("eqvi", f"not installed, used from {ROOT}", problem), *_python()]
    findings = [Finding("eqvi", f"{own}, in {ROOT}"), *_python()]
    for need in needs:
        name = re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0]
        if "extra ==" in need:
            continue
        try:
            findings.append(Finding(name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            findings.append(Finding(name, "missing", f"run `pip install {name}`, or `make` what needs it anew"))
    return findings


def devices() -> list[Finding]:
    """Where torch can compute, and with how many threads."""
    try:
        import torch
    except ImportError as error:
        return [Finding("torch", "cannot be imported", str(error))]
    there = torch.get_num_threads()
    findings = [Finding("cpu", f"{there} thread(s), {os.cpu_count()} core(s), {platform.machine()}")]
    for place in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(place)
        findings.append(Finding(f"cuda:{place}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"))
    if not torch.cuda.is_available():
        built = (
            f"torch {torch.__version__} is built for CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
        )
        findings.append(Finding("cuda", f"none ({built})"))
    findings.append(Finding("mps", "available" if torch.backends.mps.is_available() else "none"))
    return findings


def codecs() -> list[Finding]:
    """The video codecs that PyAV brings."""
    try:
        import av
    except ImportError as error:
        return [Finding("av", "cannot be imported", f"{error}: videos can be neither read nor written")]
    findings = [Finding("libavcodec", ".".join(map(str, av.library_versions["libavcodec"])))]
    for name, (mode, without) in _CODECS.items():
        try:
            av.Codec(name, "w" if mode == "w" else "r")
            findings.append(Finding(name, "writes" if mode == "w" else "reads"))
        except ValueError:
            findings.append(Finding(name, "missing", without))
    return findings


def weights() -> list[Finding]:
    """Which presets can be used, and the checkpoints in the project's folder for them."""
    findings = []
    for name, config in PRESETS.items():
        path = WEIGHTS / f"{name}.safetensors"
        if not config.has_weights:
            findings.append(Finding(name, "ready, needs no weights"))
        elif path.is_file():
            findings.append(Finding(name, f"ready, {path} ({path.stat().st_size / 1e6:.1f} MB)"))
        else:
            findings.append(Finding(name, "no weights", f"give a checkpoint with --model, or put one at {path}"))
    known = {f"{name}.safetensors" for name in PRESETS}
    for path in sorted(WEIGHTS.rglob("*")):
        name = path.relative_to(WEIGHTS).as_posix()
        if path.is_file() and name not in known:
            findings.append(Finding(name, f"{path.stat().st_size / 1e6:.1f} MB"))
    return findings


def _python() -> list[Finding]:
    return [Finding("python", f"{platform.python_version()} on {platform.platform()}")]
