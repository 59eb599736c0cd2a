"""A window seen through a model whose parts can be switched off: its layers at any t, and what each switch changes.

The state behind the explorer (`notebooks/08_explorer.ipynb`) and the site: no widgets, no files. Flows are found once a
window, and frames are kept once made.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eqvi import metrics
from eqvi.errors import InputError
from eqvi.model.ensemble import ENSEMBLES, Ensemble
from eqvi.model.eqvi import EQVI, SMALLEST, Interpolation, Motion
from eqvi.model.geometry import reverse_flow
from eqvi.model.motion import displacement
from eqvi.viz.quadruplet import Subject

#: The ensemble that a switch adds: four members, all but the first mirrored.
ENSEMBLE = "flips"


@dataclass(frozen=True)
class Switches:
    """Which parts make a frame.

    Attributes:
        rqfp: rectified motion; else the two-point parabola. (Linear motion is no switch: `Exploration.as_made`.)
        rcsn: the residual is added.
        fusion: two scales are fused.
        ensemble: the mean over the window and its mirror images.
    """

    rqfp: bool = False
    rcsn: bool = False
    fusion: bool = False
    ensemble: bool = False


#: What people call the switches.
NAMES = {"rqfp": "RQFP", "rcsn": "RCSN", "fusion": "MS-Fusion", "ensemble": "ensemble"}


class Holes(NamedTuple):
    """Where nothing landed when the flows to t were reversed.

    Attributes:
        of_1, of_2: (1, 1, H, W), of F_t1 and of F_t2.
    """

    of_1: Bool[Tensor, "1 1 h w"]
    of_2: Bool[Tensor, "1 1 h w"]


class Scales(NamedTuple):
    """What MS-Fusion joins.

    Attributes:
        full, half: (1, 3, H, W), results at full and at half size, the latter enlarged.
        weight: (1, 1, H, W), of the full-size one.
    """

    full: Float[Tensor, "1 3 h w"]
    half: Float[Tensor, "1 3 h w"]
    weight: Float[Tensor, "1 1 h w"]


class Exploration:
    """One window and one model.

    Args:
        model: as loaded; its parts serve every variant.
        subject: the window.

    Raises:
        InputError: the frames are too small for the model.
    """

    def __init__(self, model: EQVI, subject: Subject) -> None:
        self.model, self.subject = model, subject
        config = model.config
        height, width = subject.frames.shape[-2:]
        if config.multi_scale and min(height, width) < 2 * SMALLEST:
            # One scale alone pads them to another size than both do, so that variants could not share their flows.
            side = 2 * SMALLEST
            raise InputError(f"frames are {width}x{height}: a model that fuses two scales takes {side}x{side} or more")
        #: The switches that this model has the parts for.
        self.offered = tuple(
            name
            for name, there in (
                ("rqfp", True), ("rcsn", config.residual), ("fusion", config.multi_scale), ("ensemble", True)
            )
            if there
        )  # fmt: skip
        #: The model as it was made.
        self.own = Switches(config.motion == "rectified", config.residual, config.multi_scale)
        self._motions: dict[bool, Any] = {}
        self._results: dict[tuple[float, Switches], Interpolation] = {}

    def known(self, t: float, switches: Switches) -> bool:
        """Whether `result` would answer at once."""
        return (t, switches) in self._results

    @torch.inference_mode()
    def result(self, t: float, switches: Switches) -> Interpolation:
        """The new frame at t and what it is made of.

        Raises:
            InputError: the model lacks a part that is switched on.
        """
        for name in NAMES:
            if getattr(switches, name) and name not in self.offered:
                raise InputError(f"{NAMES[name]} is switched on, and this model has none: switch it off")
        if (t, switches) not in self._results:
            variant = self._variant(switches)
            self._results[t, switches] = variant.interpolate(self.subject.frames, self._motion(switches.ensemble), t)
        return self._results[t, switches]

    @torch.inference_mode()
    def as_made(self, t: float) -> Interpolation:
        """The new frame by the model as it was trained, whatever its motion."""
        return self.model(self.subject.frames, t)

    def psnr(self, t: float, switches: Switches) -> float | None:
        """PSNR of the new frame in dB, in 8 bits; None where the truth is not known."""
        truth = self.subject.truth(t)
        if truth is None:
            return None
        return metrics.psnr(metrics.to_8bit(self.result(t, switches).frame), metrics.to_8bit(truth))

    def flipped(self, switches: Switches, name: str) -> Switches:
        """The same with one switch the other way."""
        return dataclasses.replace(switches, **{name: not getattr(switches, name)})

    @torch.inference_mode()
    def motion(self) -> Motion:
        """The window's six flows."""
        return self._motion(ensemble=False)

    @torch.inference_mode()
    def holes(self, t: float, switches: Switches) -> Holes:
        """Where a frame's reversed flows have no value of their own."""
        motion, kind = self.motion(), "rectified" if switches.rqfp else "quadratic"
        first = displacement(kind, motion.flow_10, motion.flow_12, motion.flow_13, t)  # type: ignore[arg-type]
        second = displacement(kind, motion.flow_23, motion.flow_21, motion.flow_20, 1 - t)  # type: ignore[arg-type]
        height, width = self.subject.frames.shape[-2:]  # small frames were padded
        holes = [(reverse_flow(flow).weight == 0)[..., :height, :width] for flow in (first, second)]
        return Holes(*holes)

    @torch.inference_mode()
    def scales(self, t: float) -> Scales:
        """What MS-Fusion joins at t, and how.

        Raises:
            InputError: the model has no fusion.
        """
        fusion = self.model.fusion
        if fusion is None:
            raise InputError("this model has one scale: give one with MS-Fusion")
        seen: list[tuple[Tensor, ...]] = []
        watch = fusion.register_forward_hook(lambda module, given, weight: seen.append((*given, weight)))
        try:
            self.model.interpolate(self.subject.frames, self.motion(), t)
        finally:
            watch.remove()
        height, width = self.subject.frames.shape[-2:]
        full, half, weight = (field[..., :height, :width] for field in seen[0])
        return Scales(full, half, weight)

    def _variant(self, switches: Switches) -> EQVI | Ensemble:
        """The model with those parts, sharing its weights."""
        config = dataclasses.replace(
            self.model.config,
            motion="rectified" if switches.rqfp else "quadratic",
            residual=switches.rcsn,
            multi_scale=switches.fusion,
        )
        with torch.device("meta"):  # its own weights are never made
            variant = EQVI(config)
        for name, part in self.model.named_children():
            if getattr(variant, name) is not None:
                setattr(variant, name, part)
        variant.eval()
        return Ensemble(variant, ENSEMBLES[ENSEMBLE]) if switches.ensemble else variant

    def _motion(self, ensemble: bool) -> Any:
        if ensemble not in self._motions:
            # All that any variant asks for: six flows, at both scales where the model has two.
            whole = self._variant(dataclasses.replace(self.own, rqfp=True, ensemble=ensemble))
            self._motions[ensemble] = whole.estimate_motion(self.subject.frames)
        return self._motions[ensemble]
