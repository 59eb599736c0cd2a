"""The flows of a window by the published schedule: eight calls of ScopeFlow for every new frame.

Each call computes both frames' pyramids and gives flow both ways and occlusion, of which EQVI uses the forward flow.
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from eqvi.model.eqvi import EQVI
from eqvi.model.geometry import resize
from eqvi.model.interpolation import Motion
from eqvi.model.motion import FLOW_PAIRS
from eqvi.model.scopeflow import ScopeFlow

#: The flows F_ab that the published code computes for one new frame: six, two of them twice.
PUBLISHED_CALLS = (*FLOW_PAIRS, (1, 2), (2, 1))


def published_motion(model: EQVI, frames: Float[Tensor, "b 4 3 h w"]) -> Motion:
    """The flows of a window as the published code computes them for each new frame: `PUBLISHED_CALLS`.

    Every call computes both frames' pyramids and gives flow both ways and occlusion. Equal to `EQVI.estimate_motion`
    for frames that need no padding.

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


def _published_calls(model: EQVI, frames: Tensor) -> Motion:
    network = model.flow
    assert isinstance(network, ScopeFlow)
    flows: dict[str, Any] = {}
    for a, b in PUBLISHED_CALLS:
        first, second = network.features(frames[:, a]), network.features(frames[:, b])
        flows[f"flow_{a}{b}"] = network.bidirectional(first, second).flow_ab
    return Motion(**flows, features={}, half=None)
