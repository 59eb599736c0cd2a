"""Samples rendered on demand: windows to train interpolation on, pairs of frames with exact flow to train flow on."""

import random
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.datasets.camera import expose
from eqvi.datasets.photographs import Split
from eqvi.datasets.random_scenes import RenderedClip, draw_training_clip
from eqvi.datasets.rendering import exact_flow
from eqvi.training.samples import FlowSample, FrameSample

#: Where a window starts in a clip, in intervals: its moving objects are mostly in view then.
START_RANGE = (-1.5, 0.5)


@dataclass(frozen=True)
class RenderedWindows:
    """Windows, each of a random clip of its own; a `SampleSource`.

    Attributes:
        size: (height, width) in pixels.
        epoch: windows in an epoch.
        seed: of the sequence of clips.
        split: of the photographs that the clips show.
        times: of which the true frame's is drawn.
        calm: share of slower clips, see `eqvi.datasets.random_scenes.draw_training_clip`.
    """

    size: tuple[int, int]
    epoch: int
    seed: int = 0
    split: Split = "train"
    times: tuple[float, ...] = (0.25, 0.5, 0.75)
    calm: float = 0.0

    def sample(self, number: int) -> FrameSample:
        """The window of that number."""
        clip, times, t = self.draw(number)
        frames = expose(clip.scene, clip.camera, times)
        return FrameSample(frames[:4], frames[4], t)

    def draw(self, number: int) -> tuple[RenderedClip, Float[Tensor, " times"], float]:
        """The clip of that window, the times of its frames and of the true one, and t."""
        rng = random.Random(f"window {self.split} {self.seed} {number}")
        clip = draw_training_clip(rng, self.split, self.size, self.calm)
        start, t = rng.uniform(*START_RANGE), rng.choice(self.times)
        return clip, torch.tensor([start - 1, start, start + 1, start + 2, start + t]), t

    def record(self) -> dict[str, Any]:
        """What the windows are made of, in plain values."""
        return {"source": "rendered windows", **asdict(self)}


@dataclass(frozen=True)
class RenderedPairs:
    """Pairs of frames, one or two intervals apart and in either order, with exact flow; a `SampleSource`.

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
        rng = random.Random(f"pair {self.split} {self.seed} {number}")
        clip = draw_training_clip(rng, self.split, self.size, self.calm)
        start, distance = rng.uniform(*START_RANGE), rng.choice((-1.0, 1.0, 2.0))
        frames = expose(clip.scene, clip.camera, torch.tensor([start, start + distance]))
        truth = exact_flow(clip.scene, start, start + distance)
        return FlowSample(frames[0], frames[1], truth.flow[0], (~truth.mixed[0]).float())

    def record(self) -> dict[str, Any]:
        """What the pairs are made of, in plain values."""
        return {"source": "rendered pairs", **asdict(self)}
