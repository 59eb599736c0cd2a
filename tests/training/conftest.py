"""Small presets, a small store and a finished run that the tests of training share."""

import functools
from pathlib import Path

import pytest
from small_runs import TINY, TINY_DIS, all_on, run

from eqvi.model.config import PRESETS
from eqvi.training.rendered import RenderedWindows
from eqvi.training.window_cache import RenderedStore, fill_store

# Rendering is what takes time here, and the same number gives the same window (tests/datasets/test_random_scenes.py).
_SAMPLE = functools.cache(RenderedWindows.sample)


@pytest.fixture
def tiny_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The presets `tiny` and `tiny-dis`, and windows that are rendered only once."""
    monkeypatch.setattr(RenderedWindows, "sample", _SAMPLE)
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    monkeypatch.setitem(PRESETS, "tiny-dis", TINY_DIS)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four windows of 96x96 with their DIS flows."""
    folder = tmp_path_factory.mktemp("store")
    fill_store(folder, RenderedStore(4, (96, 96)), progress=False)
    return folder


@pytest.fixture(scope="session")
def whole(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `all_on` that was not interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny-dis", TINY_DIS)
        run(all_on(store), folder)
    return folder
