"""Pairs of frames with exact flow, out of a store of rendered windows."""

import random
from dataclasses import dataclass
from typing import Any

from eqvi.model.motion import FLOW_PAIRS
from eqvi.training.samples import FlowSample
from eqvi.training.window_cache import StoredWindows


@dataclass(frozen=True)
class StoredPairs:
    """Pairs one or two intervals apart, in either order: of every stored window one of its six.

    Attributes:
        windows: out of a store that `eqvi.training.window_cache.fill_store` has filled with ``flow="exact"``.
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
        which = random.Random(f"stored pair {self.windows.seed} {number}").randrange(len(FLOW_PAIRS))
        first, second = FLOW_PAIRS[which]
        flow = window.flows[which]
        known = flow[:1].isfinite()
        return FlowSample(window.frames[first], window.frames[second], flow.where(known, 0.0), known.float())

    def record(self) -> dict[str, Any]:
        """What it is made of, in plain values."""
        return self.windows.record() | {"source": "pairs of stored windows"}
