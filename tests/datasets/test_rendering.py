"""Rendered clips: their exact flow registers their frames, and their paths are of their kind."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from eqvi import metrics
from eqvi.datasets import photographs, random_scenes, rendering
from eqvi.datasets.rendering import Layer, Scene, Trajectory
from eqvi.errors import InputError
from eqvi.model.geometry import pixel_grid

KINDS = ("linear", "quadratic", "cubic", "shake")
SMALL = (108, 192)


def bicubic_warp(image, flow):
    height, width = image.shape[-2:]
    extent = flow.new_tensor([width - 1, height - 1]).view(1, 2, 1, 1)
    grid = (2 * (pixel_grid(height, width, flow) + flow) / extent - 1).permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=True)


def decibels(error):
    return -10 * torch.log10(error.square().mean()).item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, -1.0), (0.25, 2.0)])
def test_exact_flow_registers_the_frames(kind, start, end):
    scene = rendering.demo_scene(kind)
    first, second = rendering.render(scene, torch.tensor([start, end])).split(1)
    flow, occluded, mixed = rendering.exact_flow(scene, start, end)
    good = ~(occluded | mixed)
    difference = (bicubic_warp(second, flow) - first).permute(1, 0, 2, 3)[:, good[:, 0]]
    assert good.float().mean() > 0.75
    assert decibels(difference) > 46


def test_a_flow_off_by_half_a_pixel_registers_far_worse():
    scene = rendering.demo_scene("quadratic")
    first, second = rendering.render(scene, torch.tensor([0.0, 1.0])).split(1)
    flow, occluded, mixed = rendering.exact_flow(scene, 0, 1)
    good = ~(occluded | mixed)[:, 0]
    difference = (bicubic_warp(second, flow + 0.5) - first).permute(1, 0, 2, 3)[:, good]
    assert decibels(difference) < 40


@pytest.mark.parametrize("seed", range(4))
def test_exact_flow_registers_scenes_drawn_at_random(seed):
    scene = random_scenes.draw_clip(seed, "val", (144, 256)).scene
    first, second = rendering.render(scene, torch.tensor([0.0, 1.0])).split(1)
    flow, occluded, mixed = rendering.exact_flow(scene, 0, 1)
    good = ~(occluded | mixed)[:, 0]
    assert good.float().mean() > 0.6
    assert decibels((bicubic_warp(second, flow) - first).permute(1, 0, 2, 3)[:, good]) > 38
    assert decibels((bicubic_warp(second, flow + 0.5) - first).permute(1, 0, 2, 3)[:, good]) < 36


def test_a_layer_changes_nothing_outside_its_bounds(monkeypatch):
    scene = random_scenes.draw_clip(3, "train", SMALL, "shake").scene
    times = torch.tensor([-20.0, -1.0, 0.0, 2.5])
    restricted = rendering.render(scene, times)
    monkeypatch.setattr(rendering, "_bounds", lambda layer, time, size: (slice(0, size[0]), slice(0, size[1])))
    torch.testing.assert_close(restricted, rendering.render(scene, times), atol=1e-5, rtol=0)


def test_lobes_and_channels_show():
    disc = Layer("coffee", anchor=(300, 200), centre=(40, 30), radii=(14, 14))
    still = Layer("brick", anchor=(100, 100), centre=(40, 30))
    lobed = dataclasses.replace(disc, lobes=((0.3, 0.0),))
    flows = [
        rendering.exact_flow(Scene((60, 80), (still, dataclasses.replace(layer, trajectory=Trajectory((5, 0))))), 0, 1)
        for layer in (disc, lobed)
    ]
    moved = [flow.flow[0, 0] > 2.5 for flow in flows]
    # Two waves around the disc: it grows across by 0.3 of its radius and shrinks as much down.
    assert (moved[0].any(0).sum() / moved[0].any(1).sum()).item() == pytest.approx(1, abs=0.05)
    assert (moved[1].any(0).sum() / moved[1].any(1).sum()).item() == pytest.approx(1.3 / 0.7, abs=0.15)
    frame = rendering.render(Scene((60, 80), (disc,)), 0.0)
    swapped = rendering.render(Scene((60, 80), (dataclasses.replace(disc, channels=(2, 0, 1)),)), 0.0)
    assert torch.equal(swapped, frame[:, [2, 0, 1]])


def test_rendering_is_repeatable_and_independent_of_the_batch():
    scene = rendering.demo_scene("shake", SMALL)
    times = torch.tensor([-1.0, 0.0, 0.5])
    together = rendering.render(scene, times)
    rendering._texture.cache_clear()
    assert torch.equal(together, rendering.render(scene, times))
    torch.testing.assert_close(together[2:], rendering.render(scene, 0.5), atol=1e-5, rtol=0)
    assert together.dtype == torch.float32
    assert together.min() >= 0
    assert together.max() <= 1


def test_dtype_follows_the_times():
    times = torch.tensor([0.5], dtype=torch.float64)
    scene = rendering.demo_scene(size=SMALL)
    assert rendering.render(scene, times).dtype == torch.float64
    assert rendering.exact_flow(scene, times, times + 1).flow.dtype == torch.float64


@pytest.mark.parametrize("kind", ["linear", "quadratic"])
def test_quadratic_path_has_constant_acceleration(kind):
    path = rendering.demo_scene(kind).layers[-1].trajectory
    position = path.displacement(torch.arange(-3, 4, dtype=torch.float64) / 2)
    acceleration = position.diff(n=2, dim=0) / 0.5**2
    torch.testing.assert_close(acceleration, acceleration.new_tensor([path.acceleration]).expand_as(acceleration))


def test_cubic_path_has_constant_jerk_and_shake_is_bounded():
    times = torch.arange(-3, 4, dtype=torch.float64)
    cubic = Trajectory(velocity=(1, 2), acceleration=(3, -1), jerk=(-2, 5))
    torch.testing.assert_close(
        cubic.displacement(times).diff(n=3, dim=0), torch.tensor([[-2.0, 5.0]], dtype=torch.float64).expand(4, 2)
    )
    shaken = Trajectory(shake=3, seed=1)
    assert shaken.displacement(times).abs().max() <= 2 * 3 * 2
    assert torch.equal(shaken.displacement(times[3:4]), torch.zeros(1, 2, dtype=torch.float64))
    assert not torch.equal(shaken.displacement(times), dataclasses.replace(shaken, seed=2).displacement(times))


def test_flow_to_the_same_time_is_zero_and_hides_nothing():
    flow, occluded, _ = rendering.exact_flow(rendering.demo_scene(size=SMALL), 0.5, 0.5)
    torch.testing.assert_close(flow, torch.zeros_like(flow), atol=2e-5, rtol=0)
    assert occluded.float().mean() < 0.01


def test_flows_there_and_back_cancel():
    scene = rendering.demo_scene("cubic")
    there = rendering.exact_flow(scene, 0, 1)
    back = rendering.exact_flow(scene, 1, 0)
    returned = there.flow + bicubic_warp(back.flow, there.flow)
    good = ~(there.occluded | there.mixed)
    # Bicubic weights reach two pixels over the edge of the portrait, where the other motion is.
    inner = -F.max_pool2d(-good.float(), 9, 1, 4) > 0.5
    assert returned.norm(dim=1, keepdim=True)[inner].max() < 5e-3


def test_a_layer_in_front_occludes_what_it_covers():
    still = Layer("brick", anchor=(100, 100), centre=(40, 30))
    disc = Layer("coins", anchor=(100, 100), centre=(20, 30), radii=(8, 8), trajectory=Trajectory(velocity=(30, 0)))
    flow, occluded, _ = rendering.exact_flow(Scene((60, 80), (still, disc)), 0, 1)
    assert flow[0, :, 30, 20].tolist() == [30, 0]
    assert not occluded[0, 0, 30, 20]
    assert flow[0, :, 30, 50].tolist() == [0, 0]
    assert occluded[0, 0, 30, 50]
    assert not occluded[0, 0, 5, 5]


def test_photographs_are_bundled_and_in_range():
    for name in photographs.PHOTOGRAPHS:
        picture = photographs.photograph(name)
        assert picture.shape[:2] == (1, 3)
        assert picture.dtype == torch.float32
        assert picture.min() >= 0
        assert 0.5 < picture.max() <= 1


@pytest.mark.usefixtures("unchecked")
def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="photograph 'lena' is not known"):
        photographs.photograph("lena")
    with pytest.raises(InputError, match="path 'spiral' is not known"):
        rendering.demo_scene("spiral")


def test_stereo_truth_registers_the_views():
    pair = photographs.stereo_pair()
    flow_error = bicubic_warp(pair.right, pair.flow) - pair.left
    still_error = pair.right - pair.left
    known = pair.known.expand_as(flow_error)
    assert flow_error[known].abs().median() < 0.25 * still_error[known].abs().median()


def test_a_written_clip_contains_the_frames_and_replaces_an_older_one(tmp_path):
    frames = rendering.render(rendering.demo_scene(size=SMALL), torch.tensor([0.0, 1.0, 2.0]))
    folder = tmp_path / "new" / "clip"
    rendering.write_clip(folder, frames)
    rendering.write_clip(folder, frames[:2])
    assert [file.name for file in folder.parent.iterdir()] == ["clip"]
    assert sorted(file.name for file in folder.iterdir()) == ["00000.png", "00001.png"]
    assert np.array_equal(np.asarray(Image.open(folder / "00001.png")), metrics.to_8bit(frames[1:2]))
