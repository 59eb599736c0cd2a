"""The camera: an ideal one changes nothing, a real one blurs along the motion, brightens and adds noise."""

import dataclasses

import pytest
import torch

from eqvi.datasets import rendering
from eqvi.datasets.camera import Camera, expose
from eqvi.datasets.rendering import Layer, Scene, Trajectory
from eqvi.errors import InputError

SCENE = rendering.demo_scene(size=(72, 96))
TIMES = torch.tensor([-0.5, 0.0, 1.0])


def test_an_ideal_camera_gives_what_is_rendered():
    assert torch.equal(expose(SCENE, Camera(), TIMES), rendering.render(SCENE, TIMES))


@pytest.mark.parametrize("camera", [Camera(read_noise=0.01, seed=4), Camera(shutter=0.2, subframes=3, shot_noise=1e-4)])
def test_a_frame_depends_on_its_time_alone(camera):
    together = expose(SCENE, camera, TIMES)
    assert torch.equal(together[1:2], expose(SCENE, camera, 0.0))
    assert torch.equal(together, expose(SCENE, camera, TIMES))


def test_noise_has_the_given_deviation_and_differs_between_seeds():
    camera = Camera(read_noise=0.02, seed=1)
    clean = rendering.render(SCENE, 0.0)
    middle = (clean > 0.1) & (clean < 0.9)  # elsewhere it is clipped
    noise = (expose(SCENE, camera, 0.0) - clean)[middle]
    assert noise.std().item() == pytest.approx(0.02, rel=0.05)
    assert abs(noise.mean().item()) < 0.001
    other = (expose(SCENE, dataclasses.replace(camera, seed=2), 0.0) - clean)[middle]
    later = (expose(SCENE, camera, 1.0) - rendering.render(SCENE, 1.0))[middle]
    for independent in (other, later):
        assert abs(torch.corrcoef(torch.stack((noise, independent)))[0, 1].item()) < 0.05


def test_shot_noise_grows_with_the_light():
    clean = rendering.render(SCENE, 0.0)
    noise = expose(SCENE, Camera(shot_noise=4e-4), 0.0) - clean
    bright, dark = (clean > 0.6) & (clean < 0.9), (clean > 0.15) & (clean < 0.3)
    assert noise[bright].std() > 1.4 * noise[dark].std()


def test_brightening_multiplies_linear_light():
    lit = expose(SCENE, Camera(brightening=0.3), 1.0)
    expected = (rendering.render(SCENE, 1.0).pow(2.2) * torch.tensor(0.3).exp()).pow(1 / 2.2).clamp(0, 1)
    torch.testing.assert_close(lit, expected, atol=1e-5, rtol=0)


def test_blur_lies_along_the_motion():
    background = Layer("grass", anchor=(250, 250), centre=(48, 36), trajectory=Trajectory(velocity=(30, 0)))
    scene = Scene((72, 96), (background,))
    sharp, blurred = rendering.render(scene, 0.0), expose(scene, Camera(shutter=0.3, subframes=7), 0.0)
    across, down = (blurred.diff(dim=dim).square().mean() / sharp.diff(dim=dim).square().mean() for dim in (3, 2))
    assert across < 0.3 * down
    torch.testing.assert_close(blurred.pow(2.2).mean(), sharp.pow(2.2).mean(), atol=0.01, rtol=0)


def test_blurred_frames_are_still_registered_by_exact_flow():
    """The middle of the exposure is the frame's time: what moves evenly is blurred the same in both frames."""
    background = Layer("grass", anchor=(250, 250), centre=(48, 36), trajectory=Trajectory(velocity=(6, 0)))
    first, second = expose(Scene((72, 96), (background,)), Camera(shutter=0.4, subframes=5), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(first[:, :, :-6], second[:, :, 6:], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"shutter": 0.2}, "motion blur"), ({"subframes": 3}, "motion blur"), ({"subframes": 0}, "motion blur"),
     ({"read_noise": -1.0}, "negative")],
)  # fmt: skip
def test_impossible_cameras_are_refused(wrong, named):
    with pytest.raises(InputError, match=named):
        Camera(**wrong)
