"""Random digital cameras: from light to stored frames, as many different ways as there are cameras.

What a model learns to correct in a frame is to a good part the camera's doing, so every training window has another:
exposure with motion blur, noise that grows with the signal, demosaicing, noise reduction, tone and colour, sharpening
with its halos, coarser colour and compression, of single pictures or of a video.
"""

import importlib.util
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

_LEVELS = 4095  # of the tone curve's table
_BANK = 768  # side of the table of noise


@dataclass(frozen=True)
class DigitalCamera:
    """A camera and what it does to a scene.

    Attributes:
        shutter: exposure time in intervals; 0: instantaneous.
        exposures: instants that an exposure averages.
        colours: (3, 3), of linear light: exposure, white balance and the order of channels.
        drift: change of exposure, per interval.
        read_noise: standard deviation in the dark, of linear values in [0, 1].
        shot_noise: variance per unit of linear light.
        mosaic: one colour a pixel is recorded, and the others are interpolated.
        smoothing: noise reduction, standard deviation in pixels.
        gamma, contrast: of the tone curve.
        saturation: of colours, 1 leaves them.
        sharpening: (amount, radius in pixels) of unsharp masking.
        halved_colour: colour is stored at half of the resolution.
        jpeg: quality of every frame by itself; None: none.
        h264: constant rate factor of a video of all frames; None: none. Where PyAV is missing, every frame is stored
            as JPEG instead (`without_video`).
        seed: of the noise.
    """

    shutter: float = 0.0
    exposures: int = 1
    colours: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    drift: float = 0.0
    read_noise: float = 0.0
    shot_noise: float = 0.0
    mosaic: bool = False
    smoothing: float = 0.0
    gamma: float = 2.2
    contrast: float = 0.0
    saturation: float = 1.0
    sharpening: tuple[float, float] = (0.0, 1.0)
    halved_colour: bool = False
    jpeg: int | None = None
    h264: int | None = None
    seed: int = 0


#: A camera that stores what it sees.
PLAIN = DigitalCamera()


def draw_camera(draw: random.Random, speed: float) -> DigitalCamera:
    """A random camera.

    Args:
        draw: source of randomness.
        speed: largest motion before it in pixels an interval; the blur of faster ones takes more exposures.
    """
    shutter = draw.choice((0.0, 0.0, draw.uniform(0.05, 0.25), draw.uniform(0.2, 0.5)))
    exposures = max(1, min(7, math.ceil(shutter * speed)))
    order = draw.sample(range(3), 3) if draw.random() < 0.25 else [0, 1, 2]
    exposure = draw.uniform(0.5, 1.2)
    balance = [exposure * math.exp(draw.gauss(0, 0.08)) for _ in range(3)]
    rows = tuple(tuple(balance[row] if column == order[row] else 0.0 for column in range(3)) for row in range(3))
    # Clean, usual and dark footage; deviations of gamma-coded 8-bit values from about 0.3 to 6.
    noise = draw.choice((0.0, math.exp(draw.uniform(-7.5, -5.5)), math.exp(draw.uniform(-6.5, -4.2))))
    stored = draw.random()
    return DigitalCamera(
        shutter=shutter if exposures > 1 else 0.0,
        exposures=exposures,
        colours=rows,  # type: ignore[arg-type] # three by three
        drift=draw.gauss(0, 0.02) if draw.random() < 0.15 else 0.0,
        read_noise=noise * draw.uniform(0.1, 0.6),
        shot_noise=noise**2 * draw.uniform(1, 6),
        mosaic=draw.random() < 0.4,
        smoothing=draw.choice((0.0, 0.0, 0.0, 0.4, 0.7)),
        gamma=2.2 * math.exp(draw.gauss(0, 0.12)),
        contrast=draw.choice((0.0, draw.uniform(-0.15, 0.5))),
        saturation=draw.choice((1.0, draw.uniform(0.4, 1.6))),
        sharpening=(draw.choice((0.0, 0.0, draw.uniform(0.2, 1.5))), draw.choice((0.6, 1.0, 1.6))),
        halved_colour=draw.random() < 0.5,
        jpeg=draw.randrange(60, 97) if stored < 0.35 else None,
        h264=draw.randrange(10, 29) if stored > 0.85 else None,
        seed=draw.randrange(2**31),
    )


def record(camera: DigitalCamera, scene: Callable[[float], np.ndarray], times: Sequence[float]) -> np.ndarray:
    """Frames of a scene as a camera stores them.

    Args:
        camera: which one.
        scene: the light at an instant, float32 (H, W, 3) in [0, 1], linear.
        times: of the frames, in intervals.

    Returns:
        uint8 (N, H, W, 3), RGB, in the order of `times`.
    """
    if not has_video():
        camera = without_video(camera)
    tone, mixing = _tone_curve(camera), _saturation(camera.saturation)
    frames = np.stack([_develop(camera, scene, time, number, tone, mixing) for number, time in enumerate(times)])
    if camera.h264 is not None:
        from eqvi.media.h264 import through_h264

        order = np.argsort(times)
        frames[order] = through_h264(frames[order], camera.h264)
    return frames


@lru_cache(maxsize=1)
def has_video() -> bool:
    """Whether videos can be encoded here: PyAV is not on every machine that trains."""
    return importlib.util.find_spec("av") is not None


def without_video(camera: DigitalCamera) -> DigitalCamera:
    """The same camera, storing single pictures of about the same size instead of a video."""
    return camera if camera.h264 is None else replace(camera, h264=None, jpeg=round(108 - 1.6 * camera.h264))


def _develop(
    camera: DigitalCamera,
    scene: Callable[[float], np.ndarray],
    time: float,
    number: int,
    tone: np.ndarray,
    mixing: np.ndarray | None,
) -> np.ndarray:
    parts = [camera.shutter * ((part + 0.5) / camera.exposures - 0.5) for part in range(camera.exposures)]
    light = scene(time + parts[0])
    for part in parts[1:]:
        light += scene(time + part)
    gain = np.array(camera.colours, np.float32) * ((1 + camera.drift * time) / len(parts))
    light = cv2.transform(light, gain)
    if camera.read_noise or camera.shot_noise:
        deviation = cv2.sqrt(np.maximum(light, 0) * np.float32(camera.shot_noise) + np.float32(camera.read_noise**2))
        light += deviation * _noise(camera.seed, number, light.shape[:2])
    if camera.mosaic:
        light = _demosaiced(light)
    if camera.smoothing:
        light = cv2.GaussianBlur(light, (0, 0), camera.smoothing)
    image = tone[(np.clip(light, 0, 1) * _LEVELS).astype(np.uint16)]
    if mixing is not None:
        image = cv2.transform(image, mixing)
    amount, radius = camera.sharpening
    if amount:
        image = cv2.addWeighted(image, 1 + amount, cv2.GaussianBlur(image, (0, 0), radius), -amount, 0)
    stored = cv2.convertScaleAbs(np.maximum(image, 0))  # rounds and saturates
    if camera.halved_colour and camera.jpeg is None and camera.h264 is None:
        stored = cv2.cvtColor(cv2.cvtColor(stored, cv2.COLOR_RGB2YUV_I420), cv2.COLOR_YUV2RGB_I420)
    if camera.jpeg is not None:
        sampling = (
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if camera.halved_colour else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        )
        options = [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
        # OpenCV takes the channels for BGR; the coder's luma is then that of another order of colours.
        _, data = cv2.imencode(".jpg", stored[..., ::-1], options)
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        stored = decoded[..., ::-1]
    return stored


def _tone_curve(camera: DigitalCamera) -> np.ndarray:
    """Gamma-coded values in [0, 255] by linear light, float32 (`_LEVELS` + 1,)."""
    value = np.linspace(0, 1, _LEVELS + 1) ** (1 / camera.gamma)
    curved = value * value * (3 - 2 * value)
    return (255 * ((1 - camera.contrast) * value + camera.contrast * curved)).astype(np.float32)


def _saturation(factor: float) -> np.ndarray | None:
    luma = np.array([0.299, 0.587, 0.114], np.float32)
    return None if factor == 1 else np.float32(factor) * np.eye(3, dtype=np.float32) + np.float32(1 - factor) * luma


def _demosaiced(light: np.ndarray) -> np.ndarray:
    """What is left of an image of which each pixel records one colour; values in [0, 1]."""
    levels = 32767.0  # leaves room for highlights, which are clipped afterwards
    raw = np.empty(light.shape[:2], np.uint16)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        raw[row::2, column::2] = np.clip(light[row::2, column::2, channel] * levels, 0, 65535)
    return cv2.demosaicing(raw, cv2.COLOR_BayerRGGB2RGB_EA).astype(np.float32) * np.float32(1 / levels)


@lru_cache(maxsize=1)
def _bank() -> np.ndarray:
    """Normal deviates; drawing them anew for every frame would take longer than the rest of the camera."""
    return np.random.default_rng(2020).standard_normal((_BANK, _BANK, 3), dtype=np.float32)


def _noise(seed: int, number: int, shape: tuple[int, int]) -> np.ndarray:
    """Noise of one frame: a piece of the table, with the channels in an order of the camera's own."""
    height, width = shape
    rng = np.random.default_rng((seed, number))
    if height > _BANK or width > _BANK:
        return rng.standard_normal((height, width, 3), dtype=np.float32)
    top, left = rng.integers(0, _BANK - height + 1), rng.integers(0, _BANK - width + 1)
    return _bank()[top : top + height, left : left + width]
