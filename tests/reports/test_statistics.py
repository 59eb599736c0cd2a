"""Intervals and power, against simulation, SciPy and counting."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from eqvi.reports.statistics import (
    FEWEST_FOR_VERDICT,
    LEVEL,
    POWER,
    clips_needed,
    estimate,
    fewest_scenes,
    holm,
    interval,
    power,
    sign_flip_power,
    sign_flip_test,
    sign_test,
)


def test_an_interval_covers_what_it_promises() -> None:
    random = np.random.default_rng(1)
    for clips, least in ((5, 0.90), (8, 0.91), (30, 0.93)):
        found = [estimate(random.normal(3, 1, clips).tolist()) for _ in range(300)]
        covered = np.mean([one.low <= 3 <= one.high for one in found])
        assert least <= covered <= 0.985, clips


def test_an_interval_is_as_wide_as_students_where_the_values_are_normal() -> None:
    values = stats.norm.ppf((np.arange(30) + 0.5) / 30)
    found = estimate(values.tolist())
    expected = stats.t.interval(LEVEL, 29, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.03)


def test_an_estimate_is_repeatable_and_moves_with_its_values() -> None:
    values = [0.1, 0.3, -0.2, 0.5, 0.4, 0.2]
    first, shifted = estimate(values), estimate([value + 10 for value in values])
    assert first == estimate(values)
    assert shifted.estimate - first.estimate == pytest.approx(10)
    assert shifted.low - first.low == pytest.approx(10)
    assert first.low < first.estimate < first.high
    assert (first.clips, first.spread) == (6, pytest.approx(np.std(values, ddof=1)))


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
def test_few_clips_have_no_interval(values: list[float]) -> None:
    found = estimate(values)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.reason.endswith("no interval")
    assert found.estimate == pytest.approx(np.mean(values))


def test_the_sign_test_is_the_binomial_one() -> None:
    for above, below in ((5, 0), (6, 0), (3, 4), (20, 10)):
        differences = [1.0] * above + [-2.0] * below + [0.0] * 3
        assert sign_test(differences) == pytest.approx(stats.binomtest(above, above + below).pvalue)
    assert sign_test([0.0, 0.0]) == 1
    assert sign_test([1.0] * (FEWEST_FOR_VERDICT - 1)) > 0.05 >= sign_test([1.0] * FEWEST_FOR_VERDICT)


def test_power_is_how_often_a_t_test_finds_the_effect() -> None:
    draws = np.random.default_rng(2).normal(0.5, 1, (4000, 20))
    found = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 1 - LEVEL)
    assert power(0.5, 1, 20) == pytest.approx(found, abs=0.02)
    assert power(0.0, 1, 20) == pytest.approx(1 - LEVEL)


@pytest.mark.parametrize(("effect", "spread"), [(0.0208, 0.02), (-0.0073, 0.02), (0.1, 0.5), (0.01, 0.1)])
def test_the_clips_needed_are_the_fewest_that_have_the_power(effect: float, spread: float) -> None:
    count = clips_needed(effect, spread)
    assert count is not None
    assert power(effect, spread, count) >= POWER
    assert power(effect, spread, count - 2) < POWER


def test_limits_of_the_clips_needed() -> None:
    assert clips_needed(0.0, 1.0) is None
    assert clips_needed(1.0, 0.0) == clips_needed(9.0, 1.0) == FEWEST_FOR_VERDICT


def test_the_sign_flip_test_counts_choices_of_signs() -> None:
    values = np.random.default_rng(3).normal(0.3, 1, (4, 7))
    choices = np.array(list(itertools.product((1, -1), repeat=7)))
    for one, p, above in zip(values, sign_flip_test(values), sign_flip_test(values, two_sided=False), strict=True):
        sums = choices @ one
        assert p == pytest.approx(np.mean(np.abs(sums) >= abs(one.sum()) - 1e-9))
        assert above == pytest.approx(np.mean(sums >= one.sum() - 1e-9))
    assert sign_flip_test([1.0] * (FEWEST_FOR_VERDICT - 1)) > 0.05 >= sign_flip_test([1.0] * FEWEST_FOR_VERDICT)
    assert sign_flip_test([0.0] * 8) == 1


def test_many_scenes_have_the_p_of_a_t_test() -> None:
    values = np.random.default_rng(4).normal(0.4, 1, (50, 24))
    p = sign_flip_test(values)
    assert p == pytest.approx(stats.ttest_1samp(values, 0, axis=1).pvalue, abs=0.03)
    assert p.min() >= 1 / 4096
    none = sign_flip_test(np.random.default_rng(5).normal(0, 1, (10_000, 24)))
    assert np.mean(none <= 0.05) == pytest.approx(0.05, abs=0.0066)  # three standard errors


def test_holm_is_what_the_textbook_says() -> None:
    assert holm([0.01, 0.04, 0.03, 0.2]) == pytest.approx([0.04, 0.09, 0.09, 0.2])
    assert holm([[0.5, 0.6], [0.001, 1.0]]).tolist() == [[1.0, 1.0], [0.002, 1.0]]
    assert holm([]).tolist() == []


def test_intervals_of_many_studies_are_those_of_each() -> None:
    values = np.random.default_rng(6).normal(0, 1, (2, 3, 8))
    found = interval(values)
    assert found.shape == (2, 3, 2)
    one = estimate(values[1, 2])
    assert found[1, 2].tolist() == [one.low, one.high]


def test_the_fewest_scenes_of_a_family() -> None:
    assert [fewest_scenes(tests) for tests in (0, 1, 2, 4, 9)] == [6, 6, 7, 8, 9]
    for tests in (1, 2, 4, 9):
        scenes = fewest_scenes(tests)
        assert 2.0 ** (1 - scenes) <= 0.05 / tests < 2.0 ** (2 - scenes)
        assert sign_flip_power(9.0, scenes, tests) == 1
        assert sign_flip_power(9.0, scenes - 1, tests) == 0


def test_a_certain_difference_has_power_one() -> None:
    assert power(3.0, 1, 30) == power(6.0, 1, 30, tests=9) == 1
    assert power(0.6, 1, 20, tests=5) < power(0.6, 1, 20)
