"""A path that shakes at one frequency, sampled by frames and interpolated: frequency response, figure and slider.

Frequencies are in cycles per interval between the frames that are kept, times in these intervals. Above 1/2 a shake is
faster than the frames can follow: it is sampled as if it were a slower one (aliasing).
"""

import math
from collections.abc import Sequence

import ipywidgets
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.model.trajectories import frame_times, lagrange_weights
from eqvi.viz import charts, figure
from eqvi.viz.figure import Page

#: Cycles per interval above which samples no longer tell frequencies apart.
NYQUIST = 0.5


def frequency_response(count: int, frequency: Float[Tensor, " f"], t: float = 0.5) -> Float[Tensor, " f"]:
    """The share of a shake that `count` frames reproduce at t: interpolated over true value, the real part.

    For exp(2 pi i f s), sampled at s = -(count/2 - 1) .. count/2, it is the sum of w_s(t) exp(2 pi i f (s - t)); at
    t = 1/2 this is real. 1 is perfect, 0 loses the shake, -1 puts it on the wrong side.
    """
    times = frame_times(count)
    weights = torch.tensor(lagrange_weights(times, t), dtype=frequency.dtype)
    phases = 2 * math.pi * frequency[:, None] * (torch.tensor(times, dtype=frequency.dtype) - t)
    return (weights * phases.cos()).sum(1)


def shaken_path(frequency: float, s: Float[Tensor, " n"], phase: float = 0.25) -> Float[Tensor, " n"]:
    """A sine of amplitude 1; `phase` in turns, so that the frames at 0 and 1 see something of every frequency."""
    return torch.sin(2 * math.pi * (frequency * (s - 0.5) + phase))


def interpolated_path(count: int, frequency: float, s: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The shaken path at s from frames at whole times: in every interval the polynomial through `count` around it."""
    before = s.floor()
    total = torch.zeros_like(s)
    for time, weight in zip(frame_times(count), lagrange_weights(frame_times(count), s - before), strict=True):
        total = total + weight * shaken_path(frequency, before + time)
    return total


def drawn_errors(count: int, fastest: float, draws: int, seed: int = 0) -> Float[Tensor, " draws"]:
    """Errors at t = 1/2 of `count` frames on drawn shakes, each of three sines of size 1 at most, up to a frequency.

    Args:
        count: how many frames.
        fastest: in cycles per interval; frequencies are even up to it, phases even.
        draws: how many shakes. The same seed draws the same ones for any `count`.
    """
    generator = torch.Generator().manual_seed(seed)
    size, frequency, phase = torch.rand(3, draws, 3, generator=generator)
    times = torch.tensor([*frame_times(count), 0.5])
    path = (size[..., None] * torch.sin(2 * math.pi * (fastest * frequency[..., None] * times + phase[..., None]))).sum(
        1
    )
    return path[:, :-1] @ torch.tensor(lagrange_weights(frame_times(count), 0.5)) - path[:, -1]


def drawn_table(limits: Sequence[float], draws: int = 4000) -> pd.DataFrame:
    """Four frames against eight on drawn shakes, by their fastest frequency: rms errors, and how often eight lose."""
    rows = {}
    for fastest in limits:
        four, eight = (drawn_errors(count, fastest, draws) for count in (4, 8))
        rms = {f"rms error, {n} frames": float(e.square().mean().sqrt()) for n, e in ((4, four), (8, eight))}
        rows[fastest] = rms | {"eight frames lose, %": 100 * float((eight.abs() > four.abs()).float().mean())}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("fastest, cycles per interval")


def shake_page(frequency: float, counts: Sequence[int] = (2, 4, 8)) -> Page:
    """The true path, the frames that sample it, and the piecewise curves through them.

    Args:
        frequency: of the shake, in cycles per interval.
        counts: numbers of frames.
    """
    s, at = torch.linspace(-3, 4, 421), torch.arange(-3.0, 5.0)
    title = f"shake of {frequency:.2f} cycles per interval; in brackets, how much of it is reproduced at s = 1/2"
    lines = {"true path": shaken_path(frequency, s)}
    for count in counts:
        share = float(frequency_response(count, torch.tensor([frequency])))
        lines[f"{count} frames [{100 * share:.0f} %]"] = interpolated_path(count, frequency, s)
    seen = {title: (at, {"frames": shaken_path(frequency, at)})}
    alt = f"A shake of {frequency:g} cycles per interval, the frames that see it, and the curves through them."
    return charts.curves(s, {title: lines}, alt, "time s, intervals", "position", seen, truth="true path")


class ShakeSlider:
    """`shake_page` under a slider for the frequency.

    Attributes:
        view: to be displayed; without a running kernel it stays at the frequency it was made with.
    """

    def __init__(self, frequency: float = 0.3, counts: Sequence[int] = (2, 4, 8)) -> None:
        self._counts = counts
        wide = ipywidgets.Layout(width="32em")
        self.slider = ipywidgets.FloatSlider(
            frequency, min=0.02, max=1.0, step=0.02, description="shake", readout_format=".2f", layout=wide
        )
        self.picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="100%"))
        self.view = ipywidgets.VBox([self.slider, self.picture])
        self.slider.observe(self._draw, "value")
        self._draw()

    def _draw(self, _: object = None) -> None:
        self.picture.value = figure.png(shake_page(self.slider.value, self._counts))
