"""The path of one pixel through two to eight frames, and the polynomials through it (`eqvi.model.trajectories`)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.model.trajectories import Position, frame_times, lagrange_weights
from eqvi.viz.palette import COLOURS
from eqvi.viz.small_plot import Pen, Point, plot, stack

#: Numbers of frames through which polynomials are drawn, where there are as many.
COUNTS = (2, 4, 6, 8)
_PENS = {
    8: Pen(COLOURS[0], "", 5.0, 0.6), 6: Pen(COLOURS[2], "9 3 2 3"), 4: Pen(COLOURS[1], "9 4"),
    2: Pen(COLOURS[4], "2 4"),
}  # fmt: skip


class PixelPath(NamedTuple):
    """Where a pixel of frame 1 stands in the frames around. Every tensor has x first, in pixels.

    Attributes:
        pixel: (x, y) in frame 1.
        times: of the frames, 0 among them.
        places: (N, 2), displacements at these times.
        trust: N numbers from 0 to 1.
        at_t: by number of frames, the displacement (x, y) at t on the polynomial through so many.
    """

    pixel: tuple[int, int]
    times: tuple[int, ...]
    places: Float[Tensor, "n 2"]
    trust: tuple[float, ...]
    at_t: dict[int, tuple[float, float]]


def pixel_path(positions: Mapping[int, Position], x: int, y: int, t: float) -> PixelPath:
    """The path of pixel (x, y) of frame 1.

    Args:
        positions: of every pixel of frame 1 by time, as `eqvi.viz.exploration.Exploration.paths` gives them.
        x, y: the pixel.
        t: of the new frame.
    """
    times = tuple(sorted((0, *positions)))
    places = torch.zeros(len(times), 2)
    trust = [1.0] * len(times)
    for number, time in enumerate(times):
        if time:
            places[number] = positions[time].displacement[0, :, y, x].cpu()
            trust[number] = float(positions[time].trust[0, 0, y, x])
    path = PixelPath((x, y), times, places, tuple(trust), {})
    counts = [count for count in COUNTS if count <= len(times)]
    landings = {count: curve(path, count, torch.tensor([t]))[0] for count in counts}
    return path._replace(at_t={count: (float(place[0]), float(place[1])) for count, place in landings.items()})


def curve(path: PixelPath, count: int, at: Float[Tensor, " m"]) -> Float[Tensor, "m 2"]:
    """The displacements at some times on the polynomial through the middle `count` frames."""
    used = frame_times(count)
    weights = torch.stack([torch.as_tensor(weight) for weight in lagrange_weights(used, at)])
    return weights.T @ path.places[[path.times.index(time) for time in used]]


def describe(path: PixelPath, t: float) -> str:
    """The path in a sentence, also the alt text of `draw`."""
    x, y = path.pixel
    ends = "; ".join(f"{count} frames: ({dx:+.2f}, {dy:+.2f})" for count, (dx, dy) in path.at_t.items())
    last = min(path.trust)
    return (
        f"Pixel ({x}, {y}) followed through {len(path.times)} frames, trust at the far end {last:.2f}. "
        f"Displacement at t = {t:g}, px, by {ends}."
    )


def marks(path: PixelPath) -> dict[str, Any]:
    """Positions (x, y) of the pixel in every frame, as dots, and the curve through all of them."""
    x, y = path.pixel
    times = torch.linspace(path.times[0], path.times[-1], 65)
    line = curve(path, max(path.at_t), times)
    return {
        "dots": [[x + dx, y + dy] for dx, dy in path.places.tolist()],
        "line": [[round(x + dx, 2), round(y + dy, 2)] for dx, dy in line.tolist()],
    }


def draw(path: PixelPath, t: float) -> str:
    """Displacement against time as SVG, x above y."""
    counts = [count for count in _PENS if count in path.at_t]
    # Beyond its own frames a polynomial says nothing.
    spans = {count: torch.linspace(frame_times(count)[0], frame_times(count)[-1], 65) for count in counts}
    curves = {count: curve(path, count, times) for count, times in spans.items()}
    pens = {f"{count} frames": _PENS[count] for count in counts}
    plots = []
    for axis, name in enumerate("xy"):
        points = [
            Point(time, place, trust)
            for time, place, trust in zip(path.times, path.places[:, axis].tolist(), path.trust, strict=True)
        ]
        lines = {f"{count} frames": (spans[count].tolist(), curves[count][:, axis].tolist()) for count in counts}
        span = path.times[0] - 0.15, path.times[-1] + 0.15
        plots.append(plot(f"path in {name}, px", span, lines, pens, points, t, path.at_t[max(counts)][axis]))
    return stack(plots, pens, describe(path, t))
