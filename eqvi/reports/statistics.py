"""How certain a mean over scenes is: bootstrap intervals, sign and sign-flip tests, Holm's correction, power.

Scenes are the units: frames of one clip, and views of one scene, resemble each other and are not independent
observations. All functions take one number per scene: a score, or for two models on the same scenes the difference of
their scores. What follows from them for a claim is the rule of `eqvi.reports.verdict_rule`.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special, stats

#: Coverage of the intervals, and the probability of detecting an effect that `clips_needed` asks for.
LEVEL, POWER = 0.95, 0.8
#: Fewest clips that get an interval: with fewer, not even the extremes of the clips' values reach `LEVEL`.
FEWEST_FOR_INTERVAL = 5
#: Fewest scenes that get a verdict: with fewer, a two-sided sign-flip test stays above 0.05 whatever was measured.
FEWEST_FOR_VERDICT = 6
#: Up to so many scenes the sign-flip test takes every choice of signs, beyond a group of as many.
_EVERY_FLIP = 13
_DRAWS, _SEED = 10_000, 20


class Estimate(NamedTuple):
    """A mean over scenes; NaN (clips: NA) where there is none. These are the columns of every frame of estimates.

    Attributes:
        estimate: the mean.
        low, high: its 95 % interval.
        clips: how many scenes; nearly every clip is one.
        spread: standard deviation between scenes (of the sample); 0 for one scene.
        sign_p: two-sided p of the sign test against zero.
        reason: why the estimate or its interval is missing.
    """

    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    clips: int | None = None
    spread: float = math.nan
    sign_p: float = math.nan
    reason: str = ""


def estimate(values: ArrayLike) -> Estimate:
    """The mean of one value per clip, with a bootstrap interval that resamples clips.

    The quantiles are those of the expanded percentile interval (Hesterberg, The American Statistician 69, 2015,
    section 5): the plain one is too narrow for few clips, as it divides by n where n - 1 belongs and takes the
    normal distribution where Student's belongs. On normal values it covers 93 % at five clips where the plain one
    covers 84 % (a test measures it). A fixed seed makes it repeatable.
    """
    scores = np.asarray(values, dtype=np.float64)
    count = len(scores)
    spread = float(scores.std(ddof=1)) if count > 1 else 0.0
    if count < FEWEST_FOR_INTERVAL:
        reason = f"{count} clip{'s' * (count != 1)}: no interval"
        return Estimate(float(scores.mean()), clips=count, spread=spread, sign_p=sign_test(scores), reason=reason)
    low, high = map(float, interval(scores))
    return Estimate(float(scores.mean()), low, high, count, spread, sign_test(scores))


def interval(values: ArrayLike) -> np.ndarray:
    """The bootstrap interval of `estimate` of many studies of the same number of scenes.

    Args:
        values: (..., scenes), at least two.

    Returns:
        (..., 2): low and high.
    """
    scores = np.asarray(values, dtype=np.float64)
    count = scores.shape[-1]
    student = special.stdtrit(count - 1, (1 + LEVEL) / 2)
    tail = special.ndtr(-math.sqrt(count / (count - 1)) * student)
    studies = scores.reshape(-1, count)
    low_high = [np.quantile(_shares(count) @ one, (tail, 1 - tail)) for one in studies]
    return np.reshape(low_high, (*scores.shape[:-1], 2))


def estimates_frame(estimates: Mapping[Any, Estimate], *names: str) -> pd.DataFrame:
    """Estimates as a data frame with the fields of `Estimate` as columns (float64; ``clips`` Int64).

    Args:
        estimates: by what they are of: a text, or a tuple of texts.
        names: of the index, or of its levels.
    """
    index = pd.MultiIndex.from_tuples(estimates, names=names) if len(names) > 1 else pd.Index(estimates, name=names[0])
    frame = pd.DataFrame(list(estimates.values()), index=index, columns=Estimate._fields)
    return frame.astype({"clips": "Int64"} | dict.fromkeys(("estimate", "low", "high", "spread", "sign_p"), "float64"))


def sign_test(differences: ArrayLike) -> float:
    """Two-sided p of the sign test. Zeros do not count; without any other value p is 1."""
    signs = np.sign(np.asarray(differences))
    above, below = int((signs > 0).sum()), int((signs < 0).sum())
    return float(stats.binomtest(above, above + below).pvalue) if above + below else 1.0


def sign_flip_test(differences: ArrayLike, two_sided: bool = True) -> np.ndarray:
    """p of the sign-flip test, of any number of studies of equally many scenes (Fisher, The Design of Experiments).

    If a scene's difference is as likely d as -d, every choice of signs is as likely as the measured one: p is the
    share of choices whose mean is as far from zero, the measured one included. Up to `_EVERY_FLIP` scenes all are
    tried; beyond, those of a group, which keeps p exact (Hemerik and Goeman, TEST 27, 2018). It tests the mean, as the
    interval does; the sign test asks for the median.

    Args:
        differences: (..., scenes).
        two_sided: against a mean on either side of zero; otherwise against one above it.

    Returns:
        (...): p, at least 2 ** (1 - scenes), on one side half of that.
    """
    values = np.asarray(differences, dtype=np.float64)
    studies = values.reshape(-1, values.shape[-1])
    flips = _flips(values.shape[-1])
    p = np.empty(len(studies))
    for start in range(0, len(studies), 1024):
        part = studies[start : start + 1024]
        sums = part @ flips.T
        measured, rounding = part.sum(axis=1, keepdims=True), 1e-9 * np.abs(part).sum(axis=1, keepdims=True)
        if two_sided:
            as_far = np.abs(sums) >= np.abs(measured) - rounding
        else:
            as_far = np.concatenate([sums, -sums], axis=1) >= measured - rounding
        p[start : start + 1024] = as_far.mean(axis=1)
    return p.reshape(values.shape[:-1])


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's adjusted p of families of tests (Scandinavian Journal of Statistics 6, 1979).

    Rejecting what is at most 0.05 errs in at most 5 % of families, however the tests depend on each other.

    Args:
        p: (..., tests); no test is a family too.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, axis=-1, kind="stable")
    factors = np.arange(values.shape[-1], 0, -1)
    adjusted = np.maximum.accumulate(np.take_along_axis(values, order, axis=-1) * factors, axis=-1)
    result = np.empty_like(values)
    np.put_along_axis(result, order, np.minimum(adjusted, 1), axis=-1)
    return result


def fewest_scenes(tests: int = 1) -> int:
    """The fewest scenes on which a sign-flip test can pass 0.05 in spite of Holm's correction for `tests` tests."""
    return 1 + math.ceil(math.log2(max(1, tests) / (1 - LEVEL)) - 1e-9)


def power(effect: float, spread: float, count: int, tests: int = 1) -> float:
    """The probability that a paired t test on `count` scenes detects a true mean difference `effect`.

    Args:
        effect: the true mean difference.
        spread: standard deviation of the differences between scenes, more than 0.
        count: scenes, at least 2.
        tests: of the family; the probability is that at the strictest level of Holm's correction, 0.05 / `tests`.
    """
    threshold = special.stdtrit(count - 1, 1 - (1 - LEVEL) / 2 / tests)
    shift = math.sqrt(count) * abs(effect) / spread
    # SciPy has no value for tails that are as good as zero.
    below, other_side = (np.nan_to_num(special.nctdtr(count - 1, shift, edge)) for edge in (threshold, -threshold))
    return float(1 - below + other_side)


@functools.lru_cache(maxsize=256)
def sign_flip_power(size: float, count: int, tests: int = 1) -> float:
    """The probability that a sign-flip test on `count` scenes detects a true mean difference of normal scenes.

    By simulation of few scenes, where the test has few values of p; beyond, it is as powerful as a t test.

    Args:
        size: the difference in units of its standard deviation between scenes.
        count: scenes.
        tests: of the family, as for `power`.
    """
    if count < fewest_scenes(tests):
        return 0.0
    if count > _EVERY_FLIP:
        return power(size, 1, count, tests)
    studies = np.random.default_rng(_SEED).normal(size, 1, (2000, count))
    return float((sign_flip_test(studies) <= (1 - LEVEL) / tests).mean())


def clips_needed(effect: float, spread: float, tests: int = 1) -> int | None:
    """How many scenes detect a true mean difference with probability `POWER`; None if the difference is zero.

    Args:
        effect, spread: the difference and its standard deviation between scenes, in one unit.
        tests: of the family, as for `power`.
    """
    if effect == 0:
        return None
    fewest = fewest_scenes(tests)
    if spread == 0:
        return fewest
    # The normal approximation is short by some scenes, whatever their number.
    quantiles = special.ndtri(1 - (1 - LEVEL) / 2 / tests) + special.ndtri(POWER)
    normal = (quantiles * spread / abs(effect)) ** 2
    if normal > 300:
        return math.ceil(normal) + 2
    count = max(fewest, math.floor(normal))
    while power(effect, spread, count, tests) < POWER:
        count += 1
    return count


@functools.lru_cache(maxsize=32)
def _flips(count: int) -> np.ndarray:
    """(choices, scenes) of +1 and -1, the measured choice first; one of each choice and its opposite.

    The products of some random choices with each other are a group.
    """
    free = min(count, _EVERY_FLIP) - 1
    generators = np.ones((free, count))
    if count <= _EVERY_FLIP:
        np.fill_diagonal(generators[:, 1:], -1.0)
    else:
        generators = np.random.default_rng(_SEED).choice((1.0, -1.0), (free, count))
    flips = np.ones((1, count))
    for generator in generators:
        flips = np.concatenate([flips, flips * generator])
    return flips


@functools.lru_cache(maxsize=32)
def _shares(count: int) -> np.ndarray:
    """(draws, scenes): the share of each scene in the mean of every bootstrap draw."""
    draws = np.random.default_rng(_SEED).integers(0, count, (_DRAWS, count))
    shares = np.zeros((_DRAWS, count))
    np.add.at(shares, (np.arange(_DRAWS)[:, None], draws), 1 / count)
    return shares
