"""Gains, readings and errors from results that are faked in a folder of their own."""

from pathlib import Path

import faked
import numpy as np
import pandas as pd
import pytest

from eqvi.errors import InputError
from eqvi.reports import comparisons, published
from eqvi.reports.runs import read_run
from eqvi.reports.statistics import Estimate


def val30(mean: float) -> list[float]:
    values = np.random.default_rng(3).normal(0, 2, 30)
    return (values - values.mean() + mean).tolist()


class TestPublished:
    def test_figures_are_numbers_and_say_who_measures_them(self, tmp_path: Path) -> None:
        figures = published.read_published(faked.results(tmp_path))
        assert len(figures) == 16
        assert figures["published"].dtype == np.dtype("float64")
        assert figures["published"].isna().sum() == 4
        assert figures[["RCSN", "RQFP", "MS-Fusion"]].dtypes.eq(bool).all()
        fourth = figures.query("run == 'stage4_ms_fusion_val30' and metric == 'psnr'").iloc[0]
        assert fourth[["checkpoint", "published", "MS-Fusion"]].tolist() == ["Stage4 MS-Fusion", 24.056243, True]

    def test_what_is_missing_has_a_reason(self, tmp_path: Path) -> None:
        table = published.compared(faked.results(tmp_path))
        assert table[["estimate", "low", "high", "difference"]].isna().all(axis=None)
        assert set(table["reason"]) == {"needs REDS_VTSR and the published weights"}

    def test_halves_are_rounded_up_as_in_the_published_table(self) -> None:
        assert published.four_digits(25.069850) == "25.0699"  # which a float's format rounds down

    def test_the_measured_stands_beside_the_published(self, tmp_path: Path) -> None:
        faked.run(faked.results(tmp_path), "stage4_ms_fusion_val30", val30(24.0572), frames=45)
        row = published.compared(tmp_path).query("run == 'stage4_ms_fusion_val30' and metric == 'psnr'").iloc[0]
        assert (row["estimate"], row["clips"]) == (pytest.approx(24.0572), 30)
        assert row["low"] < row["estimate"] < row["high"]
        assert row["difference"] == pytest.approx(0.001, abs=1e-4)

    def test_refuses_results_of_two_protocols(self, tmp_path: Path) -> None:
        faked.run(faked.results(tmp_path), "stage4_ms_fusion_val30", val30(24), frames=45)
        faked.run(tmp_path, "stage3_rcsn_rqfp_val30", val30(24), frames=45, protocol={"quantisation": "truncated"})
        with pytest.raises(InputError, match="different protocols"):
            published.compared(tmp_path)

    @pytest.mark.parametrize("content", ["", "checkpoint\nx\n", None])
    def test_needs_the_published_figures(self, tmp_path: Path, content: str | None) -> None:
        if content is not None:
            (tmp_path / "reported.csv").write_text(content)
        with pytest.raises(InputError, match=r"reported\.csv"):
            published.read_published(tmp_path)


class TestReadings:
    def test_say_which_one_lands_on_the_published_figure(self, tmp_path: Path) -> None:
        faked.run(faked.results(tmp_path), "stage4_ms_fusion_val30", val30(24.0622), frames=45)
        readings = comparisons.sensitivity(tmp_path, "stage4_ms_fusion_val30").set_index("reading")
        assert readings.index[readings["nearest"]].tolist() == ["8 bit, truncated"]
        truncated = readings.loc["8 bit, truncated"]
        assert truncated["value"] == pytest.approx(24.0562, abs=1e-4)
        assert truncated["from_primary"] == pytest.approx(-0.006, abs=1e-4)
        assert truncated["from_published"] == pytest.approx(0, abs=1e-4)
        assert readings.loc["not quantised", "reason"] == "no such column"
        assert readings.loc["not quantised", ["value", "from_primary"]].isna().all()

    def test_of_a_run_that_is_not_there(self, tmp_path: Path) -> None:
        readings = comparisons.sensitivity(faked.results(tmp_path), "x")
        assert readings["value"].isna().all()
        assert set(readings["reason"]) == {"needs the rendered clips scored"}
        assert "nearest" not in readings

    def test_pooling_weighs_errors_not_decibels(self, tmp_path: Path) -> None:
        faked.run(faked.results(tmp_path), "x", [20, 40])
        pooled = comparisons.readings(read_run(tmp_path, "x"), "psnr")["of the squared error pooled over all frames"]
        assert pooled == pytest.approx(10 * np.log10(2 / (10**-2 + 10**-4)), abs=1e-4)

    def test_stand_beside_published_differences(self, tmp_path: Path) -> None:
        faked.run(faked.results(tmp_path), "a", [30, 31])
        sizes = comparisons.conventions(tmp_path, "a")
        assert sizes["Stage4 MS-Fusion less Stage3 RCSN+RQFP, REDS_VTSR val (30 clips)"] == pytest.approx(0.020806)
        assert sizes["reading: luma only, a"] == pytest.approx(1.5)
        assert len(comparisons.conventions(tmp_path, "b")) == 6


class TestGains:
    def test_by_difficulty_have_clips_as_units(self, tmp_path: Path) -> None:
        faked.run(tmp_path, "a", [30.5, 31, 32], frames=4)
        faked.run(tmp_path, "b", [30, 30, 30], frames=4)
        gains = comparisons.gains_by(tmp_path, "a", "b", "motion", parts=2)
        assert gains.index.tolist() == ["0 to 2.5 px", "2.5 to 5 px"]
        assert gains["clips"].tolist() == [3, 3]
        assert gains.loc["0 to 2.5 px", "estimate"] == pytest.approx((0.5 + 1 + 2) / 3)
        assert gains["reason"].tolist() == ["3 clips: no interval"] * 2

    def test_by_score_begin_with_the_easiest(self, tmp_path: Path) -> None:
        faked.run(tmp_path, "a", [31, 32, 33, 36])
        faked.run(tmp_path, "b", [30, 31, 32, 33])
        gains = comparisons.gains_by(tmp_path, "a", "b", "psnr", parts=2)["estimate"]
        assert gains.to_dict() == {"31.5 to 33 dB": pytest.approx(2), "30 to 31.5 dB": pytest.approx(1)}

    def test_one_difficulty_everywhere_gives_one_part(self, tmp_path: Path) -> None:
        faked.run(tmp_path, "a", [31, 32])
        faked.run(tmp_path, "b", [30, 31])
        assert comparisons.gains_by(tmp_path, "a", "b", "occlusion")["clips"].to_dict() == {"1 to 1 %": 2}

    def test_what_is_missing_is_missing_for_a_reason(self, tmp_path: Path) -> None:
        faked.run(tmp_path, "a", [30])
        missing = comparisons.gains_by(tmp_path, "a", "b", "motion")
        assert missing["estimate"].isna().all()
        assert missing["reason"].tolist() == ["needs the rendered clips scored"]
        assert comparisons.gains_by(tmp_path, "a", "a", "acceleration")["reason"].tolist() == ["a has no acceleration"]
        assert comparisons.gain(tmp_path, "a", "b").reason == "needs the rendered clips scored"
        assert comparisons.gain(tmp_path, "a", "a", "lpips").reason == "a has no lpips"

    def test_of_several_pairs_have_documented_columns(self, tmp_path: Path) -> None:
        faked.run(tmp_path, "a_rendered", [31, 32])
        faked.run(tmp_path, "b_rendered", [30, 31])
        pairs = {"a over b": ("a_rendered", "b_rendered"), "a over c": ("a_rendered", "c_rendered")}
        gains = comparisons.gains(tmp_path, pairs)
        assert tuple(gains) == Estimate._fields
        assert (gains.index.name, str(gains["clips"].dtype), str(gains["low"].dtype)) == ("gain of", "Int64", "float64")
        assert gains.loc["a over b", ["estimate", "clips", "sign_p"]].tolist() == [1, 2, 0.5]
        assert pd.isna(gains.loc["a over c", "clips"])

    def test_leads_name_every_rival_and_count_clips(self, tmp_path: Path) -> None:
        rows = [
            f"{clip},1,{model},{30 + gain * (-1 if clip == 'f' else 1)}"
            for clip in "abcdef"
            for model, gain in (("x", 2), ("y", 0), ("z", 1))
        ]
        (tmp_path / "real.csv").write_text("\n".join(["clip,frame,model,psnr", *rows]))
        (tmp_path / "real.json").write_text('{"models": {"x": {}, "y": {}, "z": {}}}')
        leads = comparisons.leads(tmp_path, "real", "x")
        assert leads["ahead"].to_dict() == {"y": 5, "z": 5}
        assert leads.loc["y", "estimate"] == pytest.approx(4 / 3)
        assert comparisons.leads(tmp_path, "real", "nobody").empty


class TestMeanScores:
    def test_have_a_row_for_each_clip_and_a_mean_where_all_clips_were_scored(self) -> None:
        scored = [("a", "1", "x", 30.0), ("a", "2", "x", 31.0), ("b", "1", "y", 20.0)]
        rows = pd.DataFrame(scored, columns=["clip", "frame", "model", "psnr"])
        means = comparisons.mean_scores(rows)
        assert means["frames"].to_dict() == {"a": 2, "b": 1, "mean": 3}
        assert means.loc["a", "x"] == 30.5
        assert means.isna().sum().to_dict() == {"frames": 0, "x": 2, "y": 2}
        rows.loc[3] = ["b", "1", "x", 20.0]
        assert comparisons.mean_scores(rows).loc["mean", "x"] == 25.25

    def test_leave_out_still_frames_for_everybody_and_count_them(self) -> None:
        still = [("a", "1", "x", np.inf), ("a", "2", "x", 31.0), ("a", "1", "y", 50.0), ("a", "2", "y", 30.0)]
        still += [("b", "1", name, np.inf) for name in "xy"]
        rows = pd.DataFrame(still, columns=["clip", "frame", "model", "psnr"])
        means = comparisons.mean_scores(rows)
        assert means.loc["a"].tolist() == [1, 1, 31, 30]
        assert means.loc["b", "equal frames, left out"] == 1
        assert means.loc["mean"].tolist() == [1, 2, 31, 30]
        assert "equal frames, left out" not in comparisons.mean_scores(rows[np.isfinite(rows["psnr"])])

    def test_of_all_methods_stand_in_one_table(self, tmp_path: Path) -> None:
        faked.run(tmp_path, "blend_rendered", [20, 22])
        overview = comparisons.overview(tmp_path)
        assert overview.loc["average of the neighbours (`blend`)", "rendered clips, x2"] == 21
        assert overview.notna().sum().sum() == 1


def test_motion_models_side_by_side(tmp_path: Path) -> None:
    assert set(comparisons.motion_errors(tmp_path)["reason"]) == {"needs notebook 11 run"}
    models = ("linear", "quadratic", "least_squares", "rectified")
    lines = [f"a,8,{flow},{model},1.5" for flow in ("exact", "dis") for model in models]
    (tmp_path / "motion_error.csv").write_text("\n".join(["clip,frame,flow,model,epe_visible", *lines]))
    (tmp_path / "motion_error.json").write_text("{}")
    errors = comparisons.motion_errors(tmp_path)
    assert errors.loc[("least squares", "DIS flow"), "estimate"] == 1.5
    assert errors.loc[("least squares", "DIS flow"), "reason"] == "1 clip: no interval"


def test_worst_frames_have_what_is_known_of_them(tmp_path: Path) -> None:
    faked.run(tmp_path, "a", [30, 20, 25], frames=2)
    worst = comparisons.worst(tmp_path, "a", 3)
    assert list(worst) == ["psnr", "ssim", "motion", "occlusion"]
    assert worst.index.get_level_values("clip").tolist() == ["001", "001", "002"]
    assert comparisons.worst(tmp_path, "b", 3)["reason"].tolist() == ["needs the rendered clips scored"]
