"""How hard windows are: every measure on windows of which it is known."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from pictures_folder import fill

from eqvi.__main__ import main
from eqvi.datasets.pictures import load_pictures
from eqvi.datasets.windows import WINDOW_PAIRS
from eqvi.errors import InputError
from eqvi.evaluation import difficulty
from eqvi.reports import difficulty as report

SIDE = 32


def constant(x: float, y: float) -> torch.Tensor:
    return torch.tensor([x, y]).view(2, 1, 1).expand(2, SIDE, SIDE)


def test_motion_of_a_known_path() -> None:
    # p(s) = 3 s + 2 s^2 / 2 + 6 s^3 / 6 along x.
    position = {s: 3 * s + s * s + s**3 for s in (-1, 1, 2)}
    flows = torch.stack([constant(position.get(s, 0), 0.0) for s in (-1, 1, 2, 9, 9, 9)])[None]
    speed, fastest, acceleration, jerk = difficulty.motion(flows)
    assert (speed, fastest, acceleration) == pytest.approx((5, 5, 2), abs=1e-5)
    assert jerk == pytest.approx(6, abs=1e-5)


@pytest.mark.parametrize("wave", [1, 2, 3])
def test_shake_is_found_at_its_frequency(wave: int) -> None:
    times = np.arange(8)
    path = 5 * np.cos(2 * np.pi * wave * times / 8 + 0.3)
    flows = torch.stack([constant(path[b] - path[a], 0.0) for a, b in WINDOW_PAIRS])[None].float()
    amplitudes = difficulty.shake(flows)
    assert int(np.argmax(amplitudes)) == wave - 1
    still = difficulty.shake(torch.zeros_like(flows))
    assert still == (0, 0, 0, 0)
    pan = torch.stack([constant(4.0 * (b - a), 0.0) for a, b in WINDOW_PAIRS])[None]
    assert max(difficulty.shake(pan)) < 1e-5


def test_occlusion_noise_sharpness_and_blocks() -> None:
    there = constant(2.0, 0.0)[None].contiguous()
    assert difficulty.occlusion(there, -there) == 0
    assert difficulty.occlusion(there, there) == 1
    rng = np.random.default_rng(0)
    flat = np.full((128, 128), 100, np.float32)
    assert difficulty.noise(flat + rng.normal(0, 3, flat.shape).astype(np.float32)) == pytest.approx(3, rel=0.1)
    smooth = cv2.GaussianBlur(rng.normal(100, 60, flat.shape).astype(np.float32), (0, 0), 1)
    blurred = cv2.GaussianBlur(smooth, (0, 0), 2)
    assert difficulty.sharpness(smooth) > 1.5 * difficulty.sharpness(blurred)
    averaged = blurred.reshape(16, 8, 16, 8).mean((1, 3)).repeat(8, 0).repeat(8, 1)
    assert difficulty.blocks(averaged + 0.1 * blurred) > 2
    assert abs(difficulty.blocks(blurred)) < 0.3


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip") / "pan"
    folder.mkdir()
    wide = cv2.GaussianBlur(np.random.default_rng(1).uniform(0, 255, (260, 360, 3)), (0, 0), 2)
    wide = np.clip(128 + 8 * (wide - wide.mean()), 0, 255).astype(np.uint8)
    for number in range(17):
        cv2.imwrite(str(folder / f"{number:03d}.png"), wide[:, 2 * number : 2 * number + 300])
    return folder


def test_windows_of_a_clip_have_its_spacing_and_the_true_middle(clip: Path) -> None:
    windows = list(difficulty.clip_windows(clip, 2, 2))
    assert [window.frames.shape for window in windows] == [(8, 3, 256, 256)] * 2
    for window in windows:
        # The camera pans by 2 pixels a frame: 4 from one input to the next, 2 to the frame in the middle.
        assert np.array_equal(window.frames[3][..., 4:], window.frames[4][..., :-4])
        assert np.array_equal(window.frames[3][..., 2:], window.truth[..., :-2])


def test_rows_of_a_pan_and_of_rendered_windows_are_written_and_read(clip: Path, tmp_path: Path) -> None:
    out, pictures = tmp_path / "difficulty.csv", fill(tmp_path, side=320)
    arguments = [str(clip), "--pictures", str(pictures), "--rendered", "2", "--each", "1", "--out", str(out)]
    with pytest.raises(InputError, match="17 frames, a window takes 29"):
        list(difficulty.clip_rows(clip, 4, 1))
    assert main(["difficulty", *arguments]) == 2  # x4 takes a longer clip
    assert not out.exists()
    [row] = difficulty.clip_rows(clip, 2, 1)
    assert row.speed == pytest.approx(4, abs=0.1)
    assert row.acceleration < 0.2
    assert row.common_exact is None
    rows = [row, *difficulty.rendered_rows(load_pictures(pictures), 2)]
    assert all(rendered.common_exact is not None for rendered in rows[1:])
    pd.DataFrame(rows).to_csv(out, index=False)
    assert {name: len(part) for name, part in report.groups(tmp_path).items()} == {"rendered": 2, "real, x2": 1}
    table = report.quantiles(tmp_path)
    assert table.loc[("speed, px", "real, x2"), "50%"] == pytest.approx(row.speed)
    assert report.groups(tmp_path / "none") == {}
    assert report.quantiles(tmp_path / "none").empty
    out.write_text("no,rows\n1,2\n")
    with pytest.raises(InputError, match="cannot be read"):
        report.groups(tmp_path)
