"""Samples rendered on the spot: windows to train interpolation on, pairs of frames with exact flow to train flow on."""

import random
from dataclasses import asdict, dataclass
from typing import Any

import torch

from eqvi.datasets.camera import expose
from eqvi.datasets.photographs import Split
from eqvi.datasets.random_scenes import draw_training_clip
from eqvi.datasets.rendering import exact_flow
from eqvi.training.samples import FlowSample, FrameSample

#: Window starts are drawn among the times of a clip at which its motion is about in view.
_STARTS = (-1.5, 0.5)


@dataclass(frozen=True)
class RenderedWindows:
    """Windows without end, every one of a clip of its own.

    Attributes:
        size: (height, width) in pixels.
        epoch: windows that are called an epoch.
        seed: which sequence.
        split: whose pictures are shown.
        times: among which the true frame's is drawn.
        calm: how many of the clips are calmer, see `eqvi.datasets.random_scenes.draw_training_clip`.
    """

    size: tuple[int, int]
    epoch: int
    seed: int = 0
    split: Split = "train"
    times: tuple[float, ...] = (0.25, 0.5, 0.75)
    calm: float = 0.0

    def sample(self, number: int) -> FrameSample:
        """The window of that number."""
        draw = random.Random(f"window {self.split} {self.seed} {number}")
        clip = draw_training_clip(draw, self.split, self.size, self.calm)
        start, t = draw.uniform(*_STARTS), draw.choice(self.times)
        taken = expose(clip.scene, clip.camera, torch.tensor([start - 1, start, start + 1, start + 2, start + t]))
        return FrameSample(taken[:4], taken[4], t)

    def record(self) -> dict[str, Any]:
        """What it is made of, in plain values."""
        return {"source": "rendered windows", **asdict(self)}


@dataclass(frozen=True)
class RenderedPairs:
    """Pairs of frames without end, one or two intervals apart and in either order, with the exact flow.

    Attributes:
        size, epoch, seed, split, calm: as of `RenderedWindows`.
    """

    size: tuple[int, int]
    epoch: int
    seed: int = 0
    split: Split = "train"
    calm: float = 0.0

    def sample(self, number: int) -> FlowSample:
        """The pair of that number."""
        draw = random.Random(f"pair {self.split} {self.seed} {number}")
        clip = draw_training_clip(draw, self.split, self.size, self.calm)
        start, apart = draw.uniform(*_STARTS), draw.choice((-1.0, 1.0, 2.0))
        frames = expose(clip.scene, clip.camera, torch.tensor([start, start + apart]))
        truth = exact_flow(clip.scene, start, start + apart)
        return FlowSample(frames[0], frames[1], truth.flow[0], (~truth.mixed[0]).float())

    def record(self) -> dict[str, Any]:
        """What it is made of, in plain values."""
        return {"source": "rendered pairs", **asdict(self)}
