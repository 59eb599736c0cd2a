"""What `eqvi.evaluation.bench` times: a training step, new frames of a running clip, and the preparation of samples.

Parts and their variants:

- ``training``, a step of stage ``scratch``: ``ours`` computes four pyramids and six forward flows a sample,
  ``published`` makes eight calls for flow both ways with occlusion, ``stored`` is given the flows; all else is equal.
- ``interpolation``, new frames of a running clip: ``x2`` and ``x4`` estimate a window's motion once and reuse flows of
  the window before; ``published`` makes the eight calls again for every new frame, so that its rate is that of either.
- ``fast``, ``bfloat16``: ``x2`` and ``x4`` again as ``eqvi interpolate`` computes by default, and in bfloat16; small
  frames several at a time (`eqvi.media.side_by_side`).
- ``memory``: a new frame at x2 as ``fast`` makes it, ``whole`` and in ``tiles`` that take at most `BESIDE`; for frames
  so large that it matters (``--size 3840x2160``), and only where it is asked for.
- ``length``: new frames at x2 of whole clips of `LENGTHS` gaps, from images; only where it is asked for.
- ``data``, on one core: windows of eight frames with their flows, ``rendered``, and ``stored`` ones read back, cropped
  and augmented.

``published`` needs a preset with ScopeFlow. Models have random weights, and frames show one photograph that moves:
neither changes what has to be computed.
"""

import dataclasses
import itertools
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from eqvi.devices import keep_memory, one_thread, release_memory, used_memory
from eqvi.evaluation.panned import panned, panned_batch
from eqvi.evaluation.precision import autocast, compiled
from eqvi.evaluation.published_schedule import published_motion
from eqvi.evaluation.running_clip import RunningClip, fill_gaps, panned_clip
from eqvi.media.precision import ask_for_tiles, for_clips
from eqvi.model.eqvi import EQVI
from eqvi.model.gpu_convolution import laid_out
from eqvi.model.layers import to_channels_last
from eqvi.model.motion import FLOW_PAIRS
from eqvi.model.registry import presets
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.losses import PUBLISHED, Loss
from eqvi.training.objectives import FrameObjective
from eqvi.training.recipe import Recipe
from eqvi.training.samples import FrameBatch
from eqvi.training.stages import STAGES, freeze_all_but
from eqvi.training.window_pool import PooledWindows, WindowPool, fill_pool

STAGE = "scratch"

#: What a process may hold on a GPU for a frame in tiles: bytes.
TILED_MEMORY = 12 * 10**9
#: What the part ``memory`` may take in tiles beside what the process holds before, the clip's frames among it: bytes.
BESIDE = 35 * 10**8

#: Gaps of the clips of the part ``length``.
LENGTHS = (1, 2, 4, 8, 16)

#: Windows in the pool that is read, and windows that a task reads.
_CACHED, _READ = 4, 8


@dataclasses.dataclass(frozen=True)
class Workload:
    """The size of what is timed.

    Attributes:
        preset: of `eqvi.model.registry.presets`.
        crop, batch: height and width in pixels, and samples, of a training step.
        precision: float32, or bfloat16 under autocast: of the learned parts in a training step, of all networks in
            interpolation; all else is float32.
        channels_last: memory layout of the model.
        execution: of interpolation: ``eager``, ``compiled``, ``graph`` for a whole window as a CUDA graph, ``arranged``
            for that with convolutions arranged for a GPU (`eqvi.model.gpu_convolution`), ``clip`` as ``eqvi
            interpolate`` computes (`eqvi.media.precision.for_clips`), or ``tiled`` as that within `TILED_MEMORY`.
        height, width: of the interpolated clip, pixels.
        windows: gaps of the clip that a task fills.
        device: where the model is.
    """

    preset: str = "eqvi-quarter"
    crop: int = 256
    batch: int = 2
    precision: str = "float32"
    channels_last: bool = False
    execution: str = "eager"
    height: int = 256
    width: int = 448
    windows: int = 2
    device: str = "cpu"

    def recipe(self) -> Recipe:
        """The training run that the step belongs to.

        Raises:
            InputError: a value that training cannot use.
        """
        return Recipe(
            stage=STAGE, preset=self.preset, crop=self.crop, batch=self.batch,
            precision=self.precision, channels_last=self.channels_last,
        )  # fmt: skip


class Task(NamedTuple):
    """What is timed at once.

    Attributes:
        part, variant: see this module.
        unit: of what it produces.
        amount: how many of them.
        prepare: returns the input of `run`; not timed.
        run: timed.
        captured_mib: largest memory in use with the task's graphs, whose own the allocator does not count; MiB.
    """

    part: str
    variant: str
    unit: str
    amount: int
    prepare: Callable[[], Any]
    run: Callable[[Any], None]
    captured_mib: Callable[[], float] = lambda: 0.0


def training(load: Workload, folder: Path | None = None) -> list[Task]:
    """A training step: ``published`` (with ScopeFlow only), ``ours`` and ``stored``."""
    recipe = load.recipe()
    torch.manual_seed(recipe.seed)
    model = _placed(EQVI(recipe.config()), load)
    trainable = freeze_all_but(model, STAGES[STAGE].trains)
    learner = FrameObjective(model, Loss(PUBLISHED).to(load.device), getattr(torch, recipe.precision))
    optimizer = torch.optim.AdamW(trainable, lr=recipe.rate, weight_decay=recipe.decay)
    batch = panned_batch(load.batch, load.crop)

    def step(batch: FrameBatch, published: bool = False) -> None:
        """As a step of `eqvi.training.train`, from a batch in main memory."""
        optimizer.zero_grad(set_to_none=True)
        batch = FrameBatch(*(None if field is None else field.to(load.device) for field in batch))  # type: ignore[arg-type]
        if published:
            with torch.no_grad():
                flows = published_motion(model, batch.frames)[: len(FLOW_PAIRS)]
                batch = batch._replace(flows=torch.stack(flows, dim=1))  # type: ignore[arg-type]
        losses = learner(batch)
        losses["total"].backward()
        norm = nn.utils.clip_grad_norm_(trainable, torch.inf)
        norm.item(), torch.stack([value.detach() for value in losses.values()]).tolist()
        optimizer.step()

    without_flows = batch._replace(flows=None)
    tasks = [
        Task("training", "published", "samples", load.batch, lambda: without_flows, partial(step, published=True)),
        Task("training", "ours", "samples", load.batch, lambda: without_flows, step),
        Task("training", "stored", "samples", load.batch, lambda: batch, step),
    ]
    return tasks if isinstance(model.flow, ScopeFlow) else tasks[1:]


def interpolation(load: Workload, folder: Path | None = None) -> list[Task]:
    """New frames of a running clip: ``published`` (with ScopeFlow only), ``x2`` and ``x4``.

    Frames are on the device before and after; nothing is read or written. ``published`` is always eager.
    """
    model, windows = _clip(load)
    network = isinstance(model.flow, ScopeFlow)

    @torch.inference_mode()
    def published(_: None) -> None:
        with autocast(load.precision, load.device):
            for window in windows[1:]:
                model.interpolate(window, published_motion(model, window), 0.5)

    tasks = [Task("interpolation", "published", "frames", load.windows, lambda: None, published)] if network else []
    own: Any = model
    if load.execution == "compiled":
        own = compiled(model, load.device)
    elif load.execution == "arranged":
        own = laid_out(model, getattr(torch, load.precision))
        load = dataclasses.replace(load, precision="float32", execution="graph")  # the layers have their own
    elif load.execution in ("clip", "tiled"):
        limit = TILED_MEMORY if load.execution == "tiled" else None
        own = for_clips(model, load.precision, load.device, limit)  # type: ignore[arg-type]
        load = dataclasses.replace(load, precision="float32", execution="eager")
    return [*tasks, *_running("interpolation", own, windows, load)]


def fast(load: Workload, folder: Path | None = None, precision: str = "float32") -> list[Task]:
    """New frames as `eqvi interpolate` makes them: ``x2`` and ``x4`` with the convolutions arranged for the CPU.

    Raises:
        InputError: the device has no such precision.
    """
    model, windows = _clip(load)
    own = for_clips(model, precision, load.device)  # type: ignore[arg-type]
    load = dataclasses.replace(load, precision="float32", execution="eager")  # the model has its own
    return _running("fast" if precision == "float32" else precision, own, windows, load)


def memory(load: Workload, folder: Path | None = None) -> list[Task]:
    """A new frame at x2 of a running clip, ``whole`` and in ``tiles``."""
    model, windows = _clip(load)
    release_memory()
    limit = used_memory(load.device) + BESIDE
    load = dataclasses.replace(load, precision="float32", execution="eager")
    made = []
    for variant, most in (("whole", sys.maxsize), ("tiles", limit)):
        own = for_clips(model, "float32", load.device, most)
        task = _clip_task("memory", variant, own, windows, 2, load)
        made.append(task._replace(prepare=partial(_as_a_command, own, load, task.prepare)))
    return made


def _as_a_command(model: Any, load: Workload, begin: Callable[[], Any]) -> Any:
    """Begin as `eqvi interpolate` does."""
    keep_memory()
    ask_for_tiles(model, load.height, load.width)
    return begin()


def _clip(load: Workload) -> tuple[EQVI, list[Tensor]]:
    """A model with random weights, and the windows of a clip; the first only gives its motion to the second."""
    model = _model(load)
    frames = panned((load.height, load.width), range(load.windows + model.window)).to(load.device)
    return model, [frames[None, first : first + model.window] for first in range(load.windows + 1)]


def length(load: Workload, folder: Path | None = None) -> list[Task]:
    """New frames at x2 of whole clips of so many gaps, as `eqvi interpolate` makes them between reading and writing."""
    model = _model(load)
    clip = panned_clip((load.height, load.width), LENGTHS[-1] + 1)

    def begin() -> Any:
        return for_clips(model, "float32", load.device)

    return [
        Task("length", str(gaps), "frames", gaps, begin, partial(fill_gaps, clip=clip[: gaps + 1], device=load.device))
        for gaps in LENGTHS
    ]


def _running(part: str, model: Any, windows: list[Tensor], load: Workload) -> list[Task]:
    return [_clip_task(part, f"x{factor}", model, windows, factor, load) for factor in (2, 4)]


def _clip_task(part: str, variant: str, model: Any, windows: list[Tensor], factor: int, load: Workload) -> Task:
    clip = RunningClip(model, windows, factor, load.precision, load.device, load.execution == "graph")
    return Task(part, variant, "frames", (factor - 1) * load.windows, clip.begin, clip.run, clip.graph_mib)


def data(load: Workload, folder: Path) -> list[Task]:
    """Samples prepared on one core, without the transfer to the training process: ``rendered`` and ``stored``.

    Args:
        load: `crop` is the samples' size.
        folder: gets a small pool of windows, which the file system then has in memory.
    """
    size, side = (load.crop, load.crop), load.crop + load.crop // 2
    pool = WindowPool(folder, _CACHED, side)
    fill_pool(pool, progress=False)
    # As a run without a store has them: a window for each sample, none larger.
    rendered = PooledWindows(WindowPool(None, sys.maxsize, load.crop), size)
    stored = PooledWindows(pool, size)
    numbers = itertools.count()

    def prepare(_: None, source: Any, count: int) -> None:
        with one_thread():  # as in a worker process
            for number in itertools.islice(numbers, count):
                source.sample(number)

    return [
        Task("data", "rendered", "windows", 1, lambda: None, partial(prepare, source=rendered, count=1)),
        Task("data", "stored", "windows", _READ, lambda: None, partial(prepare, source=stored, count=_READ)),
    ]


#: The tasks of each part.
PARTS: dict[str, Callable[[Workload, Path], list[Task]]] = {
    "training": training, "data": data, "interpolation": interpolation, "fast": fast,
    "bfloat16": partial(fast, precision="bfloat16"), "memory": memory, "length": length,
}  # fmt: skip
#: The parts that compute on the device, and whose memory is measured.
ON_DEVICE = ("training", "interpolation", "fast", "bfloat16", "memory")


def run_task(load: Workload, name: tuple[str, str] | None, threads: int) -> None:
    """Run a task that computes on the device, by part and variant, twice: then the optimizer has its state.

    None runs nothing: it measures a process that has imported this module.
    """
    torch.set_num_threads(threads)
    keep_memory()  # as in a command
    if name is not None:
        task = next(task for task in PARTS[name[0]](load, Path()) if task.variant == name[1])
        for _ in range(2):
            task.run(task.prepare())


def _model(load: Workload) -> EQVI:
    torch.manual_seed(0)
    return _placed(EQVI(presets()[load.preset]).eval(), load)


def _placed(model: EQVI, load: Workload) -> EQVI:
    model.to(load.device)
    if load.channels_last:
        to_channels_last(model)
    return model
