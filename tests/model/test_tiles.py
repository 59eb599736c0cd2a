"""Tiles: they cover a frame once, and a frame made of them is the frame made at once."""

import dataclasses

import pytest
import torch
from torch import Tensor

from eqvi.datasets.rendering import demo_scene, render
from eqvi.model import tiles
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.model.registry import load_model
from eqvi.model.tiles import ALIGNED, Box, cores, smallest_pixels, tiled


@pytest.mark.parametrize(("height", "width"), [(2160, 3840), (1080, 1920), (700, 131), (333, 1001)])
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_cores_cover_a_frame_once_and_are_small_enough(height: int, width: int, share: float) -> None:
    most = max(int(share * height * width), smallest_pixels(height, width))
    boxes = cores(height, width, most)
    counts = torch.zeros(height, width, dtype=torch.int8)
    for box in boxes:
        box.cut(counts).add_(1)
        assert box.widened(tiles.MARGIN + tiles.LARGEST_REACH, height, width).pixels <= most
        assert box.top % ALIGNED == box.left % ALIGNED == 0
    assert (counts == 1).all()
    assert (len(boxes) == 1) == (most >= height * width)


def test_a_tile_that_cannot_be_is_none() -> None:
    assert cores(2160, 3840, 100_000) == []
    assert cores(2160, 3840, smallest_pixels(2160, 3840))


def test_a_margin_ends_at_the_frame_and_at_aligned_places() -> None:
    assert Box(64, 32, 100, 90).widened(40, 120, 500) == Box(0, 0, 120, 160)
    assert Box(128, 256, 192, 320).widened(32, 1000, 1000) == Box(96, 224, 224, 352)


def window(height: int, width: int, shift: int) -> Tensor:
    """Four frames of texture that moves to the right by `shift` pixels, with a still part."""
    coarse = torch.rand(1, 3, height // 8, width // 8 + 64)
    wide = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bicubic").clamp(0, 1)
    frames = torch.stack([wide[..., :height, shift * k + 64 : shift * k + 64 + width] for k in range(4)], dim=1)
    frames[..., : height // 4, :] = frames[:, :1, :, : height // 4, :]
    return frames


@pytest.mark.parametrize("name", ["eqvi-quarter-dis", "baseline"])
@pytest.mark.parametrize(("height", "width"), [(192, 928), (180, 934)])
def test_a_frame_of_tiles_is_the_frame_made_at_once(name: str, height: int, width: int) -> None:
    """Within 0.1 of 255 grey levels, with the weights that users have; also where levels are not exactly halved."""
    model, _ = load_model(name)
    frames = window(height, width, 5)
    grid = [Box(0, 0, height, 384), Box(0, 384, height, width)]
    assert grid[0].widened(tiles.MARGIN + tiles.LARGEST_REACH, height, width).right < width
    with torch.inference_mode():
        whole = model(frames, 0.5)
        parts = tiled(model, lambda height, width: grid)(frames, 0.5)
    for field, limit in (("frame", 0.1 / 255), ("mask", 0.01), ("flow_t1", 0.02), ("flow_t2", 0.02)):
        difference = (getattr(whole, field) - getattr(parts, field)).abs().max().item()
        assert difference < limit, field
    assert parts.warped_1.shape == whole.warped_1.shape
    assert parts.warped_1.isnan().all(), "what is not kept must not look like a value"


def test_the_margin_is_wide_enough_for_edges_that_move_fast() -> None:
    """A scene that has shown a seam of 0.18 grey levels with a margin of 128."""
    model, _ = load_model("eqvi-quarter-dis")
    frames = render(demo_scene("cubic", (320, 560)), torch.tensor([-1.0, 0.0, 1.0, 2.0]))[None]
    grid = [Box(0, 0, 320, 160), Box(0, 160, 320, 560)]
    with torch.inference_mode():
        motion = model.estimate_motion(frames)
        whole = model.interpolate(frames, motion, 0.5).frame
        parts = tiled(model, lambda height, width: grid).interpolate(frames, motion, 0.5).frame
        assert 255 * (whole - parts).abs().max() < 0.02
        assert torch.equal(model.interpolate(frames, motion, 0.5).frame, whole), "the model itself stays as it was"


def test_a_margin_that_is_too_narrow_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "LARGEST_REACH", 0)
    model, _ = load_model("eqvi-quarter-dis")
    frames = window(128, 320, 5)
    grid = [Box(0, 0, 128, 160), Box(0, 160, 128, 320)]
    with torch.inference_mode():
        difference = model(frames, 0.5).frame - tiled(model, lambda height, width: grid, 0)(frames, 0.5).frame
    assert difference.abs().max() > 1 / 255


@pytest.mark.parametrize("tiles_of_a_frame", [1, 2])
def test_what_flow_estimators_freed_goes_back_before_tiles(
    tiles_of_a_frame: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[bool] = []
    monkeypatch.setattr(tiles, "release_memory", lambda: released.append(True))
    model = EQVI(PRESETS["eqvi-eighth-dis"]).eval()
    grid = [Box(0, 0, 64, 128)] if tiles_of_a_frame == 1 else [Box(0, 0, 64, 64), Box(0, 64, 64, 128)]
    own = tiled(model, lambda height, width: grid)
    with torch.inference_mode():
        own.estimate_motion(window(64, 128, 2), own.estimate_motion(window(64, 128, 2)))
    assert len(released) == 2 * (tiles_of_a_frame > 1)


def test_one_tile_is_the_model_itself() -> None:
    model = EQVI(dataclasses.replace(PRESETS["eqvi-eighth-dis"], multi_scale=True)).eval()
    frames = window(128, 160, 2)
    with torch.inference_mode():
        whole, one = model(frames, 0.5), tiled(model, lambda height, width: [Box(0, 0, height, width)])(frames, 0.5)
    for field, same in zip(whole[:-1], one[:-1], strict=True):
        assert field is same is None or torch.equal(field, same)
