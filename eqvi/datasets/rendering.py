"""Short clips rendered from photographs, with exact optical flow.

A scene is a stack of photographic layers, each a rigid image whose anchor follows a `Trajectory`. It can be rendered at
any time, so there is a true frame at every time and a true flow between any two times, which real footage never has.
"""

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from eqvi.datasets.photographs import photograph, resample
from eqvi.errors import InputError
from eqvi.files import replacing_folder
from eqvi.metrics import to_8bit
from eqvi.model.geometry import pixel_grid

PathKind = Literal["linear", "quadratic", "cubic", "shake"]

# Textures have twice the frame's resolution and are smoothed there, so that sampling between their pixels neither
# aliases nor shows the bicubic kernel.
_OVERSAMPLING = 2
_TEXTURE_SIGMA = 1.0

# A pixel of a soft edge shows two motions; it is mixed where the front layer covers this much of it.
_MIXED = (0.01, 0.99)


@dataclass(frozen=True)
class Trajectory:
    """Displacement as a function of time s: v s + a s^2 / 2 + j s^3 / 6, and a seeded shake; zero at s = 0.

    Attributes:
        velocity, acceleration, jerk: (x, y) in pixels per unit of time, its square, its cube. The unit of time is the
            interval between two input frames.
        shake: size in pixels of a smooth irregular motion added to it, as of a hand-held camera.
        seed: of the shake.
    """

    velocity: tuple[float, float] = (0.0, 0.0)
    acceleration: tuple[float, float] = (0.0, 0.0)
    jerk: tuple[float, float] = (0.0, 0.0)
    shake: float = 0.0
    seed: int = 0

    def displacement(self, times: Float[Tensor, " t"]) -> Float[Tensor, "t 2"]:
        """(x, y) in pixels, relative to time 0; device and dtype follow `times`."""
        s = times[:, None]
        v, a, j = times.new_tensor([self.velocity, self.acceleration, self.jerk])
        moved = v * s + a * s**2 / 2 + j * s**3 / 6
        if self.shake:
            generator = torch.Generator().manual_seed(self.seed)
            waves, axes = 4, 2
            frequency = (0.15 + 0.5 * torch.rand(waves, axes, generator=generator)).to(times)
            phase = (2 * math.pi * torch.rand(waves, axes, generator=generator)).to(times)
            wave = torch.sin(2 * math.pi * frequency * s[:, :, None] + phase) - torch.sin(phase)
            moved = moved + self.shake / math.sqrt(waves) * wave.sum(dim=1)
        return moved


@dataclass(frozen=True)
class Layer:
    """A photograph, or a piece cut out of one, and its motion.

    Attributes:
        photograph: a name that `eqvi.datasets.photographs.photograph` knows.
        anchor: the point (x, y) of the photograph, in its pixels, that follows the trajectory.
        centre: position (x, y) of that point in the frame at time 0, pixels.
        scale: frame pixels per photograph pixel at time 0.
        radii: half axes (x, y) of the outline's ellipse in frame pixels; None for a background, which shows the whole
            photograph, mirrored at its borders.
        lobes: (size, phase) of the outline's waves of 2, 3, 4, ... periods around the ellipse; size as a fraction of
            the radius.
        softness: width of the outline's soft edge in frame pixels, to first order.
        channels: which channels of the photograph are shown as red, green and blue.
        trajectory: of the anchor.
        spin: rotation about the anchor, radians per unit of time.
        growth: natural logarithm of the magnification per unit of time.
    """

    photograph: str
    anchor: tuple[float, float]
    centre: tuple[float, float]
    scale: float = 1.0
    radii: tuple[float, float] | None = None
    lobes: tuple[tuple[float, float], ...] = ()
    softness: float = 2.0
    channels: tuple[int, int, int] = (0, 1, 2)
    trajectory: Trajectory = Trajectory()
    spin: float = 0.0
    growth: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A frame size (height, width) and its layers, the farthest first."""

    size: tuple[int, int]
    layers: tuple[Layer, ...]


class ExactFlow(NamedTuple):
    """The true motion from time a to time b at the pixels of a.

    Attributes:
        flow: flow_ab (T, 2, H, W) in pixels, of the front-most layer at each pixel.
        occluded: bool (T, 1, H, W): the pixel's point is occluded or out of the frame at b.
        mixed: bool (T, 1, H, W): the pixel at a, or its target at b, lies on a soft edge and shows two motions.
    """

    flow: Tensor
    occluded: Tensor
    mixed: Tensor


def _smooth(image: Tensor, sigma: float) -> Tensor:
    radius = math.ceil(3 * sigma)
    taps = torch.exp(-(torch.arange(-radius, radius + 1).to(image) ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).view(1, 1, 1, -1).expand(image.shape[1], 1, 1, -1)
    padded = F.pad(image, (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(padded, taps, groups=len(taps)), taps.mT, groups=len(taps))


@functools.lru_cache(maxsize=32)
def _texture(name: str, scale: float, device: torch.device) -> Float[Tensor, "1 3 h w"]:
    image = photograph(name).to(device)
    height, width = (max(2, round(_OVERSAMPLING * scale * n)) for n in image.shape[-2:])
    return _smooth(resample(image, (height, width)), _TEXTURE_SIGMA)


def _pose(layer: Layer, times: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix (T, 2, 2) and offset (T, 2, 1) of the map from layer to frame coordinates at each time."""
    angle, size = layer.spin * times, torch.exp(layer.growth * times)
    cos, sin = size * torch.cos(angle), size * torch.sin(angle)
    matrix = torch.stack([cos, -sin, sin, cos], -1).view(-1, 2, 2)
    offset = times.new_tensor(layer.centre) + layer.trajectory.displacement(times)
    return matrix, offset[..., None]


def _bounds(layer: Layer, time: Tensor, size: tuple[int, int]) -> tuple[slice, slice]:
    """Bounding box of the layer in the frame, as rows and columns."""
    if layer.radii is None:
        return slice(0, size[0]), slice(0, size[1])
    matrix, offset = _pose(layer, time)
    enlarged = torch.linalg.matrix_norm(matrix, ord="fro").item() / math.sqrt(2)
    waves = 1 + sum(abs(lobe[0]) for lobe in layer.lobes)
    # The distance to the outline is exact to first order only, so the soft edge gets twice its width.
    radius = enlarged * (max(layer.radii) * waves + 2 * layer.softness) + 1
    x, y = offset.flatten().tolist()
    rows, columns = (
        slice(min(extent, max(0, math.floor(at - radius))), max(0, min(extent, math.ceil(at + radius) + 1)))
        for at, extent in ((y, size[0]), (x, size[1]))
    )
    return rows, columns


def _inside(layer: Layer, points: Float[Tensor, "t 2 n"], times: Float[Tensor, " t"]) -> Float[Tensor, "t 2 n"]:
    """Frame coordinates at `times` in layer coordinates, whose origin is the anchor."""
    matrix, offset = _pose(layer, times)
    return torch.linalg.solve(matrix, points - offset)


def _coverage(layer: Layer, local: Float[Tensor, "t 2 n"]) -> Float[Tensor, "t 1 n"]:
    """Opacity of the layer at each point, 0 to 1, smooth across its edge."""
    if layer.radii is None:
        return torch.ones_like(local[:, :1])
    radii = local.new_tensor(layer.radii).view(1, 2, 1)
    unit = (local / radii).norm(dim=1, keepdim=True)
    if layer.lobes:
        angle = torch.atan2(local[:, 1:] / radii[:, 1:], local[:, :1] / radii[:, :1])
        waves = (size * torch.cos(order * angle + phase) for order, (size, phase) in enumerate(layer.lobes, 2))
        unit = unit / (1 + sum(waves))
    # Distance to the ellipse, to first order, from the gradient of its implicit function.
    distance = (unit - 1) * unit / (local / radii**2).norm(dim=1, keepdim=True).clamp_min(1e-6)
    x = (0.5 - distance / layer.softness).clamp(0, 1)
    return x * x * (3 - 2 * x)


def _colours(layer: Layer, local: Float[Tensor, "t 2 n"]) -> Float[Tensor, "t 3 n"]:
    texture = _texture(layer.photograph, layer.scale, local.device)[:, layer.channels].to(local)
    anchor = local.new_tensor(layer.anchor).view(1, 2, 1)
    at = _OVERSAMPLING * (local + (anchor + 0.5) * layer.scale) - 0.5
    extent = local.new_tensor([texture.shape[-1] - 1, texture.shape[-2] - 1]).view(1, 2, 1)
    grid = (2 * at / extent - 1).mT[:, None]
    texture = texture.expand(len(local), -1, -1, -1)
    sampled = F.grid_sample(texture, grid, mode="bicubic", padding_mode="reflection", align_corners=True)
    return sampled[:, :, 0]


def as_times(times: float | Tensor) -> Float[Tensor, " t"]:
    """Times as a tensor, float32 unless they are one already."""
    return torch.as_tensor(times, dtype=None if isinstance(times, Tensor) else torch.float32).reshape(-1)


def render(scene: Scene, times: float | Float[Tensor, " t"]) -> Float[Tensor, "t 3 h w"]:
    """The scene at each time, without motion blur, RGB in [0, 1]; device and dtype follow `times`.

    Every frame is sampled from the photographs: none is a warp of another.
    """
    times = as_times(times)
    height, width = scene.size
    grid = pixel_grid(height, width, times)
    frames = times.new_zeros(len(times), 3, height, width)
    for time, frame in zip(times.split(1), frames, strict=True):
        for layer in scene.layers:
            # Most layers are small: only their bounding box is sampled.
            rows, columns = _bounds(layer, time, scene.size)
            part = frame[:, rows, columns]
            if part.numel() == 0:
                continue
            local = _inside(layer, grid[:, rows, columns].reshape(1, 2, -1), time)
            blend = torch.lerp(part.reshape(1, 3, -1), _colours(layer, local), _coverage(layer, local))
            part.copy_(blend.view_as(part))
    return frames.clamp(0, 1)


def exact_flow(scene: Scene, start: float | Float[Tensor, " t"], end: float | Float[Tensor, " t"]) -> ExactFlow:
    """Exact flow and occlusion from `start` to `end`: two times, or tensors of equally many times."""
    start, end = as_times(start), as_times(end)
    points = pixel_grid(*scene.size, start).reshape(1, 2, -1).expand(len(start), -1, -1)
    extent = points.new_tensor([scene.size[1] - 1, scene.size[0] - 1]).view(1, 2, 1)
    flow = torch.zeros_like(points)
    occluded = torch.zeros_like(points[:, :1], dtype=torch.bool)
    mixed = occluded.clone()
    for depth, layer in enumerate(scene.layers):
        local = _inside(layer, points, start)
        coverage = _coverage(layer, local)
        matrix, offset = _pose(layer, end)
        landing = matrix @ local + offset
        covers = [_coverage(other, _inside(other, landing, end)) for other in scene.layers[depth + 1 :]]
        hidden = torch.stack([torch.zeros_like(coverage), *covers]).amax(dim=0)
        outside = ((landing < 0) | (landing > extent)).any(dim=1, keepdim=True)
        front = coverage >= 0.5
        flow = torch.where(front, landing - points, flow)
        occluded = torch.where(front, outside | (hidden >= 0.5), occluded)
        mixed = torch.where(front, _between(hidden), mixed) | _between(coverage)
    return ExactFlow(*(field.view(len(start), -1, *scene.size) for field in (flow, occluded, mixed)))


def write_clip(folder: Path, frames: Float[Tensor, "t 3 h w"]) -> None:
    """Write frames as 00000.png, 00001.png, ... in 8 bits, replacing `folder`."""
    with replacing_folder(folder) as partial:
        for number, frame in enumerate(frames.split(1)):
            Image.fromarray(to_8bit(frame)).save(partial / f"{number:05d}.png")


def _between(coverage: Tensor) -> Tensor:
    return (coverage > _MIXED[0]) & (coverage < _MIXED[1])


def demo_scene(path: PathKind = "quadratic", size: tuple[int, int] = (270, 480), speed: float = 1.0) -> Scene:
    """The study's example scene: a portrait moves in front of a cup of coffee seen by a panning camera.

    Args:
        path: of the portrait.
        size: (height, width) in pixels; distances scale with the height.
        speed: factor on every displacement. At 1 the portrait moves about 16 pixels between frames of 270 lines.
    """
    if path not in get_args(PathKind):
        raise InputError(f"path {path!r} is not known: choose one of {', '.join(get_args(PathKind))}")
    height, width = size
    unit = height / 270

    def scaled(x: float, y: float, by: float = unit * speed) -> tuple[float, float]:
        return x * by, y * by

    motion = Trajectory(velocity=scaled(11, -9))
    if path != "linear":
        motion = replace(motion, acceleration=scaled(9, 10))
    if path == "cubic":
        motion = replace(motion, jerk=scaled(-8, 7))
    if path == "shake":
        motion = replace(motion, shake=4 * unit * speed, seed=7)
    backdrop = Layer(
        "coffee", anchor=(300, 200), centre=(width / 2, height / 2), scale=1.12 * max(height / 400, width / 600),
        trajectory=Trajectory(velocity=scaled(-5, 2)), spin=0.012 * speed,
    )  # fmt: skip
    portrait = Layer(
        "astronaut", anchor=(220, 112), centre=(0.42 * width, 0.5 * height), scale=0.75 * unit,
        radii=scaled(64, 78, unit), trajectory=motion,
    )  # fmt: skip
    return Scene(size, (backdrop, portrait))


def shaken(scene: Scene, shake: float, seed: int) -> Scene:
    """The scene as an unsteady hand sees it: every layer with the same shake, in place of its own.

    Args:
        scene: whatever its paths.
        shake, seed: as of `Trajectory`.
    """
    return replace(
        scene,
        layers=tuple(
            replace(layer, trajectory=replace(layer.trajectory, shake=shake, seed=seed)) for layer in scene.layers
        ),
    )
