"""The rule of the verdicts: what it says of made-up differences, and how often it errs on simulated studies."""

import ast
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eqvi.errors import InputError
from eqvi.paths import ROOT
from eqvi.reports import proved
from eqvi.reports import verdict_simulation as simulation
from eqvi.reports.runs import per_scene
from eqvi.reports.verdict_rule import (
    FAILS,
    HOLDS,
    INTEREST,
    OPEN,
    Question,
    Verdict,
    judge,
    power_beforehand,
)
from eqvi.reports.verdict_simulation import LEAST, NONE, PLAN, STUDIES, Study

INTERVAL = 0.02


def alone(differences: list[float], interest: float = INTERVAL, published: float = math.nan) -> Verdict:
    """The verdict on the only claim of a family."""
    (verdict,) = judge([Question(differences, interest, published)])
    return verdict


def around(mean: float, spread: float, scenes: int) -> list[float]:
    values = np.random.default_rng(7).normal(0, 1, scenes)
    return (mean + spread * (values - values.mean()) / values.std(ddof=1)).tolist()


class TestSimulatedStudies:
    @pytest.mark.parametrize("shape", ["normal", "alike", "heavy tails"])
    @pytest.mark.parametrize(("scenes", "claims"), [(6, 1), (8, 4), (9, 9)])
    def test_a_family_without_differences(self, scenes: int, claims: int, shape: str) -> None:
        study = simulation.shares(Study(NONE, shape, scenes, claims, 0, 0.2), STUDIES[0])
        assert study["calls_a_difference"] <= 0.05
        if claims > 1:
            assert study["uncorrected"] > 0.1, "the correction had nothing to correct"

    def test_the_smallest_difference_of_interest_is_seldom_called_too_small(self) -> None:
        study = simulation.shares(Study(LEAST, "normal", 8, 2, INTEREST["psnr"], 0.01), 2000)
        assert 0 < study["calls_one_small"] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)

    @pytest.mark.parametrize(("scenes", "claims"), [(8, 4), (9, 2), (20, 1)])
    def test_what_is_there_is_found_as_often_as_the_power_says(self, scenes: int, claims: int) -> None:
        study = simulation.shares(Study(PLAN, "normal", scenes, claims, 0.2, 0.2), 1000)
        assert study["claim_at_strictest_level"] == pytest.approx(study["power"], abs=0.04)
        assert study["claim_found"] >= study["power"] - 0.04

    def test_published_differences_are_found_as_often_as_their_power_says(self) -> None:
        published = [one for one in simulation.studies() if one.truth.startswith("as published")]
        assert [one.difference for one in published] == pytest.approx([0.0208, 0.0608, 0.0893], abs=1e-4)
        for study in published:
            found = simulation.shares(study._replace(spread=2 * study.spread), 300)
            assert found["claim_at_strictest_level"] == pytest.approx(found["power"], abs=0.08)

    def test_skewed_differences_are_the_limit_of_the_rule(self) -> None:
        """The documents say so; if a better test is found, they must be rewritten."""
        study = simulation.shares(Study(NONE, "very skewed", 9, 9, 0, 0.2), 1000)
        assert study["calls_a_difference"] > 0.05

    def test_draws_have_the_mean_and_the_spread_they_are_asked_for(self) -> None:
        for shape in ("normal", "alike", "skewed", "very skewed", "heavy tails"):
            values = simulation.draw(Study(NONE, shape, 9, 2, 0.1, 0.2), 20_000)
            assert values.mean() == pytest.approx(0.1, abs=0.005), shape
            assert values.std() == pytest.approx(0.2, rel=0.05), shape

    def test_the_table_is_written_and_read_again(self, tmp_path: Path) -> None:
        rows = simulation.read()
        errors = rows[rows["truth"] == NONE].set_index("shape")["calls_a_difference"]
        assert errors[~errors.index.str.contains("skewed")].max() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES[0])
        assert len(rows) == len(simulation.studies())
        simulation.write(rows, tmp_path)
        pd.testing.assert_frame_equal(simulation.read(tmp_path), rows)
        (tmp_path / simulation.FILE).write_text("a,b\n1,2\n")
        with pytest.raises(InputError, match="is no table of simulated studies: run"):
            simulation.read(tmp_path)
        with pytest.raises(InputError, match="cannot be read"):
            simulation.read(tmp_path / "nothing")


def test_under_no_difference_a_family_errs_in_at_most_five_percent() -> None:
    """Of 10 000 simulated studies; families of nine claims on nine scenes."""
    study = simulation.shares(Study(NONE, "normal", 9, 9, 0, 0.2), 10_000)
    assert 0.01 < study["calls_a_difference"] <= 0.05 < study["uncorrected"]


class TestVerdicts:
    def test_on_the_claimed_side(self) -> None:
        verdict = alone(around(0.3, 0.2, 9))
        assert (verdict.verdict, verdict.reason, verdict.needed) == (HOLDS, "", None)
        assert verdict.p == verdict.p_holm == pytest.approx(2 / 2**9)

    def test_on_the_other_side(self) -> None:
        verdict = alone(around(-0.3, 0.2, 9))
        assert (verdict.verdict, verdict.reason) == (FAILS, "the difference lies on the other side")

    @pytest.mark.parametrize("mean", [0.008, 0.0, -0.008])
    def test_smaller_than_of_interest(self, mean: float) -> None:
        verdict = alone(around(mean, 0.005, 9))
        assert verdict.verdict == FAILS
        assert verdict.reason == f"{'there, but ' * bool(mean)}smaller than of interest (0.02)"
        assert alone(around(abs(mean) + 0.001, 0.0005, 9), interest=0).verdict == HOLDS

    def test_the_claimed_side_is_not_enough(self) -> None:
        verdict = alone(around(0.015, 0.015, 12))
        assert verdict.verdict == OPEN
        assert verdict.reason == "on the claimed side; whether it is as large as 0.02 is not decided"

    def test_the_mean_may_be_zero(self) -> None:
        verdict = alone([0.5, -0.4, 0.3, -0.2, 0.6, -0.5, 0.1, 0.2])
        assert verdict.verdict == OPEN
        assert verdict.reason.endswith("5 of 8 scenes are on the claimed side")
        assert verdict.needed is not None
        assert verdict.needed > 8

    def test_the_interval_says_yes_and_the_test_no(self) -> None:
        verdict = alone([0.25, -0.04, 1.73, -0.09, 0.21, 0.01, 0.29, 0.12, 0.07])
        assert verdict.verdict == OPEN
        assert verdict.reason == "the interval does not contain zero, but the test finds no difference (p = 0.051)"

    def test_the_test_says_yes_and_the_interval_no(self) -> None:
        verdict = alone([0.21, 0.03, 0.22, -0.17, 0.18, 0.13, 0.33, 0.15])
        assert verdict.verdict == OPEN
        assert verdict.reason == "the test finds a difference (p = 0.047), but the interval contains zero"

    @pytest.mark.parametrize("scenes", [1, 2, 5])
    def test_too_few_scenes_are_not_tested_and_weigh_on_nobody(self, scenes: int) -> None:
        few, enough = judge([Question([1.0] * scenes, INTERVAL), Question(around(0.3, 0.2, 6), INTERVAL)])
        assert few.verdict == OPEN
        assert few.reason.startswith(f"{scenes} scene{'s' * (scenes > 1)}: a sign-flip test on fewer than 6")
        assert math.isnan(few.p)
        assert few.power == 0
        assert (enough.verdict, enough.tests) == (HOLDS, 1)
        assert few.needed is None if scenes == 1 else few.needed >= 6

    def test_a_family_grows_stricter(self) -> None:
        one = Question(around(0.3, 0.2, 7), INTERVAL)
        assert alone(list(one.differences)).verdict == HOLDS
        noise = [Question(around(0.0, 0.2, 7), INTERVAL)] * 3
        verdict = judge([one, *noise])[0]
        assert verdict.verdict == OPEN
        assert (
            verdict.reason
            == "Holm's correction for 4 tests makes 0.062 of p = 0.016; fewer than 8 scenes cannot be enough"
        )

    def test_a_family_without_rows_has_no_verdicts(self) -> None:
        assert judge([]) == []

    def test_equal_methods_have_no_spread_and_are_decided(self) -> None:
        assert alone([0.0] * 8).reason == "smaller than of interest (0.02)"
        assert alone([0.0] * 8, interest=0).verdict == OPEN

    def test_what_is_no_number_is_refused(self) -> None:
        with pytest.raises(InputError, match="no finite number"):
            alone([0.1, math.inf, 0.2, 0.1, 0.2, 0.3])

    def test_the_published_difference_plans(self) -> None:
        verdict = alone(around(0.0, 0.2, 8), published=0.1)
        assert verdict.needed == alone(around(0.03, 0.2, 8), published=0.1).needed

    def test_power_knows_nothing_of_what_was_measured(self) -> None:
        assert alone(around(0.0, 0.2, 9)).power == alone(around(3.0, 0.2, 9)).power == power_beforehand(9, 1)
        assert power_beforehand(9, 9) < power_beforehand(9, 1) < power_beforehand(24, 1)
        assert power_beforehand(5, 1) == power_beforehand(7, 4) == 0


class TestScenes:
    def test_four_views_of_one_walk_are_one_scene(self) -> None:
        index = pd.MultiIndex.from_tuples([("cam01", "1"), ("cam01", "2"), ("cam03", "1"), ("dog", "1")])
        values = pd.Series([1.0, 3.0, 6.0, 5.0], index.set_names(["clip", "frame"]))
        assert per_scene(values).to_dict() == {"walk": 4.0, "dog": 5.0}

    def test_scenes_of_one_name_are_refused(self) -> None:
        with pytest.raises(InputError, match="two scenes are named 'dog'"):
            per_scene(pd.Series([1.0, 2.0], pd.Index(["dog", "dog"], name="clip")))


class TestProperties:
    @pytest.mark.parametrize("one", proved.PROPERTIES, ids=lambda one: one.test.rpartition("::")[2])
    def test_each_has_its_test(self, one: proved.Property) -> None:
        file, _, name = one.test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
