"""How sure a mean over clips is. Clips are the units: frames of one clip resemble each other and are no sample.

All functions take one number per clip: a score, or for two models on the same clips the difference of their scores.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

#: What intervals promise to cover, and the chance of seeing an effect that power is reckoned for.
LEVEL, POWER = 0.95, 0.8
#: With fewer clips than this not even the extremes of the clips' values reach `LEVEL`, near enough: no interval.
FEWEST_FOR_INTERVAL = 5
#: With fewer clips than this a two-sided sign test stays above 0.05 whatever was measured: nothing is decided.
FEWEST_FOR_VERDICT = 6
_DRAWS, _SEED = 10_000, 20


class Estimate(NamedTuple):
    """A mean over clips.

    Attributes:
        value: the mean.
        low, high: its interval; infinite where there are too few clips for one.
        clips: how many.
        spread: standard deviation between clips (of the sample); 0 for one clip.
        sign_p: two-sided p of the sign test against zero.
    """

    value: float
    low: float
    high: float
    clips: int
    spread: float
    sign_p: float


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of one value per clip, with a bootstrap interval that clips were drawn for.

    The quantiles are those of the expanded percentile interval (Hesterberg, The American Statistician 69, 2015,
    section 5): the plain one is too narrow for few clips, as it divides by n where n - 1 belongs and takes the
    normal distribution where Student's belongs. On normal values it covers 93 % at five clips where the plain one
    covers 84 % (a test looks). A fixed seed makes it repeatable.
    """
    scores = np.asarray(values, dtype=np.float64)
    count = len(scores)
    spread = float(scores.std(ddof=1)) if count > 1 else 0.0
    low, high = -math.inf, math.inf
    if count >= FEWEST_FOR_INTERVAL:
        draw = np.random.default_rng(_SEED).integers(0, count, (_DRAWS, count))
        student = special.stdtrit(count - 1, (1 + LEVEL) / 2)
        tail = special.ndtr(-math.sqrt(count / (count - 1)) * student)
        low, high = map(float, np.quantile(scores[draw].mean(axis=1), (tail, 1 - tail)))
    return Estimate(float(scores.mean()), low, high, count, spread, sign_test(values))


def sign_test(differences: Sequence[float]) -> float:
    """Two-sided p of the sign test: how often fair coins would be as one-sided as these signs. Zeros do not count."""
    above, below = (sum(sign * value > 0 for value in differences) for sign in (1, -1))
    return min(1.0, 2 * float(special.bdtr(min(above, below), above + below, 0.5))) if above + below else 1.0


def power(effect: float, spread: float, count: int) -> float:
    """The chance that a paired t test on `count` clips finds a true mean difference `effect`.

    Args:
        effect: the true mean difference.
        spread: standard deviation of the differences between clips, more than 0.
        count: clips, at least 2.
    """
    threshold = special.stdtrit(count - 1, (1 + LEVEL) / 2)
    shift = math.sqrt(count) * abs(effect) / spread
    return float(1 - special.nctdtr(count - 1, shift, threshold) + special.nctdtr(count - 1, shift, -threshold))


def clips_needed(effect: float, spread: float) -> int | None:
    """How many clips find a true mean difference with a chance of `POWER`; None if there is no difference to find."""
    if effect == 0:
        return None
    if spread == 0:
        return FEWEST_FOR_VERDICT
    # The normal approximation is short by about two clips, whatever their number.
    normal = ((special.ndtri((1 + LEVEL) / 2) + special.ndtri(POWER)) * spread / abs(effect)) ** 2
    if normal > 300:
        return math.ceil(normal) + 2
    count = max(FEWEST_FOR_VERDICT, math.floor(normal))
    while power(effect, spread, count) < POWER:
        count += 1
    return count
