"""The rule by which a claim gets its verdict.

It was written before ``results/trajectories_x2.csv`` and ``_x4.csv`` (nine real scenes), and after all other rows.

1. **Units are scenes.** Frames are averaged within a clip, clips within a scene (`eqvi.reports.runs.SCENES`: several
   views of one scene count as one; every rendered clip is a scene of its own). Two models are compared by their
   difference on each scene.
2. **Two looks at the mean difference**, which must agree: the 95 % bootstrap interval and the two-sided sign-flip
   test, see `eqvi.reports.statistics`. Where one of them says that there is a difference and the other does not, the
   claim is *not decided*. Where models were trained from several seeds, all seeds must lie on the same side too.
3. **Holm's correction** within each family: the claims of one list (`eqvi.reports.claim_list.LISTS`) about one part of
   the method, whatever metric and data they are about. Claims on fewer scenes than any test can decide are not tested,
   and do not count.
4. **A smallest difference of interest** (`INTEREST`). A claim *holds* if the difference lies on the claimed side and
   its estimate is at least that large. It *does not hold* if the difference lies on the other side, or if it is shown
   to be smaller than that: interval within it, and two one-sided sign-flip tests against both ends (Schuirmann 1987),
   corrected in the same way, apart from the first.
5. Everything else is **not decided**, with the reason, and with the number of scenes that would decide four times in
   five: for the published difference, or, as in a pilot study, for the measured one.
6. **Power is computed beforehand**, from the numbers of scenes and of tests and from the difference to be found: the
   published one at an assumed spread, otherwise one as large as its spread between scenes (on such a difference five
   scenes in six agree). Nothing measured enters.

Under no difference, where d is as likely as -d, a family calls one in at most 5 % of studies;
`eqvi.reports.verdict_simulation` counts, and says what happens where differences are skewed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eqvi.errors import InputError
from eqvi.reports.statistics import (
    FEWEST_FOR_VERDICT,
    LEVEL,
    clips_needed,
    fewest_scenes,
    holm,
    interval,
    sign_flip_power,
    sign_flip_test,
)

HOLDS, FAILS, OPEN, MISSING = VERDICTS = "holds", "does not hold", "not decided", "not measured"
#: The smallest difference of interest by metric. PSNR and SSIM: the smallest from which the published table draws a
#: conclusion (MS-Fusion: 0.0208 dB on 30 clips, 0.0005 of SSIM). Error of motion: 0.02 px move a value on an edge of 25
#: grey levels per pixel by half a grey level, the most that rounding hides. Sharpness: three times what rounding to
#: 8 bits adds to it. LPIPS: the last digit that tables print.
INTEREST = {"psnr": 0.02, "ssim": 0.0005, "epe_visible": 0.02, "sharpness": 1.0, "lpips": 0.001}
#: The difference for which power is computed where none was published, in units of its spread between scenes.
PLANNED = 1.0
ALPHA = 1 - LEVEL


class Question(NamedTuple):
    """A claim as the rule sees it.

    Attributes:
        differences: on each scene, positive where it is as claimed.
        interest: the smallest difference of interest; 0 where any counts.
        published: the published difference, as `differences`; NaN if there is none.
    """

    differences: Sequence[float]
    interest: float
    published: float = math.nan


class Verdict(NamedTuple):
    """What the rule says of a claim.

    Attributes:
        verdict: one of `VERDICTS`.
        reason: why, where it is not plain.
        p: of the sign-flip test; NaN if the claim was not tested.
        p_holm: the same after Holm's correction.
        tests: of the family.
        power: computed beforehand.
        needed: scenes that would decide; None where it is decided, and where no number would.
    """

    verdict: str
    reason: str
    p: float
    p_holm: float
    tests: int
    power: float
    needed: int | None


class Decisions(NamedTuple):
    """What was found of any number of differences; arrays of one shape.

    Attributes:
        claimed, other: on which side they lie; neither where that is not decided.
        small: shown to be smaller than of interest.
        apart: whether the interval is apart from zero; known of a single study, and where a test has found something.
        tested: whether the test, after Holm's correction, finds a difference.
        p, p_holm: of the sign-flip test, before and after Holm's correction.
    """

    claimed: np.ndarray
    other: np.ndarray
    small: np.ndarray
    apart: np.ndarray
    tested: np.ndarray
    p: np.ndarray
    p_holm: np.ndarray


def decisions(families: Sequence[np.ndarray], interest: Sequence[float]) -> Decisions:
    """The rule for families of claims, for one study or for many at once.

    Args:
        families: of each claim of the family its differences, (..., scenes), at least `FEWEST_FOR_VERDICT` scenes;
            the number of scenes may change from claim to claim.
        interest: of each claim the smallest difference of interest.

    Returns:
        (..., claims).
    """
    values = [np.asarray(one, dtype=np.float64) for one in families]
    means = np.stack([one.mean(axis=-1) for one in values], axis=-1)
    least = np.asarray(interest, dtype=np.float64)
    p = np.stack([sign_flip_test(one) for one in values], axis=-1)
    p_holm = holm(p)
    # Smaller than of interest: both ends are tested, and the worse p counts. Where any difference counts, none is.
    ends = zip(values, least, strict=True)
    p_small = [
        np.maximum(sign_flip_test(one + end, two_sided=False), sign_flip_test(end - one, two_sided=False))
        if end
        else np.ones(one.shape[:-1])
        for one, end in ends
    ]
    tested, tested_small = p_holm <= ALPHA, holm(np.stack(p_small, axis=-1)) <= ALPHA
    # Intervals take long. Of many studies only those matter where a test has found something.
    low_high = np.full((*p.shape, 2), math.nan)
    for number, one in enumerate(values):
        matters = (tested | tested_small)[..., number] | (p.ndim == 1)
        low_high[..., number, :][matters] = interval(one[matters])
    low, high = low_high[..., 0], low_high[..., 1]
    apart = (low > 0) | (high < 0)
    return Decisions(
        claimed=tested & (low > 0) & (means > 0),
        other=tested & (high < 0) & (means < 0),
        small=tested_small & (low > -least) & (high < least),
        apart=apart,
        tested=tested,
        p=p,
        p_holm=p_holm,
    )


def judge(family: Sequence[Question]) -> list[Verdict]:
    """The verdicts on the claims of one family; none if it has no claims.

    Raises:
        InputError: a difference is no number.
    """
    for one in family:
        if not np.isfinite(one.differences).all():
            raise InputError("a difference between two runs is no finite number: evaluate them again")
    enough = [number for number, one in enumerate(family) if len(one.differences) >= FEWEST_FOR_VERDICT]
    verdicts = [_untested(one, len(enough)) for one in family]
    if enough:
        tested = [family[number] for number in enough]
        found = decisions([np.asarray(one.differences) for one in tested], [one.interest for one in tested])
        for place, number in enumerate(enough):
            own = Decisions(*(values[place] for values in found))
            verdicts[number] = _verdict(family[number], own, len(enough))
    return verdicts


def power_beforehand(scenes: int, tests: int, published: float = math.nan, spread: float = math.nan) -> float:
    """The probability that the rule's test finds the difference that it was planned for, see the module.

    Args:
        scenes: how many.
        tests: of the family, at least this one.
        published: the published difference, with
        spread: the standard deviation between scenes that is assumed for it; without, `PLANNED` is the difference.
    """
    size = PLANNED if math.isnan(published) or math.isnan(spread) else abs(published) / spread
    return sign_flip_power(round(size, 3), scenes, max(1, tests))


def _needed(one: Question, tests: int) -> int | None:
    """The scenes that would decide: for the published difference, or for the measured one."""
    differences = np.asarray(one.differences)
    effect = float(differences.mean()) if math.isnan(one.published) else one.published
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return clips_needed(effect, spread, max(1, tests)) if len(differences) > 1 else None


def _untested(one: Question, tests: int) -> Verdict:
    count = len(one.differences)
    reason = (
        f"{count} scene{'s' * (count != 1)}: a sign-flip test on fewer than {FEWEST_FOR_VERDICT} stays above "
        f"{ALPHA:.2g} whatever they show"
    )
    return Verdict(OPEN, reason, math.nan, math.nan, tests, 0.0, _needed(one, tests + 1))


def _verdict(one: Question, own: Decisions, tests: int) -> Verdict:
    count, mean = len(one.differences), float(np.mean(one.differences))
    verdict, reason = OPEN, _why_open(own, one.differences, tests)
    if own.small:
        verdict = FAILS
        reason = f"{'there, but ' if own.claimed or own.other else ''}smaller than of interest ({one.interest:g})"
    elif own.other:
        verdict, reason = FAILS, "the difference lies on the other side"
    elif own.claimed and mean >= one.interest:
        verdict, reason = HOLDS, ""
    elif own.claimed:
        reason = f"on the claimed side; whether it is as large as {one.interest:g} is not decided"
    needed = _needed(one, tests) if verdict == OPEN else None
    p, p_holm = float(own.p), float(own.p_holm)
    return Verdict(verdict, reason, p, p_holm, tests, power_beforehand(count, tests), needed)


def _why_open(own: Decisions, differences: Sequence[float], tests: int) -> str:
    corrected = f"Holm's correction for {tests} tests makes {own.p_holm:.2g} of p = {own.p:.2g}"
    if own.tested:
        return f"the test finds a difference (p = {own.p_holm:.2g}), but the interval contains zero"
    if own.p <= ALPHA:
        few = fewest_scenes(tests)
        return corrected + (f"; fewer than {few} scenes cannot be enough" if len(differences) < few else "")
    if own.apart:
        return f"the interval does not contain zero, but the test finds no difference (p = {own.p:.2g})"
    ahead = sum(value > 0 for value in differences)
    return f"the mean may be zero (p = {own.p:.2g}); {ahead} of {len(differences)} scenes are on the claimed side"
