"""Layers of a training window: pieces of pictures that move, drawn with OpenCV, with exact flow.

A layer is a texture with twice the resolution of the frame, smoothed there, so that sampling it between its pixels
neither aliases nor shows the kernel. It is RGBA in linear light with the colours multiplied by alpha. Its pose is a
similarity; on top of it a layer may bend: a smooth field, which moves along with the layer, is added with a factor that
changes in time.

Coordinates: frame pixels x and texture pixels u, both (x, y) with pixel centres at integers.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from eqvi.datasets.layer_paths import LayerPath

#: Texture pixels per frame pixel.
OVERSAMPLING = 2

#: Beyond this share of other layers a pixel counts as hidden, or as showing two motions.
_MIXED = 0.1
_ROUNDS = 5  # of the fixed point that inverts bending
_BORDER = cv2.BORDER_REFLECT_101

Box = tuple[slice, slice]


@dataclass(frozen=True)
class Bending:
    """A smooth field of displacements that a layer's shape swings by, or that parallax adds.

    Attributes:
        field: float32 (P, P, 2), (x, y) in pixels, over the frame and a margin, relative to the layer's place.
        frequency, phase: of the swing, in cycles an interval and radians.
        follows: instead of swinging, the factor grows in proportion to the layer's own displacement, as parallax does.
    """

    field: np.ndarray
    frequency: float
    phase: float
    follows: bool = False

    @cached_property
    def largest(self) -> float:
        """The largest component of the field."""
        return float(np.abs(self.field).max())

    def factor(self, time: float, moved: float) -> float:
        """What the field is multiplied by; 0 at time 0."""
        if self.follows:
            return moved
        return math.sin(2 * math.pi * self.frequency * time + self.phase) - math.sin(self.phase)

    def at(self, x: np.ndarray, y: np.ndarray, place: tuple[float, float]) -> np.ndarray:
        """The field (H, W, 2) at frame points, of a layer that has moved to `place`."""
        margin = (self.field.shape[0] - 1) / 2
        return cv2.remap(self.field, x - (place[0] - margin), y - (place[1] - margin), cv2.INTER_LINEAR, None, _BORDER)


@dataclass(frozen=True)
class Layer:
    """A texture, its place and its motion.

    Attributes:
        texture: float32 (H, W, 4) in linear light, RGB times alpha and alpha; (H, W, 3) for a background.
        anchor: the texture's point (x, y) that is at `centre` at time 0.
        centre: (x, y) in the frame.
        path: motion of that point.
        angle: rotation at time 0, radians.
        bending: see `Bending`; None: rigid.
        is_shadow: it darkens what is behind it and has no flow of its own.
    """

    texture: np.ndarray
    anchor: tuple[float, float]
    centre: tuple[float, float]
    path: LayerPath
    angle: float = 0.0
    bending: Bending | None = None
    is_shadow: bool = False

    @property
    def is_background(self) -> bool:
        """Whether it has no alpha and fills the frame."""
        return self.texture.shape[2] == 3

    def place(self, time: float) -> tuple[float, float]:
        """Where its anchor is in the frame."""
        pose = self.path.at(time)
        return self.centre[0] + pose.x, self.centre[1] + pose.y

    def matrix(self, time: float) -> np.ndarray:
        """(2, 3), from texture to frame coordinates, without bending."""
        pose = self.path.at(time)
        size, angle = math.exp(pose.growth) / OVERSAMPLING, self.angle + pose.angle
        cos, sin = size * math.cos(angle), size * math.sin(angle)
        (ax, ay), x, y = self.anchor, self.centre[0] + pose.x, self.centre[1] + pose.y
        return np.array([[cos, -sin, x - cos * ax + sin * ay], [sin, cos, y - sin * ax - cos * ay]])

    def bounds(self, time: float, size: int) -> Box | None:
        """Rows and columns of a frame of `size` x `size` that it may touch; None: it is out of the frame."""
        if self.is_background:
            return slice(0, size), slice(0, size)
        height, width = self.texture.shape[:2]
        corners = self.matrix(time) @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
        margin = 1.0 + (
            0 if self.bending is None else abs(self._factor(time)) * float(np.abs(self.bending.field).max())
        )
        left, top = (max(0, math.floor(low - margin)) for low in corners.min(axis=1))
        right, bottom = (min(size, math.ceil(high + margin)) for high in corners.max(axis=1))
        return None if right <= left or bottom <= top else (slice(top, bottom), slice(left, right))

    def to_texture(self, x: np.ndarray, y: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Texture coordinates of frame points (H, W) at a time."""
        if self.bending is not None:
            bent = self.bending.at(x, y, self.place(time)) * np.float32(self._factor(time))
            x, y = x + bent[..., 0], y + bent[..., 1]
        return _affine(cv2.invertAffineTransform(self.matrix(time)), x, y)

    def to_frame(self, u: np.ndarray, v: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Frame coordinates of texture points (H, W) at a time: the inverse of `to_texture`."""
        straight_x, straight_y = x, y = _affine(self.matrix(time), u, v)
        if self.bending is not None:
            factor, place = np.float32(self._factor(time)), self.place(time)
            for _ in range(_ROUNDS):
                bent = self.bending.at(x, y, place) * factor
                x, y = straight_x - bent[..., 0], straight_y - bent[..., 1]
        return x, y

    def sample(self, texture: np.ndarray, time: float, box: Box) -> np.ndarray:
        """A texture of this layer's, or its alpha alone, in a box of the frame at a time."""
        rows, columns = box
        border = _BORDER if self.is_background else cv2.BORDER_CONSTANT
        if self.bending is None:
            matrix = self.matrix(time) - np.array([[0, 0, columns.start], [0, 0, rows.start]])
            shape = (columns.stop - columns.start, rows.stop - rows.start)
            return cv2.warpAffine(texture, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=border)
        u, v = self.to_texture(*_grid(box), time)
        return cv2.remap(texture, u, v, cv2.INTER_LINEAR, None, border)

    def _factor(self, time: float) -> float:
        assert self.bending is not None
        pose = self.path.at(time)
        return self.bending.factor(time, pose.x + pose.y + 100 * pose.growth)


class ExactFlow(NamedTuple):
    """The true motion from the pixels of a time t to other times.

    Attributes:
        flow: float32 (E, 2, H, W) in pixels, of the front-most layer at each pixel.
        visible: bool (E, H, W): what the pixel shows is visible at the other time too, and it shows one motion.
        mixed: bool (H, W): the pixel shows two motions, as a soft edge does.
    """

    flow: np.ndarray
    visible: np.ndarray
    mixed: np.ndarray


def draw_layers(layers: list[Layer], size: int, time: float) -> np.ndarray:
    """The layers at one instant, float32 (size, size, 3) in linear light; the first is a background."""
    background, *others = layers
    frame = background.sample(background.texture, time, (slice(0, size), slice(0, size)))
    for layer in others:
        box = layer.bounds(time, size)
        if box is not None:
            drawn = layer.sample(layer.texture, time, box)
            # OpenCV is eight times as fast here as NumPy with a broadcast over three channels; the sums are the same.
            clear = cv2.cvtColor(1 - cv2.extractChannel(drawn, 3), cv2.COLOR_GRAY2BGR)
            frame[box] = cv2.add(cv2.multiply(frame[box], clear), cv2.cvtColor(drawn, cv2.COLOR_BGRA2BGR))
    return frame


def exact_flow(layers: list[Layer], size: int, time: float, ends: tuple[float, ...]) -> ExactFlow:
    """Exact flow from the frame at `time` to those at `ends`."""
    solid = [layer for layer in layers if not layer.is_shadow]
    hidden = [_hidden(solid, size, end) for end in ends]
    x, y = _grid((slice(0, size), slice(0, size)))
    flow = np.zeros((len(ends), 2, size, size), np.float32)
    visible = np.zeros((len(ends), size, size), bool)
    mixed = np.zeros((size, size), bool)
    for depth, layer in enumerate(solid):
        box = layer.bounds(time, size)
        if box is None:
            continue
        alpha = None if layer.is_background else layer.sample(_alpha(layer), time, box)
        front = np.ones((size, size), bool) if alpha is None else alpha >= 0.5
        if alpha is not None:
            mixed[box] = np.where((alpha > _MIXED) & (alpha < 1 - _MIXED), True, np.where(front, False, mixed[box]))
        u, v = layer.to_texture(x[box], y[box], time)
        for number, end in enumerate(ends):
            landing = layer.to_frame(u, v, end)
            covered = cv2.remap(hidden[number][depth], *landing, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
            inside = np.logical_and.reduce([(at >= 0) & (at <= size - 1) for at in landing])
            for axis, start in enumerate((x, y)):
                np.copyto(flow[number, axis][box], landing[axis] - start[box], where=front)
            np.copyto(visible[number][box], (covered < _MIXED) & inside, where=front)
    return ExactFlow(flow, visible & ~mixed, mixed)


def _hidden(solid: list[Layer], size: int, time: float) -> list[np.ndarray]:
    """For each layer, (size, size), the share of each pixel that the layers in front of it cover."""
    clear = np.ones((size, size), np.float32)
    shares = []
    for layer in reversed(solid):
        shares.append(1 - clear)
        box = None if layer.is_background else layer.bounds(time, size)
        if box is not None:
            clear[box] *= 1 - layer.sample(_alpha(layer), time, box)
    return shares[::-1]


def _alpha(layer: Layer) -> np.ndarray:
    return np.ascontiguousarray(layer.texture[..., 3])


def _grid(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """x and y (H, W) of the pixels of a box."""
    y, x = np.mgrid[box].astype(np.float32)
    return x, y


def _affine(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a = matrix.astype(np.float32)
    return a[0, 0] * x + a[0, 1] * y + a[0, 2], a[1, 0] * x + a[1, 1] * y + a[1, 2]
