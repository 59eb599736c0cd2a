"""``python -m eqvi render``: what it writes is read as REDS_VTSR, and it changes nothing that it did not write."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from eqvi.__main__ import main
from eqvi.datasets import reds, rendered_clips
from eqvi.datasets.camera import expose
from eqvi.metrics import to_8bit

SMALL = ["--clips", "2", "--size", "64x48", "--frames", "4"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = tmp_path_factory.mktemp("rendered")
    assert main(["render", str(root), *SMALL]) == 0
    return root


def scored(clip):
    return [path for _, _, path in clip.targets()]


def snapshot(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("factor", "truths"), [(2, 3), (4, 9)])
def test_the_reader_of_reds_reads_it(rendered, factor, truths):
    pairs = reds.open_reds(rendered, "val", factor)
    assert [pair.name for pair in pairs] == ["000", "001"]
    for pair in pairs:
        assert pair.inputs.size == (64, 48)
        assert [path.name for path in pair.inputs.paths()] == [f"{8 * n:08d}.png" for n in range(4)]
        assert len(scored(pair)) == truths


def test_rates_share_their_frames(rendered):
    fast, *slow = (reds.rate_folder(rendered, "val", rate) / "000" for rate in (60, 30, 15))
    assert len(list(fast.iterdir())) == 13
    for folder in slow:
        for file in folder.iterdir():
            assert file.read_bytes() == (fast / file.name).read_bytes()


def test_metadata_give_the_motion_and_redraw_the_clip(rendered):
    metadata = rendered_clips.read_metadata(rendered, "val", "001")
    assert metadata["kind"] == "quadratic"
    assert metadata["size"] == [64, 48]
    magnitudes = metadata["frames"]
    between = {path.stem for path in scored(reds.open_reds(rendered, "val", 4)[1])}
    assert magnitudes.keys() == between
    assert all(values.keys() == {"motion", "acceleration", "occlusion"} for values in magnitudes.values())
    assert all(values["motion"] > 0 and 0 <= values["occlusion"] < 1 for values in magnitudes.values())
    clip = rendered_clips.redraw_clip(metadata)
    frame = to_8bit(expose(clip.scene, clip.camera, torch.tensor([8 / 8 - 1.5])))
    stored = np.asarray(Image.open(reds.rate_folder(rendered, "val", 15) / "001" / "00000008.png"))
    assert np.array_equal(stored, frame)


def test_a_clip_that_was_not_rendered_has_no_metadata(tmp_path):
    assert rendered_clips.read_metadata(tmp_path, "val", "000") is None


def test_the_same_command_elsewhere_gives_the_same_files(rendered, tmp_path, capsys):
    assert main(["render", str(tmp_path), *SMALL]) == 0
    assert snapshot(tmp_path) == snapshot(rendered)
    assert "frames/s" in capsys.readouterr().out


def test_an_interrupted_run_is_completed(tmp_path, capsys):
    assert main(["render", str(tmp_path), *SMALL]) == 0
    whole = snapshot(tmp_path)
    # As a kill leaves it: the record of 001, a hidden folder, no more.
    for rate in (15, 60):
        folder = reds.rate_folder(tmp_path, "val", rate)
        (folder / "001").rename(folder / ".001.part")
    (reds.rate_folder(tmp_path, "val", 60) / ".001.part" / "00000004.png").write_bytes(b"half")
    assert main(["render", str(tmp_path), *SMALL]) == 0
    assert snapshot(tmp_path) == whole
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    capsys.readouterr()
    assert main(["render", str(tmp_path), *SMALL]) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before
    assert "all there before" in capsys.readouterr().out


def test_more_clips_are_added(tmp_path):
    assert main(["render", str(tmp_path), "--clips", "1", *SMALL[2:]]) == 0
    before = snapshot(tmp_path)
    assert main(["render", str(tmp_path), *SMALL]) == 0
    assert before.items() <= snapshot(tmp_path).items()


@pytest.mark.parametrize("options", [["--seed", "1"], ["--size", "80x48"], ["--frames", "5"], ["--clips", "1"]])
def test_other_clips_are_not_touched(rendered, options, capsys):
    before = snapshot(rendered)
    assert main(["render", str(rendered), *SMALL, *options]) == 2
    assert "is no clip of this command" in capsys.readouterr().err
    assert snapshot(rendered) == before


def test_a_copy_of_reds_is_not_touched(tmp_path, capsys):
    frame = reds.rate_folder(tmp_path, "val", 30) / "000" / "00000000.png"
    frame.parent.mkdir(parents=True)
    frame.write_bytes(b"precious")
    assert main(["render", str(tmp_path), *SMALL]) == 2
    assert f"{frame.parent}: is no clip of this command" in capsys.readouterr().err
    assert snapshot(tmp_path) == {frame.relative_to(tmp_path): b"precious"}


def test_training_clips_lie_beside_validation_clips(tmp_path):
    small = ["--clips", "1", *SMALL[2:]]
    assert main(["render", str(tmp_path), *small]) == 0
    assert main(["render", str(tmp_path), *small, "--split", "train", "--kind", "shake"]) == 0
    assert rendered_clips.read_metadata(tmp_path, "train", "000")["kind"] == "shake"
    assert len(reds.open_reds(tmp_path, "train", 2)) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--size", "64"], "size '64' must be"),
        (["--size", "64.5x48"], "size '64.5x48' must be"),
        (["--size", "16x16"], "size 16x16 is too small"),
        (["--clips", "0"], "--clips 0"),
        (["--clips", "1001"], "--clips 1001"),
        (["--frames", "3"], "--frames 3"),
        (["--frames", "47"], "--frames 47"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(tmp_path, options, named, capsys):
    out = tmp_path / "out"
    assert main(["render", str(out), *options]) == 2
    assert named in capsys.readouterr().err
    assert not out.exists()


def test_damaged_metadata_are_named(rendered, tmp_path, capsys):
    for text in ("{", json.dumps([1]), json.dumps({"kind": "linear"})):
        path = rendered_clips.metadata_path(tmp_path, "val", "000")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (reds.rate_folder(tmp_path, "val", 15) / "000").mkdir(parents=True, exist_ok=True)
        assert main(["render", str(tmp_path), *SMALL]) == 2
        assert str(path) in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    tmp_path.chmod(0o555)
    assert main(["render", str(tmp_path / "out"), *SMALL]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_file_in_the_way_is_named(tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert main(["render", str(tmp_path / "out"), *SMALL]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_as_a_command(tmp_path):
    command = [sys.executable, "-m", "eqvi", "render", str(tmp_path / "out"), "--clips", "1", *SMALL[2:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "val" / "val_60fps" / "000" / "00000002.png").is_file()
