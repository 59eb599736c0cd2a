"""A folder of any clips, and a model on another network's flow."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from footage import scene, write_folder
from PIL import Image

import eqvi
from eqvi.__main__ import main
from eqvi.datasets.cases import open_footage
from eqvi.errors import InputError
from eqvi.evaluation.methods import open_method
from eqvi.files import sha256
from eqvi.model import checkpoint
from eqvi.model.config import EQVIConfig
from eqvi.model.scopeflow import ScopeFlow

TINY = EQVIConfig(flow="dis", motion="quadratic", refine_width=1 / 32, synthesis_width=1 / 32, context_channels=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b", "deep/a"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(5):
            pixels = np.full((64, 64, 3), 40 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_every_clip_is_found_but_those_left_out(folder: Path) -> None:
    assert [case.name for case in open_footage(folder, 2)] == ["a", "b"]
    assert [case.name for case in open_footage(folder, 2, leave_out=["a"])] == ["b"]
    with pytest.raises(InputError, match="no clip 'c' to leave out: choose from a, b"):
        open_footage(folder, 2, leave_out=["a", "c"])
    # A list that was written for another folder.
    assert [case.name for case in open_footage(folder, 2, leave_out=["c", "d"])] == ["a", "b"]
    with pytest.raises(InputError, match="holds no clip"):
        open_footage(folder, 2, leave_out=["a", "b"])
    with pytest.raises(InputError, match="is no folder"):
        open_footage(folder / "nothing", 2)


def test_folders_with_dots_are_different_clips(folder: Path) -> None:
    (folder / "b").rename(folder / "bike.1")
    (folder / "deep" / "a").rename(folder / "bike.2")
    assert [case.name for case in open_footage(folder, 2)] == ["bike.1", "bike.2"]


def test_another_network_finds_the_flows_of_the_same_synthesis(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    checkpoint.save(eqvi.EQVI(TINY), tmp_path / "row_0.safetensors")
    checkpoint.save(ScopeFlow(1 / 16, 1), tmp_path / "network.safetensors")
    method = open_method(f"{tmp_path}/row_0.safetensors@{tmp_path}/network.safetensors")
    assert method.name == "network_row_0"
    assert method.weights_sha256 == sha256(tmp_path / "row_0.safetensors")
    case = open_footage(folder, 2)[0]
    fill = method.open(case)
    staged = fill.__self__._model  # type: ignore[attr-defined]
    assert isinstance(staged.flow, ScopeFlow)
    assert staged.flow.scalings == 1
    assert staged.config == dataclasses.replace(TINY)
    with pytest.raises(InputError, match=r"results/weights/no-flow\.safetensors is not there: .* or raft"):
        open_method(f"{tmp_path}/row_0.safetensors@no-flow")


def test_missing_frame_numbers_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "clip", scene(8))
    (folder / "004.png").unlink()
    assert main(["evaluate", str(folder), "--models", "blend", "--out", str(tmp_path / "rows.csv")]) == 0
    said = capsys.readouterr().err
    assert f"eqvi: note: numbers of {folder} are missing between 003 and 005: taken as neighbours" in said
