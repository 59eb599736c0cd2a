"""Layers of training windows: what they draw, and the exactness of their flow."""

import random

import cv2
import numpy as np
import pytest
from pictures_folder import fill

from eqvi.datasets.layer_paths import LayerPath, draw_shake
from eqvi.datasets.layers import OVERSAMPLING, Bending, Layer, draw_layers, exact_flow
from eqvi.datasets.pictures import Pictures, load_pictures
from eqvi.datasets.window_scenes import draw_scene

SIZE = 96


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return load_pictures(fill(tmp_path_factory.mktemp("pictures")))


def background(path: LayerPath, bending: Bending | None = None) -> Layer:
    noise = np.random.default_rng(1).uniform(0, 1, (400, 400, 3)).astype(np.float32)
    return Layer(cv2.GaussianBlur(noise, (0, 0), 3), (200.0, 200.0), (47.5, 47.5), path, bending=bending)


def square(path: LayerPath) -> Layer:
    texture = np.zeros((60, 60, 4), np.float32)
    texture[10:50, 10:50] = [0.2, 0.8, 0.4, 1.0]
    return Layer(cv2.GaussianBlur(texture, (0, 0), 1), (29.5, 29.5), (47.5, 47.5), path)


def test_a_shift_moves_the_frame_by_its_pixels() -> None:
    still, moving = background(LayerPath()), background(LayerPath(velocity=(3, -2)))
    before, after = draw_layers([still], SIZE, 1.0), draw_layers([moving], SIZE, 1.0)
    np.testing.assert_allclose(after[10:60, 20:70], before[12:62, 17:67], atol=1e-5)
    flow = exact_flow([moving], SIZE, 0.25, (0.0, 1.0)).flow
    np.testing.assert_allclose(flow[0], np.broadcast_to([[[-0.75]], [[0.5]]], flow[0].shape), atol=1e-4)
    np.testing.assert_allclose(flow[1], np.broadcast_to([[[2.25]], [[-1.5]]], flow[0].shape), atol=1e-4)


def test_a_thing_hides_what_is_behind_it() -> None:
    layers = [background(LayerPath()), square(LayerPath(velocity=(12, 0)))]
    exact = exact_flow(layers, SIZE, 0.0, (1.0,))
    assert exact.flow[0, 0, 47, 47] == pytest.approx(12, abs=1e-3)
    assert exact.flow[0, 0, 47, 75] == 0
    # The square covers columns 38 to 57, and 50 to 69 later.
    assert exact.visible[0, 47, 47]
    assert not exact.visible[0, 47, 63]  # background that it moves over
    assert exact.visible[0, 47, 75]
    assert not exact.visible[0, 47, 38]  # its rim shows two motions
    assert not exact_flow(layers, SIZE, 0.0, (4.0,)).visible[0, 47, 54]  # moved out of the frame


def test_a_shadow_darkens_without_a_flow_of_its_own() -> None:
    ground, thing = background(LayerPath()), square(LayerPath(velocity=(12, 0)))
    dark = thing.texture * np.float32([0, 0, 0, 0.4])
    shadow = Layer(dark, thing.anchor, thing.centre, thing.path, is_shadow=True)
    lit, shaded = draw_layers([ground], SIZE, 0.0), draw_layers([ground, shadow], SIZE, 0.0)
    np.testing.assert_allclose(shaded[47, 47], 0.6 * lit[47, 47], rtol=1e-4)
    exact = exact_flow([ground, shadow], SIZE, 0.0, (1.0,))
    assert np.abs(exact.flow).max() < 1e-4
    assert exact.visible.all()


@pytest.mark.parametrize("follows", [False, True])
def test_bending_is_inverted(follows: bool) -> None:
    knots = np.random.default_rng(2).standard_normal((2, 4, 4)).astype(np.float32) * (0.05 if follows else 2)
    field = np.dstack([cv2.resize(part, (193, 193), interpolation=cv2.INTER_CUBIC) for part in knots])
    layer = background(LayerPath(velocity=(4, 2), spin=0.05, growth=0.02), Bending(field, 0.2, 0.5, follows))
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    back = layer.to_frame(*layer.to_texture(x, y, 0.7), 0.7)
    assert max(np.abs(back[0] - x).max(), np.abs(back[1] - y).max()) < 0.02
    rigid = background(layer.path)
    assert np.abs(layer.to_texture(x, y, 0.7)[0] - rigid.to_texture(x, y, 0.7)[0]).max() > 0.2 * OVERSAMPLING


@pytest.mark.parametrize("seed", range(6))
def test_flow_makes_the_frame_at_t_from_its_neighbours(pictures: Pictures, seed: int) -> None:
    layers = [layer for layer in draw_scene(random.Random(seed), pictures, SIZE, 0.8).layers if not layer.is_shadow]
    exact = exact_flow(layers, SIZE, 0.4, (0.0, 1.0))
    truth = draw_layers(layers, SIZE, 0.4)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    for end, flow, visible in zip((0.0, 1.0), exact.flow, exact.visible, strict=True):
        frame = draw_layers(layers, SIZE, end)
        warped = cv2.remap(frame, x + flow[0], y + flow[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        inner = visible & (np.minimum(x, y) > 1)
        assert visible.mean() > 0.05
        assert np.abs(warped - truth).mean(axis=2)[inner].mean() < 0.006


def test_shake_is_as_large_as_asked_and_keeps_to_its_band() -> None:
    shakes = [draw_shake(random.Random(seed), 2.0, 0.3) for seed in range(20)]
    assert max(shake.frequency.max() for shake in shakes) <= 0.3
    times = np.linspace(0, 400, 4000)
    paths = np.stack([[shake.at(time)[:2] for time in times] for shake in shakes])
    sizes = np.hypot(*paths.std(axis=1).T)
    np.testing.assert_allclose(sizes, 2.0, rtol=0.15)  # slow waves do not fit the time
    assert not shakes[0].at(0.0).any()
