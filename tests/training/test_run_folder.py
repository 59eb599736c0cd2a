"""The curves of a run on disk."""

from pathlib import Path

import pytest

from eqvi.errors import InputError
from eqvi.training.run_folder import append_row, read_curve, truncate_curve

pytestmark = pytest.mark.usefixtures("tiny_presets")


def test_rows_after_the_last_state_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    for step in (1, 2, 3):
        append_row(path, {"step": step, "loss": step / 10})
    with path.open("a") as file:
        file.write("4,0.")
    assert [row["step"] for row in read_curve(path)] == ["1", "2", "3"]
    truncate_curve(path, 2)
    append_row(path, {"step": 3, "loss": 0.7})
    assert path.read_text() == "step,loss\n1,0.1\n2,0.2\n3,0.7\n"


def test_a_truncated_header_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text("step,lo")
    truncate_curve(path, 0)
    append_row(path, {"step": 1, "loss": 1})
    assert path.read_text() == "step,loss\n1,1\n"


def test_a_missing_curve_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"curve.csv: No such file"):
        read_curve(tmp_path / "curve.csv")
