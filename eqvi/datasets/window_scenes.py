"""Random scenes for training windows: layers of pictures before a photograph, before a camera that moves and shakes.

How hard they are is meant to resemble real footage (`eqvi.evaluation.difficulty` measures it): still and easy windows
beside hard ones, and *wild* ones as between the kept frames of x4, where shake is faster than frames can show.
"""

import math
import random
from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np

from eqvi.datasets.layer_paths import NYQUIST, LayerPath, Shake, draw_shake
from eqvi.datasets.layers import OVERSAMPLING, Bending, Layer
from eqvi.datasets.pictures import Pictures, Pyramid
from eqvi.datasets.windows import TIMES

Difficulty = Literal["still", "easy", "hard", "wild"]

#: Share of each kind of window.
SHARES: dict[Difficulty, float] = {"still": 0.08, "easy": 0.27, "hard": 0.4, "wild": 0.25}

#: Exponent of the gamma curve between stored pictures and linear light.
GAMMA = 2.2
_LINEAR = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)


@dataclass(frozen=True)
class Motion:
    """The sizes of motion in windows of one difficulty, in pixels of the frame and intervals.

    Attributes:
        camera, things: (smallest, largest) speed, drawn with uniform logarithm.
        bend: largest acceleration, jerk and sway as a share of the speed.
        still: probability that the camera, or a thing, does not move by itself.
        shaken: probability that the camera shakes.
        shake: (smallest, largest) root mean square of its shake.
        count: (fewest, most) things.
    """

    camera: tuple[float, float]
    things: tuple[float, float]
    bend: float
    still: float
    shaken: float
    shake: tuple[float, float]
    count: tuple[int, int]


MOTIONS: dict[Difficulty, Motion] = {
    "still": Motion((0.02, 0.2), (0.02, 0.3), 0.5, 0.7, 0.3, (0.02, 0.15), (0, 4)),
    "easy": Motion((0.1, 10), (0.2, 14), 0.4, 0.35, 0.5, (0.05, 1.2), (0, 5)),
    "hard": Motion((0.5, 25), (3, 50), 0.7, 0.25, 0.6, (0.2, 4), (1, 7)),
    "wild": Motion((2, 40), (6, 80), 0.9, 0.2, 0.8, (0.5, 8), (1, 7)),
}


@dataclass(frozen=True)
class WindowScene:
    """The layers of a window, the farthest first, and their difficulty."""

    layers: list[Layer]
    difficulty: Difficulty


def draw_scene(draw: random.Random, pictures: Pictures, size: int, softness: float = 1.0) -> WindowScene:
    """A random scene for frames of `size` x `size` pixels.

    Args:
        draw: source of randomness.
        pictures: what the layers show.
        size: of the frame, pixels.
        softness: blur of the lens in frame pixels (standard deviation), 0.2 or more.
    """
    difficulty: Difficulty = draw.choices(get_args(Difficulty), [SHARES[name] for name in get_args(Difficulty)])[0]
    motion = MOTIONS[difficulty]
    shake = None
    if draw.random() < motion.shaken:
        # Mostly band-limited at this frame rate; footage of which frames were dropped is not.
        beyond = draw.random() < (0.7 if difficulty == "wild" else 0.1)
        highest = draw.uniform(NYQUIST, 1.1) if beyond else draw.uniform(0.08, 0.8 * NYQUIST)
        shake = draw_shake(draw, _between(draw, motion.shake), highest)
    camera = _path(draw, motion, motion.camera, shake)
    # Depth of field: one distance is sharp, what lies before or behind it is not.
    deep = draw.random() < 0.75
    layers = [_background(draw, pictures, size, camera, softness + (0 if deep else draw.uniform(0, 2.5)))]
    for _ in range(draw.randint(*motion.count)):
        blur = softness + (0 if deep or draw.random() < 0.5 else draw.uniform(0, 2.5))
        layers.append(_thing(draw, pictures, size, camera, motion, blur))
    return WindowScene(layers, difficulty)


def _between(draw: random.Random, bounds: tuple[float, float]) -> float:
    """A number between two, with uniform logarithm."""
    return math.exp(draw.uniform(*map(math.log, bounds)))


def _vector(draw: random.Random, length: float) -> tuple[float, float]:
    angle = draw.uniform(0, 2 * math.pi)
    return length * math.cos(angle), 0.7 * length * math.sin(angle)


def _path(draw: random.Random, motion: Motion, speeds: tuple[float, float], shake: Shake | None) -> LayerPath:
    if draw.random() < motion.still:
        return LayerPath(shake=shake)
    speed = _between(draw, speeds)
    sways = draw.random() < 0.5
    bend = motion.bend * (0.4 if sways else 1)
    return LayerPath(
        velocity=_vector(draw, speed * (draw.uniform(0.1, 1) if sways else 1)),
        acceleration=_vector(draw, speed * draw.uniform(0, bend) * (draw.random() < 0.7)),
        jerk=_vector(draw, speed * draw.uniform(0, bend / 2) * (draw.random() < 0.4)),
        sway=draw_shake(draw, speed * draw.uniform(0.1, 2 * motion.bend), draw.uniform(0.1, 0.6)) if sways else None,
        spin=draw.gauss(0, min(0.02, speed / 400)) if draw.random() < 0.5 else 0.0,
        growth=draw.gauss(0, min(0.02, speed / 400)) if draw.random() < 0.5 else 0.0,
        spin_change=draw.gauss(0, 0.005) if draw.random() < 0.2 else 0.0,
        shake=shake,
    )


def _background(draw: random.Random, pictures: Pictures, size: int, camera: LayerPath, blur: float) -> Layer:
    pyramid = pictures.photograph(draw)
    height, width = pyramid[0].shape[:2]
    least = max(1.15 * size / min(height, width), 0.2)  # of the frame's pixels per picture pixel
    scale = min(_between(draw, (least, max(1.0, 1.3 * least))), 2.0)
    reach = size / scale / 2
    anchor = [draw.uniform(min(reach, side / 2), max(side - reach, side / 2)) for side in (width, height)]
    angle = draw.gauss(0, 0.1)
    bending = _bending(draw, size, draw.choice((0, 0, 0, 0.5, 1.5)), follows=draw.random() < 0.6)
    middle = (size - 1) / 2
    layer = Layer(np.zeros((1, 1, 3), np.float32), (0.0, 0.0), (middle, middle), camera, angle, bending)
    # The part of the photograph that comes into view, in frame pixels around the anchor; texture coordinates here.
    corners = np.array([[-4.0, size + 4, -4, size + 4], [-4, -4, size + 4, size + 4], [1, 1, 1, 1]])
    seen = [
        cv2.invertAffineTransform(layer.matrix(time)) @ corners for time in (*TIMES, TIMES[0] - 0.5, TIMES[-1] + 0.5)
    ]
    low, high = np.min([at.min(axis=1) for at in seen], axis=0), np.max([at.max(axis=1) for at in seen], axis=0)
    texture, anchor_at = _texture(pyramid, scale, anchor, (low, high), blur)
    return replace(layer, texture=texture, anchor=anchor_at)


def _texture(
    pyramid: Pyramid, scale: float, anchor: list[float], part: tuple[np.ndarray, np.ndarray], blur: float
) -> tuple[np.ndarray, tuple[float, float]]:
    """The part of a picture around an anchor, from low to high (x, y) in texture pixels, and the anchor in it."""
    factor, level = scale * OVERSAMPLING, 0  # texture pixels per picture pixel
    while level + 1 < len(pyramid) and factor * 2 ** (level + 1) <= 1.01:
        level += 1
    image, factor = pyramid[level], factor * 2**level
    height, width = image.shape[:2]
    at = [coordinate / 2**level for coordinate in anchor]
    first = [max(0, math.floor(a + low / factor) - 2) for a, low in zip(at, part[0], strict=True)]
    last = [min(s, math.ceil(a + h / factor) + 3) for a, h, s in zip(at, part[1], (width, height), strict=True)]
    # At least a part of it is in the picture; beyond that the texture is reflected at its rim.
    first = [min(low, side - 16) for low, side in zip(first, (width, height), strict=True)]
    last = [max(high, low + 16) for low, high in zip(first, last, strict=True)]
    crop = image[first[1] : last[1], first[0] : last[0]]
    shape = tuple(max(8, round(factor * side)) for side in (crop.shape[1], crop.shape[0]))
    resized = cv2.resize(crop, shape, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    exact = [new / old for new, old in zip(shape, (crop.shape[1], crop.shape[0]), strict=True)]
    x, y = ((a - low + 0.5) * ratio - 0.5 for a, low, ratio in zip(at, first, exact, strict=True))
    return _blurred(_LINEAR[resized], blur), (x, y)


def _thing(draw: random.Random, pictures: Pictures, size: int, camera: LayerPath, motion: Motion, blur: float) -> Layer:
    radius = size * _between(draw, (0.03, 0.6))
    cutout = pictures.cutout(draw) if draw.random() < 0.5 else None
    image = _piece(draw, pictures, radius) if cutout is None else _scaled(cutout, 2 * radius)
    is_shadow = draw.random() < 0.06
    # Edges are at least as soft as the lens; pieces have edges of their own.
    linear = np.empty(image.shape, np.float32)
    linear[..., 3] = image[..., 3].astype(np.float32) / 255 * (draw.uniform(0.2, 0.6) if is_shadow else 1)
    linear[..., :3] = 0 if is_shadow else _LINEAR[image[..., :3]] * linear[..., 3:]
    pad = 2 + math.ceil(3 * OVERSAMPLING * blur)
    padded = cv2.copyMakeBorder(linear, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    path = _path(draw, motion, motion.things, camera.shake)
    if draw.random() < 0.6:  # it stands in the scene, and the camera moves: both motions add up
        (vx, vy), (ax, ay) = path.velocity, path.acceleration
        (cx, cy), (bx, by) = camera.velocity, camera.acceleration
        nearness = draw.uniform(0.8, 1.5)
        path = replace(
            path,
            velocity=(0.6 * vx + nearness * cx, 0.6 * vy + nearness * cy),
            acceleration=(ax + nearness * bx, ay + nearness * by),
            share=nearness,
        )
    path = replace(path, spin=draw.gauss(0, min(0.08, _speed(path) / 150)) if draw.random() < 0.5 else path.spin)
    return Layer(
        _blurred(padded, blur),
        anchor=(padded.shape[1] / 2, padded.shape[0] / 2),
        centre=(draw.uniform(0.05, 0.95) * size, draw.uniform(0.05, 0.95) * size),
        path=path,
        angle=draw.gauss(0, 0.4),
        bending=_bending(draw, size, draw.choice((0, 0, 0.7, 2)), follows=False) if motion.bend > 0.5 else None,
        is_shadow=is_shadow,
    )


def _speed(path: LayerPath) -> float:
    return math.hypot(*path.velocity)


def _scaled(cutout: Pyramid, extent: float) -> np.ndarray:
    """A cut-out whose longer side has `extent` frame pixels, as a texture."""
    level = 0
    while level + 1 < len(cutout) and max(cutout[level + 1].shape[:2]) >= OVERSAMPLING * extent:
        level += 1
    image = cutout[level]
    factor = OVERSAMPLING * extent / max(image.shape[:2])
    shape = tuple(max(4, round(factor * side)) for side in (image.shape[1], image.shape[0]))
    return cv2.resize(image, shape, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def _piece(draw: random.Random, pictures: Pictures, radius: float) -> np.ndarray:
    """A piece of a photograph with an outline of its own, as a texture: a blob, a box or a bar."""
    pyramid = pictures.photograph(draw)
    level = draw.randrange(min(3, len(pyramid)))
    image = pyramid[level]
    side = max(8, min(round(2 * OVERSAMPLING * radius), min(image.shape[:2]) - 2))
    top, left = (draw.randrange(extent - side) for extent in image.shape[:2])
    piece = np.empty((side, side, 4), np.uint8)
    piece[..., :3] = image[top : top + side, left : left + side]
    x = np.arange(side, dtype=np.float32)[None] - side / 2
    y = x.T
    if draw.random() < 0.3:
        angle, aspect = draw.uniform(0, math.pi), draw.uniform(1, 10)
        along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        distance, rim = np.maximum(np.abs(along), np.abs(across) * aspect), np.float32(0.36 * side)
    else:
        turn = np.arctan2(y, x)
        waves = [draw.uniform(0, 0.25) / k * np.cos(k * turn + draw.uniform(0, 2 * math.pi)) for k in range(2, 7)]
        distance, rim = np.hypot(x, y * draw.uniform(1, 1.8)), 0.38 * side * (1 + sum(waves))
    soft = OVERSAMPLING * draw.choice((0.7, 1.0, 2.0))
    piece[..., 3] = (255 * np.clip((rim - distance) / soft + 0.5, 0, 1)).astype(np.uint8)
    return piece


def _bending(draw: random.Random, size: int, amount: float, follows: bool) -> Bending | None:
    """A random smooth field of about `amount` pixels; None for 0."""
    if not amount:
        return None
    knots = draw.choice((3, 4, 6))
    numbers = np.random.default_rng(draw.randrange(2**63)).standard_normal((2, knots, knots)).astype(np.float32)
    side = 2 * size + 1
    # Parallax is along the camera's motion: one number a place, and a few hundredths of it.
    fields = [numbers[0], numbers[0] * 0.3] if follows else list(numbers)
    unit = amount * (0.04 if follows else 1)
    smooth = [cv2.resize(field * unit, (side, side), interpolation=cv2.INTER_CUBIC) for field in fields]
    return Bending(np.stack(smooth, axis=2), draw.uniform(0.03, 0.3), draw.uniform(0, 2 * math.pi), follows)


def _blurred(texture: np.ndarray, blur: float) -> np.ndarray:
    """A texture blurred by the lens; `blur` in frame pixels."""
    return cv2.GaussianBlur(texture, (0, 0), OVERSAMPLING * blur, borderType=cv2.BORDER_REFLECT_101)
