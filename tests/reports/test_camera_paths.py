"""Camera paths: what n frames miss of them, their spectra, and the departure from straight lines."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eqvi.errors import InputError
from eqvi.reports import camera_paths


def path_of(x: np.ndarray) -> np.ndarray:
    return np.stack((x, 2 * x), axis=1)


def test_a_polynomial_is_met_by_as_many_frames_as_it_has_coefficients() -> None:
    s = np.arange(81) / 40 - 1
    errors = camera_paths.interpolation_errors(path_of(100 * s**3), 2)
    assert errors[2] > 0.01
    assert all(errors[count] < 1e-9 for count in (4, 6, 8, 10))


def test_more_frames_miss_less_of_a_slow_shake_and_nothing_helps_with_a_fast_one() -> None:
    frames = np.arange(200)
    slow, fast = (
        camera_paths.interpolation_errors(path_of(np.sin(2 * np.pi * cycles / 2 * frames + 1)), 2)
        for cycles in (0.3, 1.0)
    )
    assert slow[2] > slow[4] > slow[6] > slow[8] > slow[10] > 0
    # All kept frames show one place, and the frames left out the opposite one: twice the amplitude, whatever is tried.
    assert np.allclose(list(fast.values()), 2 * np.sin(1) * np.sqrt(5))


def test_a_clip_too_short_has_no_number() -> None:
    assert np.isnan(camera_paths.interpolation_errors(path_of(np.arange(12.0)), 2)[2])


@pytest.mark.parametrize("step", [2, 4])
def test_a_shake_stands_at_its_frequency(step: int) -> None:
    frequency, amplitude = camera_paths.spectrum(path_of(np.sin(2 * np.pi * 0.125 * np.arange(128))), step)
    assert frequency[amplitude.argmax()] == pytest.approx(0.125 * step)


def test_departure_is_zero_for_constant_velocity_and_the_frames_lie_on_the_right_curve() -> None:
    frames = np.arange(60.0)
    straight = camera_paths.departure(path_of(3 * frames), 2, 12, [2, 4, 8], axis=0)
    assert max(np.abs(curve).max() for curve in straight.curves.values()) < 1e-9
    assert np.abs(straight.left_out).max() < 1e-9
    bent = camera_paths.departure(path_of(frames**2), 2, 12, [2, 4], axis=1)
    at = np.searchsorted(bent.time, bent.left_out_time)
    assert np.allclose(bent.time[at], bent.left_out_time)
    assert np.allclose(bent.curves["4 frames"][at], bent.left_out)
    assert (bent.curves["2 frames"] == 0).all()
    with pytest.raises(InputError, match="gap=2"):
        camera_paths.departure(path_of(frames), 2, 2, [8], axis=0)


def test_paths_are_read_and_tabled(tmp_path: Path) -> None:
    assert camera_paths.read_paths(tmp_path) == {}
    assert camera_paths.error_table(tmp_path, 2).empty
    rows = pd.DataFrame({"clip": "a", "frame": range(40), "x": np.sin(np.arange(40)), "y": 0.0})
    rows.to_csv(tmp_path / "camera_paths.csv", index=False)
    assert camera_paths.read_paths(tmp_path)["a"].shape == (40, 2)
    table = camera_paths.error_table(tmp_path, 2, (2, 4))
    assert list(table) == ["2 frames", "4 frames"]
    assert table.loc["a", "2 frames"] > table.loc["a", "4 frames"]
    (tmp_path / "camera_paths.csv").write_text("clip,frame\na,0\n")
    with pytest.raises(InputError, match="eqvi camera"):
        camera_paths.read_paths(tmp_path)
