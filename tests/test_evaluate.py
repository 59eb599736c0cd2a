"""Evaluation leaves frames out, puts them back and says how close it came."""

import csv
import json

import numpy as np
import pytest
from skimage.data import coffee

from eqvi import metrics
from eqvi.__main__ import main
from eqvi.data import write_picture
from eqvi.picture import Picture
from eqvi.report import means_table


@pytest.fixture
def folder(tmp_path):
    """Nine frames of a photograph that slides by (4, 1) pixels a frame."""
    clip = tmp_path / "slide"
    clip.mkdir()
    for k in range(9):
        write_picture(clip / f"{k:03}.png", Picture(coffee()[100 + k : 196 + k, 100 + 4 * k : 228 + 4 * k].copy()))
    return clip


def test_rows_and_provenance_are_written(folder, tmp_path, capsys):
    out = tmp_path / "rows.csv"
    assert main(["evaluate", str(folder), "--models", "blend", "baseline", "--out", str(out)]) == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["model"]) for row in rows] == [
        (frame, model) for frame in ("001", "003", "005", "007") for model in ("blend", "baseline")
    ]
    assert {row["t"] for row in rows} == {"1/2"}
    for blended, baseline in zip(rows[::2], rows[1::2], strict=True):
        assert float(baseline["psnr"]) > float(blended["psnr"]) + 6
    made_by = json.loads(out.with_suffix(".json").read_text())
    assert made_by["settings"] == {"step": 2, "every": 1, "limit": None}
    assert len(made_by["clips"]["slide"]["sha256"]) == 64
    assert "| slide | 4 |" in capsys.readouterr().out


def test_the_blend_row_is_the_psnr_of_the_average(folder, tmp_path):
    out = tmp_path / "rows.csv"
    main(["evaluate", str(folder), "--models", "blend", "--limit", "3", "--out", str(out)])
    frames = [coffee()[100 + k : 196 + k, 100 + 4 * k : 228 + 4 * k].astype(float) for k in range(3)]
    # Half a grey level away from a tie, the two ways of averaging round alike.
    error = np.mean((np.rint((frames[0] + frames[2]) / 2 + 1e-9) - frames[1]) ** 2)
    with out.open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["psnr"]) == pytest.approx(10 * np.log10(255**2 / error), abs=0.05)


def test_a_larger_step_scores_every_frame_left_out(folder, tmp_path):
    out = tmp_path / "rows.csv"
    main(["evaluate", str(folder), "--models", "baseline-linear", "--step", "4", "--out", str(out)])
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["t"]) for row in rows] == [
        (f"{k:03}", t)
        for start in (0, 4)
        for k, t in zip(range(start + 1, start + 4), ("1/4", "1/2", "3/4"), strict=True)
    ]


def test_every_clip_starts_anew(folder, tmp_path):
    """A clip's rows do not depend on the clip before it."""
    other = tmp_path / "other"
    other.mkdir()
    for k in range(7):
        write_picture(other / f"{k}.png", Picture(coffee()[3 * k : 80 + 3 * k, 5 * k : 100 + 5 * k].copy()))
    both, alone = tmp_path / "both.csv", tmp_path / "alone.csv"
    main(["evaluate", str(folder), str(other), "--models", "baseline", "--out", str(both)])
    main(["evaluate", str(other), "--models", "baseline", "--out", str(alone)])
    with both.open() as file, alone.open() as single:
        rows = [row for row in csv.DictReader(file) if row["clip"] == "other"]
        assert rows == list(csv.DictReader(single))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--step", "1"], "--step 1 is too small: give at least 2"),
        (["--step", "9"], "no gap of 9 frames"),
        (["--models", "eqvj"], "--model eqvj: there is no such file or preset"),
    ],
)
def test_bad_requests_are_one_line_and_status_2(folder, options, message, capsys):
    assert main(["evaluate", str(folder), *options]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in said if line.startswith("eqvi: error:")]) == 1
    assert message in said[-1]


def test_means_are_per_line_and_column_and_gaps_are_named():
    rows = [
        {"clip": "a", "model": "x", "psnr": 30},
        {"clip": "a", "model": "x", "psnr": 31},
        {"clip": "b", "model": "y", "psnr": 20},
    ]
    assert means_table(rows, "clip", "model", "psnr").splitlines()[2:] == [
        "| a | 2 | 30.50 | not measured |",
        "| b | 1 | not measured | 20.00 |",
    ]


def test_metrics_on_known_pictures():
    truth = coffee()[:64, :80]
    assert metrics.psnr(truth, truth) == float("inf")
    assert metrics.ssim(truth, truth) == pytest.approx(1)
    off = np.where(truth < 255, truth + 1, truth).astype(np.uint8)
    assert metrics.psnr(off, truth) == pytest.approx(10 * np.log10(255**2 / np.mean((off - truth.astype(float)) ** 2)))
