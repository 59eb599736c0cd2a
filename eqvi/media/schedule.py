"""Which frames a run puts out: pure arithmetic on exact times, no pictures.

Between two input frames k new ones stand at t = 1/(k+1) .. k/(k+1) (spec, section 6), or wherever a wanted frame rate
puts them.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from eqvi.errors import InputError

#: Matroska keeps times in whole milliseconds: times this near to each other, in seconds, mean the same.
TOLERANCE = Fraction(1, 2000)


class Step(NamedTuple):
    """One frame to put out.

    Attributes:
        t: place between the two input frames; 0 and 1 are those frames themselves.
        time: seconds from the clip's start.
    """

    t: Fraction
    time: Fraction


@dataclass(frozen=True)
class Schedule:
    """When frames are put out.

    Attributes:
        factor: this many frames for every input frame, or None to follow `rate`.
        rate: frames a second, at `origin` + n / rate.
        keep_inputs: whether input frames are put out too.
        hold: whether the last input frame is repeated for as long as it was shown. A video needs that to keep its
            length and rate; a folder of frames ends with the last input.
        origin: time of the clip's first frame in seconds.
    """

    factor: int | None = 2
    rate: Fraction | None = None
    keep_inputs: bool = True
    hold: bool = False
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
        """The frames from the input at `start` until before the input at `stop`."""
        if self.factor is not None:
            shares = (Fraction(k, self.factor) for k in range(self.factor))
            steps = [Step(t, start + t * (stop - start)) for t in shares]
        else:
            steps = [_snapped(time, start, stop) for time in self._ticks(start, stop)]
        return [step for step in steps if self.keep_inputs or 0 < step.t < 1]

    def after(self, start: Fraction, stop: Fraction) -> list[Step]:
        """The frames of the last input, shown from `start` to `stop`; all have t = 0."""
        if not self.keep_inputs:
            return []
        times = [step.time for step in self.between(start, stop)]
        if not self.hold:
            # The last input belongs to a folder if the schedule falls on it.
            times = [time for time in times if time - start <= TOLERANCE]
        return [Step(Fraction(0), time) for time in times]

    def outline(self, times: list[Fraction], duration: Fraction) -> list[tuple[int, Step]]:
        """The whole run for inputs at `times`, the last lasting `duration`: (number of the input before, step)."""
        steps = [(i, step) for i, (a, b) in enumerate(pairwise(times)) for step in self.between(a, b)]
        return steps + [(len(times) - 1, step) for step in self.after(times[-1], times[-1] + duration)]

    def _ticks(self, start: Fraction, stop: Fraction) -> list[Fraction]:
        assert self.rate is not None
        first, last = (math.ceil((time - self.origin) * self.rate) for time in (start, stop))
        return [self.origin + n / self.rate for n in range(first, last)]


def parse_rate(text: str) -> Fraction:
    """A frame rate from ``60``, ``30000/1001`` or ``29.97``; the broadcast rates' short forms mean n x 1000/1001.

    Raises:
        InputError: it is not a number above 0.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise InputError(f"frame rate {text!r} must be a number above 0, such as 60, 29.97 or 30000/1001")
    broadcast = Fraction(math.ceil(rate) * 1000, 1001)
    return broadcast if rate.denominator != 1 and abs(rate - broadcast) < Fraction(5, 1000) else rate


def common_tick(*steps: Fraction) -> Fraction:
    """The longest time of which all `steps` are multiples."""
    numerator, denominator = 0, math.lcm(*(step.denominator for step in steps))
    for step in steps:
        numerator = math.gcd(numerator, step.numerator * (denominator // step.denominator))
    return Fraction(numerator, denominator)


def _snapped(time: Fraction, start: Fraction, stop: Fraction) -> Step:
    if time - start <= TOLERANCE:
        return Step(Fraction(0), time)
    if stop - time <= TOLERANCE:
        return Step(Fraction(1), time)
    return Step((time - start) / (stop - start), time)
