"""The windows of a clip on CUDA graphs."""

import dataclasses
import gc
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from eqvi.devices import out_of_memory
from eqvi.graphs import Captured
from eqvi.model.eqvi import EQVI
from eqvi.model.inputs import check_frames, check_time
from eqvi.model.interpolation import Interpolation, Motion
from eqvi.model.scopeflow import ScopeFlow
from eqvi.model.tiles import Box

#: Windows of a clip that compute as always before one of their shapes is captured.
PLAIN = 2
#: Times that are kept on the device.
_KEPT = 64


class OnGraphs:
    """The two stages of a model for the windows of a clip: those that come again and again become graphs.

    The first `PLAIN` windows of a shape compute as always: a clip's first and last ones have fewer frames, and for so
    few frames no capture pays. Flow that is estimated on the processor is in no graph, nor is a frame in tiles, nor
    what does not fit into memory as a graph too. All fields of a result but ``frame`` are overwritten by the next call.

    Args:
        model: on `device`, with the attribute `grid` of `eqvi.model.tiles.tiled`.
        device: where it is; without CUDA see `Captured`.
        has_room: whether a graph fits into memory, which it keeps, for frames of a height and width.
    """

    def __init__(self, model: EQVI, device: str, has_room: Callable[[int, int], bool]) -> None:
        self._model, self._device, self._has_room = model, device, has_room
        self.window, self.pair_suffices = model.window, model.pair_suffices
        self.grid: Callable[[int, int], list[Box]] = model.grid  # type: ignore[assignment] # no module
        self._windows = 0
        self._kinds: dict[Any, _Kind] = {}
        self._known: dict[str, tuple[Any, _Flat]] = {}
        self._times: dict[float, Tensor] = {}

    @property
    def mib(self) -> float:
        """Largest memory in use with the graphs, which keep what they have taken, MiB; 0 without CUDA."""
        graphs = [kind.graph for kind in self._kinds.values() if kind.graph is not None]
        own = sum(graph.peak_mib - graph.before_mib for graph in graphs)
        return own + min((graph.before_mib for graph in graphs), default=0.0)

    def estimate_motion(self, frames: Tensor, previous: Motion | None = None) -> Motion:
        """As `EQVI.estimate_motion`."""
        self._windows += 1
        model, arguments = self._model, (frames, previous)
        if previous is None or not isinstance(model.flow, ScopeFlow):
            return model.estimate_motion(*arguments)
        replay = self._replay(model.estimate_motion, arguments)
        return model.estimate_motion(*arguments) if replay is None else replay()

    def interpolate(self, frames: Tensor, motion: Motion, t: float) -> Interpolation:
        """As `EQVI.interpolate`."""
        check_frames(frames, self._model.config.trajectory)
        check_time(t, frames)
        whole = len(self.grid(frames.shape[-2], frames.shape[-1])) == 1
        replay = self._replay(self._unchecked, (frames, motion, self._time(t, frames))) if whole else None
        if replay is None:
            return self._model.interpolate(frames, motion, t)
        result = replay()
        return result._replace(frame=result.frame.clone())

    def _unchecked(self, frames: Tensor, motion: Motion, t: Tensor) -> Interpolation:
        return self._model.interpolate(frames, motion, t, check=False)

    def _time(self, t: float, frames: Tensor) -> Tensor:
        """t on the device, where a clip's few times are copied once."""
        if t not in self._times:
            if len(self._times) == _KEPT:
                self._times.clear()
            self._times[t] = frames.new_tensor([t])
        return self._times[t]

    def _replay(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], Any] | None:
        """The function's graph for arguments of these shapes, with them; None where it is to compute plainly."""
        flat = [self._flat(function, argument) for argument in arguments]
        kind = self._kinds.setdefault((function.__name__, *(one.key for one in flat)), _Kind())
        if kind.last != self._windows:
            kind.last, kind.windows = self._windows, kind.windows + 1
        if kind.graph is None and not kind.refused and kind.windows > PLAIN:
            kind.graph = self._capture(function, tuple(one.value for one in flat))
            kind.refused = kind.graph is None
        return None if kind.graph is None else partial(kind.graph.replay, [leaf for one in flat for leaf in one.leaves])

    def _flat(self, function: Callable[..., Any], argument: Any) -> "_Flat":
        """An argument's leaves; a graph's own result, the same object every time, is taken apart once."""
        if isinstance(argument, Tensor):
            return _Flat(argument, [argument], argument.shape)
        name = function.__name__
        known = self._known.get(name)
        if known is None or known[0] is not argument:
            value = argument if name == "estimate_motion" else _without_features(argument)
            leaves, form = pytree.tree_flatten(value)
            key = (str(form), tuple(getattr(leaf, "shape", None) for leaf in leaves))
            self._known[name] = known = (argument, _Flat(value, leaves, key))
        return known[1]

    def _capture(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Captured | None:
        gc.collect()
        if torch.device(self._device).type == "cuda":
            torch.cuda.empty_cache()  # the graph has memory of its own
        if not self._has_room(*arguments[0].shape[-2:]):
            return None
        try:
            return Captured(function, arguments, self._device)
        except Exception as error:
            if not out_of_memory(error):
                raise
            gc.collect()
            return None


class _Flat(NamedTuple):
    """An argument of a graph, its leaves, and what tells arguments apart that need graphs of their own."""

    value: Any
    leaves: list[Any]
    key: Any


@dataclasses.dataclass
class _Kind:
    """Calls of one function with arguments of the same shapes: in how many windows, the last of them, their graph."""

    windows: int = 0
    last: int = -1
    graph: Captured | None = None
    refused: bool = False


def _without_features(motion: Motion) -> Motion:
    """What a new frame is made of; features are for the next window's flows."""
    half = None if motion.half is None else _without_features(motion.half)
    return motion._replace(features={}, half=half)
