"""One frozen description of a model: the published one, its ablations, narrower siblings.

An ablation is ``dataclasses.replace(PRESETS["eqvi"], residual=False)``; there are no variant files.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from eqvi.errors import InputError

FlowKind = Literal["scopeflow", "dis", "tvl1"]
MotionKind = Literal["linear", "quadratic", "least_squares", "rectified"]


@dataclass(frozen=True)
class EQVIConfig:
    """What an `eqvi.EQVI` is made of.

    Attributes:
        flow: optical flow estimator: ``scopeflow`` (has weights), or one of the classical ones that
            need none: ``dis`` (OpenCV's Dense Inverse Search), ``tvl1`` (scikit-image's TV-L1).
        motion: how displacements at -1, 1, 2 become a displacement at t: ``linear``, ``quadratic``
            (two-point, QVI), ``least_squares`` (all three), ``rectified`` (RQFP, EQVI's own).
        refine: refinement U-Net and mask network; without them the reversed flows are taken as they
            are (their holes filled) and the mask comes from where both are known and agree.
        residual: residual contextual synthesis (RCSN); needs ``refine``.
        multi_scale: fuse the results at full and half resolution (MS-Fusion).
        flow_width, refine_width, synthesis_width: channel counts as a fraction of the published ones.
        context_channels: channels of the context convolution in front of RCSN (published: 64).
        flow_scalings: how often ScopeFlow scales a level's flow to global units: 2 in the published network, whose
            weights depend on it; 1 in networks of our own, where a level that adds nothing hands flow on unchanged.
    """

    flow: FlowKind = "scopeflow"
    motion: MotionKind = "rectified"
    refine: bool = True
    residual: bool = True
    multi_scale: bool = False
    flow_width: float = 1.0
    refine_width: float = 1.0
    synthesis_width: float = 1.0
    context_channels: int = 64
    flow_scalings: int = 2

    def __post_init__(self) -> None:
        for name, kinds in (("flow", FlowKind), ("motion", MotionKind)):
            value = getattr(self, name)
            if value not in get_args(kinds):
                raise InputError(f"{name}={value!r} is not known: choose one of {', '.join(get_args(kinds))}")
        for name in ("flow_width", "refine_width", "synthesis_width"):
            width = getattr(self, name)
            if not 0 < width <= 4:
                raise InputError(f"{name}={width!r} must lie in (0, 4]: it is a fraction of the published width")
        if self.context_channels < 1:
            raise InputError(f"context_channels={self.context_channels!r} must be at least 1")
        if self.flow_scalings not in (1, 2):
            raise InputError(f"flow_scalings={self.flow_scalings!r} must be 2 (published) or 1")
        if self.residual and not self.refine:
            raise InputError("residual=True needs refine=True: RCSN works on the refined warps")
        if self.multi_scale and not self.refine:
            raise InputError("multi_scale=True needs refine=True: without weights there is nothing to fuse by")

    @property
    def has_weights(self) -> bool:
        """Whether any part of the model is learned."""
        return self.flow == "scopeflow" or self.refine

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

#: Named configurations. `eqvi` and `eqvi-ms` have the published widths; `baseline` needs no weights.
PRESETS: dict[str, EQVIConfig] = {
    "eqvi": EQVIConfig(),
    "eqvi-ms": EQVIConfig(multi_scale=True),
    "eqvi-half": EQVIConfig(flow_width=0.5, refine_width=0.5, synthesis_width=0.5, context_channels=32),
    "eqvi-quarter": _QUARTER,
    "eqvi-quarter-once": dataclasses.replace(_QUARTER, flow_scalings=1),
    "eqvi-quarter-dis": dataclasses.replace(_QUARTER, flow="dis"),
    "eqvi-eighth-dis": _EIGHTH,
    "baseline": dataclasses.replace(_WEIGHT_FREE, motion="quadratic"),
    "baseline-linear": dataclasses.replace(_WEIGHT_FREE, motion="linear"),
    "baseline-rectified": _WEIGHT_FREE,
}
