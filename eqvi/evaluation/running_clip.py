"""Clips as they are timed: a running one, of which every window follows another, and whole ones from end to end."""

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor

from eqvi.evaluation.panned import panned
from eqvi.evaluation.precision import autocast
from eqvi.graphs import Captured
from eqvi.media.image import ClipFrame, Image
from eqvi.media.side_by_side import SideBySide, frames_at_once
from eqvi.media.window import Interpolator, neighbours_of, windows
from eqvi.model.interpolation import Motion


class RunningClip:
    """All new frames of a clip, window by window; each window's motion reuses that of the window before.

    Args:
        model: of which all windows are made: one, or what `eqvi.media.precision.for_clips` makes of it.
        windows: consecutive, (1, 4, 3, H, W) on the model's device; for `run` the first only gives its motion.
        factor: `factor` - 1 new frames a window.
        precision: as of `eqvi.evaluation.precision.autocast`.
        device: where the model is.
        graph: whether a window is captured as a CUDA graph.

    Attributes:
        frames: the new frames of the last window.
    """

    def __init__(
        self, model: Any, windows: Sequence[Tensor], factor: int, precision: str, device: str, graph: bool = False
    ) -> None:
        self.model, self._windows, self._precision, self._device = model, windows, precision, device
        self._times = [place / factor for place in range(1, factor)]
        self._graph = graph
        self._captured: Captured | None = None
        self.frames: list[Tensor] = []

    def graph_mib(self) -> float:
        """Largest memory in use with the clip's graphs, MiB; 0 without any."""
        return float(getattr(self.model, "mib", 0.0)) + (self._captured.peak_mib if self._captured else 0.0)

    @torch.inference_mode()
    def begin(self) -> list[Motion]:
        """The motion of the first window, in a list for `run`; the graph, if one is wanted and not yet there."""
        with autocast(self._precision, self._device):
            motion: Motion = self.model.estimate_motion(self._windows[0])
        if self._graph and self._captured is None:
            self._captured = Captured(self._window, (self._windows[1], motion), self._device)
        return [motion]

    @torch.inference_mode()
    def run(self, begun: list[Motion]) -> None:
        """The new frames of all windows but the first, from the first one's motion, which is taken out of `begun`."""
        self.frames = []
        motion = begun.pop()  # so that nobody holds it any longer than `interpolate` does
        if self._captured is not None:
            for window in self._windows[1:]:
                motion, self.frames = self._captured(window, motion)
            return
        with SideBySide(frames_at_once(self.model, *self._windows[0].shape[-2:])) as crew:
            for window in self._windows[1:]:
                motion = self._next(window, motion)  # the former one's flows go before frames are made
                new = [crew.submit(partial(self._frame, window, motion, t)) for t in self._times]
        self.frames = [frame.result() for frame in new]

    def _window(self, window: Tensor, previous: Motion) -> tuple[Motion, list[Tensor]]:
        motion = self._next(window, previous)
        return motion, self._new(window, motion)

    def _next(self, window: Tensor, previous: Motion) -> Motion:
        with autocast(self._precision, self._device):
            motion: Motion = self.model.estimate_motion(window, previous=previous)
        return motion

    def _new(self, window: Tensor, motion: Motion) -> list[Tensor]:
        return [self._frame(window, motion, t) for t in self._times]

    @torch.inference_mode()
    def _frame(self, window: Tensor, motion: Motion, t: float) -> Tensor:
        with autocast(self._precision, self._device):
            frame: Tensor = self.model.interpolate(window, motion, t).frame
        return frame


def panned_clip(size: tuple[int, int], count: int) -> list[ClipFrame]:
    """So many frames of `size` = (height, width), as they are read from a file."""
    pictures = (255 * panned(size, range(count))).round().byte().permute(0, 2, 3, 1).numpy()
    duration = Fraction(1, 30)
    return [ClipFrame(Image(x), str(place), place * duration, duration, None) for place, x in enumerate(pictures)]


def fill_gaps(model: Any, clip: Sequence[ClipFrame], device: str) -> None:
    """A new frame in the middle of every gap of a clip, by a model on that device."""
    interpolator = Interpolator(model, device)
    height, width = clip[0].image.pixels.shape[:2]
    with SideBySide(frames_at_once(model, height, width)) as crew:
        for window in windows(clip, neighbours=neighbours_of(model)):
            if window.second is not None:
                crew.submit(interpolator.prepared_image(window, Fraction(1, 2)))
