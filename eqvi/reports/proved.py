"""Properties of this study's code that tests prove: no claims about how well a method does, and no verdicts."""

from typing import NamedTuple

import pandas as pd


class Property(NamedTuple):
    """A property in words, and the test that fails if it does not hold, as pytest names it."""

    holds: str
    test: str


PROPERTIES = (
    Property("Given the same weights, every stage equals the released implementation's numbers",
             "tests/model/test_parity.py::test_every_stage_equals_the_released_implementation"),
    Property("Backward warping equals the released implementation's",
             "tests/model/test_geometry.py::test_warp_equals_the_released_implementation"),
    Property("Flow reversal equals the released implementation's",
             "tests/model/test_geometry.py::test_reversal_equals_the_released_implementation"),
    Property("Rectified motion (RQFP) equals the released implementation's",
             "tests/model/test_motion.py::test_rectified_equals_the_released_implementation"),
    Property("Three training steps change the weights as the released implementation's do",
             "tests/training/test_losses.py::test_three_steps_equal_the_released_implementation"),
    Property("The default training recipe is the published one",
             "tests/training/test_recipe.py::test_defaults_are_the_published_recipe"),
    Property("Published checkpoints load, and are exported to the same tensors",
             "tests/model/test_checkpoint.py::test_published_checkpoint_loads_and_exports_to_the_same_tensors"),
    Property("The numbers of parameters equal the published ones",
             "tests/model/test_eqvi.py::test_parameter_counts_equal_the_published_ones"),
    Property("One new frame takes a quarter of the arithmetic of the published schedule",
             "tests/model/test_eqvi.py::test_arithmetic_is_what_is_needed_and_no_more"),
    Property("Every motion model is exact on constant velocity",
             "tests/model/test_motion.py::test_every_model_is_exact_on_constant_velocity"),
    Property("The quadratic models are exact on constant acceleration",
             "tests/model/test_motion.py::test_quadratic_models_are_exact_on_constant_acceleration"),
    Property("The rectification is finite for any input",
             "tests/model/test_motion.py::test_rectification_is_finite_for_any_input"),
    Property("Where no scene has a difference, the rule of the verdicts calls one in at most 5 % of families",
             "tests/reports/test_verdict_rule.py::test_under_no_difference_a_family_errs_in_at_most_five_percent"),
)  # fmt: skip


def table() -> pd.DataFrame:
    """The properties, each with its test (text)."""
    return pd.DataFrame(PROPERTIES, columns=["holds", "test"]).rename(columns={"holds": "property"})
