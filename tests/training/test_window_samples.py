"""Windows of eight frames as other samples: four frames for a model that has a flow network of its own."""

from pathlib import Path

import pytest
import torch
from pictures_folder import fill
from small_runs import on, pictures_of, small_recipe

from eqvi.training.distributed import Processes
from eqvi.training.loading import open_source, validation_samples
from eqvi.training.samples import FlowSample, FrameSample, WindowSample
from eqvi.training.window_pool import PooledWindows, WindowPool
from eqvi.training.window_samples import FrameWindows

pytestmark = pytest.mark.usefixtures("tiny_presets")


def test_four_frames_are_the_middle_ones_of_eight(tmp_path: Path) -> None:
    windows = PooledWindows(WindowPool(None, 2, 64, pictures=fill(tmp_path)), (64, 64), "none")
    whole, four = windows.sample(0), FrameWindows(windows).sample(0)
    assert torch.equal(four.frames, whole.frames[2:6])
    assert torch.equal(four.truth, whole.truth)
    assert four.t == whole.t


@pytest.mark.parametrize(
    ("stage", "preset", "kind"),
    [("scratch", "tiny-dis", WindowSample), ("scratch", "tiny", FrameSample), ("flow", "tiny", FlowSample)],
)
def test_a_recipe_gets_the_samples_that_its_model_learns_from(stage: str, preset: str, kind: type, store: Path) -> None:
    recipe = small_recipe(stage=stage, preset=preset, **on(store))
    with Processes("cpu") as processes:
        source = open_source(recipe, processes)
    sample, (scored,) = source.sample(0), validation_samples(recipe)
    assert type(sample) is type(scored) is kind
    assert sample[0].shape[-2:] == (64, 64)
    assert source.record()["count"] == 4


def test_a_window_without_a_store_is_no_larger_than_its_sample(store: Path) -> None:
    recipe = small_recipe(pictures=str(pictures_of(store)))
    with Processes("cpu") as processes:
        source = open_source(recipe, processes)
    assert isinstance(source, PooledWindows)
    assert (source.pool.size, source.pool.folder) == (64, None)
