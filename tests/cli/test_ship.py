"""Keeping a finished run's weights and record."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import eqvi
from eqvi.__main__ import main
from eqvi.cli.ship import ship
from eqvi.errors import InputError
from eqvi.files import sha256
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.training.recipe import Recipe
from eqvi.training.run_folder import read_curve
from eqvi.training.train import train


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    PRESETS["tiny-dis"] = EQVIConfig(flow="dis", refine_width=1 / 32, synthesis_width=1 / 32, context_channels=4)
    values = {"preset": "tiny-dis", "begin": "plain", "crop": 64, "windows": 2, "batch": 1, "scored": 1}
    train(Recipe(steps=4, score_every=2, **values), folder, progress=False)
    del PRESETS["tiny-dis"]
    return folder


def test_weights_and_record_are_kept(finished: Path, tmp_path: Path) -> None:
    target = ship(finished, "mine", tmp_path / "weights", tmp_path / "training")
    before = (finished / "weights.safetensors").stat().st_size
    assert target.stat().st_size < 0.6 * before
    original = eqvi.load(finished / "weights.safetensors").state_dict()
    for name, value in eqvi.load(target).state_dict().items():
        assert torch.equal(value, original[name].half().float())
    home = tmp_path / "training" / "mine"
    record = json.loads((home / "run.json").read_text())
    assert record["shipped_sha256"] == sha256(target)
    assert record["weights_sha256"] == sha256(finished / "weights.safetensors")
    assert (home / "scores.csv").read_text() == (finished / "scores.csv").read_text()
    assert [row["step"] for row in read_curve(home / "curve.csv")] == ["1", "2", "3", "4"]
    again = target.read_bytes()
    ship(finished, "mine", tmp_path / "weights", tmp_path / "training")
    assert target.read_bytes() == again


def test_long_curves_are_thinned_and_keep_their_end(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eqvi.cli.ship._ROWS", 2)
    ship(finished, "mine", tmp_path / "weights", tmp_path / "training")
    kept, whole = (read_curve(path / "curve.csv") for path in (tmp_path / "training" / "mine", finished))
    assert [row["step"] for row in kept] == ["2", "4"]
    assert kept[1]["rate"] == whole[3]["rate"]
    assert float(kept[1]["total"]) == pytest.approx((float(whole[2]["total"]) + float(whole[3]["total"])) / 2)


def test_what_cannot_be_kept_is_refused(tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["ship", str(tmp_path / "nothing"), "mine"]) == 2
    assert "holds no finished training run" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"name '\.\./up' cannot be used"):
        ship(finished, "../up", tmp_path, tmp_path)


def test_a_folder_may_stand_before_the_name(finished: Path, tmp_path: Path) -> None:
    target = ship(finished, "family/row_0", tmp_path / "weights", tmp_path / "training")
    assert target == tmp_path / "weights" / "family" / "row_0.safetensors"
    record = json.loads((tmp_path / "training" / "family" / "row_0" / "run.json").read_text())
    assert record["device_time"]["of_steps"] == 4
    assert record["device_time"]["minutes"] >= 0
    with pytest.raises(InputError, match="name 'a/b/c' cannot be used"):
        ship(finished, "a/b/c", tmp_path, tmp_path)


def test_a_curve_that_lacks_its_end_is_refused(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "curve.csv").write_text("step,epoch,rate,total\n1,0,0.1,0.5\n")
    with pytest.raises(InputError, match=r"curve\.csv: does not end at step 4: restore it, or train again"):
        ship(tmp_path / "run", "mine", tmp_path / "weights", tmp_path / "training")
    assert not (tmp_path / "weights").exists()
