"""How hard windows are for interpolation: of rendered windows and of real footage, measured in the same way.

A model learns what its training windows are made of. Each measure here is taken from the frames and from DIS flow
alone, so that it means the same for a rendered window and for a piece of real footage of the same size; where the true
flow is known, the errors against it are given besides.

Motion: with p_s the position at time s of a pixel of frame 1, from F_10, F_12 and F_13, speed is |p_1|, acceleration
|p_-1 + p_1| and jerk |p_2 - 3 p_1 - p_-1|, in pixels per interval, its square, its cube. The camera path is the sum of
the median flows between neighbours; without its straight line, its spectrum over the eight frames is its shake.

Errors: the two modes of `eqvi.evaluation.error_budget` of the weight-free model's flows.
"""

import dataclasses
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from eqvi import metrics
from eqvi.datasets.checksums import fingerprint
from eqvi.datasets.pictures import Pictures
from eqvi.datasets.window_rendering import estimate_flows, render_window
from eqvi.datasets.windows import FIRST, FRAMES, WINDOW_PAIRS
from eqvi.errors import InputError
from eqvi.evaluation.error_budget import Modes, split, true_modes
from eqvi.evaluation.journal import write_rows
from eqvi.files import sha256
from eqvi.media.clip import open_clip
from eqvi.media.image_files import list_frames
from eqvi.model.blur import gaussian_blur
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.model.geometry import backward_warp
from eqvi.provenance import surroundings

#: Height and width of the windows that are compared, pixels.
SIZE = 256
#: Model of the error and PSNR columns, and the same with trajectories over eight frames.
MODEL = "baseline"


class Row(NamedTuple):
    """One window.

    Attributes:
        source: ``rendered``, or a clip's name.
        factor: distance of its frames in the clip, 2 or 4; 1 where it was rendered.
        window: its number.
        speed, acceleration, jerk: medians over the frame, in pixels per interval, its square, its cube.
        fastest: the 95th percentile of speed.
        shake_1 .. shake_4: amplitude in pixels of the camera's path at 1/8, 2/8, 3/8 and 4/8 cycles an interval.
        occlusion: share of frame 1 where the flow to frame 2 and back does not return.
        noise: standard deviation of the finest diagonal detail, robustly, in 8-bit values.
        sharpness: share of fine detail (below 1 px) in all detail (below 4 px).
        blocks: mean step of neighbours across the borders of 8x8 blocks over that within them, minus 1.
        psnr: of the weight-free model, dB.
        psnr_8: the same with trajectories over eight frames.
        difference, common: mean errors in pixels of the modes of its flows, against DIS to the true frame.
        difference_exact, common_exact: against exact flow, where the pixel is visible in both; None: not known.
    """

    source: str
    factor: int
    window: int
    speed: float
    fastest: float
    acceleration: float
    jerk: float
    shake_1: float
    shake_2: float
    shake_3: float
    shake_4: float
    occlusion: float
    noise: float
    sharpness: float
    blocks: float
    psnr: float
    psnr_8: float
    difference: float
    common: float
    difference_exact: float | None = None
    common_exact: float | None = None


class Frames(NamedTuple):
    """A window to measure: uint8 frames (8, 3, H, W), and the true frame (3, H, W) in the middle."""

    frames: np.ndarray
    truth: np.ndarray


def rendered_rows(pictures: Pictures, count: int, seed: int = 0) -> Iterator[Row]:
    """The rows of rendered windows, with the true frame in the middle."""
    for number in range(count):
        window = render_window(pictures, seed, number, SIZE, times=(0.5,))
        exact = torch.from_numpy(window.flow).float()[:, None]
        seen = torch.from_numpy(window.visibility).bool().all(dim=0)
        yield _measure(
            Frames(window.frames, window.truth), "rendered", 1, number, (split(exact[0], exact[1], 0.5), seen)
        )


def clip_rows(path: Path, factor: int, count: int, seed: int = 0) -> Iterator[Row]:
    """The rows of `count` windows of a clip, spread evenly over its time, each at a random place of the picture."""
    for number, window in enumerate(clip_windows(path, factor, count, seed)):
        yield _measure(window, path.resolve().stem, factor, number)


def clip_windows(path: Path, factor: int, count: int, seed: int = 0) -> Iterator[Frames]:
    """Windows of a clip of which every `factor`-th frame is kept; see `clip_rows`.

    Raises:
        InputError: the clip cannot be read, is shorter than a window, smaller than `SIZE` or not 8-bit RGB.
    """
    clip = open_clip(path)
    if min(clip.size) < SIZE or (clip.depth, clip.channels) != (8, 3):
        raise InputError(f"{path}: give 8-bit RGB of at least {SIZE}x{SIZE} pixels")
    length, span = sum(1 for _ in clip.read()), factor * (FRAMES - 1) + 1
    if length < span:
        raise InputError(f"{path}: has {length} frames, a window takes {span}: give a longer clip or a smaller factor")
    count = min(count, length - span + 1)
    starts = [(2 * index + 1) * (length - span + 1) // (2 * count) for index in range(count)]
    draw = random.Random(f"difficulty {seed} {path.stem} {factor}")
    places = [[draw.randint(0, side - SIZE) for side in clip.size] for _ in starts]
    offsets = [*range(0, span, factor), FIRST * factor + factor // 2]
    parts: dict[int, dict[int, np.ndarray]] = {number: {} for number in range(count)}
    for index, frame in enumerate(clip.read()):
        for number, (start, (x, y)) in enumerate(zip(starts, places, strict=True)):
            if index - start in offsets:
                part = frame.image.pixels[y : y + SIZE, x : x + SIZE]
                parts[number][index - start] = np.ascontiguousarray(part.transpose(2, 0, 1))
            if len(parts.get(number, ())) == len(offsets):
                images = parts.pop(number)
                yield Frames(np.stack([images[offset] for offset in offsets[:-1]]), images[offsets[-1]])


def write(
    clips: list[Path],
    pictures: Pictures,
    out: Path,
    rendered: int = 200,
    each: int = 12,
    factors: tuple[int, ...] = (2, 4),
) -> None:
    """Write the rows of rendered windows and of clips into a CSV file, and a JSON file that says what made them.

    Raises:
        InputError: a clip cannot be used, or the file cannot be written.
    """
    rows = list(tqdm(rendered_rows(pictures, rendered), "rendered", rendered, disable=None))
    for path in tqdm(clips, "clips", disable=None):
        for factor in factors:
            rows += clip_rows(path, factor, each)
    files = [file for path in clips for file in ([path] if path.is_file() else list_frames(path)[0])]
    record = {
        "run": out.stem,
        "model": f"{MODEL}, DIS flow",
        "dataset": "rendered training windows and real clips",
        "size": SIZE,
        "rendered": rendered,
        "each": each,
        "factors": list(factors),
        "pictures": pictures.record,
        "clips": sorted(path.resolve().stem for path in clips),
        "data_sha256": fingerprint([(file.name, sha256(file)) for file in files]),
        **surroundings("cpu", ("torch", "numpy", "opencv-python-headless", "av", "pillow")),
    }
    write_rows(out, Row._fields, [_rounded(row) for row in rows], record)


def _measure(window: Frames, source: str, factor: int, number: int, exact: tuple[Modes, Tensor] | None = None) -> Row:
    flows = torch.from_numpy(estimate_flows(window.frames)).float()[None]
    frames = torch.from_numpy(window.frames).float()[None] / 255
    truth = torch.from_numpy(window.truth).float()[None] / 255
    middle = frames[:, FIRST - 1 : FIRST + 3]
    with torch.inference_mode():
        model = EQVI(PRESETS[MODEL])
        result = model.interpolate(middle, model.known_motion(middle, flows[:, :6]), 0.5)
        longer = EQVI(dataclasses.replace(PRESETS[MODEL], trajectory=FRAMES))
        result_8 = longer.interpolate(frames, longer.known_motion(frames, flows), 0.5)
        modes = split(result.flow_t1, result.flow_t2, 0.5)
        estimated = _errors(modes, true_modes(frames[:, FIRST], truth, frames[:, FIRST + 1], 0.5))
        known: tuple[float | None, float | None] = (None, None) if exact is None else _errors(modes, *exact)
        luma = np.tensordot(np.array(metrics.LUMA, np.float32), window.frames[FIRST].astype(np.float32), 1)
        return Row(
            source,
            factor,
            number,
            *motion(flows[:, :6]),
            *shake(flows),
            occlusion(flows[:, 1], flows[:, 4]),
            noise(luma),
            sharpness(luma),
            blocks(luma),
            _psnr(result.frame, truth),
            _psnr(result_8.frame, truth),
            *estimated,
            *known,
        )


def motion(flows: Float[Tensor, "1 6 2 h w"]) -> tuple[float, float, float, float]:
    """Speed, its 95th percentile, acceleration, jerk; see `Row`. Flows as `eqvi.model.motion.FLOW_PAIRS`."""
    flow_10, flow_12, flow_13 = flows[0, :3]
    speed = flow_12.norm(dim=0)
    acceleration, jerk = (flow_10 + flow_12).norm(dim=0), (flow_13 - 3 * flow_12 - flow_10).norm(dim=0)
    fastest = speed.flatten().quantile(0.95).item()
    return speed.median().item(), fastest, acceleration.median().item(), jerk.median().item()


def shake(flows: Float[Tensor, "1 16 2 h w"]) -> tuple[float, float, float, float]:
    """Amplitudes of the camera's path at 1/8 .. 4/8 cycles an interval; flows as `WINDOW_PAIRS`."""
    steps = [flows[0, WINDOW_PAIRS.index((a, b))].flatten(1).median(dim=1).values for a, b in pairwise(range(FRAMES))]
    path = np.concatenate([np.zeros((1, 2)), torch.stack(steps).double().cumsum(dim=0).numpy()])
    # Ends that meet: without the line from the first to the last position, a path has no jump to its repetition.
    path = path - np.linspace(0, 1, FRAMES)[:, None] * path[-1]
    amplitude = np.abs(np.fft.rfft(path, axis=0))[1:] * (2 / FRAMES)
    one, two, three, four = np.hypot(*amplitude.T).tolist()
    return one, two, three, four


def occlusion(flow_12: Float[Tensor, "1 2 h w"], flow_21: Float[Tensor, "1 2 h w"]) -> float:
    """Share of frame 1 whose flow there and back ends a pixel and a tenth of the way or more from its start."""
    back = flow_12 + backward_warp(flow_21, flow_12, outside="border")
    return (back.norm(dim=1) > 1 + 0.1 * flow_12.norm(dim=1)).float().mean().item()


def noise(luma: np.ndarray) -> float:
    """Standard deviation of noise by the median of the finest diagonal detail (Donoho 1995), in 8-bit values."""
    detail = (luma[:-1:2, :-1:2] - luma[1::2, :-1:2] - luma[:-1:2, 1::2] + luma[1::2, 1::2]) / 2
    return float(np.median(np.abs(detail)) / 0.6745)


def sharpness(luma: np.ndarray) -> float:
    """Share of detail finer than 1 px in all detail finer than 4 px."""
    image = torch.from_numpy(luma)[None, None].float()
    fine, coarse = ((image - gaussian_blur(image, sigma)).abs().mean().item() for sigma in (1.0, 4.0))
    return fine / max(coarse, 1e-6)


def blocks(luma: np.ndarray) -> float:
    """Steps across the borders of 8x8 blocks over those within them, minus 1, at the best of the eight phases."""
    values = []
    for steps in (np.abs(np.diff(luma, axis=1)).mean(axis=0), np.abs(np.diff(luma, axis=0)).mean(axis=1)):
        usable = steps[: len(steps) // 8 * 8].reshape(-1, 8).mean(axis=0)
        values.append(float(usable.max() * 7 / max(usable.sum() - usable.max(), 1e-6)) - 1)
    return sum(values) / 2


def _errors(modes: Modes, truth: Modes, seen: Tensor | None = None) -> tuple[float, float]:
    values = []
    for estimate, exact in zip(modes, truth, strict=True):
        error = (estimate - exact).norm(dim=1)[0]
        values.append((error if seen is None else error[seen]).mean().item() if seen is None or seen.any() else 0.0)
    return values[0], values[1]


def _psnr(frame: Tensor, truth: Tensor) -> float:
    return metrics.psnr(metrics.to_8bit(frame), metrics.to_8bit(truth))


def _rounded(row: Row) -> list[object]:
    return [round(value, 4) if isinstance(value, float) else "" if value is None else value for value in row]
