"""How the layers of a training window move: smooth motion of each, and the shake of the camera, which all share.

Times are in intervals between input frames, distances in pixels of the frame. Everything is 0 at time 0.
"""

import math
import random
from dataclasses import dataclass

import numpy as np

#: Highest frequency, in cycles an interval, that frames at integer times can show.
NYQUIST = 0.5

_WAVES = 6  # of a shake


class Pose:
    """Translation (x, y), rotation in radians and the natural logarithm of the magnification at one time."""

    __slots__ = ("angle", "growth", "x", "y")

    def __init__(self, x: float, y: float, angle: float, growth: float) -> None:
        self.x, self.y, self.angle, self.growth = x, y, angle, growth


@dataclass(frozen=True)
class Shake:
    """The motion of a camera that is not held still: a sum of waves in x, y and roll.

    Attributes:
        frequency: (K,) in cycles an interval.
        size: (K, 3), of each wave: x and y in pixels, roll in radians.
        phase: (K, 3) in radians.
    """

    frequency: np.ndarray
    size: np.ndarray
    phase: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """(x, y, roll) relative to time 0."""
        turn = 2 * math.pi * self.frequency[:, None] * time + self.phase
        return (self.size * (np.sin(turn) - np.sin(self.phase))).sum(axis=0)


def draw_shake(draw: random.Random, size: float, highest: float) -> Shake:
    """A shake whose amplitude falls with frequency as that of hand-held cameras, up to a highest frequency.

    Args:
        draw: source of randomness.
        size: root mean square of x and y together, in pixels.
        highest: frequency in cycles an interval. Below `NYQUIST` the frames around a gap determine what happens in it;
            above, as where frames of fast footage were dropped, they do not.
    """
    frequency = np.array([math.exp(draw.uniform(math.log(0.03), math.log(highest))) for _ in range(_WAVES)])
    # Displacement of hand-held cameras falls with about the first power of frequency above some tenth of a cycle.
    fall = 1 / np.hypot(1, frequency / draw.uniform(0.05, 0.4))
    weights = fall[:, None] * np.array([[draw.gauss(0, 1) for _ in range(3)] for _ in range(_WAVES)])
    axes = np.array([1.0, draw.uniform(0.4, 1.0), draw.uniform(0, 0.01)])
    if draw.random() < 0.5:
        axes[:2] = axes[1::-1].copy()
    weights = weights * axes
    total = math.sqrt(float((weights[:, :2] ** 2).sum()) / 2) + 1e-9
    phase = np.array([[draw.uniform(0, 2 * math.pi) for _ in range(3)] for _ in range(_WAVES)])
    return Shake(frequency, weights * (size / total), phase)


@dataclass(frozen=True)
class LayerPath:
    """The motion of a layer: polynomials of time, a sway of its own, and a share of the camera's shake.

    Polynomials alone would be too easy to foresee from eight frames: hands, heads and branches sway.

    Attributes:
        velocity, acceleration, jerk: (x, y) in pixels per interval, its square, its cube.
        spin, growth: radians and natural logarithm of the magnification per interval.
        spin_change: radians per interval squared.
        sway: further motion of its own; None: there is none.
        shake: of the camera; None: it does not shake.
        share: of the shake: distant things share all of it, a thing held before the camera little.
    """

    velocity: tuple[float, float] = (0.0, 0.0)
    acceleration: tuple[float, float] = (0.0, 0.0)
    jerk: tuple[float, float] = (0.0, 0.0)
    spin: float = 0.0
    growth: float = 0.0
    spin_change: float = 0.0
    sway: Shake | None = None
    shake: Shake | None = None
    share: float = 1.0

    def at(self, time: float) -> Pose:
        """The pose at a time."""
        x, y = (
            v * time + a * time**2 / 2 + j * time**3 / 6
            for v, a, j in zip(self.velocity, self.acceleration, self.jerk, strict=True)
        )
        angle = self.spin * time + self.spin_change * time**2 / 2
        for shake, share in ((self.sway, 1.0), (self.shake, self.share)):
            if shake is not None:
                dx, dy, roll = shake.at(time).tolist()
                x, y, angle = x + share * dx, y + share * dy, angle + share * roll
        return Pose(x, y, angle, self.growth * time)
