"""Rendered windows stored on disk with their flows, so that training reads what it would render at every step.

Rendering a window and estimating its six flows takes longer than a narrow model's step on it. A store contains a fixed
number of windows, larger than the crops that are trained on, each with a true frame for every t. Crops, flips and time
reversal (`eqvi.training.augment`) make new windows of them, whose flows follow without a new estimate. For a model with
ScopeFlow only the frames are stored: it estimates flow in training. To train a flow network, exact flows are stored.
"""

import functools
import json
import math
import os
import random
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from eqvi.datasets.camera import expose
from eqvi.datasets.random_scenes import draw_training_clip
from eqvi.datasets.rendering import exact_flow
from eqvi.errors import InputError
from eqvi.files import parse_json, reason, replacing, write_failure
from eqvi.metrics import to_8bit
from eqvi.model.config import FlowKind
from eqvi.model.eqvi import make_flow
from eqvi.model.motion import FLOW_PAIRS
from eqvi.progress import bar
from eqvi.training.augment import Augmentation, augment, crop
from eqvi.training.rendered import START_RANGE
from eqvi.training.samples import FlowSample, FrameSample

#: What flows a store contains: an estimator's (none for ScopeFlow), or exact ones.
StoredFlow = FlowKind | Literal["exact"]

# Constant rate factors of H.264 that compressed windows draw from: from hardly visible to plainly visible loss.
_CRF = (8, 22)
_TIMES = (0.25, 0.5, 0.75)  # of the true frames
_RECORD, _CHECKSUMS = "store.json", "crc32"
_FRAMES, _TRUTHS, _FLOWS = "frames.npy", "truths.npy", "flows.npy"


@dataclass(frozen=True)
class StoredWindows:
    """Windows of a store, cropped and augmented; a `SampleSource`. Each epoch visits all, in an order of its own.

    Attributes:
        folder: the store, filled by `fill_store`.
        size: (height, width) of the crops.
        augment: see `eqvi.training.augment.augment`.
        seed: of the order, crops and augmentation.
    """

    folder: Path
    size: tuple[int, int]
    augment: Augmentation = "full"
    seed: int = 0

    @property
    def epoch(self) -> int:
        """Windows in the store."""
        return len(self._arrays[0])

    def sample(self, number: int) -> FrameSample:
        """The window of that number."""
        epoch, place = divmod(number, self.epoch)
        index = epoch_order(self.seed, epoch, self.epoch)[place]
        rng = random.Random(f"stored {self.seed} {number}")
        frames, truths, *flows = self._stored(index)
        k = rng.randrange(len(truths))
        window = FrameSample(
            torch.from_numpy(frames).float() / 255,
            torch.from_numpy(truths[k]).float() / 255,
            self._record["times"][k],
            torch.from_numpy(flows[0]).float() if flows else None,
        )
        height, width = frames.shape[-2:]
        y, x = rng.randint(0, height - self.size[0]), rng.randint(0, width - self.size[1])
        return augment(crop(window, y, x, *self.size), rng, self.augment)

    def record(self) -> dict[str, Any]:
        """What the windows are made of, in plain values."""
        options = {"size": list(self.size), "augment": self.augment, "seed": self.seed}
        return {"source": "stored windows", **options, "store": self._record}

    def _stored(self, index: int) -> list[np.ndarray]:
        """The arrays of a window, compared with their checksum when it is read first."""
        window = [array[index] for array in self._arrays]
        if index not in self._verified:
            checksums = self._content.get(_CHECKSUMS)  # a store of an earlier version has none
            if checksums and checksums[index] not in (None, _checksum(window)):
                raise InputError(f"{self.folder}: window {index} of the store is damaged: remove the folder")
            self._verified.add(index)
        return window

    @cached_property
    def _verified(self) -> set[int]:
        return set()

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        # Mode "c" copies a window on access: torch may use the array, and nothing is written back.
        try:
            return tuple(np.load(self.folder / name, mmap_mode="c") for name in _names(self._record["flow"]))
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"{self.folder}: a file of the store cannot be read ({error}): remove the folder"
            ) from None

    @cached_property
    def _record(self) -> dict[str, Any]:
        return {name: value for name, value in self._content.items() if name != _CHECKSUMS}

    @cached_property
    def _content(self) -> dict[str, Any]:
        return _read_record(self.folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredWindows, (self.folder, self.size, self.augment, self.seed)  # workers open the files themselves


@dataclass(frozen=True)
class StoredPairs:
    """Pairs of frames with exact flow: one of the six of every stored window; a `SampleSource`.

    Attributes:
        windows: of a store that `fill_store` has filled with ``flow="exact"``.
    """

    windows: StoredWindows

    @property
    def epoch(self) -> int:
        """Windows in the store."""
        return self.windows.epoch

    def sample(self, number: int) -> FlowSample:
        """The pair of that number, cropped and augmented as its window is."""
        window = self.windows.sample(number)
        assert window.flows is not None
        index = random.Random(f"stored pair {self.windows.seed} {number}").randrange(len(FLOW_PAIRS))
        first, second = FLOW_PAIRS[index]
        flow = window.flows[index]
        is_exact = flow[:1].isfinite()
        return FlowSample(window.frames[first], window.frames[second], flow.where(is_exact, 0.0), is_exact.float())

    def record(self) -> dict[str, Any]:
        """What the pairs are made of, in plain values."""
        return self.windows.record() | {"source": "pairs of stored windows"}


@dataclass(frozen=True)
class RenderedStore:
    """The windows of a store, rendered by index: a map-style dataset, so that workers can share them.

    Attributes:
        count: windows.
        size: (height, width) of each in pixels.
        flow: what flows are stored; ``exact`` ones are NaN where a pixel shows two motions.
        calm: share of slower clips, see `eqvi.datasets.random_scenes.draw_training_clip`.
        compressed: share of windows that are compressed and decoded, as most footage is (`eqvi.media.h264`).
    """

    count: int
    size: tuple[int, int]
    flow: StoredFlow = "dis"
    calm: float = 0.0
    compressed: float = 0.0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Frames (4, 3, H, W) and true frames (3, 3, H, W) in 8 bits, and flows (6, 2, H, W) if there are any."""
        rng = random.Random(f"store train 0 {index}")
        clip = draw_training_clip(rng, "train", self.size, self.calm)
        start = rng.uniform(*START_RANGE)
        times = torch.tensor([-1.0, 0, 1, 2, *_TIMES])
        images = np.stack([to_8bit(frame[None]) for frame in expose(clip.scene, clip.camera, start + times)])
        if self.compressed and rng.random() < self.compressed:
            from eqvi.media.h264 import through_h264  # PyAV is not on every machine that trains

            order = times.argsort().numpy()
            images[order] = through_h264(images[order], rng.randint(*_CRF))
        frames, truths = np.split(images.transpose(0, 3, 1, 2), [4])
        if self.flow == "scopeflow":
            return frames, truths
        if self.flow == "exact":
            start_times, end_times = (start + times[list(indices)] for indices in zip(*FLOW_PAIRS, strict=True))
            exact = exact_flow(clip.scene, start_times, end_times)
            return frames, truths, exact.flow.masked_fill(exact.mixed, math.nan).half().numpy()
        estimator = make_flow(self.flow)
        # Of the frames as they are stored, in 8 bits, as footage has them.
        inputs = torch.from_numpy(np.ascontiguousarray(frames)).float() / 255
        flows = torch.cat([estimator(inputs[a : a + 1], inputs[b : b + 1]) for a, b in FLOW_PAIRS])
        return frames, truths, flows.half().numpy()

    def record(self) -> dict[str, Any]:
        """What the store is made of, in plain values."""
        clips = {"count": self.count, "size": list(self.size), "seed": 0, "split": "train", "times": list(_TIMES)}
        return clips | {"flow": self.flow, "calm": self.calm, "compressed": self.compressed}


def fill_store(folder: Path, store: RenderedStore, workers: int = 0, progress: bool = True) -> None:
    """Render windows into a folder; an interrupted store is resumed where it stopped, a full one is left as it is.

    Args:
        folder: where the store is.
        store: what it contains.
        workers: processes that render; 0 renders in this one.
        progress: show a progress bar on a terminal.

    Raises:
        InputError: the folder contains other windows, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        checksums = _checksums_of_done(folder, store.record())
        done = len(checksums)
        if done == store.count:
            return
        arrays = _open_arrays(folder, store, is_new=not done)
        rest: Any = Subset(store, range(done, store.count))  # type: ignore[arg-type] # has the two methods that are used
        context = "spawn" if workers else None
        loader = DataLoader(rest, batch_size=None, num_workers=workers, multiprocessing_context=context)
        shown = bar(loader, "rendering", store.count, initial=done, unit="window", hidden=not progress)
        for index, window in enumerate(shown, start=done):
            for array, values in zip(arrays, window, strict=True):
                array[index] = values
            checksums.append(_checksum(window))
            if (index + 1) % 50 == 0 or index + 1 == store.count:
                for array in arrays:
                    array.flush()
                with replacing(folder / _RECORD) as partial:
                    partial.write_text(json.dumps({**store.record(), "done": index + 1, _CHECKSUMS: checksums}))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {write_failure(error)}") from None


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, count: int) -> list[int]:
    """The order in which an epoch visits the windows."""
    return random.Random(f"order {seed} {epoch}").sample(range(count), count)


def _names(flow: StoredFlow) -> tuple[str, ...]:
    return (_FRAMES, _TRUTHS) if flow == "scopeflow" else (_FRAMES, _TRUTHS, _FLOWS)


def _checksum(window: Iterable[Any]) -> int:
    """One CRC-32 for all arrays of a window."""
    return functools.reduce(lambda value, array: zlib.crc32(np.asarray(array).tobytes(), value), window, 0)


def _read_record(folder: Path) -> dict[str, Any]:
    """What a store's record says, InputError where it says nothing."""
    path = folder / _RECORD
    try:
        record = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(record["done"], int) or len(record.get(_CHECKSUMS, [])) not in (0, record["done"]):
            raise ValueError("it does not say what is done")
        return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: is no record of a store ({reason(error)}): give another folder, or remove it"
        ) from None


def _checksums_of_done(folder: Path, expected: dict[str, Any]) -> list[int | None]:
    """A checksum, if there is one, for each window that a store has; InputError where it is not the expected store."""
    if not (folder / _RECORD).is_file():
        return []
    record = _read_record(folder)
    done, checksums = record.pop("done"), record.pop(_CHECKSUMS, None)
    if record != expected:
        raise InputError(f"{folder}: holds other windows ({record}): give another folder, or remove it")
    return checksums or [None] * done


def _open_arrays(folder: Path, store: RenderedStore, is_new: bool) -> list[np.memmap]:
    layouts: dict[str, tuple[Any, tuple[int, ...]]] = {
        _FRAMES: (np.uint8, (store.count, 4, 3, *store.size)),
        _TRUTHS: (np.uint8, (store.count, len(_TIMES), 3, *store.size)),
        _FLOWS: (np.float16, (store.count, len(FLOW_PAIRS), 2, *store.size)),
    }
    paths = [folder / name for name in _names(store.flow)]
    arrays = [np.lib.format.open_memmap(path, "w+" if is_new else "r+", *layouts[path.name]) for path in paths]
    if is_new and hasattr(os, "posix_fallocate"):  # macOS has none
        for path in paths:
            # Allocate all blocks now: in a sparse file a full disk would end the process later (SIGBUS).
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return arrays
