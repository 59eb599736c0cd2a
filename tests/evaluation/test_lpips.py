"""LPIPS is the distance of its paper where AlexNet's weights are at hand, and not measured elsewhere."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from eqvi import files
from eqvi.errors import InputError
from eqvi.evaluation import lpips as lpips_module
from eqvi.evaluation.lpips import open_lpips
from eqvi.model.torchvision_models import ALEXNET, build

#: The weights that the package carries; found without importing it, which needs torchvision to be prepared.
LINEAR = Path(str(find_spec("lpips").origin)).parent / "weights" / "v0.1" / "alex.pth"  # type: ignore[union-attr]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random weights in the place of AlexNet's, as the folder that LPIPS is opened from."""
    features = build(ALEXNET).features.to_empty(device="cpu")
    for layer in features:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.05)
            torch.nn.init.normal_(layer.bias, std=0.1)
    torch.save(features.state_dict(prefix="features."), tmp_path / "alexnet.pth")
    name = f"alexnet-{files.sha256(tmp_path / 'alexnet.pth')[:8]}.pth"
    (tmp_path / "lpips").mkdir()
    (tmp_path / "alexnet.pth").rename(tmp_path / "lpips" / name)
    monkeypatch.setattr(lpips_module, "ALEXNET", ALEXNET._replace(file=name))
    return tmp_path


def test_it_is_the_distance_of_the_paper(weights: Path) -> None:
    """The formula again, written out with torch's own layers."""
    features = torch.load(next((weights / "lpips").iterdir()))
    lines = torch.load(LINEAR, map_location="cpu")
    frame, truth = torch.rand(1, 3, 70, 90), np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    layers = {
        0: torch.nn.Conv2d(3, 64, 11, 4, 2),
        3: torch.nn.Conv2d(64, 192, 5, 1, 2),
        6: torch.nn.Conv2d(192, 384, 3, 1, 1),
        8: torch.nn.Conv2d(384, 256, 3, 1, 1),
        10: torch.nn.Conv2d(256, 256, 3, 1, 1),
    }
    order = [layers[0], torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2), layers[3], torch.nn.ReLU()]
    order += [torch.nn.MaxPool2d(3, 2), layers[6], torch.nn.ReLU(), layers[8], torch.nn.ReLU(), layers[10]]
    alexnet = torch.nn.Sequential(*order, torch.nn.ReLU())
    alexnet.load_state_dict({name.removeprefix("features."): value for name, value in features.items()})
    rounded = (255 * frame).round() / 255
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
    both = torch.cat([rounded, torch.from_numpy(truth).permute(2, 0, 1)[None] / 255])
    x, expected = (2 * both - 1 - shift) / scale, 0.0
    with torch.no_grad():
        for place, layer in enumerate(alexnet):
            x = layer(x)
            if place in (1, 4, 7, 9, 11):
                a, b = F.normalize(x, eps=1e-10)
                line = lines[f"lin{(1, 4, 7, 9, 11).index(place)}.model.1.weight"]
                expected += float((line[0] * (a - b) ** 2).sum(0).mean())
    distance = open_lpips(weights)
    assert distance(frame, truth) == pytest.approx(expected, rel=1e-4)
    equal = torch.from_numpy(truth).permute(2, 0, 1)[None] / 255
    assert distance(equal, truth) == pytest.approx(0, abs=1e-6)


def test_without_weights_it_is_not_measured(tmp_path: Path) -> None:
    assert open_lpips(tmp_path) is None


def test_its_hash_is_of_both_files_of_weights(weights: Path) -> None:
    alexnet, linear = next((weights / "lpips").iterdir()), LINEAR
    assert open_lpips(weights).sha256 == hashlib.sha256(alexnet.read_bytes() + linear.read_bytes()).hexdigest()


def test_damaged_weights_are_refused(weights: Path) -> None:
    path = next((weights / "lpips").iterdir())
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"alexnet-.*\.pth: is damaged: .* download weights lpips` fetches"):
        open_lpips(weights)
