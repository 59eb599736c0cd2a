"""What `eqvi.evaluation.bench` measures: a training step, new frames of a running clip, and the making of samples.

Parts and their variants:

- ``training``, a step of stage ``scratch``: ``ours`` finds four pyramids and six forward flows a sample, ``published``
  makes eight calls for flow both ways with occlusion, ``stored`` is given the flows. What follows is the same.
- ``interpolation``, new frames of a running clip: ``x2`` and ``x4`` find a window's motion once, less what the window
  before found; ``published`` makes the eight calls anew for every new frame, so that its rate is that of either.
- ``data``, one core: ``rendered`` windows, and ``stored`` ones read back, cropped and augmented.

Models have random weights, frames show one photograph that moves: neither changes what has to be computed. Source of
the published schedule: spec.md, section 7.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.datasets.photographs import photograph, resample
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI, Motion
from eqvi.model.geometry import resize
from eqvi.model.motion import FLOW_PAIRS
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.losses import Loss
from eqvi.training.objectives import FrameLearner
from eqvi.training.recipe import Recipe
from eqvi.training.rendered import RenderedWindows
from eqvi.training.samples import FrameBatch
from eqvi.training.stages import find_stage, freeze_all_but
from eqvi.training.window_cache import StoredWindows, fill_store

STAGE = "scratch"

#: The flows F_ab that the published code asks for on the way to one new frame: six, two of them twice.
PUBLISHED_CALLS = (*FLOW_PAIRS, (1, 2), (2, 1))

#: Pixels by which the photograph moves from one frame to the next.
PAN = 4
#: Windows of the store that is read, and how many are read in a measurement.
_KEPT, _READ = 4, 8


@dataclasses.dataclass(frozen=True)
class Load:
    """How much of what.

    Attributes:
        preset: of `eqvi.model.config.PRESETS`.
        crop, batch: height and width in pixels, and samples, of a training step.
        precision: of the learned parts' convolutions in a training step; all else is float32.
        channels_last: memory layout of the model.
        height, width: of the interpolated clip, pixels.
        windows: gaps of the clip that are filled in a measurement.
        device: where the model is.
    """

    preset: str = "eqvi-quarter"
    crop: int = 256
    batch: int = 2
    precision: str = "float32"
    channels_last: bool = False
    height: int = 256
    width: int = 448
    windows: int = 2
    device: str = "cpu"

    def recipe(self) -> Recipe:
        """The training run that the step is of.

        Raises:
            InputError: a value that training cannot use.
        """
        return Recipe(
            stage=STAGE, preset=self.preset, crop=self.crop, batch=self.batch,
            precision=self.precision, channels_last=self.channels_last,
        )  # fmt: skip


class Task(NamedTuple):
    """Something to be timed.

    Attributes:
        part, variant: see this module.
        unit: what it makes.
        made: how many in one go.
        ready: what comes before, not timed.
        work: what is timed, given what `ready` returned.
    """

    part: str
    variant: str
    unit: str
    made: int
    ready: Callable[[], Any]
    work: Callable[[Any], None]


def training(load: Load) -> list[Task]:
    """A training step: ``published`` (where the preset has ScopeFlow), ``ours`` and ``stored``."""
    recipe = load.recipe()
    torch.manual_seed(recipe.seed)
    model = _placed(EQVI(recipe.config()), load)
    learning = freeze_all_but(model, find_stage(STAGE).trains)
    learner = FrameLearner(model, Loss(recipe.loss_terms()).to(load.device), getattr(torch, recipe.precision))
    optimiser = torch.optim.AdamW(learning, lr=recipe.rate, weight_decay=recipe.decay)
    batch = panned_batch(load.batch, load.crop)

    def step(given: FrameBatch, find: Callable[[FrameBatch], FrameBatch]) -> None:
        """As a step of `eqvi.training.train`, from a batch in the computer's memory."""
        optimiser.zero_grad(set_to_none=True)
        here = FrameBatch(*(None if field is None else field.to(load.device) for field in given))  # type: ignore[arg-type]
        losses = learner(find(here))
        losses["total"].backward()
        norm = nn.utils.clip_grad_norm_(learning, torch.inf)
        norm.item(), torch.stack([value.detach() for value in losses.values()]).tolist()
        optimiser.step()

    def published(given: FrameBatch) -> FrameBatch:
        with torch.no_grad():
            motion = published_motion(model, given.frames)
            return given._replace(flows=torch.stack(motion[: len(FLOW_PAIRS)], dim=1))  # type: ignore[arg-type]

    def task(variant: str, given: FrameBatch, find: Callable[[FrameBatch], FrameBatch]) -> Task:
        return Task("training", variant, "samples", load.batch, lambda: given, lambda it: step(it, find))

    plain = batch._replace(flows=None)
    tasks = [task("ours", plain, _as_it_is), task("stored", batch, _as_it_is)]
    return [task("published", plain, published), *tasks] if isinstance(model.flow, ScopeFlow) else tasks


def interpolation(load: Load) -> list[Task]:
    """New frames of a running clip: ``published`` (where the preset has ScopeFlow), ``x2`` and ``x4``.

    Frames are on the device already, and stay there; nothing is read or written.
    """
    torch.manual_seed(0)
    model = _placed(EQVI(PRESETS[load.preset]).eval(), load)
    frames = panned((load.height, load.width), range(load.windows + 4)).to(load.device)
    windows = [frames[None, first : first + 4] for first in range(load.windows + 1)]

    @torch.inference_mode()
    def before() -> Motion:
        return model.estimate_motion(windows[0])

    @torch.inference_mode()
    def running(factor: int, motion: Motion) -> None:
        for window in windows[1:]:
            motion = model.estimate_motion(window, previous=motion)
            for place in range(1, factor):
                model.interpolate(window, motion, place / factor)

    @torch.inference_mode()
    def published() -> None:
        for window in windows[1:]:
            model.interpolate(window, published_motion(model, window), 0.5)

    def task(factor: int) -> Task:
        count = load.windows * (factor - 1)
        return Task("interpolation", f"x{factor}", "frames", count, before, lambda motion: running(factor, motion))

    tasks = [task(2), task(4)]
    if isinstance(model.flow, ScopeFlow):
        tasks.insert(0, Task("interpolation", "published", "frames", load.windows, _nothing, lambda _: published()))
    return tasks


def data(load: Load, folder: Path) -> list[Task]:
    """The making of samples on one core, without their way to the process that trains: ``rendered`` and ``stored``.

    Args:
        load: `crop` is the windows' size.
        folder: gets a small store, which its reader finds in the computer's file cache afterwards.
    """
    size, side = (load.crop, load.crop), load.crop + load.crop // 2
    fill_store(folder, _KEPT, (side, side), progress=False)
    rendered, stored = RenderedWindows(size, epoch=1), StoredWindows(folder, size)
    numbers = itertools.count()

    def render(_: None) -> None:
        with one_core():
            rendered.sample(next(numbers))

    def read(_: None) -> None:
        with one_core():
            for number in itertools.islice(numbers, _READ):
                stored.sample(number)

    return [
        Task("data", "rendered", "windows", 1, _nothing, render),
        Task("data", "stored", "windows", _READ, _nothing, read),
    ]


#: The parts that compute on the device.
DEVICE_PARTS: dict[str, Callable[[Load], list[Task]]] = {"training": training, "interpolation": interpolation}


def variants(load: Load, part: str) -> list[str]:
    """The names of a part's tasks, in their order, without making them."""
    names = {"training": ["ours", "stored"], "interpolation": ["x2", "x4"], "data": ["rendered", "stored"]}[part]
    compared = part in DEVICE_PARTS and PRESETS[load.preset].flow == "scopeflow"
    return ["published", *names] if compared else names


def done_alone(load: Load, name: tuple[str, str] | None, threads: int) -> None:
    """Do a task of `DEVICE_PARTS` by part and variant, twice: a second training step has an optimiser's state.

    None does nothing, so that a process which is asked for it has imported all this and that is all.
    """
    torch.set_num_threads(threads)
    if name is not None:
        task = next(task for task in DEVICE_PARTS[name[0]](load) if task.variant == name[1])
        for _ in range(2):
            task.work(task.ready())


def published_motion(model: EQVI, frames: Float[Tensor, "b 4 3 h w"]) -> Motion:
    """The flows of a window as the published code finds them, once for each new frame: `PUBLISHED_CALLS`.

    Every call makes both frames' pyramids and gives flow both ways and occlusion. Equal to `EQVI.estimate_motion` for
    frames that need no padding.

    Args:
        model: with ScopeFlow.
        frames: RGB in [0, 1].
    """
    motion = _published_calls(model, frames)
    if model.fusion is None:
        return motion
    size = (frames.shape[-2] // 2, frames.shape[-1] // 2)
    small = resize(frames.flatten(0, 1), size, align_corners=False).unflatten(0, frames.shape[:2])
    return motion._replace(half=_published_calls(model, small))


def panned(size: tuple[int, int], shifts: range | list[int]) -> Float[Tensor, "n 3 h w"]:
    """Frames of `size` = (height, width): a photograph moved to the right `PAN` pixels for a shift of 1."""
    picture = resample(photograph("coffee"), size)[0]
    return torch.stack([picture.roll(PAN * shift, -1) for shift in shifts])


def panned_batch(count: int, side: int) -> FrameBatch:
    """A batch of windows of `side` x `side` pixels, with their flows."""
    quarters = [1 + sample % 3 for sample in range(count)]
    # A quarter of an interval is a pixel: PAN / 4 of them.
    frames = panned((side, side), range(4))
    still = panned((side, side), [0])[0]
    truths = torch.stack([still.roll(PAN + quarter * PAN // 4, -1) for quarter in quarters])
    flows = torch.zeros(len(FLOW_PAIRS), 2, side, side)
    flows[:, 0] = torch.tensor([float(PAN * (b - a)) for a, b in FLOW_PAIRS]).view(-1, 1, 1)
    return FrameBatch(
        frames.expand(count, -1, -1, -1, -1).contiguous(),
        truths,
        torch.tensor([quarter / 4 for quarter in quarters]),
        flows.expand(count, -1, -1, -1, -1).contiguous(),
    )


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """As in a worker that prepares samples: torch keeps to one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _published_calls(model: EQVI, frames: Tensor) -> Motion:
    network = model.flow
    assert isinstance(network, ScopeFlow)
    found: dict[tuple[int, int], Tensor] = {}
    for a, b in PUBLISHED_CALLS:
        first, second = network.features(frames[:, a]), network.features(frames[:, b])
        found[a, b] = network.bidirectional(first, second).flow_ab
    fields: dict[str, Any] = {f"flow_{a}{b}": found[a, b] for a, b in FLOW_PAIRS}
    return Motion(**fields, features={}, half=None)


def _placed(model: EQVI, load: Load) -> EQVI:
    model.to(load.device)
    if load.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub forgets it
    return model


def _as_it_is(batch: FrameBatch) -> FrameBatch:
    return batch


def _nothing() -> None:
    return None
