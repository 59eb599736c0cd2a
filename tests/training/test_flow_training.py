"""Flow networks of our own: pairs of windows, and the initialization of the feature pyramid."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures_folder import fill
from torch.nn import functional as F

from eqvi.datasets.photographs import photograph, resample
from eqvi.model.geometry import backward_warp
from eqvi.model.pwc import FeaturePyramid
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training import initialization
from eqvi.training.augment import Augmentation
from eqvi.training.initialization import init_feature_pyramid, initial_model
from eqvi.training.recipe import Recipe
from eqvi.training.train import train
from eqvi.training.window_pool import PooledWindows, WindowPool, fill_pool
from eqvi.training.window_samples import FlowPairs


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> WindowPool:
    """Six windows of 112x112."""
    pictures = tmp_path_factory.mktemp("pictures")
    pool = WindowPool(tmp_path_factory.mktemp("windows"), 6, 112, 0, fill(pictures, validation=True))
    fill_pool(pool, progress=False)
    return pool


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class TestFlowPairs:
    @pytest.mark.parametrize("augment", ["none", "full"])
    def test_the_flow_leads_from_the_first_to_the_second(self, augment: Augmentation, windows: WindowPool) -> None:
        pairs = FlowPairs(PooledWindows(windows, (96, 96), augment))
        assert pairs.epoch == 6
        moved, still = [], []
        for number in range(18):
            pair = pairs.sample(number)
            warped = backward_warp(pair.second[None], pair.flow[None])[0]
            seen = (warped.sum(0, keepdim=True) > 0).float()
            moved.append(((warped - pair.first).abs() * seen).sum() / seen.sum())
            still.append(((pair.second - pair.first).abs() * seen).sum() / seen.sum())
        assert sum(moved) < 0.6 * sum(still)

    def test_pixels_that_show_two_motions_have_no_weight(self, windows: WindowPool) -> None:
        samples = list(map(FlowPairs(PooledWindows(windows, (112, 112), "none")).sample, range(12)))
        assert all(pair.flow.isfinite().all() for pair in samples)
        assert {0.0, 1.0} == {float(value) for pair in samples for value in pair.weight.unique()}

    def test_all_pairs_of_a_window_are_drawn(self, windows: WindowPool) -> None:
        pairs, frames = FlowPairs(PooledWindows(windows, (112, 112), "none")), windows.window(0).frames
        places = {frame.tobytes(): place for place, frame in enumerate(frames)}
        drawn = set()
        for number in range(0, 240, 6):  # of the first epoch, then of any window
            pair = pairs.sample(number)
            ends = [(255 * image).round().byte().numpy().tobytes() for image in (pair.first, pair.second)]
            if all(end in places for end in ends):
                drawn.add(tuple(places[end] for end in ends))
        assert drawn <= set(map(tuple, windows.exact_pairs(0).pairs.tolist()))
        assert {b - a for a, b in drawn} <= {1, -1, 2, -2}
        assert len(drawn) > 1

    def test_exact_flow_is_found_once(self, windows: WindowPool, monkeypatch: pytest.MonkeyPatch) -> None:
        first = windows.exact_pairs(2)
        monkeypatch.setattr("eqvi.training.window_pool.exact_pairs", lambda *_: pytest.fail("it is there"))
        again = windows.exact_pairs(2)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, again, strict=True))
        assert windows.rendered() == set(range(6))

    def test_two_runs_of_one_recipe_have_one_curve(self, windows: WindowPool, tmp_path: Path) -> None:
        small = {"preset": "eqvi-quarter-once", "windows": 6, "crop": 96, "batch": 2, "steps": 3, "scored": 1}
        recipe = Recipe(
            stage="flow", begin="plain", store=str(windows.folder), stored=112, pictures=str(windows.pictures),
            augment="full", rate=1e-3, schedule="constant", **small,
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
