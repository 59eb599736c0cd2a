"""Windows made once and kept on disk with their flows, so that training reads what it would else make at every step.

Rendering a window and finding its six flows takes longer than a narrow model's step on it. A store holds a fixed number
of windows, larger than what is trained on, each with a true frame for every t: crops, mirrors and reversals make new
windows of them (`eqvi.training.augment`), whose flows follow without being estimated anew. For a model with ScopeFlow
the frames alone are kept: its flows are found while it trains. To train a flow network the exact flows are kept, as the
scenes have them (`eqvi.training.pairs`).
"""

import json
import math
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from eqvi.datasets.camera import expose
from eqvi.datasets.photographs import Split
from eqvi.datasets.random_scenes import draw_training_clip
from eqvi.datasets.rendering import exact_flow
from eqvi.errors import InputError
from eqvi.files import replacing, write_failure
from eqvi.media.h264 import through_h264
from eqvi.metrics import to_8bit
from eqvi.model.config import FlowKind
from eqvi.model.eqvi import make_flow
from eqvi.model.motion import FLOW_PAIRS
from eqvi.training.augment import Augmentation, augment, crop
from eqvi.training.samples import FrameSample

#: Quality at which windows are compressed, of libx264's: from hardly visible to plainly so.
_CRF = (8, 22)

#: Whose flows a store keeps: an estimator's (of ScopeFlow none), or the true ones.
StoredFlow = FlowKind | Literal["exact"]

_RECORD = "store.json"
_FRAMES, _TRUTHS, _FLOWS = "frames.npy", "truths.npy", "flows.npy"


@dataclass(frozen=True)
class StoredWindows:
    """Windows out of a store, cropped and augmented.

    Attributes:
        folder: the store, which `fill_store` has filled.
        size: (height, width) of a window as it is trained on.
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
        """The window of that number: every epoch visits every stored window once, in an order of its own."""
        epoch, place = divmod(number, self.epoch)
        draw = random.Random(f"stored {self.seed} {number}")
        frames, truths, *flows = (array[self._order(epoch)[place]] for array in self._arrays)
        which = draw.randrange(len(truths))
        whole = FrameSample(
            torch.from_numpy(frames).float() / 255,
            torch.from_numpy(truths[which]).float() / 255,
            self._record["times"][which],
            torch.from_numpy(flows[0]).float() if flows else None,
        )
        height, width = frames.shape[-2:]
        y, x = draw.randint(0, height - self.size[0]), draw.randint(0, width - self.size[1])
        return augment(crop(whole, y, x, *self.size), draw, self.augment)

    def record(self) -> dict[str, Any]:
        """What it is made of, in plain values."""
        kept = {"size": list(self.size), "augment": self.augment, "seed": self.seed}
        return {"source": "stored windows", **kept, "store": self._record}

    def _order(self, epoch: int) -> Sequence[int]:
        known = self.__dict__.setdefault("_orders", {})
        if epoch not in known:
            known.clear()
            known[epoch] = random.Random(f"order {self.seed} {epoch}").sample(range(self.epoch), self.epoch)
        return known[epoch]

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        # Copied on access, a window at a time: "c" gives arrays that torch may take, and writes nothing back.
        try:
            return tuple(np.load(self.folder / name, mmap_mode="c") for name in _files(self._record["flow"]))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.folder}: a file of the store cannot be read ({error}): remove the folder"
            ) from None

    @cached_property
    def _record(self) -> dict[str, Any]:
        return json.loads((self.folder / _RECORD).read_text(encoding="utf-8"))

    def __getstate__(self) -> dict[str, Any]:
        # Workers open the files themselves.
        return {name: getattr(self, name) for name in ("folder", "size", "augment", "seed")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


@dataclass(frozen=True)
class _Renderer:
    """Makes one stored window; a data set for the loader that shares the work out to processes."""

    count: int
    size: tuple[int, int]
    seed: int
    split: Split
    times: tuple[float, ...]
    flow: StoredFlow
    calm: float
    compressed: float

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        draw = random.Random(f"store {self.split} {self.seed} {index}")
        clip = draw_training_clip(draw, self.split, self.size, self.calm)
        start = draw.uniform(-1.5, 0.5)
        times = torch.tensor([-1.0, 0, 1, 2, *self.times])
        taken = np.stack([to_8bit(frame[None]) for frame in expose(clip.scene, clip.camera, start + times)])
        if self.compressed and draw.random() < self.compressed:
            order = times.argsort().numpy()
            taken[order] = through_h264(taken[order], draw.randint(*_CRF))
        pixels = taken.transpose(0, 3, 1, 2)
        # Flows are those of what is stored: of the frames in 8 bits, as footage has them.
        frames = torch.from_numpy(np.ascontiguousarray(pixels[:4])).float() / 255
        if self.flow == "scopeflow":
            return pixels[:4], pixels[4:]
        if self.flow == "exact":
            first, second = (start + times[list(ends)] for ends in zip(*FLOW_PAIRS, strict=True))
            truth = exact_flow(clip.scene, first, second)
            # Not a number where a pixel shows two motions and so has no true one.
            return pixels[:4], pixels[4:], truth.flow.masked_fill(truth.mixed, math.nan).half().numpy()
        estimator = make_flow(self.flow)
        flows = torch.cat([estimator(frames[a : a + 1], frames[b : b + 1]) for a, b in FLOW_PAIRS])
        return pixels[:4], pixels[4:], flows.half().numpy()


def fill_store(
    folder: Path,
    count: int,
    size: tuple[int, int],
    seed: int = 0,
    split: Split = "train",
    times: tuple[float, ...] = (0.25, 0.5, 0.75),
    flow: StoredFlow = "dis",
    calm: float = 0.0,
    compressed: float = 0.0,
    workers: int = 0,
    progress: bool = True,
) -> None:
    """Render windows into a store; one that is interrupted goes on where it stopped, a full one is left as it is.

    Args:
        folder: the store.
        count: windows.
        size: (height, width) of each in pixels.
        seed, split, calm: which windows; see `eqvi.datasets.random_scenes.draw_training_clip`.
        times: of the true frames.
        flow: whose flows are kept; of ScopeFlow none are. ``exact`` ones are not a number where a pixel shows two
            motions.
        compressed: how many of the windows have been through an encoder, as most footage has (`eqvi.media.h264`).
        workers: processes that render; 0 renders in this one.
        progress: show a bar where there is a terminal.

    Raises:
        InputError: the store holds other windows, or cannot be written.
    """
    maker = _Renderer(count, size, seed, split, times, flow, calm, compressed)
    what = {"count": count, "size": list(size), "seed": seed, "split": split, "times": list(times), "flow": flow}
    what |= {"calm": calm, "compressed": compressed}
    done = 0
    record = folder / _RECORD
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if record.is_file():
            try:
                found = json.loads(record.read_text(encoding="utf-8"))
                done = found.pop("done")
            except (ValueError, KeyError, TypeError, AttributeError):
                raise InputError(f"{record}: is no record of a store: give another folder, or remove it") from None
            if found != what:
                raise InputError(f"{folder}: holds other windows ({found}): give another folder, or remove it")
        if done == count:
            return
        arrays = _open(folder, bool(done), count, size, len(times), flow)
        todo: Any = torch.utils.data.Subset(maker, range(done, count))  # type: ignore[arg-type] # has what is needed
        context = "spawn" if workers else None
        loader = DataLoader(
            todo, batch_size=None, num_workers=workers, collate_fn=_as_it_is, multiprocessing_context=context
        )
        hidden = None if progress else True
        for made in tqdm(loader, "rendering", count, initial=done, unit="window", disable=hidden):
            for array, values in zip(arrays, made, strict=True):
                array[done] = values
            done += 1
            if done % 50 == 0 or done == count:
                for array in arrays:
                    array.flush()
                _write(record, {**what, "done": done})
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {write_failure(error)}") from None


def _as_it_is(made: Any) -> Any:
    return made


def _files(flow: StoredFlow) -> tuple[str, ...]:
    return (_FRAMES, _TRUTHS) if flow == "scopeflow" else (_FRAMES, _TRUTHS, _FLOWS)


def _open(
    folder: Path, begun: bool, count: int, size: tuple[int, int], times: int, flow: StoredFlow
) -> list[np.memmap]:
    kinds: dict[str, tuple[Any, tuple[int, ...]]] = {
        _FRAMES: (np.uint8, (count, 4, 3, *size)),
        _TRUTHS: (np.uint8, (count, times, 3, *size)),
        _FLOWS: (np.float16, (count, len(FLOW_PAIRS), 2, *size)),
    }
    mode: Any = "r+" if begun else "w+"
    files = [folder / name for name in _files(flow)]
    made = [np.lib.format.open_memmap(file, mode, *kinds[file.name]) for file in files]
    if not begun and hasattr(os, "posix_fallocate"):  # macOS has none
        for file in files:
            # A file with holes would take a full disk for a crash (SIGBUS) later: its blocks are taken now.
            with file.open("r+b") as opened:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    return made


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")
