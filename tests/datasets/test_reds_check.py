"""What ``doctor --data`` says of copies of REDS_VTSR, whole and damaged."""

import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from reds_copy import png, write_copy

from eqvi.__main__ import main
from eqvi.datasets import reds, reds_check
from eqvi.datasets.checksums import Checksum, add, fingerprint
from eqvi.datasets.reds_check import FolderReport, check_copy
from eqvi.errors import InputError


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whole, but for the size of everything: two clips of small pictures stand for thirty of 720p."""
    monkeypatch.setitem(reds.CLIP_COUNTS, "val", 2)
    monkeypatch.setattr(reds, "FRAME_SIZE", (16, 12))
    return write_copy(tmp_path / "REDS_VTSR", (15, 30, 60))


def problems(root: Path, record: Path | None = None) -> list[str]:
    reports = check_copy(root, record or root / "no_record.json")
    return [f"{report.name}: {problem}" for report in reports for problem in report.problems]


def test_whole_copy(copy: Path, tmp_path: Path) -> None:
    reports = check_copy(copy, tmp_path / "record.json")
    assert [report.name for report in reports] == ["val/val_15fps", "val/val_30fps", "val/val_60fps"]
    assert all(report.problems == [] for report in reports)
    for report, frames in zip(reports, (92, 182, 362), strict=True):
        assert f"2 clips, {frames} frames of 16x12" in report.contents
        assert "sha256" in report.contents
    assert not (tmp_path / "record.json").exists()


def test_a_whole_copy_is_compared_with_the_record(copy: Path, tmp_path: Path) -> None:
    import hashlib

    folder, record = copy / "val" / "val_15fps", tmp_path / "record.json"
    files = sorted(folder.rglob("*.png"))
    hashed = [(str(path.relative_to(copy / "val")), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    add(
        {"val_15fps": Checksum(fingerprint(hashed), 1, "its home"), "val_30fps": Checksum("0" * 64, 1, "its home")},
        record,
    )
    first, second, third = check_copy(copy, record)
    assert "as first seen from its home" in first.contents
    assert "as first seen" not in second.contents + third.contents
    assert second.problems == ["complete, but differs from the copy first seen from its home: compare with another"]


def test_every_problem_is_named(copy: Path) -> None:
    low, high = copy / "val" / "val_15fps", copy / "val" / "val_30fps"
    (low / "000/00000016.png").unlink()
    for position in (40, 48, 56, 360):
        (low / f"001/{position:08d}.png").unlink()
    (low / "001/thumbs.db").write_bytes(b"")
    (high / "000/00000008.png").write_bytes(png(1, (8, 6)))
    whole = (high / "000/00000012.png").read_bytes()
    (high / "000/00000012.png").write_bytes(whole[:-30])
    (high / "000/00000016.png").write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    (high / "000/00000020.png").write_bytes(b"")
    (high / "000/00000024.png").write_text("no picture")
    grey = io.BytesIO()
    Image.new("L", (16, 12)).save(grey, "PNG")
    (high / "000/00000028.png").write_bytes(grey.getvalue())
    (high / "001/00000030.png").write_bytes(whole)
    shutil.rmtree(copy / "val/val_60fps/001")
    (copy / "val/val_60fps/007").mkdir()
    lines = problems(copy)
    for expected in (
        "val/val_15fps: 000: 1 of 46 frames missing: 00000016",
        "val/val_15fps: 001: 4 of 46 frames missing: 00000040 to 00000056, 00000360",
        "val/val_15fps: 001/thumbs.db: is no frame of REDS_VTSR",
        "val/val_30fps: 000/00000008.png: is 8x6, most of its clip 16x12",
        "val/val_30fps: 000/00000012.png: is truncated or damaged",
        "val/val_30fps: 000/00000016.png: is truncated or damaged",
        "val/val_30fps: 000/00000020.png: is not a PNG",
        "val/val_30fps: 000/00000024.png: is not a PNG",
        "val/val_30fps: 000/00000028.png: is no 8-bit RGB PNG",
        "val/val_30fps: 001: 1 frames that belong to no 30 fps clip: 00000030",
        "val/val_60fps: 1 of 2 clips missing: 001",
        "val/val_60fps: clips beyond the 2 of REDS_VTSR: 007",
        "val/val_60fps: 007: 181 of 181 frames missing: 00000000 to 00000360",
    ):
        assert any(line.startswith(expected) for line in lines), (expected, lines)
    assert len(lines) == 13


def test_every_truncation_of_a_frame_is_noticed(copy: Path) -> None:
    path = copy / "val/val_15fps/000/00000000.png"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert reds_check._check_frame(path).problem, length
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert reds_check._check_frame(path).problem, place
    path.write_bytes(whole)
    assert reds_check._check_frame(path).problem == ""


def test_wrong_rate_and_size(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(copy / "val/val_30fps")
    (copy / "val/val_60fps").rename(copy / "val/val_30fps")
    monkeypatch.setattr(reds, "FRAME_SIZE", (1280, 720))
    assert problems(copy) == [
        "val/val_15fps: frames are 16x12, REDS_VTSR's are 1280x720: resized, or not REDS_VTSR",
        "val/val_30fps: 000: holds frames at 60 a second, by their names, where 30 are meant",
        "val/val_30fps: 001: holds frames at 60 a second, by their names, where 30 are meant",
        "val/val_30fps: frames are 16x12, REDS_VTSR's are 1280x720: resized, or not REDS_VTSR",
    ]


def test_rendered_clips_have_their_own_length_and_size(tmp_path: Path) -> None:
    write_copy(tmp_path, (15, 30), ["000", "003"], last=48)
    assert len(problems(tmp_path)) == 8  # of either rate: 28 clips missing, two clips too short, the size
    (tmp_path / "val" / "val_motion").mkdir()
    assert problems(tmp_path) == []
    assert check_copy(tmp_path)[0].contents.startswith("2 clips, 14 frames of 16x12, rendered")
    shutil.rmtree(tmp_path / "val/val_30fps/003")
    (tmp_path / "val/val_15fps/003/00000008.png").unlink()
    assert problems(tmp_path) == [
        "val/val_15fps: 003: 1 of 7 frames missing: 00000008",
        "val/val_30fps: lacks clips that other rates have: 003",
    ]


def test_folders_without_a_copy_are_refused(copy: Path, tmp_path: Path) -> None:
    for place, says in ((tmp_path / "nowhere", "no such folder"), (copy / "val", "give "), (tmp_path, "is missing")):
        with pytest.raises(InputError, match=says):
            check_copy(place)


def test_command(copy: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["doctor", "--data", str(copy)]) == 0
    said = capsys.readouterr().out
    assert "val/val_15fps" in said
    assert said.endswith(f"nothing wrong with {copy}\n")
    (copy / "val/val_15fps/001/00000008.png").unlink()
    assert main(["doctor", "--data", str(copy)]) == 1
    said = capsys.readouterr().out
    assert "  -- val/val_15fps/001: 1 of 46 frames missing: 00000008\n" in said
    assert said.endswith(f"1 fault in {copy}\n")
    assert main(["doctor", "--data", str(copy / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("eqvi: error: ")


def test_a_report_is_plain_data(copy: Path) -> None:
    reports = check_copy(copy, copy / "none.json")
    assert [FolderReport(*entry) for entry in json.loads(json.dumps(reports))] == reports
