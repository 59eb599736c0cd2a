"""Tables made from results that are faked in a folder of their own."""

import subprocess
import sys
from pathlib import Path

import faked
import numpy as np
import pytest

from eqvi.errors import InputError
from eqvi.paths import RESULTS
from eqvi.reports import published, readme, tables
from eqvi.reports.statistics import estimate
from eqvi.viz import charts, figure


def val30(mean: float) -> list[float]:
    values = np.random.default_rng(3).normal(0, 2, 30)
    return (values - values.mean() + mean).tolist()


class TestPublished:
    def test_keeps_its_layout_and_says_what_is_missing(self, tmp_path: Path) -> None:
        table = tables.published(faked.results(tmp_path))
        lines = table.splitlines()
        assert len(lines) == 6
        assert lines[3].startswith(
            "| Stage4 MS-Fusion | yes | yes | yes | 24.0562 / not published | not measured: needs"
        )
        assert "25.0699 / 0.7296" in lines[4]  # 25.069850, which a float's format rounds down
        assert table.count("not measured: needs REDS_VTSR and the published weights") == 8

    def test_puts_the_measured_beside_the_published(self, tmp_path: Path) -> None:
        faked.run(faked.results(tmp_path), "stage4_ms_fusion_val30", val30(24.0572), frames=45)
        cells = tables.published(tmp_path).splitlines()[3].split(" | ")
        assert cells[5].startswith("24.0572 [23.")
        assert cells[6] == "+0.0010"

    def test_a_part_of_the_clips_is_not_a_measurement(self, tmp_path: Path) -> None:
        faked.run(faked.results(tmp_path), "stage4_ms_fusion_vtsr5", [24, 25], frames=45)
        assert "not measured: 90 of 225 frames, 2 of 5 clips scored" in tables.published(tmp_path)

    def test_refuses_results_of_two_protocols(self, tmp_path: Path) -> None:
        faked.run(faked.results(tmp_path), "stage4_ms_fusion_val30", val30(24), frames=45)
        faked.run(tmp_path, "stage3_rcsn_rqfp_val30", val30(24), frames=45, protocol={"quantisation": "truncated"})
        with pytest.raises(InputError, match="different protocols"):
            tables.published(tmp_path)

    @pytest.mark.parametrize("content", ["", "checkpoint\nx\n", None])
    def test_needs_the_published_figures(self, tmp_path: Path, content: str | None) -> None:
        if content is not None:
            (tmp_path / "reported.csv").write_text(content)
        if content == "":
            assert published.figures(tmp_path) == []
        else:
            with pytest.raises(InputError, match=r"reported\.csv"):
                tables.published(tmp_path)


class TestSensitivity:
    def test_says_which_reading_lands_on_the_published_figure(self, tmp_path: Path) -> None:
        faked.run(faked.results(tmp_path), "stage4_ms_fusion_val30", val30(24.0622), frames=45)
        lines = tables.sensitivity(tmp_path, "stage4_ms_fusion_val30").splitlines()
        nearest = [line for line in lines if "nearest" in line]
        assert len(nearest) == 1
        assert nearest[0].startswith("| PSNR, dB | 8 bit, truncated | 24.0562 | -0.0060 | +0.0000, nearest |")
        assert "| PSNR, dB | not quantised | not measured |  |  |" in lines
        assert any(line.startswith("| SSIM | Gaussian") and "not published" in line for line in lines)

    def test_pooling_weighs_errors_not_decibels(self, tmp_path: Path) -> None:
        faked.run(faked.results(tmp_path), "x", [20, 40])
        run = published.obtain(tmp_path, "x")
        assert not isinstance(run, str)
        pooled = tables.readings(run, "psnr")["of the squared error pooled over all frames"]
        assert pooled == pytest.approx(10 * np.log10(2 / (10**-2 + 10**-4)), abs=1e-4)

    def test_every_published_model_that_was_measured_has_its_own(self, tmp_path: Path) -> None:
        faked.run(faked.results(tmp_path), "stage4_ms_fusion_val30", val30(24.0622), frames=45)
        text = tables.sensitivities(tmp_path, "x")
        assert text.startswith("`x`:\n\n`x` is not measured")
        assert text.endswith(tables.sensitivity(tmp_path, "stage4_ms_fusion_val30"))
        assert text.count("`stage") == 1

    def test_of_a_run_that_is_not_there(self, tmp_path: Path) -> None:
        assert tables.sensitivity(tmp_path, "x") == "`x` is not measured: needs the rendered clips scored."


class TestGains:
    def test_by_difficulty_has_clips_as_units(self, tmp_path: Path) -> None:
        faked.run(tmp_path, "a", [30.5, 31, 32], frames=4)
        faked.run(tmp_path, "b", [30, 30, 30], frames=4)
        found = tables.gains(tmp_path, "a", "b", "motion", parts=2)
        assert list(found) == ["0 to 2.5 px", "2.5 to 5 px"]
        assert [one.clips for one in found.values()] == [3, 3]
        assert found["0 to 2.5 px"].value == pytest.approx((0.5 + 1 + 2) / 3)

    def test_by_score_begins_with_the_easiest(self, tmp_path: Path) -> None:
        faked.run(tmp_path, "a", [31, 32, 33, 36])
        faked.run(tmp_path, "b", [30, 31, 32, 33])
        found = tables.gains(tmp_path, "a", "b", "psnr", parts=2)
        assert list(found) == ["31.5 to 33 dB", "30 to 31.5 dB"]
        assert [one.value for one in found.values()] == [pytest.approx(2), pytest.approx(1)]

    def test_one_difficulty_everywhere_gives_one_part(self, tmp_path: Path) -> None:
        faked.run(tmp_path, "a", [31, 32])
        faked.run(tmp_path, "b", [30, 31])
        found = tables.gains(tmp_path, "a", "b", "occlusion")
        assert {name: one.clips for name, one in found.items()} == {"1 to 1 %": 2}

    def test_what_is_missing_gives_nothing(self, tmp_path: Path) -> None:
        faked.run(tmp_path, "a", [30])
        assert tables.gains(tmp_path, "a", "b", "motion") == {}
        assert tables.gains(tmp_path, "a", "a", "acceleration") == {}
        assert tables.gain(tmp_path, "a", "b") == "needs the rendered clips scored"
        assert tables.gain(tmp_path, "a", "a", "lpips") == "a has no lpips"
        assert tables.estimates_table({}, "motion", "gain") == "Not measured: no run here has both gain and motion."

    def test_an_estimate_says_why_it_has_no_interval(self) -> None:
        assert tables.shown(estimate([1.0, 2.0])) == "+1.500 (2 clips: no interval)"
        assert tables.shown(estimate([1.0] * 5), digits=1, signed=False) == "1.0 [1.0, 1.0]"


def test_motion_models_side_by_side(tmp_path: Path) -> None:
    assert tables.motion_errors(tmp_path) == "Not measured: needs notebook 11 run."
    models = ("linear", "quadratic", "least_squares", "rectified")
    lines = [f"a,8,{flow},{model},1.5" for flow in ("exact", "dis") for model in models]
    (tmp_path / "motion_error.csv").write_text("\n".join(["clip,frame,flow,model,epe_visible", *lines]))
    (tmp_path / "motion_error.json").write_text("{}")
    table = tables.motion_errors(tmp_path).splitlines()
    assert table[4] == "| least squares | 1.500 (1 clip: no interval) | 1.500 (1 clip: no interval) |"


def test_several_gains_in_one_table(tmp_path: Path) -> None:
    faked.run(tmp_path, "a_rendered", [31, 32])
    faked.run(tmp_path, "b_rendered", [30, 31])
    pairs = {"a over b": ("a_rendered", "b_rendered"), "a over c": ("a_rendered", "c_rendered")}
    lines = tables.gain_table(tmp_path, pairs).splitlines()
    assert lines[2] == "| a over b | +1.000 (2 clips: no interval) | 2 | 0.5 |"
    assert lines[3] == "| a over c | not measured: needs the rendered clips scored |  |  |"


def test_conventions_stand_beside_published_differences(tmp_path: Path) -> None:
    faked.run(faked.results(tmp_path), "a", [30, 31])
    sizes = tables.conventions(tmp_path, "a")
    assert sizes["Stage4 MS-Fusion less Stage3 RCSN+RQFP, REDS_VTSR val (30 clips)"] == pytest.approx(0.020806)
    assert sizes["reading: luma only, a"] == pytest.approx(1.5)
    assert len(tables.conventions(tmp_path, "b")) == 6


def test_worst_frames_come_first(tmp_path: Path) -> None:
    faked.run(tmp_path, "a", [30, 20, 25], frames=2)
    lines = tables.worst(tmp_path, "a", 3).splitlines()
    assert lines[0] == "| clip | frame | psnr | ssim | motion | occlusion |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 001", "| 001", "| 002"]
    assert "not measured" in tables.worst(tmp_path, "b", 3)


def test_intervals_are_drawn_the_same_every_time(tmp_path: Path) -> None:
    found = {"easy": estimate([0.1, 0.2, 0.3, 0.1, 0.2]), "few": estimate([0.4])}
    for estimates in (found, {}):
        drawn = [charts.intervals(estimates, "words", "gain, dB") for _ in range(2)]
        first, second = (figure.save(one, "x", tmp_path / str(place)).read_bytes() for place, one in enumerate(drawn))
        assert first == second


def test_the_report_needs_no_torch() -> None:
    imports = "from eqvi.viz import charts; from eqvi.reports import claims, tables"
    code = f"import sys; {imports}; claims.ledger(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_parts_of_the_readme() -> None:
    assert readme.part("published") == tables.published(RESULTS)
    assert readme.part("sensitivity nothing") == tables.sensitivity(RESULTS, "nothing")
    assert readme.part("claims").partition(" ")[0].isdigit()


def test_leads_name_every_rival_and_count_clips(tmp_path: Path) -> None:
    rows = [f"{clip},1,{model},{30 + gain * (-1 if clip == 'f' else 1)}" for clip in "abcdef"
            for model, gain in (("x", 2), ("y", 0), ("z", 1))]  # fmt: skip
    faked.results(tmp_path)
    (tmp_path / "real.csv").write_text("\n".join(["clip,frame,model,psnr", *rows]))
    (tmp_path / "real.json").write_text('{"models": {"x": {}, "y": {}, "z": {}}}')
    lines = tables.leads(tmp_path, "real", "x").splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == ["y", "z"]
    assert [line.split("|")[3].strip() for line in lines] == ["5 of 6", "5 of 6"]
    assert lines[0].split("|")[2].strip().startswith("+1.33 [")
    assert tables.leads(tmp_path, "real", "nobody").count("\n") == 1
