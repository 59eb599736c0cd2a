"""RAFT in the place of a flow estimator, with random weights: its own are not at hand here."""

import re
from pathlib import Path

import pytest
import torch
from footage import scene, write_folder

from eqvi.datasets.cases import open_footage
from eqvi.errors import InputError
from eqvi.evaluation.methods import open_method
from eqvi.files import sha256
from eqvi.model import raft
from eqvi.model.geometry import pad_to
from eqvi.model.raft import NETWORKS, RAFT, network_of, open_raft
from eqvi.model.registry import load_for_footage
from eqvi.model.torchvision_models import import_models


@pytest.fixture(scope="module", name="file")
def _file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under a name as torchvision's, which ends with the beginning of their hash."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("raft")
    network = import_models().get_model("raft_small", weights=None)
    torch.save(network.state_dict(), folder / "weights.pth")
    return (folder / "weights.pth").rename(folder / f"raft_small_C_T-{sha256(folder / 'weights.pth')[:8]}.pth")


@pytest.fixture(scope="module", name="images")
def _images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(2, 3, 130, 141, generator=generator) for _ in range(2)]


def test_the_flow_is_torchvisions_of_the_padded_images(file: Path, images: list[torch.Tensor]) -> None:
    model, digest = open_raft(str(file))
    assert digest == sha256(file)
    theirs = import_models().get_model("raft_small", weights=None).eval()
    theirs.load_state_dict(torch.load(file, weights_only=True))
    with torch.inference_mode():
        flow = model(*images)
        expected = theirs(*(2 * pad_to(image, 136, 144) - 1 for image in images))[-1][..., :130, :141]
        features = [model.features(image) for image in images]
        assert torch.equal(model.between_all([(features[0], features[1])])[0], flow)
    assert torch.equal(flow, expected)
    assert flow.shape == (2, 2, 130, 141)


def test_small_images_are_padded_to_the_least_size(file: Path) -> None:
    model, _ = open_raft(str(file))
    assert model(torch.rand(1, 3, 32, 48), torch.rand(1, 3, 32, 48)).shape == (1, 2, 32, 48)


def test_it_is_frozen_and_stays_in_evaluation_mode(file: Path) -> None:
    model, _ = open_raft(str(file))
    model.train()
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_every_row_can_have_it(file: Path, tmp_path: Path) -> None:
    case = open_footage(write_folder(tmp_path / "clip", scene(9)), 2)[0]
    method = open_method(f"baseline+8@{file}")
    assert (method.name, method.weights_sha256) == (f"{file.stem}_baseline+8", sha256(file))
    staged = method.open(case).__self__._model  # type: ignore[attr-defined]
    assert isinstance(staged.flow, RAFT)
    assert staged.config.trajectory == 8
    assert open_method(f"linear@{file}").name == f"{file.stem}_linear"
    footage, identity = load_for_footage(f"baseline@{file}", "cpu")
    assert isinstance(footage.flow, RAFT)
    assert footage.config.detail
    assert sha256(file)[:16] in identity


def test_names_and_files_are_told_apart(file: Path, tmp_path: Path) -> None:
    assert network_of("raft") == NETWORKS["raft"]
    found = network_of(str(file))
    assert found is not None
    assert (found.name, found.file) == ("raft_small", file.name)
    other = tmp_path / "model.pth"
    other.write_bytes(b"")
    assert network_of(str(other)) is None
    with pytest.raises(InputError, match="is no RAFT: give raft or raft-small"):
        open_raft(str(other))


def test_damaged_and_other_files_are_named(file: Path, tmp_path: Path) -> None:
    damaged = tmp_path / file.name
    damaged.write_bytes(file.read_bytes() + b"?")
    with pytest.raises(InputError, match=r"is damaged: .* download weights raft-small` fetches RAFT \(small\)'s"):
        open_raft(str(damaged))
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "other.pth")
    other = tmp_path / f"raft_large-{sha256(tmp_path / 'other.pth')[:8]}.pth"
    (tmp_path / "other.pth").rename(other)
    with pytest.raises(InputError, match=re.escape(f"{other}: is not RAFT's")):
        open_raft(str(other))


def test_frames_whose_correlations_do_not_fit_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = open_raft(str(file))
    monkeypatch.setattr(raft, "free_memory", lambda _: 10**6)
    with pytest.raises(InputError, match=r"frames of 640x360 need 0\.1 GB for RAFT's correlations"):
        model.features(torch.zeros(1, 3, 360, 640))
