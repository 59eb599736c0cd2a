"""A camera model: motion blur and brightness in linear light (gamma 2.2), and sensor noise.

The variance of the noise has a constant part (read noise) and one in proportion to the signal (shot noise).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.datasets.rendering import Scene, as_times, render
from eqvi.errors import InputError

_GAMMA = 2.2


@dataclass(frozen=True)
class Camera:
    """Parameters of the camera. The default is an ideal one, with which `expose` gives what `render` gives.

    Attributes:
        shutter: exposure time as a fraction of the unit of time, centred on the frame's time.
        subframes: sharp frames averaged over that time.
        brightening: natural logarithm of the gain in linear light per unit of time; the gain is 1 at time 0.
        read_noise: standard deviation of the constant noise, of gamma-coded values in [0, 1].
        shot_noise: variance of the further noise per unit of the gamma-coded value.
        seed: of the noise.
    """

    shutter: float = 0.0
    subframes: int = 1
    brightening: float = 0.0
    read_noise: float = 0.0
    shot_noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.subframes < 1 or (self.shutter > 0) != (self.subframes > 1):
            raise InputError(
                f"shutter={self.shutter!r} with subframes={self.subframes!r}: motion blur takes a shutter above 0 and "
                "2 subframes or more, a sharp camera shutter=0 and subframes=1"
            )
        if min(self.shutter, self.read_noise, self.shot_noise) < 0:
            raise InputError("shutter, read_noise and shot_noise of a camera must not be negative")


def expose(scene: Scene, camera: Camera, times: float | Float[Tensor, " t"]) -> Float[Tensor, "t 3 h w"]:
    """The scene as `camera` takes it at each time, RGB in [0, 1]; device and dtype follow `times`.

    A frame and its noise depend on its own time alone, so it is the same at any frame rate and in any batch.
    """
    return torch.cat([_expose_one(scene, camera, time) for time in as_times(times).split(1)])


def _expose_one(scene: Scene, camera: Camera, time: Tensor) -> Tensor:
    gain = torch.exp(camera.brightening * time).view(-1, 1, 1, 1)
    if camera.subframes > 1:
        # The midpoints of equal parts of the exposure.
        parts = (torch.arange(camera.subframes).to(time) + 0.5) / camera.subframes - 0.5
        frame = render(scene, time + camera.shutter * parts).pow(_GAMMA).mean(dim=0, keepdim=True)
        frame = (gain * frame).pow(1 / _GAMMA)
    else:
        frame = render(scene, time) * gain.pow(1 / _GAMMA)
    if camera.read_noise or camera.shot_noise:
        # One seed for each time, to a millionth; drawn on the CPU, so that the noise is the same on any device.
        draw = torch.Generator().manual_seed((camera.seed * 1_000_000_007 + round(1e6 * time.item())) % 2**63)
        deviation = (camera.read_noise**2 + camera.shot_noise * frame).sqrt()
        frame = frame + deviation * torch.randn(frame.shape, generator=draw).to(frame)
    return frame.clamp(0, 1)
