"""Commands to be disturbed: what each needs, what it does, and what it leaves when nobody disturbs it."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nbformat
import small_site
import torch
from footage import scene, with_sound, write_folder, write_video
from pictures_folder import fill
from reds_copy import write_copy, zipped
from small_runs import TINY_DIS, all_on, small_recipe

from eqvi.__main__ import main
from eqvi.cli import dependencies, ship, study
from eqvi.datasets import transfer
from eqvi.media.output import RECORD
from eqvi.model import checkpoint
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.site.build import build
from eqvi.training.loading import window_pool
from eqvi.training.train import train
from eqvi.training.window_pool import WindowPool, fill_pool

# What differs between two runs that nobody disturbed.
_TIME_SPENT = re.compile(rb'"device_time": \{[^}]*\}')


class Job(NamedTuple):
    """A command of the study.

    Attributes:
        name: of the command.
        prepare: writes what it needs into a folder.
        run: carries it out, from the folder of its inputs into that of its outputs; the exit status.
        whole: patterns of the files that are there complete or not at all, at any moment.
        inputs: patterns of the input files that a fault may damage.
        caches: patterns of what an interrupted run leaves for the next, which a fault may damage.
        growing: whether files grow (logs and states), which differ from the final ones until the end.
    """

    name: str
    prepare: Callable[[Path], None]
    run: Callable[[Path, Path], int]
    whole: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()


def contents(out: Path) -> dict[str, bytes]:
    """All files of a folder, hidden ones too, by their paths; without lock files, and without how long it took."""
    files = {str(path.relative_to(out)): path for path in sorted(out.rglob("*")) if path.is_file()}
    return {name: _without_times(path) for name, path in files.items() if path.name != ".lock"}


def _without_times(path: Path) -> bytes:
    if path.name == "run.json":
        return _TIME_SPENT.sub(b"", path.read_bytes())
    if path.name == RECORD:  # a log of names, some of them twice after an interruption
        return b"\n".join(sorted(set(path.read_bytes().splitlines())))
    if path.name == "state.pt":
        try:
            state = torch.load(path, weights_only=True)
            return repr((state["step"], state["scores"], state["recipe"])).encode() + _tensor_bytes(state)
        except Exception:  # a damaged one
            return path.read_bytes()
    return path.read_bytes()


def _tensor_bytes(value: object) -> bytes:
    """The tensors in nested dictionaries, one after the other."""
    if isinstance(value, torch.Tensor):
        return value.detach().numpy().tobytes()
    return b"".join(_tensor_bytes(part) for part in value.values()) if isinstance(value, dict) else b""


def command(*arguments: str | Path) -> int:
    """One of the package's commands."""
    return main([str(argument) for argument in arguments])


def _clip(folder: Path) -> None:
    write_folder(folder / "clip", scene(7))


def _interpolate_folder(given: Path, out: Path) -> int:
    return command("interpolate", given / "clip", out / "frames", "--factor", "6", "--model", "baseline")


def _video(folder: Path) -> None:
    with_sound(write_video(folder / "silent.mp4", scene(8)), folder / "clip.mp4", 8 / 30)


def _interpolate_video(given: Path, out: Path) -> int:
    options = ("--factor", "4", "--model", "baseline", "--overwrite")  # it may have ended before it was to be killed
    return command("interpolate", given / "clip.mp4", out / "new.mp4", *options)


def _two_clips(folder: Path) -> None:
    for seed, name in enumerate("ab"):
        write_folder(folder / name, scene(9, seed=seed))
    checkpoint.save(_small_model(), folder / "small.safetensors")


def _small_model() -> EQVI:
    torch.manual_seed(0)
    return EQVI(TINY_DIS).eval()


def _evaluate(given: Path, out: Path) -> int:
    models = ("blend", "linear", given / "small.safetensors")
    return command("evaluate", given / "a", given / "b", "--models", *models, "--out", out / "rows.csv")


def fill_stores(folder: Path) -> None:
    """The windows of `all_on`, with their pictures."""
    PRESETS["tiny-dis"] = TINY_DIS
    recipe = all_on(folder / "store")
    Path(recipe.pictures).mkdir()
    fill(Path(recipe.pictures), validation=True)
    for split in ("train", "val"):
        fill_pool(window_pool(recipe, split), progress=False)


def _train(given: Path, out: Path) -> int:
    PRESETS["tiny-dis"] = TINY_DIS
    train(all_on(given / "store"), out / "run", progress=False, save_every=0)
    return 0


def _fill_pool(given: Path, out: Path) -> int:
    pool = WindowPool(out / "pool", 2, 64)
    fill_pool(pool, progress=False)
    for number in range(pool.count):
        pool.window(number)
    return 0


def _render(given: Path, out: Path) -> int:
    return command("render", out / "clips", "--clips", "2", "--size", "64x64", "--frames", "4")


def _finished_run(folder: Path) -> None:
    PRESETS["tiny-dis"] = TINY_DIS
    train(small_recipe(), folder / "run", progress=False)


def _ship(given: Path, out: Path) -> int:
    print(ship.ship(given / "run", "family/a_0", out / "weights", out / "training"))
    return 0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


#: Where the archive of `_download` is served; the address is part of what it records.
PORT = free_port()


def _archive(folder: Path) -> None:
    truth = write_copy(folder / "truth", rates=(15,), last=360, size=(64, 48))
    zipped(truth / "val" / "val_15fps", folder / "archives" / "val_15fps.zip", "val/val_15fps")


def _download(given: Path, out: Path) -> int:
    transfer._TIMEOUT = 2.0
    transfer.time.sleep = lambda _: None  # the pauses between attempts
    record, address = out / "hashes.json", f"http://127.0.0.1:{PORT}"
    return command("download", "data", "val_15fps", "--to", out / "data", "--record", record, "--from", address)


_CELLS = {
    "01_figure": "import os\nfrom pathlib import Path\nfrom eqvi.files import replacing\n"
    "with replacing(Path(os.environ['OUT'], 'figures', '01_a.txt')) as partial:\n    partial.write_text('drawn')",
    "02_rows": "import os\nfrom pathlib import Path\nfrom eqvi.evaluation.journal import write_rows\n"
    "write_rows(Path(os.environ['OUT'], 'results', 'a.csv'), ['clip', 'psnr'], [['x', 1.5]], {'commit': 'none'})",
}


def _study(folder: Path) -> None:
    (folder / "notebooks").mkdir()
    for name, source in _CELLS.items():
        cells = [nbformat.v4.new_markdown_cell("# A notebook", id="prose"), nbformat.v4.new_code_cell(source, id="one")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebooks" / f"{name}.ipynb")


def _reproduce(given: Path, out: Path) -> int:
    os.environ["OUT"] = str(out)
    for name in ("figures", "results"):
        (out / name).mkdir(exist_ok=True)
        setattr(study, name.upper(), out / name)
    study.NOTEBOOKS = given / "notebooks"
    study.WEIGHTS = out / "results" / "weights"
    dependencies.RESULTS = out / "results"
    return command("study", "--changed", "--jobs", "1", "--out", out / "executed")


def _little_study(folder: Path) -> None:
    small_site.study(folder)


def _site(given: Path, out: Path) -> int:
    folders = (given / name for name in ("notebooks", "executed", "figures", "results"))
    build(out / "site", small_site.Study(given, *folders, findings=lambda _: []), small_site.none)
    return 0


def _nothing(folder: Path) -> None:
    """A command that needs no input."""


_ALL = (
    Job(
        "interpolate to a folder",
        _clip,
        _interpolate_folder,
        whole=("frames/*.png",),
        inputs=("clip/*.png",),
        caches=("frames/.eqvi-run",),
    ),
    Job("interpolate to a video", _video, _interpolate_video, whole=("new.mp4",), inputs=("clip.mp4",)),
    Job(
        "evaluate",
        _two_clips,
        _evaluate,
        whole=("rows.csv", "rows.json"),
        inputs=("?/*.png", "small.safetensors"),
        caches=(".rows.part/*",),
    ),
    Job(
        "train",
        fill_stores,
        _train,
        whole=("run/weights.safetensors",),
        inputs=("store/*",),
        caches=("run/state.pt", "run/*.csv"),
    ),
    Job("pool of windows", _nothing, _fill_pool, whole=("pool/????????.npz", "pool/pool.json"), caches=("pool/*",)),
    Job("render", _nothing, _render, whole=("clips/**/*.png",), caches=("clips/**/*.json",)),
    Job(
        "ship",
        _finished_run,
        _ship,
        whole=("weights/**/*.safetensors", "training/**/*.csv"),
        inputs=("run/run.json", "run/weights.safetensors", "run/*.csv"),
    ),
    Job(
        "download",
        _archive,
        _download,
        whole=("data/val/val_15fps/**/*.png", "hashes.json"),
        caches=("data/val/.*",),
    ),
    Job(
        "study",
        _study,
        _reproduce,
        whole=("figures/*", "results/*", "executed/*"),
        inputs=("notebooks/*",),
        caches=("executed.json",),
    ),
    Job("site", _little_study, _site, whole=("site/**/*",), inputs=("executed/*", "figures/*")),
)
JOBS = {job.name: job for job in _ALL}
