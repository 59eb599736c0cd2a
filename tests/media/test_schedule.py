"""Times of the output frames."""

from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqvi.errors import InputError
from eqvi.media.schedule import Schedule, Step, common_tick, parse_rate


def outline(schedule: Schedule, times: list[F], duration: F) -> list[tuple[int, Step]]:
    """All steps of a run, each with the number of the input frame before it."""
    return [(index, step) for index, steps in enumerate(schedule.gaps(times, duration)) for step in steps]


def test_factor_divides_the_gap() -> None:
    steps = Schedule(factor=4).between(F(1), F(3))
    assert steps == [Step(F(k, 4), 1 + F(k, 2)) for k in range(4)]
    assert [step.t for step in Schedule(factor=4, keep_inputs=False).between(F(1), F(3))] == [F(1, 4), F(1, 2), F(3, 4)]
    assert Schedule(factor=1).between(F(1), F(3)) == [Step(F(0), F(1))]


def test_a_folder_ends_with_the_last_input_and_a_video_holds_it() -> None:
    times = [F(i, 30) for i in range(5)]
    folder = outline(Schedule(factor=3), times, F(1, 30))
    assert len(folder) == 4 * 3 + 1
    assert folder[-1] == (4, Step(F(0), F(4, 30)))
    video = outline(Schedule(factor=3, repeat_last=True), times, F(1, 30))
    assert [step.time for _, step in video] == [F(i, 90) for i in range(15)]
    assert [step.t for _, step in video[-3:]] == [0, 0, 0]
    assert outline(Schedule(factor=3, keep_inputs=False), times, F(1, 30))[-1] == (3, Step(F(2, 3), F(11, 90)))


def test_rate_resamples() -> None:
    times = [F(i, 24) for i in range(25)]
    steps = [step for _, step in outline(Schedule(factor=None, rate=F(60), repeat_last=True), times, F(1, 24))]
    assert [step.time for step in steps] == [F(i, 60) for i in range(63)]  # 25 / 24 s x 60, rounded up
    assert [step.t for step in steps[:6]] == [0, F(2, 5), F(4, 5), F(1, 5), F(3, 5), 0]
    slower = [step for _, step in outline(Schedule(factor=None, rate=F(12)), times, F(1, 24))]
    assert {step.t for step in slower} == {F(0)}
    assert len(slower) == 13


def test_rate_starts_where_the_clip_does() -> None:
    schedule = Schedule(factor=None, rate=F(50), origin=F(7, 300))
    assert schedule.between(F(7, 300), F(7, 300) + F(1, 25)) == [
        Step(F(0), F(7, 300)),
        Step(F(1, 2), F(7, 300) + F(1, 50)),
    ]


def test_rounded_timestamps_mean_the_input_frame() -> None:
    # 29.97 frames a second as Matroska stores them, in milliseconds, to the same rate: only input frames come out.
    rate = F(30000, 1001)
    times = [F(round(i / rate * 1000), 1000) for i in range(200)]
    steps = outline(Schedule(factor=None, rate=rate), times, 1 / rate)
    assert {step.t for _, step in steps} <= {0, 1}
    assert [index + int(step.t) for index, step in steps] == list(range(200))


@given(
    rate=st.fractions(min_value=1, max_value=240, max_denominator=1001),
    gaps=st.lists(st.integers(1, 200), min_size=1, max_size=20),
    origin=st.integers(0, 1000),
)
def test_rate_covers_the_clip_evenly(rate: F, gaps: list[int], origin: int) -> None:
    times = [F(origin, 1000)]
    for gap in gaps:
        times.append(times[-1] + F(gap, 1000))
    steps = outline(Schedule(factor=None, rate=rate, repeat_last=True, origin=times[0]), times, F(1, 30))
    put = [step.time for _, step in steps]
    assert put == [times[0] + n / rate for n in range(len(put))]
    assert put[-1] < times[-1] + F(1, 30) <= put[-1] + 1 / rate
    for index, step in steps:
        assert 0 <= step.t <= 1
        if index + 1 < len(times):
            true = (step.time - times[index]) / (times[index + 1] - times[index])
            assert abs(step.t - true) * (times[index + 1] - times[index]) <= F(1, 2000)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"factor": 0}, "factor 0"),
        ({"factor": 1, "keep_inputs": False}, "leaves nothing"),
        ({"factor": 2, "rate": F(30)}, "not both"),
        ({"factor": None}, "not both"),
        ({"factor": None, "rate": F(-1)}, "more than 0"),
    ],
)
def test_schedules_that_make_no_sense(options: dict, text: str) -> None:
    with pytest.raises(InputError, match=text):
        Schedule(**options)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60", F(60)),
        ("12.5", F(25, 2)),
        ("29.97", F(30000, 1001)),
        ("59.94", F(60000, 1001)),
        ("23.976", F(24000, 1001)),
        ("23.98", F(24000, 1001)),
        ("119.88", F(120000, 1001)),
        ("30000/1001", F(30000, 1001)),
        ("0.5", F(1, 2)),
    ],
)
def test_rates(text: str, rate: F) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-3", "fast", "1/0", ""])
def test_no_rates(text: str) -> None:
    with pytest.raises(InputError, match="frame rate"):
        parse_rate(text)


def test_common_tick() -> None:
    assert common_tick(F(1, 30), F(1, 24)) == F(1, 120)
    assert common_tick(F(1001, 60000), F(1, 90000)) == F(1, 180000)
