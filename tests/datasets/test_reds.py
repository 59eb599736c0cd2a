"""REDS_VTSR's layout: clips to evaluate on, and what is refused."""

import shutil
from fractions import Fraction
from pathlib import Path

import pytest
from reds_copy import png, write_copy

from eqvi.datasets.reds import VTSR5, infer_rate, open_reds
from eqvi.errors import InputError


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return write_copy(tmp_path / "REDS_VTSR", rates=(15, 30, 60), last=48)


@pytest.mark.parametrize("factor", [2, 4])
def test_whole_clip_has_the_published_number_of_scored_frames(tmp_path: Path, factor: int) -> None:
    (clip,) = open_reds(write_copy(tmp_path, (15, 15 * factor), ["007"]), factor=factor)
    targets = list(clip.targets())
    assert (clip.factor, clip.inputs.size) == (factor, (16, 12))
    assert len(clip.inputs.positions) == 46
    assert len(clip.truth.positions) == 45 * factor + 1
    assert sorted({index for index, _, _ in targets}) == list(range(45))
    assert len(targets) * 30 == {2: 1350, 4: 4050}[factor]


def test_targets_lie_between_two_inputs_in_the_folder_of_the_truth(copy: Path) -> None:
    clip, _ = open_reds(copy, factor=4)
    targets = list(clip.targets())
    assert [(index, t, path.name) for index, t, path in targets[3:6]] == [
        (1, Fraction(1, 4), "00000010.png"),
        (1, Fraction(1, 2), "00000012.png"),
        (1, Fraction(3, 4), "00000014.png"),
    ]
    assert clip.inputs.paths()[1].name == "00000008.png"
    assert {path.parent.parent.name for path in clip.inputs.paths()} == {"val_15fps"}
    assert {path.parent.parent.name for _, _, path in targets} == {"val_60fps"}
    assert all(path.is_file() for path in (*clip.inputs.paths(), *(path for _, _, path in targets)))


def test_frames_are_read_with_their_times(copy: Path) -> None:
    frames = list(open_reds(copy)[1].inputs.frames())
    assert [frame.stem for frame in frames] == [f"{8 * k:08d}" for k in range(7)]
    assert [frame.time for frame in frames] == [Fraction(k, 15) for k in range(7)]
    assert frames[1].image.pixels.tobytes() != frames[0].image.pixels.tobytes()


def test_clips_are_chosen_by_name(tmp_path: Path) -> None:
    write_copy(tmp_path, clips=[f"{k:03d}" for k in range(27)], last=8)
    assert tuple(clip.name for clip in open_reds(tmp_path, names=VTSR5)) == VTSR5
    shutil.rmtree(tmp_path / "val" / "val_30fps" / "010")
    with pytest.raises(InputError, match=r"val_30fps/010: is missing"):
        open_reds(tmp_path, names=VTSR5)
    with pytest.raises(InputError, match=r"val_30fps/010: is missing"):
        open_reds(tmp_path)
    assert len(open_reds(tmp_path, names=["002", "003"])) == 2


class TestRefused:
    """Each with one line that names the place."""

    def refused(self, root: Path, *parts: str, **options: int) -> None:
        with pytest.raises(InputError) as error:
            open_reds(root, **options)
        assert "\n" not in str(error.value)
        for part in parts:
            assert part in str(error.value)

    def test_missing_frame(self, copy: Path) -> None:
        (copy / "val/val_30fps/001/00000012.png").unlink()
        self.refused(copy, "val_30fps/001: 1 of 13 frames missing: 00000012")

    @pytest.mark.parametrize("name", ["00000000.png", "00000048.png"])
    def test_missing_frame_at_an_end(self, copy: Path, name: str) -> None:
        (copy / "val/val_30fps/001" / name).unlink()
        self.refused(copy, "val_30fps/001", "missing at an end")

    def test_two_sizes_in_one_clip(self, copy: Path) -> None:
        (copy / "val/val_15fps/000/00000016.png").write_bytes(png(1, (8, 8)))
        self.refused(copy, "differ in size", "00000016.png", "8x8", "16x12")

    def test_input_of_another_size_than_the_truth(self, copy: Path) -> None:
        shutil.rmtree(copy / "val/val_15fps")
        write_copy(copy, (15,), last=48, size=(8, 6))
        self.refused(copy, "differ in size", "val_15fps/000 8x6", "val_30fps/000 16x12")

    def test_60_frames_a_second_where_30_are_meant(self, copy: Path) -> None:
        shutil.rmtree(copy / "val/val_30fps")
        (copy / "val/val_60fps").rename(copy / "val/val_30fps")
        self.refused(copy, "val_30fps/000", "60 a second", "30 are meant")

    def test_one_60_fps_frame_among_30(self, copy: Path) -> None:
        (copy / "val/val_30fps/000/00000006.png").write_bytes(png(3))
        self.refused(copy, "val_30fps/000: 1 frames that belong to no 30 fps clip: 00000006")

    def test_clip_that_begins_between_positions(self, copy: Path) -> None:
        for path in sorted((copy / "val/val_15fps/000").iterdir(), reverse=True):
            path.rename(path.with_name(f"{int(path.stem) + 2:08d}.png"))
        self.refused(copy, "7 frames that belong to no 15 fps clip: 00000002 to 00000050")

    @pytest.mark.parametrize("name", ["0000008.png", "00000008.jpg", "notes.txt"])
    def test_strange_file(self, copy: Path, name: str) -> None:
        (copy / "val/val_15fps/000" / name).write_bytes(b"?")
        self.refused(copy, f"000/{name}: is no frame")

    def test_strange_clip(self, copy: Path) -> None:
        (copy / "val/val_15fps/backup").mkdir()
        self.refused(copy, "backup: is no clip")

    def test_truncated_header_and_other_formats(self, copy: Path) -> None:
        path = copy / "val/val_30fps/000/00000020.png"
        path.write_bytes(path.read_bytes()[:20])
        self.refused(copy, "00000020.png")

    def test_grey_frames(self, copy: Path) -> None:
        from PIL import Image

        for path in (copy / "val/val_15fps/000").iterdir():
            Image.new("L", (16, 12)).save(path)
        self.refused(copy, "00000000.png: is no 8-bit RGB PNG")

    def test_single_frame_and_empty_clip(self, copy: Path) -> None:
        for path in (copy / "val/val_15fps/000").iterdir():
            if path.name != "00000000.png":
                path.unlink()
        self.refused(copy, "val_15fps/000: holds 1 frame")

    def test_folder_that_is_none_or_too_deep(self, copy: Path, tmp_path: Path) -> None:
        self.refused(tmp_path / "nowhere", "nowhere: there is no such folder")
        self.refused(tmp_path, "val_15fps: is missing", "make data")
        self.refused(copy / "val", f"give {copy}")
        self.refused(copy / "val" / "val_15fps" / "000", f"give {copy}")
        (tmp_path / "REDS_VTSR/val/val_60fps").rename(tmp_path / "elsewhere")
        self.refused(copy, "val_60fps: is missing", factor=4)

    def test_other_factors(self, copy: Path) -> None:
        self.refused(copy, "factor 3", factor=3)
        with pytest.raises(InputError, match="'test' has no public truth"):
            open_reds(copy, "test")


def test_the_rate_follows_from_the_commonest_distance() -> None:
    assert infer_rate([0, 8, 16, 32, 40]) == 15
    assert infer_rate([0, 4, 8]) == 30
    assert infer_rate([2, 0]) == 60
    assert infer_rate([0, 3, 6]) is None
    assert infer_rate([5]) is None
