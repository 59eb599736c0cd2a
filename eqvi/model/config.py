"""The configuration of a model, and presets: the published model, narrower ones, weight-free baselines.

An ablation is ``dataclasses.replace(PRESETS["eqvi"], residual=False)``.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from eqvi.errors import InputError

FlowKind = Literal["scopeflow", "dis", "tvl1"]
Start = Literal["published", "weight_free"]
MotionKind = Literal["linear", "quadratic", "least_squares", "rectified"]


@dataclass(frozen=True)
class EQVIConfig:
    """Parts and widths of an `eqvi.EQVI`; the defaults are the published model. Steps are those of `eqvi.model.eqvi`.

    Attributes:
        flow: estimator of step 1: the network ``scopeflow``, or without weights ``dis`` (OpenCV's Dense Inverse Search)
            or ``tvl1`` (scikit-image's TV-L1).
        motion: model of step 2: ``linear``, ``quadratic`` (QVI), ``least_squares`` or ``rectified`` (RQFP).
        trajectory: frames over which trajectories correct the motion of step 2 (`eqvi.model.trajectories`): even, at
            least 4; 0 for the paper's motion.
        two_way: whether the flows of a pair seen from both of its frames are combined (`eqvi.model.two_way`); needs
            ``trajectory``, which reads all of them.
        refine: refinement U-Net and mask network (steps 5 and 6); without them, `eqvi.model.visibility` does both.
        matching: matching at t (`eqvi.model.matching`) in place of steps 5 to 7; excludes ``refine``.
        finishing: weights of all warped frames and of blurs, learned, over the weight-free method
            (`eqvi.model.finishing`); needs ``detail``, excludes ``refine`` and ``matching``.
        detail: whether what a bilinear warp loses is given back (`eqvi.model.detail`).
        residual: RCSN (step 7); needs ``refine``.
        start: of refinement, mask and RCSN: ``published``, from flows with holes, zeros beyond it and an even mask;
            ``weight_free``, from the weight-free method (`eqvi.model.weight_free_start`).
        multi_scale: MS-Fusion (step 8); needs ``refine``.
        flow_width, refine_width, synthesis_width: channel counts as a fraction of the published ones.
        context_channels: of RCSN's context convolution (published: 64).
        flow_scalings: how often ScopeFlow scales a level's flow to global units: 2 as published, 1 in flow networks
            of our own (see `eqvi.model.scopeflow`).
    """

    flow: FlowKind = "scopeflow"
    motion: MotionKind = "rectified"
    trajectory: int = 0
    two_way: bool = False
    refine: bool = True
    residual: bool = True
    start: Start = "published"
    multi_scale: bool = False
    matching: bool = False
    finishing: bool = False
    detail: bool = False
    flow_width: float = 1.0
    refine_width: float = 1.0
    synthesis_width: float = 1.0
    context_channels: int = 64
    flow_scalings: int = 2

    def __post_init__(self) -> None:
        for name, kinds in (("flow", FlowKind), ("motion", MotionKind), ("start", Start)):
            value = getattr(self, name)
            if value not in get_args(kinds):
                raise InputError(f"{name}={value!r} is not known: choose one of {', '.join(get_args(kinds))}")
        for name in ("flow_width", "refine_width", "synthesis_width"):
            width = getattr(self, name)
            if not 0 < width <= 4:
                raise InputError(f"{name}={width!r} must lie in (0, 4]: it is a fraction of the published width")
        if self.trajectory and (self.trajectory < 4 or self.trajectory % 2):
            raise InputError(f"trajectory={self.trajectory!r} must be an even number of frames, at least 4, or 0")
        if self.two_way and not self.trajectory:
            raise InputError(
                "two_way=True needs a trajectory, as in baseline+8+two-way: without one, most pairs have one way only"
            )
        if self.context_channels < 1:
            raise InputError(f"context_channels={self.context_channels!r} must be at least 1")
        if self.flow_scalings not in (1, 2):
            raise InputError(f"flow_scalings={self.flow_scalings!r} must be 2 (published) or 1")
        if self.matching and self.refine:
            raise InputError("matching=True needs refine=False: it stands in place of refinement, mask and residual")
        if self.finishing and (self.refine or self.matching):
            raise InputError(
                "finishing=True needs refine=False and matching=False: it starts from the weight-free method"
            )
        if self.finishing and not self.detail:
            raise InputError("finishing=True needs detail=True: it starts from frames with detail")
        if self.start == "weight_free" and not self.refine:
            raise InputError("start='weight_free' needs refine=True: other models start there anyway")
        if self.residual and not self.refine:
            raise InputError("residual=True needs refine=True: RCSN works on the refined warps")
        if self.multi_scale and not self.refine:
            raise InputError("multi_scale=True needs refine=True: without weights there is nothing to fuse by")

    @property
    def has_weights(self) -> bool:
        """Whether any part of the model has weights."""
        return self.flow == "scopeflow" or self.refine or self.matching or self.finishing

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "EQVIConfig":
        """The inverse of `dataclasses.asdict`; an unknown key is an `InputError`."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"configuration key {unknown[0]!r} is not known: choose from {', '.join(sorted(known))}")
        return cls(**values)


_WEIGHT_FREE = EQVIConfig(flow="dis", refine=False, residual=False)
_QUARTER = EQVIConfig(flow_width=0.25, refine_width=0.25, synthesis_width=0.25, context_channels=16)
_EIGHTH = EQVIConfig(flow="dis", refine_width=0.125, synthesis_width=0.125, context_channels=8)

#: Configurations by name. `eqvi` and `eqvi-ms` have the published widths; the baselines have no weights;
#: `matching` and `finishing` are models of our own.
PRESETS: dict[str, EQVIConfig] = {
    "eqvi": EQVIConfig(),
    "eqvi-ms": EQVIConfig(multi_scale=True),
    "eqvi-half": EQVIConfig(flow_width=0.5, refine_width=0.5, synthesis_width=0.5, context_channels=32),
    "eqvi-quarter": _QUARTER,
    "eqvi-quarter-once": dataclasses.replace(_QUARTER, flow_scalings=1),
    "eqvi-quarter-dis": dataclasses.replace(_QUARTER, flow="dis"),
    "eqvi-eighth-dis": _EIGHTH,
    "matching": dataclasses.replace(_WEIGHT_FREE, motion="quadratic", trajectory=8, matching=True),
    "finishing": dataclasses.replace(
        _WEIGHT_FREE, motion="quadratic", trajectory=8, two_way=True, finishing=True, detail=True
    ),
    "baseline": dataclasses.replace(_WEIGHT_FREE, motion="quadratic"),
    "baseline-linear": dataclasses.replace(_WEIGHT_FREE, motion="linear"),
    "baseline-rectified": _WEIGHT_FREE,
}
