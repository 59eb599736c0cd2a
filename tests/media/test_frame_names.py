"""Names of the output frames, generic and of REDS_VTSR."""

from fractions import Fraction as F
from itertools import pairwise

import pytest

from eqvi.errors import InputError
from eqvi.media.frame_names import FrameNamer, reds_name, reds_spacing
from eqvi.media.schedule import Schedule


def names(schedule: Schedule, stems: list[str], reds: bool = False, rate: F = F(15)) -> list[str]:
    """All names of a run."""
    namer = FrameNamer(reds, stems, F(0))
    namer.count_new(schedule, stems, rate)
    gaps = schedule.gaps([i / rate for i in range(len(stems))], 1 / rate)
    pairs = pairwise([*stems, ""])
    return [name for steps, pair in zip(gaps, pairs, strict=True) for name, _ in namer.names(steps, *pair)]


def test_generic_names() -> None:
    assert names(Schedule(factor=3), ["001", "002"]) == ["001", "001_0", "001_1", "002"]
    assert names(Schedule(factor=2, keep_inputs=False), ["a", "b", "c"]) == ["a_0", "b_0"]
    assert names(Schedule(factor=None, rate=F(20)), ["1", "2", "3", "4"]) == ["1", "1_0", "2_0", "3_0", "4"]


@pytest.mark.parametrize(
    ("spacing", "factor", "expected"),
    [
        (8, 2, "00000000 00000004 00000008"),
        (8, 4, "00000000 00000002 00000004 00000006 00000008"),
        (8, 8, " ".join(f"{i:08d}" for i in range(9))),
        (4, 2, "00000000 00000002 00000004"),
        (24, 3, "00000000 00000008 00000016 00000024"),
        (24, 6, " ".join(f"{i:08d}" for i in range(0, 25, 4))),
    ],
)
def test_reds_names(spacing: int, factor: int, expected: str) -> None:
    stems = ["00000000", f"{spacing:08d}"]
    assert reds_spacing(stems) == spacing
    assert names(Schedule(factor=factor), stems, reds=True, rate=F(120, spacing)) == expected.split()


@pytest.mark.parametrize(("spacing", "factor"), [(8, 3), (8, 16), (4, 8), (2, 3), (8, 5)])
def test_reds_names_between_positions_are_refused(spacing: int, factor: int) -> None:
    with pytest.raises(InputError, match="positions at 120"):
        names(Schedule(factor=factor), ["00000000", f"{spacing:08d}"], reds=True, rate=F(120, spacing))


def test_reds_names_start_anywhere_and_follow_a_rate() -> None:
    assert reds_name(16, F(1, 30)) == "00000020"
    assert names(Schedule(factor=None, rate=F(40)), ["00000008", "00000016"], reds=True) == [
        "00000008",
        "00000011",
        "00000014",
    ]


@pytest.mark.parametrize(
    ("stems", "text"),
    [
        (["00000000", "00000008", "00000024"], "16 apart"),
        (["001", "002"], "eight-digit"),
        (["00000008", "00000008"], "0 apart"),
    ],
)
def test_what_is_no_reds_name_is_refused(stems: list[str], text: str) -> None:
    with pytest.raises(InputError, match=text):
        reds_spacing(stems)


def test_names_that_collide_are_refused() -> None:
    with pytest.raises(InputError, match="would be named 001_0"):
        names(Schedule(factor=2), ["001", "001_0", "002"])


def test_new_frames_are_counted() -> None:
    stems = [f"{i:03d}" for i in range(10)]
    assert FrameNamer(False, stems, F(0)).count_new(Schedule(factor=4), stems, F(30)) == 27
