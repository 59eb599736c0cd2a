"""The times of a run's output frames: exact arithmetic, no images.

Between two input frames, k new ones lie at t = 1/(k+1), ..., k/(k+1), or wherever an output frame rate puts them.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from eqvi.errors import InputError

#: Matroska stores times in whole milliseconds: times no farther apart than this, in seconds, are the same.
TOLERANCE = Fraction(1, 2000)


class Step(NamedTuple):
    """One output frame."""

    t: Fraction  # position between the two input frames; 0 and 1 are those frames themselves
    time: Fraction  # seconds from the clip's start

    @property
    def is_new(self) -> bool:
        """Whether it lies between the input frames."""
        return 0 < self.t < 1


@dataclass(frozen=True)
class Schedule:
    """When output frames are shown.

    Attributes:
        factor: output frames for every input frame, or None to follow `rate`.
        rate: frames a second, at `origin` + n / rate.
        keep_inputs: whether input frames are output too.
        repeat_last: whether the last input frame is repeated for as long as it was shown. A video needs that to keep
            its length and rate; a folder of frames ends with the last input frame.
        origin: time of the clip's first frame in seconds.
    """

    factor: int | None = 2
    rate: Fraction | None = None
    keep_inputs: bool = True
    repeat_last: bool = False
    origin: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if (self.factor is None) == (self.rate is None):
            raise InputError("give either a factor or a frame rate, not both")
        if self.factor is not None and self.factor < 1:
            raise InputError(f"factor {self.factor} must be a whole number, 1 or more")
        if self.rate is not None and self.rate <= 0:
            raise InputError(f"frame rate {self.rate} must be more than 0")
        if self.factor == 1 and not self.keep_inputs:
            raise InputError("factor 1 without the inputs leaves nothing to write: choose a factor of 2 or more")

    def between(self, start: Fraction, stop: Fraction) -> list[Step]:
        """The output frames from the input frame at `start` up to, not including, the one at `stop`."""
        if self.factor is not None:
            fractions = (Fraction(k, self.factor) for k in range(self.factor))
            steps = [Step(t, start + t * (stop - start)) for t in fractions]
        else:
            assert self.rate is not None
            first, last = (math.ceil((time - self.origin) * self.rate) for time in (start, stop))
            steps = [_snap(self.origin + n / self.rate, start, stop) for n in range(first, last)]
        return [step for step in steps if self.keep_inputs or step.is_new]

    def after_last(self, start: Fraction, stop: Fraction) -> list[Step]:
        """The output frames of the last input frame, shown from `start` to `stop`; all have t = 0."""
        if not self.keep_inputs:
            return []
        times = [step.time for step in self.between(start, stop)]
        # Without repetition the last input frame is output once, if a time of the schedule falls on it.
        return [Step(Fraction(0), time) for time in times if self.repeat_last or time - start <= TOLERANCE]

    def gaps(self, times: list[Fraction], duration: Fraction) -> list[list[Step]]:
        """The steps from every input frame to the next, for inputs at `times`, the last shown for `duration`."""
        return [
            *(self.between(start, stop) for start, stop in pairwise(times)),
            self.after_last(times[-1], times[-1] + duration),
        ]


def parse_rate(text: str) -> Fraction:
    """A frame rate from ``60``, ``30000/1001`` or ``29.97``; short forms of broadcast rates mean n x 1000/1001.

    Raises:
        InputError: it is not a number above 0.
    """
    try:
        rate = Fraction(text) if len(text) < 30 and "e" not in text.lower() else Fraction(0)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise InputError(f"frame rate {text!r} must be a number above 0, such as 60, 29.97 or 30000/1001")
    broadcast = Fraction(math.ceil(rate) * 1000, 1001)
    return broadcast if rate.denominator != 1 and abs(rate - broadcast) < Fraction(5, 1000) else rate


def parse_slow(text: str) -> Fraction:
    """How many times longer a video becomes, from ``2``, ``2.5`` or ``5/2``.

    Raises:
        InputError: it is not a number above 1, or above 1000.
    """
    try:
        times = Fraction(text) if len(text) < 20 and "e" not in text.lower() else Fraction(0)
    except (ValueError, ZeroDivisionError):
        times = Fraction(0)
    if not 1 < times <= 1000:
        raise InputError(f"--slow {text}: give how many times longer the video becomes, such as 2 or 2.5")
    return times


def common_tick(*steps: Fraction) -> Fraction:
    """The longest time of which all `steps` are multiples."""
    denominator = math.lcm(*(step.denominator for step in steps))
    return Fraction(math.gcd(*(int(step * denominator) for step in steps)), denominator)


def _snap(time: Fraction, start: Fraction, stop: Fraction) -> Step:
    """The step at `time`: an input frame where it is within `TOLERANCE` of one."""
    if time - start <= TOLERANCE:
        return Step(Fraction(0), time)
    if stop - time <= TOLERANCE:
        return Step(Fraction(1), time)
    return Step((time - start) / (stop - start), time)
