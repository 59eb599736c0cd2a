"""Frames that a capture or a conversion has doubled: 24 frames a second stored as 30, or 2:3 in 60.

A doubled frame is no motion: interpolated, the picture stops and goes. Without it the frames are again as even as they
were filmed.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from eqvi.errors import InputError
from eqvi.media.clip import Clip
from eqvi.media.image import ClipFrame
from eqvi.media.scene_cuts import thumbnail

# Frames to look at for a cadence, and its longest period.
_LOOK = 61
_LONGEST_PERIOD = 10
# A repeated frame differs by less than this fraction of what the frames around it do, which differ by at least so many
# grey levels; in a still stretch nothing counts as repeated.
_FRACTION = 0.2
_LEAST = 0.15
_AROUND = 12


def cadence_note(clip: Clip) -> str | None:
    """A note where the clip's first frames show a plain cadence, such as every fifth frame repeated."""
    try:
        repeated = repeats(differences(islice(clip.read(), _LOOK)))
    except InputError:  # a damaged frame is met again when its turn comes
        return None
    if any(
        np.array_equal(repeated[period:], repeated[:-period])
        for period in range(2, _LONGEST_PERIOD + 1)
        if len(repeated) >= 3 * period and 0 < repeated.sum() < len(repeated)
    ):
        count = int(repeated.sum())
        return f"{count} of the first {len(repeated) + 1} frames repeat the one before: --dedupe leaves them out"
    return None


def without_repeats(clip: Clip) -> Clip:
    """The clip without frames that repeat the one before; a note says how many.

    All frames are read once to find them. Where the others are evenly spaced but for less than a frame, as after a
    cadence, they get even times.
    """
    times: list[Fraction] = []  # of all frames, and the end of the last

    def remember(frames: Iterable[ClipFrame]) -> Iterator[ClipFrame]:
        for frame in frames:
            times[-1:] = [frame.time, frame.time + frame.duration]
            yield frame

    repeated = repeats(differences(remember(clip.read())))
    kept = [0, *(index + 1 for index, is_repeat in enumerate(repeated) if not is_repeat)]
    left = len(times) - 1 - len(kept)
    if not left or len(kept) < 2:
        return dataclasses.replace(clip, notes=[*clip.notes, "no frame repeats the one before"])
    even = even_times([times[index] for index in (*kept, -1)], max_shift=1 / clip.rate)[:-1]
    new_time = dict(zip(kept, even, strict=True))

    def read() -> Iterator[ClipFrame]:
        previous, end = None, Fraction(0)
        for index, frame in enumerate(clip.read()):
            end = frame.time + frame.duration
            if index in new_time:
                if previous is not None:
                    yield previous._replace(duration=new_time[index] - previous.time)
                previous = frame._replace(time=new_time[index])
        assert previous is not None
        yield previous._replace(duration=end - previous.time)

    gaps = sorted(b - a for a, b in pairwise(even))
    return dataclasses.replace(
        clip,
        rate=1 / gaps[len(gaps) // 2],
        count=len(kept),
        stems=[clip.stems[index] for index in kept] if clip.stems else [],
        time_base=min(clip.time_base, Fraction(1, 90000)),
        notes=[*clip.notes, f"{left} of {len(times) - 1} frames repeat the one before and are left out"],
        read=read,
    )


def differences(frames: Iterable[ClipFrame]) -> NDArray[np.float64]:
    """The mean difference of each frame to the one before, in grey levels of thumbnails; one less than frames."""
    result, previous = [], None
    for frame in frames:
        current = thumbnail(frame.image).astype(np.float64)
        if previous is not None:
            result.append(np.abs(current - previous).mean())
        previous = current
    return np.array(result)


def repeats(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of `differences` are of repeated frames: small beside those around them."""
    usual = [np.quantile(values[max(0, i - _AROUND) : i + _AROUND + 1], 0.75) for i in range(len(values))]
    return (values < _FRACTION * np.array(usual)) & (np.array(usual) > _LEAST)


def even_times(times: Sequence[Fraction], max_shift: Fraction) -> list[Fraction]:
    """Evenly spaced times from the first to the last, if none moves by more than `max_shift`; else as they are."""
    step = (times[-1] - times[0]) / (len(times) - 1)
    even = [times[0] + index * step for index in range(len(times))]
    return even if all(abs(a - b) <= max_shift for a, b in zip(even, times, strict=True)) else list(times)
