"""H.264 compression: repeatable, close to the frames, worse at a higher factor, and still parts are frozen."""

import numpy as np
import pytest

from eqvi.media.h264 import through_h264


@pytest.fixture(scope="module")
def still() -> np.ndarray:
    """Six frames of one smooth image, each with noise of its own."""
    y, x = np.mgrid[:64, :96]
    image = np.stack([x * 2, y * 3, 255 - x - y], axis=-1).clip(0, 255)
    noise = np.random.default_rng(0).normal(0, 3, (6, 64, 96, 3))
    return (image + noise).clip(0, 255).astype(np.uint8)


def _error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_it_is_repeatable_and_keeps_the_frames_in_order(still: np.ndarray) -> None:
    frames = np.stack([np.roll(frame, 3 * n, axis=1) for n, frame in enumerate(still)])
    decoded = through_h264(frames, 12)
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, through_h264(frames, 12))
    for n, frame in enumerate(decoded):
        assert min(range(6), key=lambda other: _error(frame, frames[other])) == n


def test_a_higher_factor_is_less_accurate(still: np.ndarray) -> None:
    fine, coarse = (_error(through_h264(still, crf), still) for crf in (8, 40))
    assert 0 < fine < coarse


def test_noise_is_frozen_where_nothing_moves(still: np.ndarray) -> None:
    decoded = through_h264(still, 22)
    assert _error(decoded[2], decoded[3]) < 0.3 * _error(still[2], still[3])
