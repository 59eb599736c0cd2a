"""Where the time of a new frame goes on a CPU, step by step of the method, beside what the machine needs at least.

What is timed are the new frames of a running clip at x2, convolutions arranged as `eqvi interpolate` arranges them:
each window takes flows from the one before. Steps are those of `eqvi.model.eqvi`; a step's time is its own, without
that of steps within it.

A step's floor is the longer of two times: that of its convolutions at the rate of one that machines are good at
(`eqvi.evaluation.floor`), and that of the bytes which its operations read and write at the rate of copying one flow of
the frame's size, which caches hold if it is small. It is the floor of these operations; others that do the same in
fewer passes over memory have a lower one. What OpenCV and scikit-image compute is not seen, and has none.
"""

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from eqvi.evaluation import bench
from eqvi.evaluation.floor import convolution, counted
from eqvi.evaluation.journal import write_rows
from eqvi.evaluation.panned import panned
from eqvi.evaluation.workloads import Workload
from eqvi.model import eqvi as method
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.model.fast_convolution import accelerated
from eqvi.model.fast_sampling import fast_sampling
from eqvi.model.interpolation import Motion
from eqvi.model.registry import FOOTAGE_CONFIG
from eqvi.provenance import processor, surroundings
from eqvi.reports.profile import REST, PartTime

#: What is profiled: the published model, and what users' footage gets by default.
MODELS: dict[str, EQVIConfig] = {
    "published widths": PRESETS["eqvi"],
    "default for footage": FOOTAGE_CONFIG,
}
_COPIES = 2**28  # bytes that are copied in all


class Watch:
    """Time, arithmetic and traffic of the parts that are entered, each without that of parts within it.

    Attributes:
        seconds, operations, traffic: by part; multiply-adds count twice, traffic is in bytes.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.operations: dict[str, int] = defaultdict(int)
        self.traffic: dict[str, int] = defaultdict(int)
        self._within = [REST]
        self._since = time.perf_counter()

    @property
    def part(self) -> str:
        """The part that is being computed."""
        return self._within[-1]

    @contextlib.contextmanager
    def watching(self, part: str) -> Iterator[None]:
        """Within this context time goes to `part`."""
        self._lap()
        self._within.append(part)
        try:
            yield
        finally:
            self._lap()
            self._within.pop()

    def stop(self) -> None:
        """Count the time since the last part."""
        self._lap()

    def _lap(self) -> None:
        now = time.perf_counter()
        self.seconds[self.part] += now - self._since
        self._since = now


@contextlib.contextmanager
def watched(model: EQVI, watch: Watch) -> Iterator[None]:
    """Within this context the steps of a model are parts of `watch`, and so is the arithmetic of its convolutions."""
    places: list[tuple[Any, str, str]] = [
        (model.flow, "features", "features"), (model.flow, "between_all", "between"),
        (method, "combined", "two ways"), (method, "follow_both", "positions"), (method, "displacement", "motion"),
        (model, "correct", "motion"), (method, "reverse_flow", "reversal"), (model.refinement, "forward", "refinement"),
        (method, "backward_warp", "warps"), (model.mask, "forward", "mask"), (method, "lost_detail", "detail"),
        (method, "surplus", "detail"),
    ]  # fmt: skip
    places += [(model.residual, "forward", "residual")] if model.residual is not None else []
    if model.finishing is not None:
        places += [(model.finishing, "forward", "finishing"), (method, "path_evidence", "finishing")]
    places += [(model.fusion, "forward", "fusion")] if model.fusion is not None else []

    def tell(operations: int) -> None:
        watch.operations[watch.part] += operations

    with counted(tell), contextlib.ExitStack() as stack:
        for owner, name, part in places:
            stack.enter_context(_replaced(owner, name, partial(_entered, watch, part, getattr(owner, name))))
        yield


class Traffic(TorchDispatchMode):
    """Within this context every operation's inputs and outputs count as read and written, views apart."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        aliases = [value.alias_info for value in func._schema.returns]
        if not any(alias is not None and not alias.is_write for alias in aliases):
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
            self._watch.traffic[self._watch.part] += sum(map(_size, tensors))
        return result


def profile(height: int, width: int, rounds: int, windows: int = 1) -> tuple[list[PartTime], dict[str, Any]]:
    """The parts of every model of `MODELS` in every round, and the record of what made them.

    Args:
        height, width: of the frames in pixels.
        rounds: besides one that warms up.
        windows: of a round, x2.
    """
    load = Workload(height=height, width=width, windows=windows)
    clips = {name: _Clip(config, load) for name, config in MODELS.items()}
    fixed = {name: clip.fixed() for name, clip in clips.items()}
    rows, rates = [], defaultdict(list)
    for number in range(rounds + 1):
        for name, clip in clips.items():
            seconds = clip.timed().seconds
            if number:
                rows += [
                    PartTime(name, part, number, seconds[part] / windows, fixed[name].operations[part] / windows / 1e9,
                             fixed[name].traffic[part] / windows / 1e9)
                    for part in seconds
                ]  # fmt: skip
        for what, rate in _rates(load).items():
            rates[what].append(rate)
    record = {
        "parameters": {"height": height, "width": width, "rounds": rounds, "windows": windows},
        "weights": "random",
        "rates": {what: statistics.median(values[1:]) for what, values in rates.items()},
        **surroundings("cpu", bench.PACKAGES),
        **processor(),
    }
    return rows, record


def write(rows: list[PartTime], record: Mapping[str, Any], path: Path) -> None:
    """Write the rows, and beside them the record of what made them.

    Raises:
        InputError: the place is not writable or the disk is full.
    """
    cells = [(*row[:3], f"{row.seconds:.6f}", f"{row.gflop:.4f}", f"{row.gigabytes:.4f}") for row in rows]
    write_rows(path, PartTime._fields, cells, record)


class _Clip:
    """New frames of a running clip at x2."""

    def __init__(self, config: EQVIConfig, load: Workload) -> None:
        torch.manual_seed(0)
        self._plain = EQVI(config).eval()
        self._fast = accelerated(self._plain)
        count = self._plain.window
        frames = panned((load.height, load.width), range(load.windows + count))
        self._windows = [frames[None, first : first + count] for first in range(load.windows + 1)]

    def timed(self) -> Watch:
        """As it is used."""
        with fast_sampling():
            return self._run(self._fast, lambda _: torch.inference_mode())

    def fixed(self) -> Watch:
        """What is the same in every round: arithmetic, of plain sums, and their traffic as they are arranged."""
        watch = self._run(self._plain, lambda _: torch.no_grad())
        watch.traffic = self._run(accelerated(self._plain, transforms=False), Traffic).traffic
        return watch

    def _run(self, model: EQVI, mode: Callable[[Watch], contextlib.AbstractContextManager[Any]]) -> Watch:
        with torch.no_grad():
            motion: Motion = model.estimate_motion(self._windows[0])
        watch = Watch()
        with torch.no_grad(), watched(model, watch), mode(watch):
            for window in self._windows[1:]:
                motion = model.estimate_motion(window, previous=motion)
                model.interpolate(window, motion, 0.5)
        watch.stop()
        return watch


def _entered(watch: Watch, part: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with watch.watching(part):
        return function(*args, **kwargs)


@contextlib.contextmanager
def _replaced(owner: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Within this context the attribute is `function`."""
    own = vars(owner).get(name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)


def _size(tensor: Tensor) -> int:
    """Bytes of a tensor; what is expanded is read once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _rates(load: Workload) -> dict[str, float]:
    """GFLOP/s of a convolution, and GB/s that copying reads and writes, now."""
    task = next(task for task in convolution(load) if task.variant == "float32")
    prepared = task.prepare()
    source = torch.ones(1, 2, load.height, load.width)
    target, times = torch.empty_like(source), max(1, _COPIES // (source.numel() * source.element_size()))
    target.copy_(source)
    start = time.perf_counter()
    task.run(prepared)
    middle = time.perf_counter()
    for _ in range(times):
        target.copy_(source)
    return {
        "convolution, GFLOP/s": task.amount / (middle - start),
        "copy, GB/s": times * 2 * source.numel() * source.element_size() / (time.perf_counter() - middle) / 1e9,
    }
