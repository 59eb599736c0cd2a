"""The motion model's error: nothing where the model is exact, as calculated where it is not."""

import csv
import json
import math

import pytest

from eqvi.datasets.camera import Camera
from eqvi.datasets.random_scenes import RenderedClip, draw_clips
from eqvi.datasets.rendering import Layer, Scene, Trajectory
from eqvi.evaluation import motion_error


def panning(kind, **path):
    """One textured background that moves as a whole."""
    layer = Layer("gravel", anchor=(250, 250), centre=(48, 36), trajectory=Trajectory(**path))
    return RenderedClip(Scene((72, 96), (layer,)), Camera(), kind, "train", 0, 6)


@pytest.fixture(scope="module")
def rows():
    clips = {
        "a": panning("linear", velocity=(3, 1)),
        "b": panning("quadratic", velocity=(2, 0), acceleration=(1.6, 0)),
        "c": panning("cubic", velocity=(2, 0), acceleration=(1, 0), jerk=(0.9, 0)),
    }
    return motion_error.measure(clips, 0.5)


def test_every_inner_gap_has_a_row_for_every_model_and_source(rows):
    assert len(rows) == 3 * 4 * 2 * 4
    assert len({(row.clip, row.frame, row.flow, row.model) for row in rows}) == len(rows)
    assert [row.frame for row in rows if row.clip == "a"][::8] == ["00000008", "00000016", "00000024", "00000032"]


@pytest.mark.parametrize("column", ["epe", "epe_visible", "epe_accelerated"])
@pytest.mark.parametrize(
    ("clip", "model", "error"),
    [
        ("a", "linear", 0),
        ("a", "rectified", 0),
        ("b", "linear", 1.6 / 8),  # a t (1 - t) / 2
        ("b", "quadratic", 0),
        ("b", "least_squares", 0),
        ("b", "rectified", 0),
        ("c", "quadratic", 0.9 / 16),  # j t (1 - t^2) / 6
        ("c", "least_squares", 0.9 * 81 / 528),
    ],
)
def test_errors_of_exact_flows_are_those_of_the_formulas(rows, column, clip, model, error):
    found = motion_error.mean_error(rows, column, clip=clip, model=model, flow="exact")
    if column == "epe_accelerated" and clip == "a":
        assert math.isnan(found)
    else:
        assert found == pytest.approx(error, abs=0.001)


def test_estimated_flows_come_close_to_exact_ones(rows):
    for model in ("linear", "quadratic", "rectified"):
        exact, dis = (motion_error.mean_error(rows, clip="b", model=model, flow=flow) for flow in ("exact", "dis"))
        assert exact < dis + 0.02 < exact + 0.5


def test_magnitudes_go_with_the_rows(rows):
    row = next(row for row in rows if row.clip == "b" and row.frame == "00000008")
    assert row.acceleration == pytest.approx(1.6, abs=0.001)
    assert row.motion == pytest.approx(abs(2 + 1.6 * -2 + 1.6 / 2), abs=0.001)


def test_rows_are_written_with_what_made_them(rows, tmp_path):
    path = motion_error.write(rows, {"seed": 0}, tmp_path)
    again = path.read_bytes()
    motion_error.write(rows, {"seed": 0}, tmp_path)
    assert path.read_bytes() == again
    with path.open(newline="") as file:
        stored = list(csv.DictReader(file))
    assert len(stored) == len(rows)
    assert stored[0]["run"] == "motion_error"
    assert stored[0]["epe_accelerated"] == ""
    assert float(stored[-1]["epe"]) == rows[-1].epe
    assert json.loads(path.with_suffix(".json").read_text())["parameters"] == {"seed": 0}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["motion_error.csv", "motion_error.json"]


def test_the_measurement_is_repeatable():
    clips = draw_clips(1, 3, "val", (48, 64))
    assert motion_error.measure(clips, 0.25) == motion_error.measure(clips, 0.25)
