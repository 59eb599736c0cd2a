"""Other samples out of windows of eight frames: pairs with exact flow for a flow network, four frames without flows."""

import random
from dataclasses import dataclass
from typing import Any

import torch

from eqvi.datasets.windows import FIRST
from eqvi.training.augment import augment, crop
from eqvi.training.samples import FlowSample, FrameSample, WindowSample
from eqvi.training.window_pool import PooledWindows


@dataclass(frozen=True)
class FlowPairs:
    """Pairs of frames of each window, one or two intervals apart, with exact flow; a `SampleSource`.

    Attributes:
        windows: what the pairs are taken of.
    """

    windows: PooledWindows

    @property
    def epoch(self) -> int:
        """Windows in the pool: one pair of each."""
        return self.windows.epoch

    def sample(self, number: int) -> FlowSample:
        """The pair of that number, cropped and augmented."""
        source, index = self.windows, self.windows.index(number)
        rng = random.Random(f"pair {source.seed} {number}")
        frames, exact = source.pool.packed(index, ("frames",))["frames"], source.pool.exact_pairs(index)
        one = rng.randrange(len(exact.pairs))
        flow = torch.from_numpy(exact.flow[one]).float()
        is_exact = flow[:1].isfinite()
        first, second = (torch.from_numpy(frames[place]).float() / 255 for place in exact.pairs[one])
        pair = FlowSample(first, second, flow.where(is_exact, 0.0), is_exact.float())
        y, x = (rng.randint(0, source.pool.size - side) for side in source.crop)
        return augment(crop(pair, y, x, *source.crop), rng, source.augment)

    def record(self) -> dict[str, Any]:
        """What the pairs are made of, in plain values."""
        return self.windows.record() | {"samples": "pairs of frames with exact flow"}


@dataclass(frozen=True)
class FrameWindows:
    """The four middle frames of each window, for a model that estimates their flow itself; a `SampleSource`.

    Attributes:
        windows: what they are taken of.
    """

    windows: PooledWindows

    @property
    def epoch(self) -> int:
        """Windows in the pool."""
        return self.windows.epoch

    def sample(self, number: int) -> FrameSample:
        """The window of that number, cropped and augmented."""
        return middle_window(self.windows.sample(number))

    def record(self) -> dict[str, Any]:
        """What the windows are made of, in plain values."""
        return self.windows.record() | {"samples": "four frames"}


def middle_window(window: WindowSample) -> FrameSample:
    """The four frames in the middle of a window, without flows."""
    return FrameSample(window.frames[FIRST - 1 : FIRST + 3].contiguous(), window.truth, window.t)
