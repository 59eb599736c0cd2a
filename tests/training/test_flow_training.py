"""Flow networks of our own: pairs from a store, and the initialization of the feature pyramid."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from eqvi.datasets.photographs import photograph, resample
from eqvi.model.geometry import backward_warp
from eqvi.model.motion import FLOW_PAIRS
from eqvi.model.pwc import FeaturePyramid
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training import initialization
from eqvi.training.initialization import init_feature_pyramid, initial_model
from eqvi.training.recipe import Recipe
from eqvi.training.train import train
from eqvi.training.window_cache import RenderedStore, StoredPairs, StoredWindows, fill_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six windows of 112x112 with exact flows."""
    folder = tmp_path_factory.mktemp("exact")
    fill_store(folder, RenderedStore(6, (112, 112), flow="exact"), progress=False)
    return folder


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class TestStoredPairs:
    @pytest.mark.parametrize("augment", ["none", "full"])
    def test_the_flow_leads_from_the_first_to_the_second(self, augment: str, store: Path) -> None:
        pairs = StoredPairs(StoredWindows(store, (96, 96), augment))  # type: ignore[arg-type]
        assert pairs.epoch == 6
        moved, still = [], []
        for number in range(18):
            pair = pairs.sample(number)
            warped = backward_warp(pair.second[None], pair.flow[None])[0]
            seen = pair.weight * (warped.sum(0, keepdim=True) > 0)
            moved.append(((warped - pair.first).abs() * seen).sum() / seen.sum())
            still.append(((pair.second - pair.first).abs() * seen).sum() / seen.sum())
        assert sum(moved) < 0.5 * sum(still)

    def test_pixels_that_show_two_motions_have_no_weight(self, store: Path) -> None:
        pairs = StoredPairs(StoredWindows(store, (96, 96), "none"))
        samples = [pairs.sample(number) for number in range(6)]
        assert all(pair.flow.isfinite().all() for pair in samples)
        assert {0.0, 1.0} == {float(value) for pair in samples for value in pair.weight.unique()}

    def test_every_pair_of_a_window_is_drawn(self, store: Path) -> None:
        windows = StoredWindows(store, (112, 112), "none")
        pairs, seen = StoredPairs(windows), set()
        for number in range(120):
            window, pair = windows.sample(number), pairs.sample(number)
            for which, (first, second) in enumerate(FLOW_PAIRS):
                if torch.equal(pair.first, window.frames[first]) and torch.equal(pair.second, window.frames[second]):
                    seen.add(which)
        assert seen == set(range(6))

    def test_two_runs_of_one_recipe_have_one_curve(self, store: Path, tmp_path: Path) -> None:
        small = {"preset": "eqvi-quarter-once", "windows": 6, "crop": 96, "batch": 2, "steps": 3, "scored": 1}
        recipe = Recipe(
            stage="flow", begin="plain", store=str(store), stored=112, augment="full", rate=1e-3, schedule="constant",
            **small,
        )  # fmt: skip
        train(recipe, tmp_path / "one", progress=False)
        train(recipe, tmp_path / "two", progress=False)
        assert (tmp_path / "one/curve.csv").read_bytes() == (tmp_path / "two/curve.csv").read_bytes()


class TestPlainInitialization:
    def test_the_first_flow_is_zero(self) -> None:
        model = initial_model(Recipe(stage="flow", preset="eqvi-quarter-once", begin="plain"))
        assert isinstance(model, ScopeFlow)
        assert model(torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 96)).abs().max() == 0

    def test_every_channel_varies(self) -> None:
        pyramid = FeaturePyramid(0.25)
        init_feature_pyramid(pyramid)
        picture = resample(photograph("astronaut"), (256, 256))
        for level in pyramid(picture).levels:
            spread = level.features.std((0, 2, 3))
            assert spread.min() > 0.1
            assert spread.max() < 3

    def test_features_of_an_image_shifted_by_a_pixel_stay_similar(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = resample(photograph("chelsea"), (257, 257))
        here, moved = whole[..., :256, :256], whole[..., 1:, 1:]

        def similarity() -> float:
            pyramid = FeaturePyramid(0.25)
            init_feature_pyramid(pyramid)
            a, b = (pyramid(x).levels[-1].features for x in (here, moved))
            a, b = (x - x.mean((2, 3), keepdim=True) for x in (a, b))
            return F.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()

        assert similarity() > 0.9
        rough = torch.randn(4, 3, 3)
        monkeypatch.setattr(initialization, "FILTERS", rough - rough.mean((1, 2), keepdim=True))
        assert similarity() < 0.8
