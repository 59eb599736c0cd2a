"""Training windows in the memory of the device that trains, taken in from a pool on disk while it is being filled.

Reading, enlarging and augmenting windows on the host feeds some ten steps a second; a GPU makes more. Here a window is
read once and kept as it is stored (3.5 MB at 256x256); batches are drawn, cropped and augmented on the device. What is
drawn depends on what has been rendered by then, so a run on it is not repeatable to the bit.
"""

import contextlib
import random
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from eqvi.training.augment import Augmentation, augment, crop
from eqvi.training.samples import WindowBatch, WindowSample, collate
from eqvi.training.window_pool import WindowPool

#: Threads that read files, and seconds between two looks into the folder.
_READERS, _LOOK_EVERY = 8, 0.25


class _Stored(NamedTuple):
    """A window as it is kept on the device: `eqvi.datasets.windows.Window` with flows at half of the resolution."""

    frames: Tensor
    truth: Tensor
    t: float
    flow: Tensor
    visibility: Tensor
    flows: Tensor


class DeviceWindows:
    """Windows of a pool on a device.

    Args:
        pool: with a folder, which others fill.
        device: where the windows are kept.
        side: height and width of the samples in pixels.
        how: of the augmentation.
        seed: of the draws.
    """

    def __init__(self, pool: WindowPool, device: torch.device, side: int, how: Augmentation, seed: int) -> None:
        self.pool, self.device = pool, device
        self._side, self._how = side, how
        self._draw = random.Random(f"device {seed}")
        self._windows: list[_Stored] = []
        self._ready, self._taken, self._looked = set[int](), set[int](), 0.0
        self._readers = ThreadPoolExecutor(_READERS)
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self._windows)

    def take_in(self, most: int) -> int:
        """Take in up to `most` windows that have been rendered; how many it were.

        Raises:
            InputError: a file cannot be read.
        """
        if not self._ready and time.monotonic() - self._looked >= _LOOK_EVERY:
            self._looked = time.monotonic()
            self._ready = self.pool.rendered() - self._taken
        found = sorted(self._ready)[:most]
        with self._aside():
            for packed in self._readers.map(self.pool.read_packed, found):
                self._windows.append(self._keep(packed))
        self._taken.update(found)
        self._ready.difference_update(found)
        return len(found)

    def wait_for(self, count: int, until: float) -> bool:
        """Take in windows until there are `count`; False if that takes longer than `until` (`time.monotonic`)."""
        while len(self) < min(count, self.pool.count):
            if time.monotonic() > until:
                return False
            if not self.take_in(4 * _READERS):
                time.sleep(0.1)
        return True

    def batch(self, size: int) -> WindowBatch:
        """`size` windows drawn at random, each cropped and augmented at random."""
        with self._aside():
            samples = [self._sample(self._draw.choice(self._windows)) for _ in range(size)]
            batch = WindowBatch(*(field.to(self.device) for field in collate(samples) if field is not None))
        if self._stream is not None:
            for field in batch:  # made on one stream, read on another
                field.record_stream(torch.cuda.current_stream(self.device))
        return batch

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """On a stream of its own, so that copies from the host do not wait for the step that is being computed."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield
        torch.cuda.current_stream(self.device).wait_stream(self._stream)

    def _sample(self, window: _Stored) -> WindowSample:
        sample = WindowSample(
            frames=window.frames.float() / 255,
            truth=window.truth.float() / 255,
            t=window.t,
            flow=window.flow.float(),
            visibility=window.visibility.float(),
            flows=F.interpolate(window.flows.float(), scale_factor=2, mode="bilinear", align_corners=False),
        )
        y, x = (self._draw.randint(0, self.pool.size - self._side) for _ in range(2))
        return augment(crop(sample, y, x, self._side, self._side), self._draw, self._how)

    def _keep(self, packed: Mapping[str, np.ndarray]) -> _Stored:
        visibility = np.unpackbits(packed["visibility"], axis=-1, count=packed["frames"].shape[-1])
        arrays = {name: torch.from_numpy(np.ascontiguousarray(packed[name])) for name in ("frames", "truth", "flow")}
        arrays |= {"flows": torch.from_numpy(packed["flows"]), "visibility": torch.from_numpy(visibility)}
        return _Stored(t=float(packed["t"]), **{name: array.to(self.device) for name, array in arrays.items()})
