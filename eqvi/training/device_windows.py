"""Training windows in the memory of the device that trains, taken in from a pool on disk while it is being filled.

Reading, enlarging and augmenting windows on the host feeds some ten steps a second; a GPU makes more. Here a window is
read once and kept as it is stored (3.5 MB at 256x256); batches are drawn, cropped and augmented on the device, all
windows of a batch together (`cut_out`). Files are read by threads of their own. What is drawn depends on what has been
rendered by then, so a run on it is not repeatable to the bit.
"""

import contextlib
import random
import time
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16, Int, UInt8
from torch import Tensor

from eqvi.datasets.windows import FRAMES, WINDOW_PAIRS
from eqvi.training.augment import REVERSED_WINDOW, Augmentation, Transforms, draw_transforms
from eqvi.training.samples import WindowBatch
from eqvi.training.window_pool import WindowPool

#: Threads that read files, files that they are given ahead, and seconds between two looks into the folder.
_READERS, _AHEAD, _LOOK_EVERY = 8, 16, 0.25


class Stored(NamedTuple):
    """Windows as they are kept on a device: as `eqvi.datasets.windows.Window`, flows at half of the resolution."""

    frames: UInt8[Tensor, "n 8 3 h w"]
    truth: UInt8[Tensor, "n 3 h w"]
    t: Float[Tensor, " n"]
    flow: Float16[Tensor, "n 2 2 h w"]
    visibility: UInt8[Tensor, "n 2 h w"]
    flows: Float16[Tensor, "n 16 2 p q"]


class Cut(NamedTuple):
    """How one sample is made of a window: its number, the crop's first row and column, and what is done to it then."""

    number: int
    y: int
    x: int
    transforms: Transforms


class DeviceWindows:
    """Windows of a pool on a device, which runs on the same pool share.

    Args:
        pool: with a folder, which others fill.
        device: where the windows are kept; there is room for all from the start.

    Attributes:
        numbers: of the windows that are there, ascending.
    """

    def __init__(self, pool: WindowPool, device: torch.device) -> None:
        self.pool, self.device = pool, device
        self.numbers: list[int] = []
        n, side, half = pool.count, pool.size, pool.size // 2
        shapes = {"frames": (n, FRAMES, 3, side, side), "truth": (n, 3, side, side), "t": (n,),
                  "flow": (n, 2, 2, side, side), "visibility": (n, 2, side, side),
                  "flows": (n, len(WINDOW_PAIRS), 2, half, half)}  # fmt: skip
        types = {"t": torch.float64, "flow": torch.float16, "flows": torch.float16}
        empty = {name: torch.empty(shape, dtype=types.get(name, torch.uint8), device=device)
                 for name, shape in shapes.items()}  # fmt: skip
        self._stored = Stored(**empty)
        self._backward_pairs = torch.tensor(REVERSED_WINDOW, device=device)
        self._reading: dict[int, Future[None]] = {}
        self._ready, self._looked = list[int](), 0.0
        self._readers = ThreadPoolExecutor(_READERS)
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self.numbers)

    def take_in(self) -> int:
        """Take in the windows that have been read, and have those read that were rendered; how many were taken in.

        Raises:
            InputError: a file cannot be read.
        """
        done = [number for number, reading in self._reading.items() if reading.done()]
        for number in done:
            self._reading.pop(number).result()
            insort(self.numbers, number)
        if not self._ready and len(self) < self.pool.count and time.monotonic() - self._looked >= _LOOK_EVERY:
            self._looked = time.monotonic()
            self._ready = sorted(self.pool.rendered() - set(self.numbers) - set(self._reading), reverse=True)
        while self._ready and len(self._reading) < _AHEAD:
            number = self._ready.pop()
            self._reading[number] = self._readers.submit(self._read, number)
        return len(done)

    def settle(self) -> None:
        """Wait until no file is being read: while a CUDA graph is captured, no thread may use the device.

        Raises:
            InputError: a file cannot be read.
        """
        for number, reading in self._reading.items():
            reading.result()
            insort(self.numbers, number)
        self._reading.clear()

    def wait_for(self, count: int, until: float, of: int | None = None) -> bool:
        """Take in windows until there are `count`; False if that takes longer than `until` (`time.monotonic`).

        Args:
            count: of windows with a number below `of`, at most all of them.
            of: a run's number of windows.
        """
        of = self.pool.count if of is None else of
        while bisect_left(self.numbers, of) < min(count, of):
            if time.monotonic() > until:
                return False
            if not self.take_in():
                time.sleep(0.01)
        return True

    def batch(self, cuts: Sequence[Cut], side: int) -> WindowBatch:
        """Samples of `side` x `side` pixels."""
        rows = [[cut.number, cut.y, cut.x, *cut.transforms[:4], *cut.transforms.colours] for cut in cuts]
        plan = torch.tensor(rows)
        if self._stream is not None:
            plan = plan.pin_memory().to(self.device, non_blocking=True)
        return cut_out(self._stored, plan, side, self._backward_pairs)

    def _read(self, number: int) -> None:
        """Read a window's file to its place; in a thread, which waits for the copy."""
        packed = self.pool.read_packed(number)
        with contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            for name, array in _arrays(packed).items():
                getattr(self._stored, name)[number].copy_(torch.from_numpy(array))


class WindowDraws:
    """The batches of a run: windows, crops and augmentation are drawn at random.

    Args:
        windows: those of the pool, which has at least as many as the run.
        count: windows of the run, the first of the pool. If all are there, draws depend on the seed alone.
        side: height and width of the samples in pixels.
        how: of the augmentation.
        seed: of the draws.
    """

    def __init__(self, windows: DeviceWindows, count: int, side: int, how: Augmentation, seed: int) -> None:
        self.windows, self.count = windows, count
        self._side, self._how = side, how
        self._draw = random.Random(f"device {seed}")

    def take_in(self) -> None:
        """Take in windows that were read meanwhile, unless all of the run's are there.

        Raises:
            InputError: a file cannot be read.
        """
        if bisect_left(self.windows.numbers, self.count) < self.count:
            self.windows.take_in()

    def batch(self, size: int) -> WindowBatch:
        """`size` samples of the windows that are there."""
        there, room = bisect_left(self.windows.numbers, self.count), self.windows.pool.size - self._side
        draw, cuts = self._draw, []
        for _ in range(size):
            number, y, x = self.windows.numbers[draw.randrange(there)], draw.randint(0, room), draw.randint(0, room)
            cuts.append(Cut(number, y, x, draw_transforms(draw, self._how, is_square=True)))
        return self.windows.batch(cuts, self._side)


def cut_out(stored: Stored, plan: Int[Tensor, "b 10"], side: int, backward_pairs: Int[Tensor, " 16"]) -> WindowBatch:
    """Samples as `crop` and `augment` of `eqvi.training.augment` make them, of all windows of a batch together.

    A pixel, frame, colour or component of a sample is one of the window: every field is a single look-up.

    Args:
        stored: the windows.
        plan: of each sample, in whole numbers, its `Cut`: number, y, x, the four transforms, the colours.
        side: height and width of the samples in pixels.
        backward_pairs: `eqvi.training.augment.REVERSED_WINDOW`, on the device.
    """
    number, y, x, *chosen = plan[:, :7].unbind(1)
    mirrored, flipped, backwards, transposed = (flag.bool() for flag in chosen)
    along = torch.arange(side, device=plan.device)
    down, across = along.view(1, side, 1), along.view(1, 1, side)
    exchanged = transposed.view(-1, 1, 1)
    row, column = torch.where(exchanged, across, down), torch.where(exchanged, down, across)
    row = y.view(-1, 1, 1) + torch.where(flipped.view(-1, 1, 1), side - 1 - row, row)
    column = x.view(-1, 1, 1) + torch.where(mirrored.view(-1, 1, 1), side - 1 - column, column)

    def in_time(count: int) -> Int[Tensor, "b count"]:
        order = along[:count]
        return torch.where(backwards[:, None], count - 1 - order, order)

    def look_up(field: Tensor, where: Tensor, first: Tensor, second: Tensor | None = None) -> Tensor:
        """The field's values by window, one or two more dimensions, row and column."""
        if second is None:
            return field[where[:, None, None, None], first[:, :, None, None], row[:, None], column[:, None]]
        places = (where[:, None, None, None, None], first[:, :, None, None, None], second[:, None, :, None, None])
        return field[(*places, row[:, None, None], column[:, None, None])]

    # Component k of a flow, x first, is component k or, transposed, 1 - k of the window's; mirrored it changes its sign
    component = torch.where(transposed[:, None], 1 - along[:2], along[:2])
    signs = (1 - 2 * torch.stack((mirrored, flipped), dim=1).int()).gather(1, component)[:, None, :, None, None]
    pairs = torch.where(backwards[:, None], backward_pairs, along[: len(WINDOW_PAIRS)])
    colours, samples = plan[:, 7:], torch.arange(len(plan), device=plan.device)
    t = stored.t[number]
    halved = stored.flows[number].flatten(1, 2).float()
    flows = F.interpolate(halved, scale_factor=2, mode="bilinear", align_corners=False)
    return WindowBatch(
        frames=look_up(stored.frames, number, in_time(FRAMES), colours).float() / 255,
        truth=look_up(stored.truth, number, colours).float() / 255,
        t=torch.where(backwards, 1 - t, t).float(),
        flow=look_up(stored.flow, number, in_time(2), component).float() * signs,
        visibility=look_up(stored.visibility, number, in_time(2)).float(),
        flows=look_up(flows.unflatten(1, (len(WINDOW_PAIRS), 2)), samples, pairs, component) * signs,
    )


def _arrays(packed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The fields of `Stored` of one window."""
    visibility = np.unpackbits(packed["visibility"], axis=-1, count=packed["frames"].shape[-1])
    arrays = {name: np.ascontiguousarray(packed[name]) for name in Stored._fields if name != "t"}
    return arrays | {"visibility": visibility, "t": np.asarray(float(packed["t"]))}
