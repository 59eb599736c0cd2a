"""How certain a mean over clips is: bootstrap intervals, sign test, power.

Clips are the units: frames of one clip resemble each other and are not independent observations. All functions take
one number per clip: a score, or for two models on the same clips the difference of their scores.
"""

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
#: Fewest clips that get a verdict: with fewer, a two-sided sign test stays above 0.05 whatever was measured.
FEWEST_FOR_VERDICT = 6
_DRAWS, _SEED = 10_000, 20


class Estimate(NamedTuple):
    """A mean over clips; NaN (clips: NA) where there is none. These are the columns of every frame of estimates.

    Attributes:
        estimate: the mean.
        low, high: its 95 % interval.
        clips: how many.
        spread: standard deviation between clips (of the sample); 0 for one clip.
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
    draws = np.random.default_rng(_SEED).integers(0, count, (_DRAWS, count))
    student = special.stdtrit(count - 1, (1 + LEVEL) / 2)
    tail = special.ndtr(-math.sqrt(count / (count - 1)) * student)
    low, high = map(float, np.quantile(scores[draws].mean(axis=1), (tail, 1 - tail)))
    return Estimate(float(scores.mean()), low, high, count, spread, sign_test(scores))


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


def power(effect: float, spread: float, count: int) -> float:
    """The probability that a paired t test on `count` clips detects a true mean difference `effect`.

    Args:
        effect: the true mean difference.
        spread: standard deviation of the differences between clips, more than 0.
        count: clips, at least 2.
    """
    threshold = special.stdtrit(count - 1, (1 + LEVEL) / 2)
    shift = math.sqrt(count) * abs(effect) / spread
    return float(1 - special.nctdtr(count - 1, shift, threshold) + special.nctdtr(count - 1, shift, -threshold))


def clips_needed(effect: float, spread: float) -> int | None:
    """How many clips detect a true mean difference with probability `POWER`; None if the difference is zero."""
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
