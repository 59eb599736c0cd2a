"""The ablation's tables, from made-up rows."""

import csv
import json
from pathlib import Path

import faked
import pandas as pd
import pytest

from eqvi.errors import InputError
from eqvi.paths import PARAMS
from eqvi.reports import ablation, claims, comparisons
from eqvi.reports.ablation import FILE, ROWS, run_name
from eqvi.reports.statistics import estimate
from eqvi.reports.verdict_rule import FAILS, HOLDS, MISSING, OPEN

CLIPS = 8
HEAD = "step,psnr,warp,difference,warp_difference\n"
_WHERE = "PSNR, rendered clips, our weights"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return faked.results(tmp_path)


def write(folder: Path, gains: dict[str, list[float]], name: str = FILE) -> None:
    """A file of rows: for every row and seed what it is above 30 dB, a little more or less from clip to clip."""
    columns = ["model", "clip", "frame", "psnr", "ssim", "sharpness", "sharpness_truth"]
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row, seeds in gains.items():
            for seed, gain in enumerate(seeds):
                for clip in range(CLIPS):
                    psnr = 30 + gain + 0.01 * clip * len(row)
                    writer.writerow([f"{row}_{seed}", f"{clip:03}", "00000012", psnr, 0.9, 80, 100])
    kinds = {f"{clip:03}": ("linear", "cubic")[clip % 2] for clip in range(CLIPS)}
    (folder / f"{name}.json").write_text(json.dumps({"parameters": {"kinds": kinds}}))


def add(folder: Path, name: str, gain: float, to: str = FILE) -> None:
    """Rows of a method that has no seeds beside those of `write`."""
    with (folder / f"{to}.csv").open("a", newline="") as file:
        for clip in range(CLIPS):
            psnr = 30 + gain + 0.01 * clip * len(name)
            csv.writer(file).writerow([name, f"{clip:03}", "00000012", psnr, 0.9, 80, 100])


def line(folder: Path, part: str) -> pd.Series:
    selected = claims.ledger(folder).query("weights == 'ours' and flow == 'DIS' and metric == 'psnr'")
    return selected[(selected["part"] == part) & (selected["evidence"] == f"{FILE}.csv")].iloc[0]


def test_every_row_has_a_recipe() -> None:
    assert all((PARAMS / f"family_{row}.yaml").is_file() for row in ROWS)


def test_nothing_is_claimed_without_rows(folder: Path) -> None:
    assert line(folder, "RCSN")["verdict"] == MISSING
    scores = ablation.scores(folder)
    assert scores["psnr"].isna().all()
    assert set(scores["reason"]) == {"needs notebook 16 run"}
    assert comparisons.gains_by_kind(folder, run_name("rqfp"), run_name("quadratic"))["estimate"].isna().all()
    assert ablation.learning(folder, "rqfp") == {}
    assert ablation.budget(folder)["steps"].isna().all()


def test_a_verdict_needs_every_seed(folder: Path) -> None:
    write(folder, {"quadratic": [0, 0, 0], "rcsn": [1, 2, 3], "rqfp": [-1, -2, -3], "linear": [1, -2, -2]})
    rcsn = line(folder, "RCSN")
    assert rcsn["verdict"] == HOLDS
    assert rcsn["reason"] == "seeds +0.8250, +1.8250, +2.8250"
    assert rcsn["estimate"] == pytest.approx(1.825)
    assert line(folder, "RQFP")["verdict"] == FAILS
    linear = line(folder, "quadratic motion")
    assert linear["verdict"] == OPEN
    assert linear["reason"].startswith("the seeds disagree: seeds -0.8950")


def test_scores_stand_beside_those_of_the_seeds(folder: Path) -> None:
    write(folder, {"quadratic": [0, 1]})
    scores = ablation.scores(folder)
    both = estimate([30.5 + 0.01 * clip * len("quadratic") for clip in range(CLIPS)])
    row = scores.loc["quadratic"]
    assert row[["psnr", "psnr_low", "psnr_high"]].tolist() == pytest.approx([both.estimate, both.low, both.high])
    assert (row["by_seed"], row["ssim"], row["sharpness"]) == ("30.32, 31.32", pytest.approx(0.9), 0.8)
    assert list(scores.index) == list(ROWS)


def test_what_training_earned_is_what_a_row_is_above_its_start(folder: Path) -> None:
    write(folder, {"rcsn": [1, 2], "quadratic": [-1, 1]})
    add(folder, "baseline", 0.5)
    scores = ablation.scores(folder)
    # Names shift the made-up rows by 0.01 dB a letter and clip, 3.5 clips in the mean.
    assert scores.loc["rcsn", "earned"] == pytest.approx(1.5 - 0.5 + 0.035 * (len("rcsn") - len("baseline")))
    assert scores.loc["rcsn", "earned_low"] < scores.loc["rcsn", "earned"] < scores.loc["rcsn", "earned_high"]
    ledger = claims.ledger(folder).set_index("claim")
    earned = {row: ledger.loc[f"training earns over the weight-free start, {row}: {_WHERE}"] for row in ROWS}
    assert earned["rcsn"]["verdict"] == HOLDS
    assert earned["quadratic"]["verdict"] == OPEN
    assert earned["quadratic"]["reason"].startswith("the seeds disagree")
    assert earned["linear"]["verdict"] == MISSING
    real = "training earns over the weight-free start, rcsn: PSNR, nine real scenes, x2, our weights"
    assert ledger.loc[real, ["verdict", "reason"]].tolist() == [MISSING, "needs the public clips"]
    table = ablation.earned(folder)
    assert table.loc[("rcsn", "rendered clips"), "estimate"] == scores.loc["rcsn", "earned"]
    assert table.loc[("rcsn", "nine real scenes, x2"), "reason"] == "needs the public clips"


def test_gains_by_kind_take_the_clips_of_that_kind(folder: Path) -> None:
    write(folder, {"quadratic": [0, 0], "rqfp": [1, 3]})
    gains = comparisons.gains_by_kind(folder, run_name("rqfp"), run_name("quadratic"))
    # The names' lengths differ by five: 0.05 dB a clip.
    assert gains["estimate"].to_dict() == pytest.approx({"linear path": 2 - 0.05 * 3, "cubic path": 2 - 0.05 * 4})


def test_learning_is_the_mean_over_seeds(folder: Path) -> None:
    for seed, scores in enumerate(("0,20,10,1,1\n5,30,10,1,1\n", "0,22,10,1,1\n5,34,10,1,1\n")):
        home = folder / "training" / "family" / f"rqfp_{seed}"
        home.mkdir(parents=True)
        (home / "scores.csv").write_text(HEAD + scores)
        (home / "run.json").write_text(
            json.dumps({"steps": 5, "recipe": {"seed": seed, "batch": 4, "crop": 96, "after": ""}})
        )
    assert ablation.learning(folder, "rqfp") == {0: 11, 5: 22}
    assert ablation.budget(folder).loc["rqfp"].tolist() == ["0, 1", "nothing", 5, 4, 96, ""]
    assert ablation.learned(folder)["earned"].isna().all()
    (home / "scores.csv").write_text(HEAD + "0,1,1,1,1\n")
    with pytest.raises(InputError, match="seeds of rqfp differ in steps"):
        ablation.learning(folder, "rqfp")


def test_rows_of_a_gpu_stand_apart(folder: Path) -> None:
    first, second = "0,10,10,3,3\n5,13,10,3,3\n9,12,10,1,3\n", "0,10,10,3,3\n5,11,10,3,3\n9,11,10,2,3\n"
    for seed, scores in enumerate((first, second)):
        home = folder / "training" / ablation.GPU / f"matching_{seed}"
        home.mkdir(parents=True)
        (home / "scores.csv").write_text(HEAD + scores)
    learned = ablation.learned(folder)
    assert list(learned.index) == list(ablation.GPU_ROWS)
    columns = ["start", "earned", "by_seed", "highest", "at_step", "match_before", "match_error", "reason"]
    assert learned.loc["matching", columns].tolist() == ["baseline+8", 1.5, "+2.000, +1.000", 2, 5, 3, 1.5, ""]
    assert learned.loc["rqfp", "reason"] == "needs a GPU's visit"
    assert ablation.learning(folder, "matching", ablation.GPU) == {0: 0, 5: 2, 9: 1.5}
    assert ablation.learning(folder, "matching") == {}
    earned = ablation.earned(folder, ablation.GPU_ROWS, ablation.GPU_FILES)
    assert len(earned) == len(ablation.GPU_ROWS) * len(ablation.GPU_FILES)
    assert set(earned["reason"]) == {"needs the public clips", "needs a GPU's visit"}
    assert ablation.by_scene(folder, ["rcsn"], f"{ablation.GPU}_x2").empty


def test_rows_whose_loss_counts_flow_stand_beside_those_of_frames_alone(folder: Path) -> None:
    alone, as_well = f"{ablation.GPU}_x2", f"{ablation.GPU_FLOW}_x2"
    write(folder, {"rcsn": [1, 2]}, alone)
    add(folder, "baseline", 0.5, alone)
    write(folder, {"rcsn": [1, 1]}, as_well)
    added = ablation.by_other_loss(folder)
    assert added.loc[("rcsn", "nine real scenes, x2"), "estimate"] == pytest.approx(-0.5)
    assert added.loc[("rcsn", "nine real scenes, x4"), "reason"] == "needs the public clips"
    assert set(added.index.unique("row")) == set(ablation.OTHER_LOSS_ROWS)
    scenes = ablation.by_scene(folder, ["rcsn", "rqfp"], alone)
    assert list(scenes) == ["rcsn"]
    # Names shift the made-up rows by 0.01 dB a letter and clip.
    assert scenes["rcsn"].tolist() == pytest.approx(
        [1 + 0.01 * clip * (len("rcsn") - len("baseline")) for clip in range(CLIPS)]
    )
    assert list(ablation.learned(folder, ablation.GPU_FLOW).index) == list(ablation.OTHER_LOSS_ROWS)
