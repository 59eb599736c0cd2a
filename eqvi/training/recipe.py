"""A training run's recipe: all that decides what it makes. Two runs of one on one machine end with the same weights.

How a run is carried out (device, processes, workers, when it stops) is no part of it.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from eqvi.errors import InputError
from eqvi.model.config import PRESETS, EQVIConfig, MotionKind
from eqvi.training.augment import Augmentation
from eqvi.training.lr_schedule import Schedule
from eqvi.training.stages import find_stage, stage_config

Precision = Literal["float32", "bfloat16"]
Start = Literal["published", "plain"]


def _said(default: Any, text: str) -> Any:
    """A field with its explanation, which the command line and README show."""
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata={"help": text, "default": default})
    return field(default=default, metadata={"help": text, "default": default})


@dataclass(frozen=True)
class Recipe:
    """A training run; the help of every field says what it is. Defaults are the published recipe where it is known.

    Raises:
        InputError: a value that cannot be used, on construction.
    """

    stage: str = _said("scratch", "flow, 1, 2, 3, 4, scratch or scratch-vgg")
    preset: str = _said("eqvi", "widths and flow estimator, by preset")
    motion: str = _said("", "motion model instead of the stage's: linear, quadratic, least_squares, rectified")
    residual: str = _said("", "with RCSN (yes) or without (no), instead of the stage's")
    after: str = _said("", "checkpoint to start from: of the stage before, or any whose parts fit")
    flow: str = _said("", "checkpoint of the flow network, where the preset has one: ScopeFlow, IRR-PWC or ours")
    context: str = _said("", "torchvision's ResNet-18 for RCSN's context; without it a fixed bank of cosine filters")
    vgg: str = _said("", "torchvision's VGG-16 for the term vgg; without it results/weights/vgg")
    data: str = _said("rendered", "rendered, or a folder: REDS_VTSR's or any of clips")
    spacing: int = _said(4, "frames of a clip from one input frame to the next")
    every: int = _said(4, "windows of a clip start every so many frames")
    windows: int = _said(10320, "rendered windows in an epoch")
    calm: float = _said(0.0, "share of rendered windows that are calmer: slower, half of them on a still background")
    compressed: float = _said(0.0, "share of a store's windows that have been through H.264, as most footage has")
    store: str = _said(
        "",
        "folder: so many windows are rendered once and kept there, with DIS's flows, or the exact ones for stage flow",
    )
    stored: int = _said(0, "height and width of a stored window in pixels; 0: half more than crop")
    crop: int = _said(512, "height and width of what is trained on, pixels")
    augment: str = _said("published", "published (mirrored and reversed together, by half), full or none")
    epochs: int = _said(200, "over the data")
    steps: int = _said(0, "instead of epochs: so many")
    batch: int = _said(12, "windows in a step, over all processes")
    accumulate: int = _said(1, "parts that a process takes its share of a step in, one after the other")
    rate: float = _said(1e-4, "highest learning rate, of Adam")
    schedule: str = _said("published", "of the rate: published, cosine or constant")
    decay: float = _said(0.0, "weight decay, decoupled (AdamW); 0: Adam")
    clip: float = _said(0.0, "largest norm of the gradient; 0: any")
    terms: dict[str, float] = _said(  # noqa: RUF009 (gives each recipe a dictionary of its own)
        {}, "weights of the loss's terms; empty: 5 laplacian + 10 l1, and for scratch-vgg 0.1 vgg"
    )
    begin: str = _said(
        "published", "new parts: published (random weights) or plain (last layers at 0, flow's features smooth)"
    )
    average: float = _said(0.0, "moving average of the weights, kept share a step (such as 0.999); 0: none")
    precision: str = _said("float32", "of the convolutions: float32 or bfloat16")
    channels_last: bool = _said(False, "memory layout of convolutions, faster where there are tensor cores")
    validation: str = _said("rendered", "what it is scored on: rendered, or a folder as of data")
    scored: int = _said(16, "windows it is scored on")
    score_every: int = _said(1000, "steps between scores")
    seed: int = _said(0, "of everything that is drawn")

    def __post_init__(self) -> None:
        find_stage(self.stage)
        if self.preset not in PRESETS:
            raise InputError(f"preset {self.preset!r} is not known: choose one of {', '.join(PRESETS)}")
        for name, known in (
            ("motion", ("", *get_args(MotionKind))), ("residual", ("", "yes", "no")),
            ("augment", get_args(Augmentation)), ("schedule", get_args(Schedule)), ("begin", get_args(Start)),
            ("precision", get_args(Precision)),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                choices = ", ".join(value for value in known if value)
                raise InputError(f"{name} {getattr(self, name)!r} is not known: choose one of {choices}")
        for name in ("spacing", "every", "windows", "epochs", "batch", "accumulate", "scored", "score_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)} is too small: give at least 1")
        for name in ("steps", "clip", "decay", "seed", "stored"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} {getattr(self, name)} cannot be used: give 0 or more")
        if self.crop < 64 or self.crop % 32:
            raise InputError(f"crop {self.crop} cannot be used: give a multiple of 32, at least 64")
        if self.store and find_stage(self.stage).multi_scale and self.crop < 128:
            raise InputError(f"crop {self.crop} is too small for two scales out of a store: give at least 128")
        if self.stored and self.stored < self.crop:
            raise InputError(f"stored {self.stored} is smaller than crop {self.crop}: give at least that")
        if not 0 < self.rate < math.inf:
            raise InputError(f"rate {self.rate} cannot be used: give a number above 0")
        if not 0 <= self.average < 1:
            raise InputError(f"average {self.average} must be at least 0 and below 1")
        for name in ("calm", "compressed"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} {getattr(self, name)} must lie in 0 to 1")
        if self.compressed and not self.store:
            raise InputError(f"compressed {self.compressed} is for windows that are kept: give store as well")
        if self.batch % self.accumulate:
            raise InputError(f"batch {self.batch} cannot be taken in {self.accumulate} equal parts")

    def config(self) -> EQVIConfig:
        """What the run makes."""
        residual = None if not self.residual else self.residual == "yes"
        motion: Any = self.motion or None
        return stage_config(find_stage(self.stage), PRESETS[self.preset], motion, residual)

    def loss_terms(self) -> dict[str, float]:
        """The terms of the loss and their weights."""
        if self.terms:
            return dict(self.terms)
        published = {"laplacian": 5.0, "l1": 10.0}
        # The published weight of the perceptual term is not known; 0.1 is ours.
        return published | ({"vgg": 0.1} if find_stage(self.stage).perceptual else {})

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Recipe":
        """A recipe from named values, as a YAML file or a notebook gives them.

        Raises:
            InputError: an unknown name, a value of another type or one that cannot be used.
        """
        known = {each.name: each for each in dataclasses.fields(cls)}
        given = dict(values)
        for name, value in values.items():
            if name not in known:
                raise InputError(f"a recipe has no {name!r}: choose from {', '.join(known)}")
            wanted = type(known[name].metadata["default"])
            if type(value) is int and wanted is float:
                given[name] = float(value)
            elif type(value) is not wanted:
                raise InputError(f"{name}={value!r} must be of type {wanted.__name__}")
        return cls(**given)
