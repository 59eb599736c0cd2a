"""Verdicts on results that are faked in a folder of their own."""

import shutil
from pathlib import Path

import faked
import numpy as np
import pytest

from eqvi.errors import InputError
from eqvi.paths import RESULTS
from eqvi.reports import claims
from eqvi.reports.claims import FAILS, HOLDS, MISSING, OPEN, Finding

MODELS = (("linear", 3.0), ("quadratic", 2.0), ("rectified", 2.25))


def found(folder: Path, text: str) -> Finding:
    lines = [one for one in claims.ledger(folder) if text in one.claim]
    assert len(lines) == 1, [one.claim for one in lines]
    return lines[0]


def scores(mean: float, clips: int = 30) -> np.ndarray:
    values = np.random.default_rng(4).normal(0, 2, clips)
    return values - values.mean() + mean


def jitter(spread: float, clips: int = 30) -> np.ndarray:
    values = np.random.default_rng(5).normal(0, 1, clips)
    return spread * (values - values.mean()) / values.std(ddof=1)


def test_without_results_nothing_is_decided_but_the_arithmetic(tmp_path: Path) -> None:
    ledger = claims.ledger(faked.results(tmp_path))
    assert [one.claim for one in ledger if one.verdict != MISSING] == [
        "training takes 3 to 5 days at 3600 s an epoch for 200 epochs"
    ]
    assert all(one.reason for one in ledger)
    assert len({one.claim for one in ledger}) == len(ledger)
    figures = [one for one in ledger if ": PSNR on REDS" in one.claim]
    assert len(figures) == 8
    assert found(tmp_path, "MS-Fusion raises PSNR, REDS_VTSR val").clips_needed == "10"
    assert found(tmp_path, "MS-Fusion raises PSNR, REDS_VTSR val").published == "+0.0208"


@pytest.mark.parametrize(("mean", "verdict"), [(24.0563, HOLDS), (24.0502, FAILS)])
def test_a_figure_holds_if_it_is_met(tmp_path: Path, mean: float, verdict: str) -> None:
    faked.run(faked.results(tmp_path), "stage4_ms_fusion_val30", scores(mean).tolist(), frames=45)
    line = found(tmp_path, "Stage4 MS-Fusion: PSNR on REDS_VTSR val")
    assert line.verdict == verdict
    assert line.measured == f"{mean:.4f}"
    assert "nearest reading" in line.reason


@pytest.mark.parametrize(
    ("gain", "spread", "verdict"),
    [(0.02, 0.02, HOLDS), (-0.02, 0.02, FAILS), (0.002, 0.02, OPEN)],
)
def test_a_difference_is_judged_by_its_interval(tmp_path: Path, gain: float, spread: float, verdict: str) -> None:
    base = scores(24.0354)
    faked.run(faked.results(tmp_path), "stage3_rcsn_rqfp_val30", base.tolist(), frames=45)
    faked.run(tmp_path, "stage4_ms_fusion_val30", (base + gain + jitter(spread)).tolist(), frames=45)
    line = found(tmp_path, "MS-Fusion raises PSNR, REDS_VTSR val")
    assert line.verdict == verdict
    assert line.measured == f"{gain:+.4f}"
    assert (line.clips, line.spread, line.clips_needed) == ("30", "0.0200", "10")
    assert line.evidence == "stage4_ms_fusion_val30.csv and stage3_rcsn_rqfp_val30.csv"


def test_five_clips_decide_nothing(tmp_path: Path) -> None:
    base = scores(25, 5)
    faked.run(faked.results(tmp_path), "stage3_rcsn_rqfp_vtsr5", base.tolist(), frames=45)
    faked.run(tmp_path, "stage4_ms_fusion_vtsr5", (base + 1).tolist(), frames=45)
    line = found(tmp_path, "MS-Fusion raises PSNR, REDS_VTSR5")
    assert (line.verdict, line.sign_p, line.low) == (OPEN, "0.0625", "+1.0000")
    assert line.reason.startswith("5 clips")


def test_a_claim_of_less_is_judged_from_the_other_side(tmp_path: Path) -> None:
    base = scores(24.0962)
    faked.run(faked.results(tmp_path), "stage123_scratch_val30", base.tolist(), frames=45, sharpness=5.0)
    worse = (base - 0.09 + jitter(0.02)).tolist()
    faked.run(tmp_path, "stage123_scratch_vgg_val30", worse, frames=45, sharpness=6.0)
    assert found(tmp_path, "perceptual model lowers PSNR, REDS_VTSR val").verdict == HOLDS
    assert found(tmp_path, "perceptual model is sharper (gradient energy), REDS_VTSR val").verdict == HOLDS
    lpips = found(tmp_path, "perceptual model is nearer by LPIPS, REDS_VTSR val")
    assert (lpips.verdict, lpips.reason) == (MISSING, "stage123_scratch_vgg_val30 has no lpips")


def test_conventions_are_judged_on_the_weight_free_model(tmp_path: Path) -> None:
    faked.run(faked.results(tmp_path), "baseline_rendered", scores(30, 8).tolist())
    truncation, reading = found(tmp_path, "truncating the output"), found(tmp_path, "the choice of reading")
    assert (truncation.verdict, truncation.measured) == (HOLDS, "-0.0060")
    assert (reading.verdict, reading.published, reading.measured) == (HOLDS, "0.1065 dB", "+1.5060")


def test_the_file_is_whole_and_comes_out_the_same(tmp_path: Path) -> None:
    path = claims.write(faked.results(tmp_path))
    first = path.read_bytes()
    assert claims.write(tmp_path).read_bytes() == first
    assert first.decode().splitlines()[0] == ",".join(Finding._fields)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["claims.csv", "reported.csv"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    faked.results(tmp_path)
    (tmp_path / ".claims.part.csv").mkdir()
    with pytest.raises(InputError, match=r"claims\.csv: cannot be written"):
        claims.write(tmp_path)


def test_the_ledger_is_in_step_with_the_results(tmp_path: Path) -> None:
    for file in (*RESULTS.glob("*.csv"), *RESULTS.glob("*.json")):
        shutil.copy(file, tmp_path)
    assert claims.write(tmp_path).read_text() == (RESULTS / "claims.csv").read_text(), "run notebook 22 again"


def test_motion_models_alone_are_judged_by_their_error(tmp_path: Path) -> None:
    lines = [f"{clip:03},8,dis,{model},{error + clip}" for clip in range(8) for model, error in MODELS]
    (faked.results(tmp_path) / "motion_error.csv").write_text("\n".join(["clip,frame,flow,model,epe_visible", *lines]))
    (tmp_path / "motion_error.json").write_text("{}")
    line = found(tmp_path, "RQFP is nearer the true motion than plain quadratic: error in px, rendered clips, DIS flow")
    assert (line.verdict, line.measured, line.clips) == (FAILS, "+0.250", "8")
    line = found(tmp_path, "quadratic motion is nearer the true motion than linear: error in px, rendered clips, DIS")
    assert (line.verdict, line.measured) == (HOLDS, "-1.000")
    assert "exact" in found(tmp_path, "than linear: error in px, rendered clips, exact flow").claim


def test_rows_that_are_here_are_used() -> None:
    for line in claims.ledger():
        files = [RESULTS / name for name in line.evidence.split(" and ") if name.endswith(".csv")]
        if files and all(file.is_file() for file in files):
            assert line.measured or " of " in line.reason or " has no " in line.reason, line


def test_gains_for_a_figure_and_the_power_they_need(tmp_path: Path) -> None:
    base = scores(30, 8)
    faked.run(faked.results(tmp_path), "linear_rendered", base.tolist())
    faked.run(tmp_path, "quadratic_rendered", (base + 0.5).tolist())
    gains = claims.estimates(tmp_path, "motion")
    assert list(gains) == ["quadratic motion beats linear motion: PSNR, rendered clips, DIS flow"]
    assert gains.popitem()[1].value == pytest.approx(0.5)
    lines = claims.power_table(tmp_path).splitlines()
    assert lines[2] == "| MS-Fusion raises PSNR, REDS_VTSR val (30 clips) | +0.0208 | 6 | 10 | 48 | 184 |"
    assert len(lines) == 8
