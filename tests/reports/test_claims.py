"""Verdicts on results that are faked in a folder of their own."""

from pathlib import Path

import faked
import numpy as np
import pandas as pd
import pytest

from eqvi.errors import InputError
from eqvi.paths import RESULTS
from eqvi.reports import claims
from eqvi.reports.claim_list import LISTS, OF_PAPER, OF_STUDY
from eqvi.reports.verdict_rule import FAILS, HOLDS, MISSING, OPEN, VERDICTS

MODELS = (("linear", 3.0), ("quadratic", 2.0), ("rectified", 2.25))


@pytest.fixture(scope="module")
def study() -> pd.DataFrame:
    """The ledger of the project's own results."""
    return claims.ledger()


def line(folder: Path, text: str) -> pd.Series:
    """The claim whose text contains this."""
    ledger = claims.ledger(folder)
    lines = ledger[ledger["claim"].str.contains(text, regex=False)]
    assert len(lines) == 1, lines["claim"].tolist()
    return lines.iloc[0]


def scores(mean: float, clips: int = 30) -> np.ndarray:
    values = np.random.default_rng(4).normal(0, 2, clips)
    return values - values.mean() + mean


def jitter(spread: float, clips: int = 30) -> np.ndarray:
    values = np.random.default_rng(5).normal(0, 1, clips)
    return spread * (values - values.mean()) / values.std(ddof=1)


def test_without_results_nothing_is_decided_but_the_arithmetic(tmp_path: Path) -> None:
    ledger = claims.ledger(faked.results(tmp_path))
    decided = ledger[ledger["verdict"] != MISSING]
    assert decided["claim"].tolist() == ["training takes 3 to 5 days at 3600 s an epoch for 200 epochs"]
    assert (ledger["reason"] != "").all()
    assert ledger["claim"].is_unique
    assert len(ledger.query("kind == 'figure' and metric == 'psnr'")) == 8
    assert line(tmp_path, "MS-Fusion raises PSNR, REDS_VTSR val")["scenes_needed"] == 10
    assert line(tmp_path, "MS-Fusion raises PSNR, REDS_VTSR val")["published"] == pytest.approx(0.020806)
    assert line(tmp_path, "MS-Fusion raises PSNR, REDS_VTSR val")["power"] > 0.99
    assert line(tmp_path, "MS-Fusion raises PSNR, REDS_VTSR5")["power"] == 0
    families = claims.families(ledger)
    assert (families["tested"] == 0).all()
    assert set(families["reason"]) == {"no rows"}


def test_every_claim_can_be_selected_by_its_fields(study: pd.DataFrame) -> None:
    assert study.dtypes.astype(str).to_dict() == claims.COLUMNS
    real = study.query("part == 'RQFP' and data == 'nine real scenes' and not claim.str.contains('eight frames')")
    assert list(zip(real["rate"], real["weights"], strict=True)) == [("x2", "none"), ("x4", "none"), ("x2", "ours")]
    assert set(study["weights"]) == {"published", "ours", "none"}
    assert set(study["verdict"]) == set(VERDICTS)
    assert set(study["list"]) == set(LISTS)
    assert set(study.query("weights == 'published'")["list"]) == {OF_PAPER}
    fields = ["part", "data", "rate", "flow", "weights", "metric", "kind"]
    assert not study[study["evidence"] != "none"].duplicated([*fields, "evidence", "claim"]).any()


def test_a_missing_value_is_missing_and_has_a_reason(study: pd.DataFrame) -> None:
    missing = study[study["estimate"].isna()]
    assert (missing["verdict"] == MISSING).all()
    assert (missing["reason"] != "").all()
    assert study.loc[study["spread_of"] == "assumed", "p"].isna().all()


@pytest.mark.parametrize(("mean", "verdict"), [(24.0563, HOLDS), (24.0502, FAILS)])
def test_a_figure_holds_if_it_is_met(tmp_path: Path, mean: float, verdict: str) -> None:
    faked.run(faked.results(tmp_path), "stage4_ms_fusion_val30", scores(mean).tolist(), frames=45)
    claim = line(tmp_path, "Stage4 MS-Fusion: PSNR on REDS_VTSR val")
    assert claim["verdict"] == verdict
    assert claim["estimate"] == pytest.approx(mean)
    assert "nearest reading" in claim["reason"]


@pytest.mark.parametrize(
    ("gain", "spread", "verdict"),
    [(0.03, 0.02, HOLDS), (-0.03, 0.02, FAILS), (0.002, 0.02, FAILS), (0.002, 0.1, OPEN)],
)
def test_a_difference_is_judged_by_the_rule(tmp_path: Path, gain: float, spread: float, verdict: str) -> None:
    base = scores(24.0354)
    faked.run(faked.results(tmp_path), "stage3_rcsn_rqfp_val30", base.tolist(), frames=45)
    faked.run(tmp_path, "stage4_ms_fusion_val30", (base + gain + jitter(spread)).tolist(), frames=45)
    claim = line(tmp_path, "MS-Fusion raises PSNR, REDS_VTSR val")
    assert claim["verdict"] == verdict
    assert claim["estimate"] == pytest.approx(gain, abs=1e-6)
    assert (claim["scenes"], claim["spread_of"], claim["tests"]) == (30, "measured", 1)
    assert pd.isna(claim["scenes_needed"]) == (verdict != OPEN)
    assert claim["spread"] == pytest.approx(spread, abs=1e-5)
    assert claim["evidence"] == "stage4_ms_fusion_val30.csv and stage3_rcsn_rqfp_val30.csv"


def test_five_clips_decide_nothing(tmp_path: Path) -> None:
    base = scores(25, 5)
    faked.run(faked.results(tmp_path), "stage3_rcsn_rqfp_vtsr5", base.tolist(), frames=45)
    faked.run(tmp_path, "stage4_ms_fusion_vtsr5", (base + 1).tolist(), frames=45)
    claim = line(tmp_path, "MS-Fusion raises PSNR, REDS_VTSR5")
    assert claim["verdict"] == OPEN
    assert pd.isna(claim["p"])
    assert claim["power"] == 0
    assert claim["low"] == pytest.approx(1)
    assert claim["reason"].startswith("5 scenes")


def test_a_claim_of_less_is_judged_from_the_other_side(tmp_path: Path) -> None:
    base = scores(24.0962)
    faked.run(faked.results(tmp_path), "stage123_scratch_val30", base.tolist(), frames=45, sharpness=5.0)
    worse = (base - 0.09 + jitter(0.02)).tolist()
    faked.run(tmp_path, "stage123_scratch_vgg_val30", worse, frames=45, sharpness=6.0)
    verdict = claims.ledger(tmp_path).set_index("claim")["verdict"]
    assert verdict["the perceptual model lowers PSNR, REDS_VTSR val (30 clips)"] == HOLDS
    assert verdict["the perceptual model is sharper (gradient energy), REDS_VTSR val (30 clips)"] == HOLDS
    lpips = line(tmp_path, "perceptual model is nearer by LPIPS, REDS_VTSR val")
    assert (lpips["verdict"], lpips["reason"]) == (MISSING, "stage123_scratch_vgg_val30 has no lpips")


def test_conventions_are_judged_on_the_weight_free_model(tmp_path: Path) -> None:
    faked.run(faked.results(tmp_path), "baseline_rendered", scores(30, 8).tolist())
    truncation, reading = claims.ledger(tmp_path).query("part == 'metric convention'").iloc
    assert (truncation["verdict"], truncation["estimate"]) == (FAILS, pytest.approx(-0.006, abs=1e-6))
    assert (reading["verdict"], reading["estimate"]) == (HOLDS, pytest.approx(1.506, abs=1e-6))
    assert reading["published"] == pytest.approx(0.1065, abs=1e-4)


def test_the_file_is_whole_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    ledger = claims.ledger(faked.results(tmp_path))
    path = claims.write(ledger, tmp_path)
    first = path.read_bytes()
    assert first.decode().splitlines()[0] == ",".join(claims.COLUMNS)
    again = claims.read(tmp_path)
    assert again.dtypes.astype(str).to_dict() == claims.COLUMNS
    assert again["claim"].tolist() == ledger["claim"].tolist()
    assert claims.write(again, tmp_path).read_bytes() == first
    assert sorted(file.name for file in tmp_path.iterdir()) == ["claims.csv", "reported.csv"]


@pytest.mark.parametrize(("content", "message"), [(None, "No such file"), ("a,b\n1,2\n", "is no ledger of claims")])
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "claims.csv").write_text(content)
    with pytest.raises(InputError, match=rf"claims.csv.*{message}"):
        claims.read(tmp_path)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    ledger = claims.ledger(faked.results(tmp_path))
    (tmp_path / ".claims.part.csv").mkdir()
    with pytest.raises(InputError, match=r"claims\.csv: cannot be written"):
        claims.write(ledger, tmp_path)


def test_the_ledger_is_in_step_with_the_results(study: pd.DataFrame, tmp_path: Path) -> None:
    path = claims.write(study, tmp_path)
    assert path.read_text() == (RESULTS / "claims.csv").read_text(), "run notebook 22 again"


def test_motion_models_alone_are_judged_by_their_error(tmp_path: Path) -> None:
    rows = [f"{clip:03},8,dis,{model},{error + clip}" for clip in range(8) for model, error in MODELS]
    (faked.results(tmp_path) / "motion_error.csv").write_text("\n".join(["clip,frame,flow,model,epe_visible", *rows]))
    (tmp_path / "motion_error.json").write_text("{}")
    alone = claims.ledger(tmp_path).query("metric == 'epe_visible' and flow == 'DIS'").set_index("part")
    assert alone["verdict"].to_dict() == {"RQFP": FAILS, "quadratic motion": HOLDS}
    assert alone["estimate"].to_dict() == pytest.approx({"RQFP": 0.25, "quadratic motion": -1})
    assert alone["scenes"].tolist() == [8, 8]
    assert set(alone["unit"]) == {"px"}


def test_views_of_one_scene_count_once_and_nine_scenes_decide(tmp_path: Path) -> None:
    clips = [f"cam{view:02}" for view in (1, 2, 3, 4)] + [f"scene_{n}" for n in range(8)]
    gains = {"linear": -0.5, "quadratic": 0.0, "quadratic+4": 0.001, "quadratic+8": 0.1, "rectified": -0.1}
    rows = [
        f"{clip},8,{model},{30 + gain * (1 + 0.1 * number) + number}"
        for number, clip in enumerate(clips)
        for model, gain in gains.items()
    ]
    (faked.results(tmp_path) / "trajectories_x2.csv").write_text("\n".join(["clip,frame,model,psnr", *rows]))
    (tmp_path / "trajectories_x2.json").write_text("{}")
    ledger = claims.ledger(tmp_path).query("data == 'nine real scenes' and rate == 'x2'").set_index("claim")
    ledger = ledger[~ledger["part"].isin(["detail", "both ways"]) & (ledger["weights"] == "none")]
    verdicts = {claim.partition(":")[0]: verdict for claim, verdict in ledger["verdict"].items()}
    assert verdicts == {
        "paths over eight frames beat the paper's motion": HOLDS,
        "paths over eight frames beat those over four": HOLDS,
        "quadratic motion beats linear motion": HOLDS,
        "RQFP beats plain quadratic motion": FAILS,
        "RQFP beats plain quadratic motion beside paths over eight frames": MISSING,
    }
    assert ledger["scenes"].dropna().tolist() == [9] * 4


def test_rows_that_are_here_are_used(study: pd.DataFrame) -> None:
    for claim in study.itertuples():
        files = [RESULTS / name for name in claim.evidence.split(" and ") if name.endswith(".csv")]
        if files and all(file.is_file() for file in files):
            assert claim.estimate == claim.estimate or " of " in claim.reason or " has no " in claim.reason, claim


def test_the_power_that_published_gains_need(tmp_path: Path) -> None:
    table = claims.power_table(faked.results(tmp_path))
    assert len(table) == 6
    smallest = table.loc["MS-Fusion raises PSNR, REDS_VTSR val (30 clips)"]
    assert smallest["published_gain"] == pytest.approx(0.020806)
    assert smallest.iloc[1:].tolist() == [6, 10, 48, 184]


def test_lists_are_counted_apart(study: pd.DataFrame) -> None:
    counts = {whose: claims.counts(study, whose) for whose in LISTS}
    assert sum(counts[OF_PAPER].values()) + sum(counts[OF_STUDY].values()) == len(study)
    assert counts[OF_PAPER][MISSING] > 0
    assert counts[OF_PAPER][HOLDS] == 0


def test_a_family_has_one_correction(study: pd.DataFrame) -> None:
    for _, family in study[study["p"].notna()].groupby(["list", "family"]):
        assert (family["tests"] == len(family)).all()
        assert (family["p_holm"] >= family["p"]).all()
        assert (family["p_holm"] <= family["p"] * len(family) + 1e-12).any()
    families = claims.families(study)
    assert families["claims"].sum() == (study["kind"] != "figure").sum()
    assert families["tested"].sum() == study["p"].notna().sum()


def test_the_summary_begins_with_what_holds(study: pd.DataFrame) -> None:
    summary = claims.summary(study)
    ranks = summary["verdict"].map(VERDICTS.index)
    assert ranks.is_monotonic_increasing
    assert summary["verdict"].iloc[0] == HOLDS
    assert summary["measured, 95 % interval"].str.fullmatch(r"\S+ \[\S+, \S+\]").iloc[0]
