"""A shaken path, its samples, and what interpolation from n frames makes of it."""

import itertools
import math

import numpy as np
import pytest
import torch

from eqvi.reports import camera_paths
from eqvi.viz.shake import ShakeSlider, drawn_errors, frequency_response, interpolated_path, shake_page, shaken_path

COUNTS = (2, 4, 6, 8, 10)


class TestResponse:
    def test_slow_motion_is_reproduced_and_the_fastest_lost(self) -> None:
        for count in COUNTS:
            slow, half, whole = frequency_response(count, torch.tensor([0.0, 0.5, 1.0])).tolist()
            assert slow == pytest.approx(1)
            assert half == pytest.approx(0, abs=1e-6)  # what the frames see is zero halfway, whatever the path does
            assert whole == pytest.approx(-1, abs=1e-5)  # seen as standing still, on the wrong side

    def test_more_frames_reproduce_more(self) -> None:
        shares = [frequency_response(count, torch.tensor([0.2, 0.3, 0.4])) for count in COUNTS]
        assert all((more > fewer).all() and (more < 1).all() for fewer, more in itertools.pairwise(shares))

    def test_linear_interpolation_averages_two_phases(self) -> None:
        frequency = torch.linspace(0, 1, 21)
        assert torch.allclose(frequency_response(2, frequency), (math.pi * frequency).cos(), atol=1e-6)

    def test_it_is_what_happens_to_a_shaken_path(self) -> None:
        """Halfway a cosine about that place is multiplied by the response."""
        for count in COUNTS:
            share = frequency_response(count, torch.tensor([0.35])).item()
            assert interpolated_path(count, 0.35, torch.tensor([0.5])).item() == pytest.approx(
                share * shaken_path(0.35, torch.tensor([0.5])).item(), abs=1e-5
            )


class TestFigure:
    def test_curves_pass_through_the_frames(self) -> None:
        at = torch.arange(-3.0, 5.0)
        for count in COUNTS:
            assert torch.allclose(interpolated_path(count, 0.3, at), shaken_path(0.3, at), atol=1e-5)

    def test_the_slider_draws_again(self) -> None:
        slider = ShakeSlider(0.3)
        before = slider.picture.value
        assert bytes(before).startswith(b"\x89PNG")
        slider.slider.value = 0.5
        assert slider.picture.value != before

    def test_the_figure_says_what_it_shows(self) -> None:
        assert "0.4 cycles" in shake_page(0.4).alt


def test_reports_have_the_same_weights() -> None:
    """The reports, which import no torch, take Lagrange's weights from SciPy."""
    for count in COUNTS:
        frequency, times = 0.23, np.arange(1 - count // 2, count // 2 + 1)
        share = camera_paths.weights(count, 0.5) @ np.cos(2 * np.pi * frequency * (times - 0.5))
        assert share == pytest.approx(frequency_response(count, torch.tensor([frequency])).item(), abs=1e-5)


def test_drawn_shakes_are_the_same_for_any_number_of_frames_and_slow_ones_are_met_by_more():
    errors = {count: drawn_errors(count, 0.2, 200) for count in (2, 4, 8)}
    rms = {count: float(error.square().mean().sqrt()) for count, error in errors.items()}
    assert rms[8] < 0.2 * rms[4] < 0.2 * rms[2]
    assert torch.equal(drawn_errors(4, 0.2, 200), errors[4])
    assert drawn_errors(4, 0.0, 10).abs().max() < 1e-5  # nothing moves
