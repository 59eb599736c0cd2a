"""A pool of rendered training windows on disk: rendered once, in whatever process has time, read in any order.

Rendering a window takes about as long as a training step on it. The windows of a pool are numbered, and each depends on
its number and on the pool's record alone, so the pool is a cache: a reader renders what is not there yet, and writers
(`fill_pool`, one process or several) run ahead of it. A run that trains on a pool that is being filled therefore sees
the same windows as one on a full pool, and filling goes on where it was interrupted.

A window is a file ``00000123.npz`` with the arrays of `eqvi.datasets.windows.Window`; its estimated flows are stored at
half of the resolution, where DIS computes them (its finest scale), which halves the file: 3.5 MB at 256x256. Where a
flow network was trained there is a second one, ``00000123.exact.npz``, of `eqvi.datasets.windows.ExactPairs`.
"""

import json
import os
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from eqvi.datasets.digital_camera import has_video
from eqvi.datasets.photographs import Split
from eqvi.datasets.pictures import Pictures, load_pictures
from eqvi.datasets.window_rendering import exact_pairs, render_window
from eqvi.datasets.windows import ExactPairs, Window
from eqvi.errors import InputError
from eqvi.files import exclusive, parse_json, reason, replacing
from eqvi.training.augment import Augmentation, augment
from eqvi.training.samples import WindowSample

_RECORD, _NAME = "pool.json", "{:08d}.npz"
_NAMED = re.compile(r"([0-9]{8})\.npz")
_FORMAT = 1  # raised when the renderer or the files change


@dataclass(frozen=True)
class WindowPool:
    """The windows of a pool; on disk where they were rendered before.

    Attributes:
        folder: the pool; None: windows are rendered and not kept.
        count: windows.
        size: height and width of each in pixels.
        seed: of the sequence of windows.
        pictures: folder of the pictures that they show; None: those of scikit-image.
        split: of the pictures.
    """

    folder: Path | None
    count: int
    size: int = 256
    seed: int = 0
    pictures: Path | None = None
    split: Split = "train"

    def record(self) -> dict[str, Any]:
        """What the windows are made of, in plain values."""
        plan = {"count": self.count, "size": self.size, "seed": self.seed, "format": _FORMAT}
        video = {} if has_video() else {"video": "no PyAV: pictures instead"}
        return {"source": "rendered windows of eight frames", **plan, **video, "pictures": self.opened.record}

    @cached_property
    def opened(self) -> Pictures:
        """Its pictures.

        Raises:
            InputError: as `eqvi.datasets.pictures.load_pictures`.
        """
        return load_pictures(self.pictures, self.split)

    def prepare(self) -> None:
        """Make the folder, or make sure that it holds windows of this pool.

        Raises:
            InputError: it holds others, or cannot be written.
        """
        if self.folder is None:
            return
        with exclusive(self.folder, wait=True):
            path = self.folder / _RECORD
            expected = {name: value for name, value in self.record().items() if name != "count"}
            if path.is_file():
                try:
                    there = parse_json(path.read_text(encoding="utf-8"))
                except ValueError:
                    there = None
                if there != json.loads(json.dumps(expected)):
                    raise InputError(f"{self.folder}: holds other windows ({there}): give another folder, or remove it")
            else:
                with replacing(path) as partial:
                    partial.write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")

    def window(self, index: int) -> Window:
        """The window of that index, read or rendered.

        Raises:
            InputError: its file cannot be read, or written.
        """
        return unpack_window(self.packed(index))

    def packed(self, index: int, names: Sequence[str] = Window._fields) -> Mapping[str, Any]:
        """The same as `pack_window` makes it, or some of its arrays; if it is rendered now, what is read of it later.

        Raises:
            InputError: as `window`.
        """
        path = self._path(index)
        if path is not None and path.is_file():
            return _read(path, names)
        packed = pack_window(render_window(self.opened, self.seed, index, self.size))
        if path is not None:
            _write(path, packed)
        return packed

    def exact_pairs(self, index: int) -> ExactPairs:
        """Exact flow between some of the window's frames, read or found anew.

        Raises:
            InputError: as `window`.
        """
        path = self._path(index, "{:08d}.exact.npz")
        if path is not None and path.is_file():
            return ExactPairs(**_read(path, ExactPairs._fields))
        exact = exact_pairs(self.opened, self.seed, index, self.size)
        if path is not None:
            _write(path, exact._asdict())
        return exact

    def is_there(self, index: int) -> bool:
        """Whether the window has been rendered."""
        path = self._path(index)
        return path is not None and path.is_file()

    def rendered(self) -> set[int]:
        """The windows that have been rendered.

        Raises:
            InputError: the folder cannot be read.
        """
        try:
            names = os.listdir(self.folder) if self.folder is not None else []
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be read: {reason(error)}") from None
        numbers = {int(match[1]) for match in map(_NAMED.fullmatch, names) if match}
        return {number for number in numbers if number < self.count}

    def read_packed(self, index: int) -> dict[str, Any]:
        """The arrays in the file of a window that has been rendered, as `pack_window` made them.

        Raises:
            InputError: it cannot be read.
        """
        assert self.folder is not None
        return _read(self.folder / _NAME.format(index))

    def _path(self, index: int, name: str = _NAME) -> Path | None:
        return None if self.folder is None else self.folder / name.format(index)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker opens the pictures itself.
        return WindowPool, (self.folder, self.count, self.size, self.seed, self.pictures, self.split)


@dataclass(frozen=True)
class PooledWindows:
    """Windows of a pool, cropped and augmented; a `SampleSource`.

    The first epoch visits them in the order of their numbers, in which a pool is filled; later ones shuffle them.

    Attributes:
        pool: see `WindowPool`.
        crop: (height, width) of the samples in pixels.
        augment: see `eqvi.training.augment.augment`.
        seed: of the order, crops and augmentation.
        count: the first so many windows of the pool; 0: all.
    """

    pool: WindowPool
    crop: tuple[int, int]
    augment: Augmentation = "full"
    seed: int = 0
    count: int = 0

    @property
    def epoch(self) -> int:
        """Windows that are drawn from."""
        return self.count or self.pool.count

    def sample(self, number: int) -> WindowSample:
        """The window of that number."""
        rng = random.Random(f"pooled {self.seed} {number}")
        packed = self.pool.packed(self.index(number))
        y, x = (rng.randint(0, self.pool.size - side) for side in self.crop)
        return augment(to_sample(unpack_window(packed, (y, x, *self.crop))), rng, self.augment)

    def index(self, number: int) -> int:
        """The index of that window in the pool."""
        epoch, place = divmod(number, self.epoch)
        return epoch_order(self.seed, epoch, self.epoch)[place] if epoch else place

    def record(self) -> dict[str, Any]:
        """What the windows are made of, in plain values."""
        own = {"count": self.epoch, "crop": list(self.crop), "augment": self.augment, "order": self.seed}
        return self.pool.record() | own


def fill_pool(pool: WindowPool, worker: int = 0, workers: int = 1, progress: bool = True) -> int:
    """Render the windows of a pool that are not there yet, one in `workers`, in the order of their numbers.

    Returns:
        How many it rendered.

    Raises:
        InputError: the folder holds other windows, or cannot be written; the pictures cannot be used.
    """
    pool.prepare()
    missing = [index for index in range(worker, pool.count, workers) if not pool.is_there(index)]
    for index in tqdm(missing, "rendering", unit="window", disable=None if progress else True):
        if not pool.is_there(index):  # a reader may have been faster
            pool.window(index)
    return len(missing)


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, count: int) -> list[int]:
    """The order in which an epoch visits the windows."""
    return random.Random(f"order {seed} {epoch}").sample(range(count), count)


def to_sample(window: Window) -> WindowSample:
    """A window as tensors, colours in [0, 1]."""
    return WindowSample(
        frames=torch.from_numpy(window.frames).float() / 255,
        truth=torch.from_numpy(window.truth).float() / 255,
        t=window.t,
        flow=torch.from_numpy(window.flow).float(),
        visibility=torch.from_numpy(window.visibility).float(),
        flows=torch.from_numpy(window.flows).float(),
    )


def pack_window(window: Window) -> dict[str, Any]:
    """The arrays that a file holds: visibility as bits, estimated flows at half of the resolution."""
    return window._asdict() | {
        "visibility": np.packbits(window.visibility, axis=-1),
        "flows": halve_flows(window.flows.astype(np.float32)).astype(np.float16),
    }


def unpack_window(packed: Mapping[str, Any], box: tuple[int, int, int, int] | None = None) -> Window:
    """The window of which `pack_window` made these arrays, or a part of it; flows differ by the rounding of float16.

    Args:
        packed: the arrays.
        box: (y, x, height, width) of the part in pixels; None: all.
    """
    side = packed["frames"].shape[-1]
    y, x, height, width = box or (0, 0, *packed["frames"].shape[-2:])
    rows, columns = slice(y, y + height), slice(x, x + width)
    arrays = {name: packed[name][..., rows, columns] for name in ("frames", "truth", "flow")}
    visibility = np.unpackbits(packed["visibility"][..., rows, :], axis=-1, count=side)[..., columns]
    # Enlarged are the halved flows around the part, a pixel more on each side where there is one.
    above, left = (max(0, start // 2 - 1) for start in (y, x))
    around = packed["flows"][..., above : (y + height) // 2 + 2, left : (x + width) // 2 + 2]
    flows = double_flows(around.astype(np.float32)).astype(np.float16)
    y, x = y - 2 * above, x - 2 * left
    arrays |= {"visibility": visibility, "flows": flows[..., y : y + height, x : x + width]}
    return Window(**arrays, t=float(packed["t"]))


def halve_flows(flows: np.ndarray) -> np.ndarray:
    """Flows (N, 2, H, W) at half of the resolution, of which `double_flows` makes them again; still in full pixels.

    DIS computes flow at half of the resolution and enlarges it by bilinear interpolation, by which pixel 2i + 1 is
    3/4 a_i + 1/4 a_(i+1) and pixel 2i + 2 is 1/4 a_i + 3/4 a_(i+1): so a_i is 3/2 of the one minus 1/2 of the other.
    """
    for axis in (-1, -2):
        odd = np.take(flows, range(1, flows.shape[axis], 2), axis)
        even = np.take(flows, [*range(2, flows.shape[axis], 2), flows.shape[axis] - 1], axis)
        flows = 1.5 * odd - 0.5 * even
    return flows


def double_flows(flows: np.ndarray) -> np.ndarray:
    """Flows (N, 2, H, W) enlarged by bilinear interpolation to twice their resolution; in the same pixels."""
    height, width = flows.shape[-2:]
    planes = flows.reshape(-1, height, width)
    large = [cv2.resize(plane, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR) for plane in planes]
    return np.stack(large).reshape(*flows.shape[:2], 2 * height, 2 * width)


def _write(path: Path, packed: Mapping[str, Any]) -> None:
    # A name of this process's own: a reader and a writer may render the same window at once.
    own = path.with_name(f"{path.stem}.{os.getpid()}.npz")
    try:
        with replacing(own) as partial:
            np.savez(partial, **packed)
        own.replace(path)
    finally:
        own.unlink(missing_ok=True)


def _read(path: Path, names: Sequence[str] = Window._fields) -> dict[str, Any]:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return {name: arrays[name] for name in names}
    except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged files
        raise InputError(f"{path}: cannot be read ({reason(error)[:200]}): remove it") from None
