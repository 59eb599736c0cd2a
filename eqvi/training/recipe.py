"""A training run's recipe: all that decides its weights. On one machine, two runs of one recipe end with the same.

How a run is carried out (device, processes, workers, when it stops) is no part of it.

Training as published (the released code, and the names of the authors' runs and checkpoints; no seed was published):

- Sample: 13 consecutive frames of a REDS_VTSR clip at 60 fps. I0, I1, I2, I3 are numbers 0, 4, 8, 12, which is 15 fps;
  the target is number 5, 6 or 7 at random: t = 1/4, 1/2 or 3/4. Windows start every 4 frames, 43 in each of 240 clips:
  10 320 samples an epoch, 860 steps.
- Augmentation: a random crop of 512x512; with p = 1/2 mirrored left-right and reversed in time, both together.
- Loss: 5 Laplacian + 10 L1 on the final frame, clamped as step 7 of `eqvi.model.eqvi` leaves it. The Laplacian pyramid
  has 5 levels and the remainder, replicate padding and average pooling; each level's mean absolute difference is
  summed. Its 5x5 kernel adds the Gaussians of the two axes instead of multiplying them: k[y, x] = g(y) + g(x),
  g(u) = exp(-u^2 / (2 sigma^2))^2, sigma 2, normalized. The published weights were trained with it, so it is kept.
- Adam, learning rate 1e-4, x0.1 at epochs 99 and 149 of 200 (configured as 100 and 150; the scheduler is stepped before
  the epoch), batch 12. Four RTX 2080 Ti took about an hour an epoch.
- Frozen: ScopeFlow throughout, and the context convolution of RCSN.

Stages as published, and how each is known:

    1            refinement and mask on plain quadratic motion, Laplacian loss (a run's name)
    2            adds RCSN and fine-tunes (a run's name)
    3            switches motion to RQFP and fine-tunes for about 28 epochs, 5 Laplacian + 10 L1 (names of a run
                 and of a checkpoint)
    4            adds MS-Fusion and trains its 11 297 parameters alone (the released code)
    scratch      stages 1 to 3 at once with RQFP, by the recipe above: 21 699 500 of 28 071 018 parameters (released)
    scratch-vgg  as scratch, with a distance in VGG-16's conv4_3 features (the README); its weight is not published
    matching     matching at t (ours), from windows of eight frames with exact flow
    finishing    weights of warped frames and blurs over the weight-free method (ours), from the same windows
    flow         the flow network: ours, as ScopeFlow's own training was not released
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from eqvi.errors import InputError
from eqvi.model.config import PRESETS, EQVIConfig, MotionKind
from eqvi.training.augment import Augmentation
from eqvi.training.losses import PUBLISHED
from eqvi.training.lr_schedule import Schedule
from eqvi.training.stages import STAGES, stage_config
from eqvi.training.window_objective import TERMS as WINDOW_TERMS

Precision = Literal["float32", "bfloat16"]
Start = Literal["published", "plain", "weight_free"]

#: The value of ``data`` that stands for rendered windows of eight frames with exact flow (`eqvi.training.window_pool`).
WINDOWS = "windows"


def _option(default: Any, text: str, choices: Iterable[str] = (), least: int | None = None) -> Any:
    """A field with its explanation, which the command line shows, and the values that it takes."""
    metadata = {"help": text, "default": default, "choices": choices, "least": least}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Recipe:
    """A training run; the help of every field says what it is. Defaults are the published recipe where it is known.

    Raises:
        InputError: a value that cannot be used, on construction.
    """

    stage: str = _option("scratch", "flow, 1, 2, 3, 4, scratch, scratch-vgg, matching or finishing", choices=STAGES)
    preset: str = _option("eqvi", "widths and flow estimator, by preset", choices=PRESETS)
    motion: str = _option(
        "",
        "motion model instead of the stage's: linear, quadratic, least_squares, rectified",
        choices=("", *get_args(MotionKind)),
    )
    trajectory: int = _option(
        0,
        "frames over which trajectories correct the motion, 4 or 8, on windows; 0: as the preset has it",
        least=0,
    )
    residual: str = _option("", "with RCSN (yes) or without (no), instead of the stage's", choices=("", "yes", "no"))
    after: str = _option("", "checkpoint to start from: of the stage before, or any whose parts fit")
    flow: str = _option("", "checkpoint of the flow network, where the preset has one: ScopeFlow, IRR-PWC or ours")
    context: str = _option("", "torchvision's ResNet-18 for RCSN's context; without it a fixed bank of cosine filters")
    vgg: str = _option("", "torchvision's VGG-16 for the term vgg; without it results/weights/vgg")
    data: str = _option(
        WINDOWS, "windows, which are rendered with exact flow at t, or a folder: REDS_VTSR's or any of clips"
    )
    spacing: int = _option(4, "frames of a clip from one input frame to the next", least=1)
    every: int = _option(4, "frames of a clip from the start of one window to the next", least=1)
    windows: int = _option(10320, "rendered windows in an epoch", least=1)
    store: str = _option("", "folder of windows, which are rendered once and then read")
    stored: int = _option(
        0, "height and width of a rendered window; 0: those of crop, or with store half more", least=0
    )
    windows_seed: int = _option(0, "of the sequence of windows, which runs of several seeds share", least=0)
    pictures: str = _option("", "folder of pictures that rendered windows show; empty: scikit-image's")
    crop: int = _option(512, "height and width of a training sample, pixels")
    augment: str = _option(
        "published", "published (half mirrored and reversed in time), full or none", choices=get_args(Augmentation)
    )
    epochs: int = _option(200, "passes over the data", least=1)
    steps: int = _option(0, "number of steps, instead of epochs", least=0)
    batch: int = _option(12, "windows in a step, over all processes", least=1)
    accumulate: int = _option(1, "parts of a step, one after the other, to save memory", least=1)
    rate: float = _option(1e-4, "highest learning rate, of Adam")
    schedule: str = _option(
        "published", "of the learning rate: published, cosine or constant", choices=get_args(Schedule)
    )
    decay: float = _option(0.0, "weight decay, decoupled (AdamW); 0: Adam", least=0)
    clip: float = _option(0.0, "largest norm of the gradient; 0: no limit", least=0)
    terms: dict[str, float] = _option(  # noqa: RUF009 (gives each recipe a dictionary of its own)
        {},
        "weights of the loss's terms; empty: 5 laplacian + 10 l1, for scratch-vgg 0.1 vgg; with known flows others",
    )
    later: float = _option(
        0.3, "factor of the weights of difference and common in the second half of a run on windows", least=0
    )
    begin: str = _option(
        "published",
        "new parts: published (random), plain (last layers 0, smooth flow features) or weight_free (from that method)",
        choices=get_args(Start),
    )
    average: float = _option(0.0, "decay of the weights' moving average, such as 0.999; 0: no average")
    precision: str = _option("float32", "of the convolutions: float32 or bfloat16", choices=get_args(Precision))
    channels_last: bool = _option(False, "memory layout of convolutions, faster where there are tensor cores")
    validation: str = _option("rendered", "validation data: rendered, or a folder as of data")
    scored: int = _option(16, "windows of a validation", least=1)
    score_every: int = _option(1000, "steps between validations", least=1)
    seed: int = _option(0, "of all other random draws", least=0)

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            choices, least = option.metadata["choices"], option.metadata["least"]
            if choices and value not in choices:
                known = ", ".join(choice for choice in choices if choice)
                raise InputError(f"{option.name} {value!r} is not known: choose one of {known}")
            if least is not None and not least <= value < math.inf:
                raise InputError(f"{option.name} {value} cannot be used: give at least {least}")
        if self.crop < 64 or self.crop % 32:
            raise InputError(f"crop {self.crop} cannot be used: give a multiple of 32, at least 64")
        if self.stage in ("flow", "matching") and self.data != WINDOWS:
            raise InputError(
                f"stage {self.stage} learns from exact flow, which rendered windows alone have: leave data out"
            )
        if self.data == WINDOWS and self.validation != "rendered":
            raise InputError(
                f"validation {self.validation}: with data {WINDOWS} it is of rendered windows: leave it out"
            )
        if self.store and self.data != WINDOWS:
            raise InputError(f"store {self.store}: a store holds rendered windows: leave data or store out")
        if self.stored % 2:
            raise InputError(f"stored {self.stored} cannot be used: give an even number")
        if self.stored and self.stored < self.crop:
            raise InputError(f"stored {self.stored} is smaller than crop {self.crop}: give at least that")
        if not 0 < self.rate < math.inf:
            raise InputError(f"rate {self.rate} cannot be used: give a number above 0")
        if not 0 <= self.average < 1:
            raise InputError(f"average {self.average} must be at least 0 and below 1")
        if self.batch % self.accumulate:
            raise InputError(f"batch {self.batch} cannot be divided into {self.accumulate} equal parts")
        if self.trajectory and (self.trajectory not in (4, 8) or not self.knows_flow):
            raise InputError(
                f"trajectory {self.trajectory} cannot be used: give 4 or 8, data {WINDOWS} and a preset without a flow "
                "network, or 0"
            )
        if STAGES[self.stage].multi_scale and self.crop < 128 and self.knows_flow:
            raise InputError(f"crop {self.crop} is too small for two scales of known flow: give at least 128")

    @property
    def knows_flow(self) -> bool:
        """Whether its samples are windows of eight frames with their flows and the exact one at t.

        Other samples are pairs of frames for stage flow, and four frames where footage is trained on or the model
        has a flow network of its own.
        """
        return self.data == WINDOWS and self.stage != "flow" and self.config().flow != "scopeflow"

    def config(self) -> EQVIConfig:
        """The model that the run trains."""
        residual = None if not self.residual else self.residual == "yes"
        motion: Any = self.motion or None
        config = stage_config(STAGES[self.stage], PRESETS[self.preset], motion, residual)
        if self.trajectory:
            config = dataclasses.replace(config, trajectory=self.trajectory)
        filled = self.begin == "weight_free" and config.refine
        return dataclasses.replace(config, start="weight_free") if filled else config

    def loss_terms(self) -> dict[str, float]:
        """The terms of the loss and their weights."""
        if self.terms:
            return dict(self.terms)
        # The published weight of the perceptual term is not known; 0.1 is ours.
        perceptual = {"vgg": 0.1} if STAGES[self.stage].perceptual else {}
        return dict(WINDOW_TERMS if self.knows_flow else PUBLISHED) | perceptual

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Recipe":
        """A recipe from named values, as from a YAML file or a notebook.

        Raises:
            InputError: an unknown name, a value of another type or one that cannot be used.
        """
        defaults = {option.name: option.metadata["default"] for option in dataclasses.fields(cls)}
        typed = dict(values)
        for name, value in values.items():
            if name not in defaults:
                raise InputError(f"a recipe has no {name!r}: choose from {', '.join(defaults)}")
            kind = type(defaults[name])
            if type(value) is int and kind is float:
                typed[name] = float(value)
            elif type(value) is not kind:
                raise InputError(f"{name}={value!r} must be of type {kind.__name__}")
        return cls(**typed)
