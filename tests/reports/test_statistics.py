"""Intervals and power, against simulation, SciPy and counting."""

import math

import numpy as np
import pytest
from scipy import stats

from eqvi.reports.statistics import FEWEST_FOR_VERDICT, LEVEL, POWER, clips_needed, estimate, power, sign_test


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
