"""Scenes drawn at random: repeatable, of the kind asked for, with no image in both training and validation."""

from typing import get_args

import pytest
import torch

from eqvi.datasets import random_scenes
from eqvi.datasets.camera import expose
from eqvi.datasets.photographs import SPLITS
from eqvi.datasets.rendering import Layer, PathKind, Scene, Trajectory, exact_flow
from eqvi.errors import InputError

SIZE = (72, 128)


def test_a_seed_draws_the_same_clip_and_another_draws_another():
    clip = random_scenes.draw_clip(5, "val", SIZE)
    assert clip == random_scenes.draw_clip(5, "val", SIZE)
    assert clip != random_scenes.draw_clip(6, "val", SIZE)
    assert clip.scene != random_scenes.draw_clip(5, "train", SIZE).scene


def test_more_clips_begin_with_the_same_ones():
    few, many = (random_scenes.draw_clips(count, 2, "val", SIZE) for count in (3, 6))
    assert few == dict(list(many.items())[:3])
    assert list(many) == ["000", "001", "002", "003", "004", "005"]
    assert [clip.kind for clip in many.values()][:4] == list(get_args(PathKind))


@pytest.mark.parametrize("split", ["train", "val"])
def test_images_are_of_the_split(split):
    names = {
        layer.photograph for seed in range(40) for layer in random_scenes.draw_clip(seed, split, SIZE).scene.layers
    }
    procedural = {name for name in names if ":" in name}
    assert names - procedural == set(SPLITS[split])
    assert {int(name.split(":")[1]) % 2 for name in procedural} == {int(split == "val")}


@pytest.mark.parametrize("kind", get_args(PathKind))
def test_paths_are_of_the_kind(kind):
    for layer in random_scenes.draw_clip(1, "train", SIZE, kind).scene.layers:
        path = layer.trajectory
        assert path.velocity != (0, 0)
        assert (path.acceleration != (0, 0)) == (kind != "linear")
        assert (path.jerk != (0, 0)) == (kind == "cubic")
        assert (path.shake > 0) == (kind == "shake")


def test_motion_grows_with_the_frame_and_is_gentler_in_longer_clips():
    small, large = (random_scenes.draw_clip(3, "val", size, "cubic") for size in ((72, 128), (144, 256)))
    long = random_scenes.draw_clip(3, "val", SIZE, "cubic", intervals=45)
    speeds = [torch.tensor(clip.scene.layers[1].trajectory.velocity) for clip in (small, large, long)]
    torch.testing.assert_close(speeds[1], 2 * speeds[0])
    torch.testing.assert_close(speeds[2], speeds[0] * random_scenes.INTERVALS / 45)


def test_magnitude_of_a_known_motion():
    behind = Layer("brick", anchor=(250, 250), centre=(40, 30))
    disc = Layer("coins", (100, 100), (20, 30), radii=(8, 8), trajectory=Trajectory((12, 0), (4, 0)))
    clip = random_scenes.draw_clip(0, "val", (60, 80))
    still = clip.__class__(Scene((60, 80), (behind,)), clip.camera, "linear", "val", 0, 6)
    assert random_scenes.magnitude(still, 0.0) == pytest.approx((0, 0, 0), abs=1e-4)
    moving = clip.__class__(Scene((60, 80), (behind, disc)), clip.camera, "quadratic", "val", 0, 6)
    share = torch.pi * 8**2 / (60 * 80)
    motion, acceleration, occlusion = random_scenes.magnitude(moving, 0.0)
    assert motion == pytest.approx(14 * share, rel=0.03)
    assert acceleration == pytest.approx(4 * share, rel=0.03)
    assert 0 < occlusion < 2 * share


def test_frames_are_registered_by_exact_flow():
    clip = random_scenes.draw_clip(1, "val", SIZE, "quadratic")
    assert all(layer.lobes for layer in clip.scene.layers[1:])
    flow, occluded, mixed = exact_flow(clip.scene, 0.0, 0.0)
    torch.testing.assert_close(flow, torch.zeros_like(flow), atol=2e-5, rtol=0)
    assert occluded.float().mean() < 0.02
    assert mixed.float().mean() < 0.25


def test_the_device_is_followed(device):
    clip = random_scenes.draw_clip(2, "train", (48, 64))
    here = expose(clip.scene, clip.camera, torch.tensor([0.5], device=device))
    assert here.device.type == device.type
    torch.testing.assert_close(here.cpu(), expose(clip.scene, clip.camera, torch.tensor([0.5])), atol=2e-3, rtol=0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, "test", SIZE), "split 'test'"), ((0, "val", SIZE, "spiral"), "path 'spiral'"), ((0, "val", (8, 8)), "8x8")],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        random_scenes.draw_clip(*arguments)
