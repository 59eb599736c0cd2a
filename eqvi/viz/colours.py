"""Flow and other fields as colours. Pure functions of tensors.

The wheel is our own, in the OKLab colour space (Ottosson 2020), where equal distances look about equally different:
the flow vector, divided by a scale, is laid straight into the plane of the two colour coordinates. Zero flow is white,
opposite motions have opposite hues, twice the motion has twice the colour. Right is red and left cyan, which some
readers cannot tell apart by hue; so rightward motion is also darker than leftward motion.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

# Chosen so that every colour of the wheel lies inside sRGB (a test looks).
_HUE_OF_RIGHT = math.radians(30)
_CHROMA = 0.122
_DARKENING = 0.34
_TILT = 0.1

#: Colours between which a field's values are laid, in OKLab: `heat` from nothing to much, `weight` from no to yes,
#: `signed` from minus to plus with white between. Lightness alone orders `heat` and `weight`.
RAMPS: dict[str, list[tuple[float, float, float]]] = {
    "heat": [(1, 0, 0), (0.83, 0.05, 0.12), (0.6, 0.14, 0.11), (0.2, 0.04, 0.03)],
    "weight": [(0.31, -0.01, -0.1), (0.62, -0.01, 0), (0.92, -0.01, 0.12)],
    "signed": [(0.42, -0.03, -0.14), (0.98, 0, 0), (0.5, 0.12, 0.1)],
}

_LMS = torch.tensor(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_RGB = torch.tensor(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def oklab_to_srgb(lab: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """OKLab to gamma-encoded sRGB; may leave [0, 1] where sRGB has no such colour."""
    lms = torch.einsum("ij,bjhw->bihw", _LMS.to(lab), lab) ** 3
    linear = torch.einsum("ij,bjhw->bihw", _RGB.to(lab), lms)
    bright = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, bright, 12.92 * linear)


def flow_to_lab(flow: Float[Tensor, "b 2 h w"], scale: float) -> Float[Tensor, "b 3 h w"]:
    """The wheel's OKLab colour of each flow vector; motion longer than `scale` pixels gets the rim's colour."""
    x, y = (flow / scale / (flow.norm(dim=1, keepdim=True) / scale).clamp_min(1)).split(1, dim=1)
    length = torch.cat((x, y), dim=1).norm(dim=1, keepdim=True)
    cos, sin = math.cos(_HUE_OF_RIGHT), math.sin(_HUE_OF_RIGHT)
    a, b = _CHROMA * (cos * x - sin * y), _CHROMA * (sin * x + cos * y)
    return torch.cat((1 - _DARKENING * length - _TILT * x, a, b), dim=1)


def flow_to_rgb(flow: Float[Tensor, "b 2 h w"], scale: float) -> Float[Tensor, "b 3 h w"]:
    """Flow as colours in [0, 1]; `scale` is the motion in pixels at the wheel's rim."""
    return oklab_to_srgb(flow_to_lab(flow, scale)).clamp(0, 1)


def field_to_rgb(values: Float[Tensor, "b 1 h w"], low: float, high: float, ramp: str) -> Float[Tensor, "b 3 h w"]:
    """Numbers as colours in [0, 1] along one of `RAMPS`, the ends for what lies beyond [low, high]."""
    stops = torch.tensor(RAMPS[ramp]).to(values)
    along = ((values - low) / (high - low)).clamp(0, 1)[:, 0] * (len(stops) - 1)
    before = along.floor().clamp_max(len(stops) - 2).long()
    lab = torch.lerp(stops[before], stops[before + 1], (along - before)[..., None])
    return oklab_to_srgb(lab.permute(0, 3, 1, 2)).clamp(0, 1)


def wheel(size: int) -> Float[Tensor, "1 3 n n"]:
    """The legend: a disc whose point (x, y) has the colour of motion towards (x, y); white outside."""
    axis = torch.linspace(-1.02, 1.02, size)
    disc = torch.stack((axis.expand(size, size), axis[:, None].expand(size, size)))[None]
    edge = ((1 - disc.norm(dim=1, keepdim=True)) * size / 2 + 0.5).clamp(0, 1)
    return torch.lerp(torch.ones(1), flow_to_rgb(disc, 1.0), edge)


def flow_scale(*flows: Float[Tensor, "b 2 h w"]) -> float:
    """A shared scale for some flows: their 99.5th percentile of length, rounded up to two digits, at least 1 pixel."""
    longest = max(torch.quantile(flow.norm(dim=1).flatten()[::7].float(), 0.995).item() for flow in flows)
    step = 10 ** (math.floor(math.log10(max(longest, 1.0))) - 1)
    return max(1.0, math.ceil(longest / step - 1e-6) * step)
