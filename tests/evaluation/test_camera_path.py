"""A camera's path is the summed median flow between neighbours."""

import json
from pathlib import Path

import pandas as pd
import pytest

from eqvi.__main__ import main


def test_the_path_of_a_sliding_photograph(folder: Path, tmp_path: Path) -> None:
    """The photograph slides by (-4, -1) pixels a frame."""
    out = tmp_path / "paths.csv"
    assert main(["camera", str(folder), "--out", str(out)]) == 0
    rows = pd.read_csv(out)
    assert rows["clip"].unique().tolist() == ["slide"]
    assert rows["frame"].tolist() == list(range(9))
    assert (rows["x"] + 4 * rows["frame"]).abs().max() < 0.5
    assert (rows["y"] + rows["frame"]).abs().max() < 0.5
    record = out.with_suffix(".json").read_text()
    assert json.loads(record)["clips"] == {"slide": {"size": [128, 96], "rate": 30.0}}
    assert str(tmp_path) not in record


def test_two_clips_of_one_name_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "paths.csv"
    assert main(["camera", str(folder), str(folder), "--out", str(out)]) == 2
    assert "one name" in capsys.readouterr().err
    assert not out.exists()
