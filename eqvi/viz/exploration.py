"""A quadruplet and a model whose parts can be switched off: new frames at any t, and what they are made of.

The state behind the explorer (`notebooks/08_explorer.ipynb`) and the site: no widgets, no files. Flows are estimated
once, and new frames are cached.
"""

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eqvi import metrics
from eqvi.errors import InputError
from eqvi.model.ensemble import ENSEMBLES, Ensemble
from eqvi.model.eqvi import EQVI, SMALLEST
from eqvi.model.geometry import reverse_flow
from eqvi.model.interpolation import Interpolation, Motion
from eqvi.model.motion import displacement
from eqvi.model.trajectories import Position, chain
from eqvi.viz.quadruplet import Quadruplet

#: The ensemble that a switch adds: four members, all but the first mirrored.
ENSEMBLE = "flips"


@dataclass(frozen=True)
class Switches:
    """Which parts of the model are on.

    Attributes:
        rqfp: rectified motion; else quadratic. (Linear motion has no switch: see `Exploration.as_trained`.)
        rcsn: the residual is added.
        fusion: two scales are fused.
        ensemble: the mean over the quadruplet and its mirror images.
    """

    rqfp: bool = False
    rcsn: bool = False
    fusion: bool = False
    ensemble: bool = False


#: Names of the switches for readers.
NAMES = {"rqfp": "RQFP", "rcsn": "RCSN", "fusion": "MS-Fusion", "ensemble": "ensemble"}


class Scales(NamedTuple):
    """Inputs and weight of MS-Fusion.

    Attributes:
        full, half: (1, 3, H, W), results at full and at half size, the latter enlarged.
        weight: (1, 1, H, W), of the full-size one.
    """

    full: Float[Tensor, "1 3 h w"]
    half: Float[Tensor, "1 3 h w"]
    weight: Float[Tensor, "1 1 h w"]


class Exploration:
    """New frames of one quadruplet by one model.

    Args:
        model: as loaded; its parts serve every variant.
        quadruplet: the input frames.

    Raises:
        InputError: the frames are too small for the model.
    """

    def __init__(self, model: EQVI, quadruplet: Quadruplet) -> None:
        self.model, self.quadruplet = model, quadruplet
        config = model.config
        height, width = quadruplet.frames.shape[-2:]
        if config.multi_scale and min(height, width) < 2 * SMALLEST:
            # One scale alone pads them to another size than both do, so that variants could not share their flows.
            side = 2 * SMALLEST
            raise InputError(f"frames are {width}x{height}: a model that fuses two scales takes {side}x{side} or more")
        parts = {"rqfp": True, "rcsn": config.residual, "fusion": config.multi_scale, "ensemble": True}
        #: The switches that this model has the parts for.
        self.available = tuple(name for name, present in parts.items() if present)
        #: The switches as the model is configured.
        self.default = Switches(config.motion == "rectified", config.residual, config.multi_scale)
        self._motions: dict[bool, Any] = {}
        self._results: dict[tuple[float, Switches], Interpolation] = {}
        self._paths: dict[int, Position] | None = None

    def label(self, name: str) -> str:
        """The name of a switch, and whether it is of a part that a trained model was trained without."""
        without = name != "ensemble" and not getattr(self.default, name)
        trained = any(True for _ in self.model.parameters())
        return NAMES[name] + (" (this model was trained without it)" if without and trained else "")

    def cached(self, t: float, switches: Switches) -> bool:
        """Whether `result` needs no computation."""
        return (t, switches) in self._results

    @torch.inference_mode()
    def result(self, t: float, switches: Switches) -> Interpolation:
        """The new frame at t and its intermediate results.

        Raises:
            InputError: the model lacks a part that is switched on.
        """
        for name in NAMES:
            if getattr(switches, name) and name not in self.available:
                raise InputError(f"{NAMES[name]} is switched on, and this model has none: switch it off")
        if (t, switches) not in self._results:
            motion, variant = self._motion(switches.ensemble), self._variant(switches)
            self._results[t, switches] = variant.interpolate(self.quadruplet.frames, motion, t)
        return self._results[t, switches]

    @torch.inference_mode()
    def as_trained(self, t: float) -> Interpolation:
        """The new frame by the model as it was trained, whatever its motion model."""
        return self.model(self.quadruplet.frames, t)

    def psnr(self, t: float, switches: Switches) -> float | None:
        """PSNR of the new frame in dB, in 8 bits; None where the truth is not known."""
        truth = self.quadruplet.truth(t)
        if truth is None:
            return None
        return metrics.psnr(metrics.to_8bit(self.result(t, switches).frame), metrics.to_8bit(truth))

    @torch.inference_mode()
    def motion(self) -> Motion:
        """The six flows of the quadruplet."""
        return self._motion(ensemble=False)

    @property
    def followed(self) -> bool:
        """Whether `paths` needs no computation."""
        return self._paths is not None

    @torch.inference_mode()
    def paths(self) -> dict[int, Position]:
        """The positions of every pixel of I1 in the frames around by time, -3 .. 4 or as far as the clip goes."""
        if self._paths is None:
            frames = self.quadruplet.around()
            count = 2 * min(1 - min(frames), max(frames))
            estimator = self._variant(Switches())
            assert isinstance(estimator, EQVI)

            @cache
            def flows(a: int, b: int) -> tuple[Tensor, Tensor]:
                motion = estimator.estimate_motion(torch.stack((frames[a], frames[b]), dim=1))
                return motion.flow_12, motion.flow_21

            def flow(a: int, b: int) -> Tensor:
                return flows(a, b)[0] if a < b else flows(b, a)[1]

            ahead, behind = chain(flow, 0, 1, count // 2), chain(flow, 0, -1, count // 2 - 1)
            self._paths = dict(enumerate(ahead, 1)) | {-s: position for s, position in enumerate(behind, 1)}
        return self._paths

    @torch.inference_mode()
    def holes(self, t: float, switches: Switches) -> tuple[Bool[Tensor, "1 1 h w"], Bool[Tensor, "1 1 h w"]]:
        """Where F_t1 and F_t2 have no value of their own: no vector landed there in flow reversal."""
        motion, kind = self.motion(), "rectified" if switches.rqfp else "quadratic"
        flow_1t = displacement(kind, motion.flow_10, motion.flow_12, motion.flow_13, t)  # type: ignore[arg-type]
        flow_2t = displacement(kind, motion.flow_23, motion.flow_21, motion.flow_20, 1 - t)  # type: ignore[arg-type]
        height, width = self.quadruplet.frames.shape[-2:]  # small frames were padded
        first, second = ((reverse_flow(flow).weight == 0)[..., :height, :width] for flow in (flow_1t, flow_2t))
        return first, second

    @torch.inference_mode()
    def scales(self, t: float) -> Scales:
        """What MS-Fusion fuses at t, and its weight.

        Raises:
            InputError: the model has no fusion.
        """
        fusion = self.model.fusion
        if fusion is None:
            raise InputError("this model has one scale: give one with MS-Fusion")
        calls: list[tuple[Tensor, ...]] = []
        hook = fusion.register_forward_hook(lambda module, inputs, weight: calls.append((*inputs, weight)))
        try:
            self.model.interpolate(self.quadruplet.frames, self.motion(), t)
        finally:
            hook.remove()
        height, width = self.quadruplet.frames.shape[-2:]
        return Scales(*(field[..., :height, :width] for field in calls[0]))

    def _variant(self, switches: Switches) -> EQVI | Ensemble:
        """The model with those parts, sharing its weights."""
        config = dataclasses.replace(
            self.model.config,
            motion="rectified" if switches.rqfp else "quadratic",
            residual=switches.rcsn,
            multi_scale=switches.fusion,
        )
        with torch.device("meta"):  # without weights of its own
            variant = EQVI(config)
        for name, part in self.model.named_children():
            if getattr(variant, name) is not None:
                setattr(variant, name, part)
        variant.eval()
        return Ensemble(variant, ENSEMBLES[ENSEMBLE]) if switches.ensemble else variant

    def _motion(self, ensemble: bool) -> Any:
        if ensemble not in self._motions:
            # All that any variant needs: six flows, at both scales where the model has two.
            whole = self._variant(dataclasses.replace(self.default, rqfp=True, ensemble=ensemble))
            self._motions[ensemble] = whole.estimate_motion(self.quadruplet.frames)
        return self._motions[ensemble]


def toggled(switches: Switches, name: str) -> Switches:
    """The same with one switch the other way."""
    return dataclasses.replace(switches, **{name: not getattr(switches, name)})
