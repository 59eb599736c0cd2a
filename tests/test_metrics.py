"""Every reading equals scikit-image's, and the conventions are what they say."""

import numpy as np
import pytest
import torch
from skimage.data import astronaut, coffee
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from eqvi import metrics
from eqvi.errors import InputError
from eqvi.media.image import Image, to_tensor


def pair(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """A picture and a spoiled version of it, uint8."""
    truth = coffee()[40:203, 100:291].copy()
    rng = np.random.default_rng(3)
    if kind == "noise":
        return np.clip(truth + rng.normal(0, 12, truth.shape), 0, 255).astype(np.uint8), truth
    if kind == "shift":
        return coffee()[41:204, 103:294].copy(), truth
    return astronaut()[: truth.shape[0], : truth.shape[1]].copy(), truth


@pytest.mark.parametrize("kind", ["noise", "shift", "other"])
class TestAgainstScikitImage:
    def test_psnr(self, kind: str) -> None:
        frame, truth = pair(kind)
        assert metrics.psnr(frame, truth) == pytest.approx(peak_signal_noise_ratio(truth, frame), abs=1e-6)

    def test_primary_ssim(self, kind: str) -> None:
        frame, truth = pair(kind)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        expected = structural_similarity(truth, frame, channel_axis=2, **options)
        assert metrics.ssim(frame, truth) == pytest.approx(expected, abs=1e-6)

    def test_uniform_ssim(self, kind: str) -> None:
        frame, truth = pair(kind)
        expected = structural_similarity(truth, frame, channel_axis=2, data_range=255)
        assert metrics.ssim_uniform(frame, truth) == pytest.approx(expected, abs=1e-6)

    def test_ssim_in_three_dimensions(self, kind: str) -> None:
        frame, truth = pair(kind)
        expected = structural_similarity(truth, frame, win_size=3, data_range=255)
        assert metrics.ssim_3d(frame, truth) == pytest.approx(expected, abs=1e-6)

    def test_every_psnr_of_a_score(self, kind: str) -> None:
        frame, truth = pair(kind)
        real = to_tensor(Image(frame)) + 0.4 * (torch.rand(1, 3, *truth.shape[:2]) - 0.5) / 255
        found = metrics.score(real, truth)
        exact = real[0].permute(1, 2, 0).clamp(0, 1).double().numpy()
        luma = np.array([0.299, 0.587, 0.114])
        # Within half a level of the picture: rounding finds it again, truncation mostly one level less.
        assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, frame), abs=1e-6)
        assert found["mse"] == pytest.approx(np.mean((frame - truth.astype(float)) ** 2))
        assert found["psnr_float"] == pytest.approx(peak_signal_noise_ratio(truth / 255, exact, data_range=1), abs=1e-5)
        floor = np.floor(255 * real[0].permute(1, 2, 0).clamp(0, 1).numpy()).astype(np.uint8)
        assert found["psnr_truncated"] == pytest.approx(peak_signal_noise_ratio(truth, floor), abs=1e-6)
        assert found["psnr_luma"] == pytest.approx(
            peak_signal_noise_ratio(truth @ luma, frame @ luma, data_range=255), abs=1e-6
        )
        assert found["psnr_cropped"] == pytest.approx(
            peak_signal_noise_ratio(truth[10:-10, 10:-10], frame[10:-10, 10:-10]), abs=1e-6
        )


def test_equal_pictures_are_perfect():
    truth = pair("noise")[1]
    found = metrics.score(to_tensor(Image(truth)), truth)
    assert found["psnr"] == float("inf")
    assert found["psnr_float"] > 140  # float32 does not hold every k / 255
    assert found["ssim"] == found["ssim_7x7"] == pytest.approx(1)
    assert found["sharpness"] == found["sharpness_truth"]
    assert found.keys() <= metrics.PROTOCOL.keys() | {"sharpness_truth"}


def test_values_outside_the_range_are_clipped():
    truth = np.full((32, 40, 3), 255, np.uint8)
    assert metrics.score(torch.full((1, 3, 32, 40), 1.5), truth)["psnr_float"] == float("inf")


def test_blur_takes_sharpness_away():
    truth = pair("noise")[1]
    still = np.full_like(truth, 7)
    assert metrics.gradient_energy(still) == 0
    soft = ((truth[:, 1:].astype(int) + truth[:, :-1]) // 2).astype(np.uint8)
    assert metrics.gradient_energy(soft) < metrics.gradient_energy(truth)
    # A ramp of one grey level a pixel in x: the central difference is 2, its square 4.
    ramp = np.repeat(np.tile(np.arange(40, dtype=np.uint8), (32, 1))[..., None], 3, axis=2)
    assert metrics.gradient_energy(ramp) == 4


@pytest.mark.usefixtures("unchecked")
def test_pictures_that_cannot_be_compared_are_refused():
    with pytest.raises(InputError, match=r"the new frame is 40x32, the true one 40x33: score frames of one size"):
        metrics.score(torch.zeros(1, 3, 32, 40), np.zeros((33, 40, 3), np.uint8))
    with pytest.raises(InputError, match=r"a frame of 20x32 is too small to score"):
        metrics.score(torch.zeros(1, 3, 32, 20), np.zeros((32, 20, 3), np.uint8))
