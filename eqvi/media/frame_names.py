"""Names of frames in a folder, and the other conventions of the published inference scripts.

- A clip is a folder of frames sorted by name. Two neighbours are interpolated with one more frame on each side; at the
  clip's ends, the first and the last pair have no such neighbour: two frames only, so their motion is linear.
- ``reds``: REDS_VTSR names are eight-digit positions at 120 frames a second, so inputs at 15, 30 and 60 frames a second
  are multiples of 8, 4 and 2. Between 00000000 and 00000008 one new frame is 00000004, three are 00000002, 00000004 and
  00000006. (The published script's names are right for one or three new frames only; here any number is possible
  that falls on whole positions.)
- ``generic``: input frames keep their names; the new frames between 001.png and 002.png are 001_0.png, 001_1.png, ...
- The published writer truncates to 8 bits: floor(255 x), on average half a grey level darker than rounding.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from eqvi.errors import InputError
from eqvi.media.schedule import TOLERANCE, Schedule, Step

#: REDS_VTSR names frames by their position at this many frames a second.
REDS_RATE = 120
# Bytes of a name without its ending; file systems allow 255 with it.
_LONGEST_NAME = 250


class FrameNamer:
    """Names of the output frames of one run, by either convention.

    Args:
        reds: REDS names rather than generic ones.
        stems: names of the input frames, empty for a video.
        origin: time of the first input frame in seconds.
    """

    def __init__(self, reds: bool, stems: Sequence[str], origin: Fraction) -> None:
        self._reds, self._origin = reds, origin
        self._first = int(stems[0]) if reds and stems else 0

    def names(self, steps: Iterable[Step], stem: str, following: str) -> Iterator[tuple[str, Step]]:
        """Every step with its name, for the steps between the input frames `stem` and `following`.

        Raises:
            InputError: a step falls between two positions.
        """
        new = 0
        for step in steps:
            if self._reds:
                yield reds_name(self._first, step.time - self._origin), step
            elif step.is_new:
                yield f"{stem}_{new}", step
                new += 1
            else:
                yield following if step.t else stem, step

    def count_new(self, schedule: Schedule, stems: Sequence[str], rate: Fraction) -> int:
        """How many frames of a run will be new, after a check that all can be named, each differently.

        Raises:
            InputError: two frames would have the same name, or one would have none.
        """
        names = set[str]()
        new = 0
        times = [self._origin + index / rate for index in range(len(stems))]
        for steps, stem, following in zip(schedule.gaps(times, 1 / rate), stems, [*stems[1:], ""], strict=True):
            for name, step in self.names(steps, stem, following):
                if name in names and not schedule.repeat_last:
                    raise InputError(f"two frames put out would be named {name}: rename the inputs or write a video")
                if len(os.fsencode(name)) > _LONGEST_NAME and not schedule.repeat_last:
                    raise InputError(f"{stem[:20]}...: the names of new frames would be too long: rename the inputs")
                names.add(name)
                new += step.is_new
        return new


def reds_spacing(stems: Sequence[str]) -> int:
    """The distance between REDS_VTSR names, in positions at 120 frames a second.

    Raises:
        InputError: a name is not an eight-digit number, or a frame is missing.
    """
    for stem in stems:
        if not (len(stem) == 8 and stem.isascii() and stem.isdigit()):
            raise InputError(f"{stem!r} is no REDS name: --naming reds needs eight-digit numbers; use --naming generic")
    numbers = [int(stem) for stem in stems]
    spacing = numbers[1] - numbers[0] if len(numbers) > 1 else 0
    for a, b in pairwise(numbers):
        if b - a != spacing or spacing < 1:
            raise InputError(f"{a:08d} and {b:08d} are {b - a} apart, the first two {spacing}: a frame is missing")
    return spacing


def missing_numbers(stems: Sequence[str]) -> list[tuple[str, str]]:
    """Neighbours between whose numbers others are missing, in a folder that is otherwise numbered evenly.

    Args:
        stems: names of the frames, without ending, in order.
    """
    matches = [re.fullmatch(r"(.*?)([0-9]+)", stem, re.DOTALL) for stem in stems]
    if len(stems) < 3 or len({match and match[1] for match in matches}) > 1 or matches[0] is None:
        return []
    numbers = [int(match[2]) for match in matches if match]
    steps = [b - a for a, b in pairwise(numbers)]
    usual, count = Counter(steps).most_common(1)[0]
    if 2 * count < len(steps):  # numbers that are no count of frames, such as times
        return []
    return [pair for pair, step in zip(pairwise(stems), steps, strict=True) if step > usual]


def reds_name(first: int, time: Fraction) -> str:
    """The REDS_VTSR name of a frame `time` seconds after the frame named `first`.

    Raises:
        InputError: the frame falls between two positions at 120 frames a second.
    """
    position = time * REDS_RATE
    nearest = round(position)
    if abs(position - nearest) > TOLERANCE * REDS_RATE:
        raise InputError(
            f"--naming reds counts positions at {REDS_RATE} frames a second and {float(first + position):g} is none: "
            "choose a factor that divides the spacing of the inputs, or --naming generic"
        )
    return f"{first + nearest:08d}"
