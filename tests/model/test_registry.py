"""Models for users' footage: which parts beyond the paper they get."""

import pytest

from eqvi.model.registry import load_for_footage


@pytest.mark.parametrize(
    ("name", "trajectory", "detail", "parts"),
    [
        ("finishing", 8, None, (8, True, True)),
        ("finishing", 0, None, (0, False, True)),
        ("baseline", 8, None, (8, True, True)),
        ("baseline", 4, False, (4, True, False)),
        ("baseline", 0, False, (0, False, False)),  # the paper's motion
        ("eqvi-quarter-dis", 8, None, (8, False, False)),  # trained without
    ],
)
def test_a_model_gets_the_parts_that_earn_with_it(name, trajectory, detail, parts):
    model, identity = load_for_footage(name, "cpu", trajectory, detail)
    assert (model.config.trajectory, model.config.two_way, model.config.detail) == parts
    assert f"+trajectory={trajectory}" in identity
