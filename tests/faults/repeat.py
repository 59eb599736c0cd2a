"""Whether the same command gives the same bytes; by how much threads, batches and processors move a frame.

``make repeat``, or ``python -m faults.repeat`` with tests/ in the path. A row for every comparison: with the first run
by itself, on one thread, one frame at a time, on this processor.
"""

import argparse
import datetime
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1"}

import torch
from faults.children import Child
from faults.faults import Stage
from faults.jobs import JOBS, contents

import eqvi
from eqvi.datasets.rendering import demo_scene
from eqvi.evaluation.journal import write_rows
from eqvi.paths import ROOT, WEIGHTS
from eqvi.provenance import processor, surroundings
from eqvi.viz.quadruplet import from_scene

#: Commands whose outputs are compared byte by byte.
COMMANDS = ("interpolate to a folder", "interpolate to a video", "evaluate", "train", "render", "site")

#: Notebooks that take seconds: some draw, some read rows.
PAGES = ("01_frames_and_metrics", "04_flow_reversal", "26_difficulty")

#: Environments in which torch, oneDNN, MKL and OpenCV leave out newer instructions of the processor.
PROCESSORS = {
    "AVX2, no AVX-512": {
        "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX512-ICL",
    },
    "SSE4, no AVX": {
        "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX512-ICL,AVX2,FMA3,AVX,FP16",
    },
}  # fmt: skip


class Row(NamedTuple):
    """One comparison.

    Attributes:
        what: a command, or a model.
        against: how the second run differs from the first.
        equal: whether all bytes are.
        largest: difference of a value in [0, 1]; empty where bytes are compared.
    """

    what: str
    against: str
    equal: bool
    largest: str


def commands(root: Path) -> list[Row]:
    """Every command again, and again while others keep the processors busy."""
    rows = []
    for name in COMMANDS:
        stage = Stage(JOBS[name], root / name.replace(" ", "_"))
        for against, busy in (("a second run", 0), ("under load", os.cpu_count() or 1)):
            stage.clear()
            others = [Child(_spin, root / "log", "spin") for _ in range(busy)]
            stage.run()
            for other in others:
                other.kill()
            rows.append(Row(name, against, contents(stage.out) == stage.truth, ""))
    return rows


def pages(root: Path) -> list[Row]:
    """Some of the study's notebooks: their executed copies, their figures and all rows, run again and two at a time."""
    copy = root / "project"
    for name in ("eqvi", "notebooks", "results", "figures"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.lock", copy)
    committed = {name: contents(copy / name) for name in ("figures", "results")}
    left = []
    for jobs in (1, 1, 2):
        for page in PAGES:
            for figure in (copy / "figures").glob(f"{page.partition('_')[0]}_*.png"):
                figure.unlink()  # to be drawn anew, not left as it was
        command = [sys.executable, "-m", "eqvi", "study", *PAGES, "--jobs", str(jobs), "--out", "executed"]
        subprocess.run(command, check=True, cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)})
        left.append({name: contents(copy / name) for name in ("executed", "figures", "results")})
        shutil.rmtree(copy / "executed")
    first, second, together = left
    equal = {
        "what is committed": committed == {name: first[name] for name in committed},
        "a second run": second == first,
        "two at a time": together == first,
    }
    return [Row("pages of the study", against, same, "") for against, same in equal.items()]


def _spin() -> int:
    while True:
        sum(range(1000))


def frames(root: Path) -> list[Row]:
    """A frame of the default model and of the weight-free one: again, on threads, in batches, on older processors."""
    rows = []
    for name in ("baseline", "eqvi-quarter-dis"):
        first = _elsewhere(name, root / f"{name}.pt")
        others = {"a second run": _elsewhere(name, root / f"{name}.pt")}
        others |= {f"{n} threads": _elsewhere(name, root / f"{name}.pt", threads=n) for n in (2, 4)}
        others |= {f"in a batch of {n}": _elsewhere(name, root / f"{name}.pt", batch=n) for n in (2, 4)}
        others |= {at: _elsewhere(name, root / f"{name}.pt", only=only) for at, only in PROCESSORS.items()}
        rows += [
            Row(name, against, torch.equal(frame, first), f"{(frame - first).abs().max().item():.2e}")
            for against, frame in others.items()
        ]
    return rows


def _elsewhere(
    name: str, path: Path, threads: int = 1, batch: int = 1, only: Mapping[str, str] | None = None
) -> torch.Tensor:
    """A frame that is made in a process of its own, which takes its processor for an older one if it is told so."""
    path.unlink(missing_ok=True)
    call = f"from faults.repeat import save_frame; save_frame({name!r}, {threads}, {batch}, {str(path)!r})"
    subprocess.run([sys.executable, "-c", call], check=True, env=os.environ | (only or {}))
    frame: torch.Tensor = torch.load(path)
    return frame


@torch.no_grad()
def save_frame(name: str, threads: int, batch: int, path: str) -> None:
    """A frame of the demo scene, by a model, into a file."""
    torch.set_num_threads(threads)
    window = from_scene(demo_scene("cubic", (128, 160)), "the demo scene").frames
    model = eqvi.load(WEIGHTS / f"{name}.safetensors") if name != "baseline" else eqvi.EQVI(eqvi.PRESETS[name])
    torch.save(model.eval()(window.expand(batch, -1, -1, -1, -1), 0.5).frame[:1].clone(), path)


def main() -> int:
    """Compare, and write the rows; 1 if a command differs from itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of the rows")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="repeat-") as scratch:
        rows = frames(Path(scratch))
        print(*rows, sep="\n", flush=True)
        more = commands(Path(scratch)) + pages(Path(scratch))
        print(*more, sep="\n")
    if args.out is not None:
        record = {"date": datetime.date.today().isoformat(), **processor()}
        packages = ("torch", "numpy", "opencv-python-headless", "av")
        write_rows(args.out / "repeatability.csv", Row._fields, rows + more, record | surroundings("cpu", packages))
    return 0 if all(row.equal for row in more) else 1


if __name__ == "__main__":
    sys.exit(main())
