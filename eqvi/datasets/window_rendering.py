"""Training windows rendered from pictures: eight frames, the true frame, exact flow, DIS flows.

At 256x256 some five windows a second on one core. A window depends on its seed, its number and the pictures alone.
"""

import itertools
import math
import random
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from eqvi.datasets.digital_camera import draw_camera, record
from eqvi.datasets.layers import Layer, draw_layers, exact_flow
from eqvi.datasets.pictures import Pictures
from eqvi.datasets.window_scenes import WindowScene, draw_scene
from eqvi.datasets.windows import FRAMES, TIMES, WINDOW_PAIRS, ExactPairs, Window
from eqvi.model.classical_flow import DIS

#: Times of the true frame; half of the windows have the middle.
TRUE_TIMES = (0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.75, 0.25, 0.75, 0.125, 0.375, 0.625, 0.875)
#: Larger flows in float16 would lose more than an eighth of a pixel.
_LARGEST = 255.0


def render_window(
    pictures: Pictures, seed: int, number: int, size: int = 256, times: Sequence[float] = TRUE_TIMES
) -> Window:
    """The window of that number.

    Args:
        pictures: what it shows.
        seed: of the sequence of windows.
        number: of the window in it.
        size: height and width in pixels, even.
        times: of which the true frame's is drawn.
    """
    cv2.setNumThreads(1)  # the stripes of DIS are as many as threads, so that its flow depends on them
    draw, t, scene = _drawn(pictures, seed, number, size, times)
    camera = draw_camera(draw, max(_speed(layer) for layer in scene.layers))
    images = record(camera, lambda time: draw_layers(scene.layers, size, time), (*TIMES, t))
    truth = exact_flow(scene.layers, size, t, (0.0, 1.0))
    frames = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return Window(
        frames=frames[:-1],
        truth=frames[-1],
        t=t,
        flow=truth.flow.clip(-_LARGEST, _LARGEST).astype(np.float16),
        visibility=truth.visible.astype(np.uint8),
        flows=estimate_flows(frames[:-1]),
    )


def exact_pairs(pictures: Pictures, seed: int, number: int, size: int = 256) -> ExactPairs:
    """Exact flow between frames of the window of that number: over one and two intervals, forward and back.

    Args:
        pictures, seed, number, size: as of `render_window`.
    """
    draw, _, scene = _drawn(pictures, seed, number, size, TRUE_TIMES)
    pairs, flows = [], []
    for distance in (1, -1, 2, -2):
        a = draw.randrange(max(0, -distance), FRAMES - max(0, distance))
        exact = exact_flow(scene.layers, size, TIMES[a], (TIMES[a + distance],))
        pairs.append((a, a + distance))
        flows.append(np.where(exact.mixed, np.nan, exact.flow[0].clip(-_LARGEST, _LARGEST)))
    return ExactPairs(np.array(pairs, np.int8), np.stack(flows).astype(np.float16))


def estimate_flows(frames: np.ndarray) -> np.ndarray:
    """DIS flows of a window's uint8 frames (8, 3, H, W), in the order of `WINDOW_PAIRS`: float16 (16, 2, H, W)."""
    estimator = DIS()
    luma = estimator.features(torch.from_numpy(frames).float() / 255).luma
    flows = [estimator.pair(luma[a], luma[b]) for a, b in WINDOW_PAIRS]
    return np.stack(flows).clip(-_LARGEST, _LARGEST).astype(np.float16)


def _drawn(
    pictures: Pictures, seed: int, number: int, size: int, times: Sequence[float]
) -> tuple[random.Random, float, WindowScene]:
    """The scene of the window of that number, the time of its true frame, and the source of what is drawn after."""
    draw = random.Random(f"window {pictures.record['split']} {seed} {number}")
    t = draw.choice(times)
    # The blur of the lens, from sharper than the pixels to soft.
    return draw, t, draw_scene(draw, pictures, size, draw.choice((0.2, 0.25, 0.3, 0.4, 0.5, 0.8)))


def _speed(layer: Layer) -> float:
    """About the largest motion of a layer between two frames, pixels."""
    poses = [layer.path.at(time) for time in TIMES]
    return max(math.hypot(b.x - a.x, b.y - a.y) for a, b in itertools.pairwise(poses))
