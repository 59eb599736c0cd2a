"""What the frames of a run are called (spec, section 6): pure arithmetic and text."""

from fractions import Fraction
from itertools import pairwise

from eqvi.errors import InputError
from eqvi.media.schedule import TOLERANCE, Schedule, Step

#: REDS_VTSR names frames by their position at this many frames a second.
REDS_RATE = 120


class Names:
    """Gives names to the frames of one run.

    ``generic``: the inputs keep their names, the new ones after 001 are 001_0, 001_1, ...; ``reds``: every name is the
    eight-digit position at 120 frames a second. (The published REDS script's names are right for one or three new
    frames only; here any number is, that falls on whole positions.)
    """

    def __init__(self, reds: bool, stems: list[str], origin: Fraction) -> None:
        """`stems` are the inputs' names, empty for a video; `origin` is the time of the first input in seconds."""
        self._reds, self._origin = reds, origin
        self._first = int(stems[0]) if reds and stems else 0

    def __call__(self, stem: str, following: str, step: Step, number: int) -> str:
        """The name of `step` between the inputs `stem` and `following`, `number` new frames after `stem`.

        Raises:
            InputError: it falls between two positions.
        """
        if self._reds:
            return reds_name(self._first, step.time - self._origin)
        if step.t in (0, 1):
            return following if step.t else stem
        return f"{stem}_{number}"

    def check(self, schedule: Schedule, stems: list[str], rate: Fraction) -> int:
        """Make sure that a whole run can be named, each frame differently; how many of its frames will be new.

        Raises:
            InputError: two frames would get one name, or one would get none.
        """
        taken: set[str] = set()
        number, last, new = 0, -1, 0
        times = [self._origin + index / rate for index in range(len(stems))]
        for index, step in schedule.outline(times, 1 / rate):
            number, last = (number if index == last else 0), index
            name = self(stems[index], stems[index + 1] if index + 1 < len(stems) else "", step, number)
            inside = 0 < step.t < 1
            number, new = number + inside, new + inside
            if name in taken and not schedule.hold:
                raise InputError(f"two frames put out would be named {name}: rename the inputs or write a video")
            taken.add(name)
        return new


def reds_spacing(stems: list[str]) -> int:
    """How far REDS_VTSR names are apart, in positions at 120 frames a second.

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
