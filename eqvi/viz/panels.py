"""Tensors as panels of a figure: photographs, flows, fields and masks, each with the legend of its colours."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eqvi.viz import colours


@dataclass(frozen=True)
class Wheel:
    """Legend of a flow panel; `scale` in pixels is the motion at the rim."""

    scale: float


@dataclass(frozen=True)
class Bar:
    """Legend of a field panel: one of `colours.RAMPS` from `low` to `high`."""

    ramp: str
    low: float
    high: float
    label: str


@dataclass(frozen=True)
class Panel:
    """One picture of a figure.

    Attributes:
        rgb: (3, H, W) in [0, 1].
        legend: what its colours mean; None for a photograph.
        arrows: positions and displacements (N, 4) as x, y, dx, dy in pixels, drawn to scale; or None.
    """

    rgb: Tensor
    legend: Wheel | Bar | None = None
    arrows: Tensor | None = None


def image(picture: Float[Tensor, "1 3 h w"]) -> Panel:
    """A photograph, RGB in [0, 1]."""
    return Panel(picture[0].clamp(0, 1))


def flow(field: Float[Tensor, "1 2 h w"], scale: float) -> Panel:
    """A flow as colours; `scale` in pixels at the wheel's rim, the same in every panel that is compared."""
    return Panel(colours.flow_to_rgb(field, scale)[0], Wheel(scale))


def arrows(panel: Panel, field: Float[Tensor, "1 2 h w"], every: int) -> Panel:
    """The panel with the flow drawn over it as arrows, to scale, one in each `every` pixels both ways."""
    height, width = field.shape[-2:]
    rows, columns = torch.arange(every // 2, height, every), torch.arange(every // 2, width, every)
    y, x = torch.cartesian_prod(rows, columns).T
    return replace(panel, arrows=torch.stack((x, y, *field[0, :, y, x]), dim=1))


def field(values: Float[Tensor, "1 1 h w"], label: str, low: float, high: float, ramp: str = "weight") -> Panel:
    """One number a pixel along one of `colours.RAMPS`; what lies beyond [low, high] gets the end's colour."""
    return Panel(colours.field_to_rgb(values, low, high, ramp)[0], Bar(ramp, low, high, label))


def error(a: Float[Tensor, "1 3 h w"], b: Float[Tensor, "1 3 h w"], high: float = 64) -> Panel:
    """Where two pictures differ: mean over the channels of |a - b| in grey levels of 255; white where equal."""
    return field((a - b).abs().mean(dim=1, keepdim=True) * 255, "difference, grey levels", 0, high, "heat")


def mask(where: Bool[Tensor, "1 1 h w"], over: Float[Tensor, "1 3 h w"]) -> Panel:
    """A yes-or-no map in orange over a paled grey picture."""
    pale = (0.35 * over.mean(dim=1, keepdim=True) + 0.65).expand_as(over)
    orange = over.new_tensor([0.835, 0.369, 0.0]).view(1, 3, 1, 1)
    return Panel(torch.where(where, orange, pale)[0])
