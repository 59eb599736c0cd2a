"""Pictures to render from: a folder's, or those of scikit-image."""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures_folder import fill

from eqvi.datasets.photographs import SPLITS, photograph
from eqvi.datasets.pictures import load_pictures, picture_split
from eqvi.errors import InputError
from eqvi.metrics import to_8bit


def test_a_folder_gives_photographs_and_cutouts_as_pyramids(tmp_path: Path) -> None:
    pictures = load_pictures(fill(tmp_path))
    assert len(pictures.photographs) == 3
    assert len(pictures.cutouts) == 1
    first, second = pictures.photographs[0][:2]
    assert first.shape == (256, 256, 3)
    assert second.shape == (128, 128, 3)
    assert np.abs(first.reshape(128, 2, 128, 2, 3).mean((1, 3)) - second).max() <= 0.5
    cutout = pictures.cutout(random.Random(0))
    assert cutout is not None
    assert cutout[0].shape == (80, 80, 4)
    assert pictures.record == load_pictures(tmp_path).record
    assert pictures.record["photographs"] == 3


def test_colours_are_rgb(tmp_path: Path) -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[..., 2] = 200  # red for OpenCV
    cv2.imwrite(str(tmp_path / "picture1.png"), image)
    assert picture_split("picture1") == "train"
    assert load_pictures(tmp_path).photographs[0][0][0, 0].tolist() == [200, 0, 0]


def test_another_picture_changes_the_record(tmp_path: Path) -> None:
    before = load_pictures(fill(tmp_path)).record
    cv2.imwrite(str(next(tmp_path.glob("picture*.png"))), np.zeros((200, 200, 3), np.uint8))
    assert load_pictures(tmp_path).record["sha256"] != before["sha256"]


def test_splits_share_no_picture(tmp_path: Path) -> None:
    names = [f"picture{number}" for number in range(400)]
    validation = sum(picture_split(name) == "val" for name in names)
    assert 25 < validation < 80
    fill(tmp_path)
    with pytest.raises(InputError, match="has no photograph for val"):
        load_pictures(tmp_path, "val")


def test_without_a_folder_the_photographs_of_the_wheel_serve() -> None:
    pictures = load_pictures(None, "val")
    there = {level[0].tobytes() for level in pictures.photographs}
    assert {to_8bit(photograph(name)).tobytes() for name in SPLITS["val"]} <= there
    assert not {to_8bit(photograph(name)).tobytes() for name in SPLITS["train"]} & there
    assert pictures.cutout(random.Random(0)) is None
    assert "scikit-image" in pictures.record["source"]


def test_bad_folders_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent: is no folder of pictures"):
        load_pictures(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "broken0.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="none can be read"):
        load_pictures(tmp_path)
    cv2.imwrite(str(tmp_path / "picture1.png"), np.zeros((40, 300, 3), np.uint8))
    with pytest.raises(InputError, match="1 are smaller than 192 pixels"):
        load_pictures(tmp_path)
