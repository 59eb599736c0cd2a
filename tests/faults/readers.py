"""What reads a user's files and options, each with good examples to be spoilt."""

import contextlib
import csv
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
import PIL.Image
import torch
from footage import scene, write_video
from small_runs import TINY, small_recipe

from eqvi.__main__ import main
from eqvi.cli import headless, render, study
from eqvi.cli.train import recipe_values
from eqvi.datasets import checksums
from eqvi.datasets.archive import unpack
from eqvi.datasets.rendered_clips import metadata_path, read_metadata
from eqvi.datasets.windows import Window
from eqvi.errors import InputError
from eqvi.evaluation.journal import COLUMNS, is_complete
from eqvi.media.clip import open_clip
from eqvi.media.image import Image
from eqvi.media.image_files import write_image
from eqvi.model import checkpoint
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.reports import camera_paths, claims, difficulty, published, speed
from eqvi.reports.runs import read_frames, read_run
from eqvi.training import run_folder
from eqvi.training.recipe import Recipe
from eqvi.training.recipe_file import read_recipe
from eqvi.training.window_pool import _read, pack_window

#: Frames that are read of a spoilt video, which may claim to have many.
_LIMIT = 12


class Reader(NamedTuple):
    """What reads one kind of input.

    Attributes:
        name: of the kind.
        examples: makes good files in a folder: their contents by name.
        read: reads a file; `InputError` is a clear answer.
        text: whether the examples are text.
    """

    name: str
    examples: Callable[[Path], dict[str, bytes]]
    read: Callable[[Path], object]
    text: bool = False


def _by_any(*readers: Callable[[], object]) -> None:
    """Give a file to every reader of its kind; it is refused if all of them refuse it."""
    refusals = []
    for read in readers:
        try:
            read()
        except InputError as error:
            refusals.append(error)
    if len(refusals) == len(readers):
        raise refusals[0]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _pictures(folder: Path) -> dict[str, bytes]:
    pixels = scene(1, (24, 16))[0]
    for name, channels in (("grey", 1), ("rgb", 3), ("rgba", 4)):
        whole = np.concatenate([pixels, pixels[..., :1]], axis=2)[..., :channels]
        write_image(folder / f"{name}.png", Image(whole))
        write_image(folder / f"{name}16.png", Image(whole.astype(np.uint16) * 257))
        if channels != 4:
            write_image(folder / f"{name}.jpg", Image(whole))
    picture = PIL.Image.fromarray(pixels)
    picture.save(folder / "lossy.webp")
    picture.convert("P").save(folder / "palette.png", transparency=3)
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=exif, icc_profile=b"not a profile" * 20)
    return _files(folder)


def _read_picture(path: Path) -> None:
    clip = open_clip(path.parent)
    list(clip.read())


def _animations(folder: Path) -> dict[str, bytes]:
    first, *rest = (PIL.Image.fromarray(frame) for frame in scene(3, (24, 16)))
    for name in ("a.gif", "a.webp", "a.png"):
        first.save(folder / name, save_all=True, append_images=rest, duration=40)
    return _files(folder)


def _videos(folder: Path) -> dict[str, bytes]:
    for name in ("a.mp4", "a.mkv", "a.webm", "a.mov"):
        write_video(folder / name, scene(4), Fraction(25))
    return _files(folder)


def _read_clip(path: Path) -> None:
    for _ in open_clip(path, limit=_LIMIT).read():
        pass


def _checkpoints(folder: Path) -> dict[str, bytes]:
    torch.manual_seed(0)
    checkpoint.export_published(EQVI(TINY), folder / "eqvi.ckpt")
    checkpoint.export_published_flow(ScopeFlow(1 / 16), folder / "flow.ckpt")
    torch.save({"state_dict": {"a": torch.zeros(3)}}, folder / "new.pth")
    return _files(folder)


def _tensors(folder: Path) -> dict[str, bytes]:
    torch.manual_seed(0)
    checkpoint.save(EQVI(TINY), folder / "eqvi.safetensors", torch.float16)
    checkpoint.save(ScopeFlow(1 / 16), folder / "flow.safetensors", torch.float16)
    return _files(folder)


def _load(path: Path) -> None:
    _by_any(lambda: checkpoint.load(path), lambda: checkpoint.load_flow(path))


def _states(folder: Path) -> dict[str, bytes]:
    fields = dict.fromkeys(run_folder._STATE_FIELDS) | {
        "recipe": {},
        "step": 3,
        "model": {"a": torch.ones(9)},
    }
    torch.save(fields, folder / "state.pt")
    return _files(folder)


def _recipes(_: Path) -> dict[str, bytes]:
    return {
        "narrow.yaml": b"stage: '1'  # a comment\nrate: 0.002\nterms: {l1: 1.0}\nout: elsewhere\ncrop: 64\n",
        "quick.yaml": b"size: 4\nscale: 2\nclips: [a, b]\nname: 2001-01-01\n",
        "anchors.yaml": b"size: &x {size: 1}\nscale: *x\n",
    }


def _read_yaml(path: Path) -> None:
    notebook = Path("01_first.ipynb")
    declared = {notebook: {"size": "3", "scale": "1.5", "clips": "['a']", "name": "'x'"}}
    text = path.read_bytes().decode(errors="replace")
    _by_any(
        lambda: study.assign({"01_first": study.read_yaml(path)}, [("size", text)], declared),
        lambda: Recipe.from_values(recipe_values(path)[0]).config(),
        lambda: read_recipe(path),
    )


def _tables(_: Path) -> dict[str, bytes]:
    row = dict.fromkeys(COLUMNS, "1.5") | {"run": "a", "dataset": "d", "clip": "c", "frame": "001"}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([row, row | {"frame": "002", "psnr": "inf"}])
    return {
        "rows.csv": text.getvalue().encode(),
        "curve.csv": b"step,epoch,rate,total\n1,0,0.1,0.5\n2,0,0.1,0.4\n",
        "camera.csv": b"clip,frame,x,y\na,1,0.5,0.25\na,2,0.75,0.5\n",
    }


def _read_table(path: Path) -> None:
    folder = path.parent
    content = path.read_bytes()
    (folder / "rows.json").write_text("{}")
    names = ("rows", "difficulty", "camera_paths", "bench_cpu", "claims", "reported")
    for name in names:
        (folder / f"{name}.csv").write_bytes(content)
    for forgiving in (lambda: run_folder.truncate_curve(path, 1), lambda: is_complete(path, {}, [])):
        with contextlib.suppress(InputError):
            forgiving()
    readers: list[Callable[[], object]] = [
        lambda: read_frames(path),
        lambda: read_run(folder, "rows"),
        lambda: run_folder.read_curve(path),
        lambda: difficulty.groups(folder),
        lambda: camera_paths.read_paths(folder),
        lambda: claims.read(folder),
        lambda: published.read_published(folder),
        lambda: speed.read(folder / "bench_cpu.csv"),
    ]
    _by_any(*readers)


def _records(_: Path) -> dict[str, bytes]:
    known = {"val_15fps.zip": {"sha256": "0" * 64, "bytes": 1, "source": "x"}}
    clip = {"kind": "cubic", "size": [64, 64], "frames": {"00000004": {"motion": 1.5}}}
    values = {"hashes.json": known, "clip.json": clip, "run.json": {"scores": {"psnr": 3.5}}}
    return {name: json.dumps(value).encode() for name, value in values.items()}


def _read_json(path: Path) -> None:
    folder = path.parent
    content = path.read_bytes()
    for name in ("run.json", "rows.json", "gpu.json"):
        (folder / name).write_bytes(content)
    metadata = metadata_path(folder, "val", "000")
    metadata.parent.mkdir(parents=True, exist_ok=True)
    metadata.write_bytes(content)
    (folder / "rows.csv").write_text("clip,frame,psnr\na,1,30.5\n")
    run_folder.is_finished(folder)  # which refuses nothing
    _by_any(
        lambda: checksums.lookup("val_15fps.zip", path),
        lambda: read_metadata(folder, "val", "000"),
        lambda: read_run(folder, "rows"),
    )


def _archives(folder: Path) -> dict[str, bytes]:
    for name, method in (("stored.zip", zipfile.ZIP_STORED), ("packed.zip", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(folder / name, "w", method) as archive:
            for number in range(3):
                archive.writestr(f"val/val_15fps/00{number}/a.png", bytes(range(200)))
    return _files(folder)


def _unpack(path: Path) -> None:
    folder = path.parent / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    before = set(path.parent.iterdir())
    try:
        unpack(path, folder, re.compile(r"(?:.*/)?val_15fps/(.+\.png)"))
    except InputError:
        if folder.exists():
            raise AssertionError("an archive that was refused left something") from None
        raise
    if any(entry not in before and entry != folder for entry in path.parent.iterdir()):
        raise AssertionError("an archive wrote beside its folder")


def _notebooks(_: Path) -> dict[str, bytes]:
    cell = nbformat.v4.new_code_cell(
        "size: int = 3  # pixels\nclip: str = 'a'  # name", metadata={"tags": ["parameters"]}
    )
    cell.id = "parameters"
    return {"a.ipynb": nbformat.writes(nbformat.v4.new_notebook(cells=[cell])).encode()}


def _windows(folder: Path) -> dict[str, bytes]:
    frames = np.zeros((8, 3, 16, 16), np.uint8)
    window = Window(frames, frames[0], 0.5, np.zeros((2, 2, 16, 16), np.float16), np.zeros((2, 16, 16), np.uint8),
                    np.zeros((6, 2, 16, 16), np.float16))  # fmt: skip
    np.savez(folder / "a.npz", **pack_window(window))
    return _files(folder)


def _options(_: Path) -> dict[str, bytes]:
    lines = (
        "interpolate nowhere out --factor 3 --size 64x48 --crop 32x32+1+1 --limit 4",
        "interpolate nowhere out.mp4 --fps 59.94 --slow 1.5 --crf 20 --model baseline",
        "evaluate nowhere --step 2 --every 3 --models blend linear --ensemble flips",
        "evaluate --data nowhere --dataset val30 --budget --map a.png",
        "train --preset baseline --terms l1=1 census=0.5 --crop 64 --steps 4 --rate 1e-3 --minutes 1",
        "render nowhere --clips 2 --size 64x64 --frames 40 --kind cubic",
        "download data val_15fps --to nowhere --from nowhere",
        "study 01_first --params nowhere -p size 3 --jobs 2",
        "ship nowhere name",
        "site --out nowhere --executed nowhere",
    )
    return {f"{number}.txt": line.encode() for number, line in enumerate(lines)}


def _run_options(path: Path) -> None:
    arguments = path.read_bytes().decode(errors="replace").replace("\0", "").split()
    render.write_rendered_clip = lambda *_: 0  # of however many clips
    forbidden = {"gpu", "bench", "readme", "pictures", "doctor", "film", "camera", "difficulty", "windows"}
    if not arguments or arguments[0] in forbidden or "nowhere" not in arguments:
        return  # what works for minutes, or goes to the network
    try:
        status = main([str(path.parent / "nowhere") if word == "nowhere" else word for word in arguments])
    except SystemExit as error:
        status = error.code
    if status not in (0, 2, 130):
        raise AssertionError(f"exit status {status}")
    if status == 2:
        raise InputError("refused with exit status 2")


READERS = {
    reader.name: reader
    for reader in (
        Reader("pictures", _pictures, _read_picture),
        Reader("animations", _animations, _read_clip),
        Reader("videos", _videos, _read_clip),
        Reader("checkpoints", _checkpoints, _load),
        Reader("safetensors", _tensors, _load),
        Reader(
            "training states", _states, lambda path: run_folder.load_state(_renamed(path, "state.pt"), small_recipe())
        ),
        Reader("YAML", _recipes, _read_yaml, text=True),
        Reader("CSV", _tables, _read_table, text=True),
        Reader("JSON", _records, _read_json, text=True),
        Reader("archives", _archives, _unpack),
        Reader("notebooks", _notebooks, headless.parameters_of, text=True),
        Reader("stored windows", _windows, _read),
        Reader("options", _options, _run_options, text=True),
    )
}


def _renamed(path: Path, name: str) -> Path:
    """The folder of a file, after it has been copied there under a name."""
    (path.parent / name).write_bytes(path.read_bytes())
    return path.parent
