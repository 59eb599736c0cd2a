"""The times of a video's frames where the file does not give each frame its own."""

import contextlib
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby, pairwise
from typing import NamedTuple

import av
from av.container import InputContainer


class Timing(NamedTuple):
    """What the packets of a video stream say about its frames' times."""

    frames: int  # how many, one a packet
    times: tuple[Fraction, ...] | None  # in seconds, in the order in which they are shown; None: the frames' own
    repaired: bool  # whether the file's timestamps are equal or missing
    rate: Fraction | None  # frames a second, on average over the times; None where they do not say


def read_timing(container: InputContainer, stream: av.VideoStream, rate: Fraction) -> Timing:
    """Read all packets of a stream, without decoding them, and check their timestamps.

    Some containers have decoding times only (AVI): their timestamps rise from packet to packet, although the frames are
    shown in another order. Sorted by what is shown they are right.

    Args:
        container, stream: read to the end.
        rate: frames a second, for a stream without any timestamp.
    """
    stamps: list[int | None] = []
    with contextlib.suppress(av.error.FFmpegError):  # a damaged file: decoding says so when it gets there
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                stamps.append(packet.pts)
    tick = stream.time_base or Fraction(1, 90000)
    known = [stamp for stamp in stamps if stamp is not None]
    span = (max(known) - min(known)) * tick if known else Fraction(0)
    mean = (len(known) - 1) / span if span else None
    if len(known) < len(stamps) or len(set(known)) == 1 < len(known):
        return Timing(len(stamps), tuple(_even(stamps, tick, rate)), True, mean)
    if len(set(known)) < len(known):
        return Timing(len(stamps), tuple(time * tick for time in spread(sorted(known))), True, mean)
    if stream.codec_context.has_b_frames and all(a < b for a, b in pairwise(known)):
        shift = (stream.start_time or 0) - known[0]  # decoding times begin later than the stream
        return Timing(len(stamps), tuple((stamp + shift) * tick for stamp in known), False, mean)
    return Timing(len(stamps), None, False, mean)


def spread(stamps: Sequence[int]) -> list[Fraction]:
    """Times that rise, from two or more that never fall: equal ones are spread evenly up to the next that differs."""
    groups = [(value, len(list(group))) for value, group in groupby(stamps)]
    values = [value for value, _ in groups]
    ends = [*values[1:], 2 * values[-1] - values[-2]]
    return [
        start + Fraction(end - start) * index / count
        for (start, count), end in zip(groups, ends, strict=True)
        for index in range(count)
    ]


def _even(stamps: Sequence[int | None], tick: Fraction, rate: Fraction) -> list[Fraction]:
    """Evenly spaced times through the first and the last that are known; at `rate` where no two differ."""
    known = [(index, stamp * tick) for index, stamp in enumerate(stamps) if stamp is not None]
    (first, start), (last, end) = (known[0], known[-1]) if known else ((0, Fraction(0)), (0, Fraction(0)))
    step = (end - start) / (last - first) if end > start else 1 / rate
    return [start + (index - first) * step for index in range(len(stamps))]
