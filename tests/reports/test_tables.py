"""Data frames as readers see them."""

import math
import subprocess
import sys
from pathlib import Path

import pandas as pd

from eqvi.reports import tables
from eqvi.reports.statistics import Estimate, estimate, estimates_frame
from eqvi.viz import charts, figure

ESTIMATES = {"many": estimate([1.0] * 5), "few": estimate([1.0, 2.0]), "none": Estimate(reason="needs a run")}


def test_estimate_and_interval_share_a_cell_and_gaps_give_their_reason() -> None:
    text = tables.readable(estimates_frame(ESTIMATES, "gain of"))
    assert list(text) == ["gain of", "dB, 95 % interval", "scenes", "sign test, p"]
    assert text.iloc[0].tolist() == ["many", "+1.000 [+1.000, +1.000]", "5", "0.0625"]
    assert text.iloc[1].tolist() == ["few", "+1.500 (2 clips: no interval)", "2", "0.5"]
    assert text.iloc[2].tolist() == ["none", "not measured: needs a run", "", ""]


def test_formats_digits_and_titles_can_be_given() -> None:
    frame = pd.DataFrame({"psnr": [30.123], "psnr_low": [30.0], "psnr_high": [31.0], "some_name": [True], "x": [0.5]})
    text = tables.readable(frame, titles={"x": "X"}, digits=1, psnr=".1f")
    assert text.to_dict("records") == [{"PSNR, dB": "30.1 [30.0, 31.0]", "some name": "yes", "X": "0.5"}]
    gaps = pd.DataFrame({"a_b": [math.nan]}).rename_axis(columns="model")
    assert tables.readable(gaps, missing="not measured").to_dict("records") == [{"a_b": "not measured"}]


def test_what_is_rounded_to_zero_has_no_sign() -> None:
    assert [tables.signed(value, 2) for value in (0.5, -0.5, -0.003, 0.003, 0.0)] == [
        "+0.50", "-0.50", "0.00", "0.00", "0.00"
    ]  # fmt: skip


def test_an_index_is_shown_if_it_has_a_name() -> None:
    frame = pd.DataFrame({"x": ["a"]})
    assert list(tables.readable(frame)) == ["x"]
    assert list(tables.readable(frame.rename_axis("row"))) == ["row", "x"]


def test_a_long_frame_can_be_laid_out_across() -> None:
    one = estimate([1.0] * 5)
    frame = estimates_frame({("b", "y"): one, ("b", "x"): one, ("a", "y"): one, ("a", "x"): one}, "down", "over")
    wide = tables.across(frame, "over", estimate=".1f")
    assert wide.to_numpy().tolist() == [["b", *["1.0 [1.0, 1.0]"] * 2], ["a", *["1.0 [1.0, 1.0]"] * 2]]
    assert list(wide) == ["down", "y", "x"]


def test_markdown_is_the_same_text_and_can_be_aligned() -> None:
    frame = pd.DataFrame({"name": ["a", "bcdef"], "value": [1.0, 20.0]})
    assert tables.markdown(frame).splitlines()[2:] == ["| a | 1.0000 |", "| bcdef | 20.0000 |"]
    assert tables.markdown(frame, aligned=True).splitlines()[2:] == ["| a     |  1.0000 |", "| bcdef | 20.0000 |"]


def test_html_is_escaped_unbroken_and_the_same_every_time() -> None:
    frame = estimates_frame({"a < b": estimate([1.0] * 5)}, "gain of")
    html = tables.styled(frame).to_html()
    assert "a &lt; b" in html
    assert "[+1.000,\N{NO-BREAK SPACE}+1.000]" in html
    assert html == tables.styled(frame).to_html()
    assert "<th" in html
    assert "row_heading" not in html


def test_intervals_are_drawn_the_same_every_time(tmp_path: Path) -> None:
    frame = estimates_frame(ESTIMATES, "gain of")
    for estimates in (frame, frame.iloc[2:]):
        drawn = [charts.intervals(estimates, "words", "gain, dB") for _ in range(2)]
        first, second = (figure.save(one, "x", tmp_path / str(place)).read_bytes() for place, one in enumerate(drawn))
        assert first == second


def test_the_report_needs_no_torch() -> None:
    imports = "from eqvi.viz import charts; from eqvi.reports import claims, readme, tables"
    code = f"import sys; {imports}; claims.read(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
