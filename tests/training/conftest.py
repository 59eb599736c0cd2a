"""Small presets, a small store and a finished run that the tests of training share."""

from pathlib import Path

import pytest
from pictures_folder import fill
from small_runs import TINY, TINY_DIS, all_on, pictures_of, run

from eqvi.model.config import PRESETS
from eqvi.training.loading import window_pool
from eqvi.training.window_pool import fill_pool


@pytest.fixture
def tiny_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The presets `tiny` and `tiny-dis`."""
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    monkeypatch.setitem(PRESETS, "tiny-dis", TINY_DIS)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of `all_on`: four windows of 96x96, and one to be scored on."""
    folder = tmp_path_factory.mktemp("stores") / "store"
    pictures_of(folder).mkdir()
    fill(pictures_of(folder), validation=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny-dis", TINY_DIS)
        for split in ("train", "val"):
            fill_pool(window_pool(all_on(folder), split), progress=False)
    return folder


@pytest.fixture(scope="session")
def whole(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `all_on` that was not interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny-dis", TINY_DIS)
        run(all_on(store), folder)
    return folder
