"""Training windows: layout, repeatability, cameras."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures_folder import fill

from eqvi.datasets.digital_camera import PLAIN, DigitalCamera, draw_camera, record
from eqvi.datasets.pictures import Pictures, load_pictures
from eqvi.datasets.window_rendering import estimate_flows, render_window
from eqvi.datasets.windows import FRAMES, WINDOW_PAIRS
from eqvi.model.classical_flow import DIS
from eqvi.model.motion import FLOW_PAIRS

SIZE = 96


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return load_pictures(fill(tmp_path_factory.mktemp("pictures")))


def test_the_pairs_of_a_window_are_those_of_the_model_and_all_neighbours() -> None:
    assert WINDOW_PAIRS[:6] == tuple((a + 2, b + 2) for a, b in FLOW_PAIRS)
    neighbours = {pair for a, b in pairwise(range(FRAMES)) for pair in ((a, b), (b, a))}
    assert set(WINDOW_PAIRS) == neighbours | {(3, 5), (4, 2)}
    assert len(WINDOW_PAIRS) == 16


def test_a_window_has_the_layout_that_is_documented(pictures: Pictures) -> None:
    window = render_window(pictures, 0, 3, SIZE)
    shapes = {
        "frames": (8, 3, SIZE, SIZE), "truth": (3, SIZE, SIZE), "flow": (2, 2, SIZE, SIZE),
        "visibility": (2, SIZE, SIZE), "flows": (16, 2, SIZE, SIZE),
    }  # fmt: skip
    assert {name: getattr(window, name).shape for name in shapes} == shapes
    dtypes = {name: getattr(window, name).dtype.name for name in shapes}
    assert dtypes == dict.fromkeys(("frames", "truth", "visibility"), "uint8") | dict.fromkeys(
        ("flow", "flows"), "float16"
    )
    assert 0 < window.t < 1
    assert set(np.unique(window.visibility)) <= {0, 1}


def test_a_number_gives_the_same_window_and_another_number_another(pictures: Pictures) -> None:
    first, again, other = (render_window(pictures, 5, number, SIZE) for number in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.frames, other.frames)
    assert not np.array_equal(first.frames, render_window(pictures, 6, 1, SIZE).frames)


def test_flows_are_those_that_the_model_estimates(pictures: Pictures) -> None:
    frames = render_window(pictures, 0, 0, SIZE).frames
    flows = estimate_flows(frames)
    images = torch.from_numpy(frames).float() / 255
    for index, (a, b) in list(enumerate(WINDOW_PAIRS))[::5]:
        expected = DIS()(images[a : a + 1], images[b : b + 1])[0].numpy()
        np.testing.assert_allclose(flows[index], expected, rtol=1e-3, atol=1e-3)


def grey(time: float) -> np.ndarray:
    return np.full((64, 64, 3), 0.2 + 0.1 * time, np.float32)


def test_a_plain_camera_stores_gamma_coded_light() -> None:
    images = record(PLAIN, grey, (0.0, 1.0))
    assert images.shape == (2, 64, 64, 3)
    expected = [round(255 * light ** (1 / 2.2)) for light in (0.2, 0.3)]
    np.testing.assert_allclose(images[:, 5, 5, 0], expected, atol=1)


def test_an_exposure_averages_light() -> None:
    edge = DigitalCamera(shutter=1.0, exposures=2)
    image = record(edge, lambda time: np.full((4, 4, 3), float(time > 0), np.float32), (0.0,))
    np.testing.assert_allclose(image, 255 * 0.5 ** (1 / 2.2), atol=1)


def test_noise_grows_with_light_is_new_in_every_frame_and_repeats_with_the_seed() -> None:
    camera = DigitalCamera(read_noise=0.002, shot_noise=0.0005, gamma=1.0, seed=3)
    dark = record(camera, lambda _: np.full((64, 64, 3), 0.1, np.float32), (0.0, 1.0)).astype(float)
    bright = record(camera, lambda _: np.full((64, 64, 3), 0.8, np.float32), (0.0,)).astype(float)
    assert bright.std() == pytest.approx(255 * (0.002**2 + 0.0005 * 0.8) ** 0.5, rel=0.1)
    assert dark[0].std() == pytest.approx(255 * (0.002**2 + 0.0005 * 0.1) ** 0.5, rel=0.1)
    assert abs(np.corrcoef(dark[0].ravel(), dark[1].ravel())[0, 1]) < 0.1
    again = record(camera, lambda _: np.full((64, 64, 3), 0.1, np.float32), (0.0, 1.0))
    assert np.array_equal(again, dark.astype(np.uint8))


@pytest.mark.parametrize(
    "changes",
    [
        {"mosaic": True}, {"smoothing": 0.8}, {"sharpening": (1.0, 1.0)}, {"jpeg": 60}, {"halved_colour": True},
        {"contrast": 0.5}, {"saturation": 0.3}, {"drift": 0.1}, {"h264": 25},
    ],
)  # fmt: skip
def test_each_part_of_a_camera_changes_the_frames_a_little(changes: dict[str, object]) -> None:
    rng = np.random.default_rng(0)
    light = np.roll(rng.uniform(0, 1, (8, 8, 3)).astype(np.float32).repeat(8, 0).repeat(8, 1), 1, (0, 1))
    plain = record(PLAIN, lambda _: light.copy(), (0.0, 1.0)).astype(int)
    other = record(DigitalCamera(**changes), lambda _: light.copy(), (0.0, 1.0)).astype(int)  # type: ignore[arg-type]
    difference = np.abs(other[1] - plain[1])
    assert difference.max() > 2
    assert difference.mean() < 40


def test_cameras_differ_and_blur_in_steps_of_a_pixel() -> None:
    cameras = [draw_camera(random.Random(seed), 20) for seed in range(60)]
    for name in ("jpeg", "h264", "mosaic", "shutter", "shot_noise", "sharpening", "halved_colour"):
        assert len({getattr(camera, name) for camera in cameras}) > 1, name
    assert all(camera.exposures <= 7 for camera in cameras)
    assert all(draw_camera(random.Random(seed), 0.0).exposures == 1 for seed in range(20))


def test_the_project_holds_no_path_of_a_picture(pictures: Pictures, tmp_path: Path) -> None:
    assert str(tmp_path.parent) not in str(pictures.record)
