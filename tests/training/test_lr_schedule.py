"""Learning rate schedules."""

from itertools import pairwise
from pathlib import Path

import pytest
from small_runs import run, small_recipe

from eqvi.training.lr_schedule import lr_factor
from eqvi.training.run_folder import read_curve

pytestmark = pytest.mark.usefixtures("tiny_presets")


def test_published_drops_fall_at_epochs_99_and_149() -> None:
    per_epoch = 86
    factors = [lr_factor("published", step, 200 * per_epoch, per_epoch) for step in range(200 * per_epoch)]
    drops = [step for step in range(1, len(factors)) if factors[step] != factors[step - 1]]
    assert drops == [99 * per_epoch, 149 * per_epoch]
    assert [factors[0], factors[drops[0]], factors[drops[1]]] == pytest.approx([1, 0.1, 0.01])


@pytest.mark.parametrize(("steps", "per_epoch"), [(8, 4), (8, 100), (12, 4)])
def test_published_drops_of_a_short_run(steps: int, per_epoch: int) -> None:
    factors = [lr_factor("published", step, steps, per_epoch) for step in range(steps)]
    half, quarter = steps // 2, steps // 4
    assert factors == pytest.approx([1.0] * half + [0.1] * quarter + [0.01] * quarter)


def test_cosine() -> None:
    factors = [lr_factor("cosine", step, 2000, 7) for step in range(2000)]
    assert factors[:100] == pytest.approx([(step + 1) / 101 for step in range(100)])
    assert factors[100] == 1
    assert factors[100 + 950] == pytest.approx(0.505)
    assert all(a > b for a, b in pairwise(factors[100:]))
    assert factors[-1] == pytest.approx(0.01, abs=1e-4)
    assert max(lr_factor("cosine", step, 5, 1) for step in range(5)) == 1


def test_constant() -> None:
    assert {lr_factor("constant", step, 10, 2) for step in range(10)} == {1.0}


def test_a_run_takes_the_rates_of_its_schedule(tmp_path: Path) -> None:
    run(small_recipe(schedule="published", steps=8, windows=2, batch=1, score_every=8), tmp_path)
    rows = read_curve(tmp_path / "curve.csv")
    assert [int(row["epoch"]) for row in rows] == [0, 0, 1, 1, 2, 2, 3, 3]
    # Of four epochs: at 2 - 1 and at 3 - 1.
    assert [float(row["rate"]) for row in rows] == pytest.approx([1e-3] * 2 + [1e-4] * 2 + [1e-5] * 4)
