"""Stored windows: filled once, resumed if interrupted, read with their flows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import small_recipe

import eqvi
from eqvi.errors import InputError
from eqvi.model.motion import FLOW_PAIRS
from eqvi.training.augment import Augmentation
from eqvi.training.window_cache import RenderedStore, StoredWindows, fill_store

pytestmark = pytest.mark.usefixtures("tiny_presets")


def test_an_interrupted_fill_goes_on(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("frames.npy", "truths.npy", "flows.npy", "store.json")
    saved = {name: (store / name).read_bytes() for name in names}
    # As a kill leaves it: two windows on record, something torn after them.
    arrays = [np.load(store / name) for name in names[:3]]
    for name, array in zip(names, arrays, strict=False):
        array[2:] = 7
        np.save(tmp_path / name, array)
    record = json.loads(saved["store.json"])
    (tmp_path / "store.json").write_text(json.dumps(record | {"done": 2, "crc32": record["crc32"][:2]}))
    fill_store(tmp_path, RenderedStore(4, (96, 96)), progress=False)
    assert {name: (tmp_path / name).read_bytes() for name in names} == saved
    monkeypatch.setattr(
        "eqvi.training.window_cache._open_arrays", lambda *_: pytest.fail("a full store was opened to write")
    )
    fill_store(tmp_path, RenderedStore(4, (96, 96)), progress=False)


def test_one_that_is_interrupted_before_any_record(store: Path, tmp_path: Path) -> None:
    (tmp_path / "frames.npy").write_bytes(b"torn")
    fill_store(tmp_path, RenderedStore(4, (96, 96)), progress=False)
    assert (tmp_path / "flows.npy").read_bytes() == (store / "flows.npy").read_bytes()


@pytest.mark.parametrize("size", [(96, 128), (64, 64)])
def test_another_size_is_refused(size: tuple[int, int], store: Path) -> None:
    with pytest.raises(InputError, match="holds other windows"):
        fill_store(store, RenderedStore(4, size), progress=False)
    with pytest.raises(InputError, match="holds other windows"):
        fill_store(store, RenderedStore(5, (96, 96)), progress=False)
    with pytest.raises(InputError, match="holds other windows"):
        fill_store(store, RenderedStore(4, (96, 96), flow="scopeflow"), progress=False)


def test_scopeflow_has_its_flows_found_while_training(tmp_path: Path, store: Path) -> None:
    fill_store(tmp_path, RenderedStore(2, (96, 96), flow="scopeflow"), progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames.npy", "store.json", "truths.npy"]
    assert np.array_equal(np.load(tmp_path / "frames.npy"), np.load(store / "frames.npy")[:2])
    window = StoredWindows(tmp_path, (64, 64)).sample(3)
    assert window.flows is None
    assert window.frames.shape == (4, 3, 64, 64)


def test_a_damaged_window_is_refused(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    content = bytearray((tmp_path / "store" / "truths.npy").read_bytes())
    content[-5] ^= 1  # of the last window
    (tmp_path / "store" / "truths.npy").write_bytes(content)
    windows = StoredWindows(tmp_path / "store", (64, 64))
    with pytest.raises(InputError, match="window 3 of the store is damaged: remove the folder"):
        [windows.sample(number) for number in range(4)]


def test_a_file_that_is_gone(store: Path, tmp_path: Path) -> None:
    (tmp_path / "store.json").write_bytes((store / "store.json").read_bytes())
    with pytest.raises(InputError, match=r"a file of the store cannot be read .*: remove the folder"):
        StoredWindows(tmp_path, (64, 64)).sample(0)


def test_a_record_that_is_none(tmp_path: Path) -> None:
    for text in ("nonsense", "[]", "{}"):
        (tmp_path / "store.json").write_text(text)
        with pytest.raises(InputError, match=r"store.json: is no record of a store"):
            fill_store(tmp_path, RenderedStore(4, (96, 96)), progress=False)


@pytest.mark.parametrize("augment", ["none", "published", "full"])
def test_windows_are_crops_of_stored_ones_with_their_flows(augment: Augmentation, store: Path) -> None:
    source = StoredWindows(store, (64, 64), augment, seed=2)
    again = StoredWindows(store, (64, 64), augment, seed=2)
    frames, truths = (torch.from_numpy(np.load(store / name)) for name in ("frames.npy", "truths.npy"))
    assert source.epoch == 4
    for number in (5, 0, 4, 7, 6):
        window = source.sample(number)
        assert window.frames.shape == (4, 3, 64, 64)
        assert window.flows is not None
        assert window.flows.shape == (6, 2, 64, 64)
        assert window.t in (0.25, 0.5, 0.75)
        assert torch.equal(window.frames, again.sample(number).frames)
        # The flows belong to the frames: those of DIS, found on the window itself, are near.
        own = torch.cat(
            [
                eqvi.model.eqvi.make_flow("dis")(window.frames[None, a], window.frames[None, b])
                for a, b in FLOW_PAIRS[1:2]
            ]
        )
        inside = (slice(None), slice(None), slice(16, 48), slice(16, 48))
        assert (own[inside] - window.flows[None, 1][inside]).abs().median() < 1
        if augment == "none":
            place = next(
                (i, y, x)
                for i in range(4)
                for y in range(33)
                for x in range(33)
                if torch.equal(frames[i, 0, :, y, x].float() / 255, window.frames[0, :, 0, 0])
                and torch.equal(frames[i, :, :, y : y + 64, x : x + 64].float() / 255, window.frames)
            )
            index, y, x = place
            truth = truths[index, round(4 * window.t) - 1, :, y : y + 64, x : x + 64].float() / 255
            assert torch.equal(truth, window.truth)


def test_an_epoch_visits_each_stored_window_once_in_an_order_of_its_own(store: Path) -> None:
    source = StoredWindows(store, (96, 96), "none", seed=2)
    stored = torch.from_numpy(np.load(store / "frames.npy")).float() / 255
    shown = [source.sample(number).frames for number in range(12)]
    orders = [next(i for i in range(4) if torch.equal(stored[i], frames)) for frames in shown]
    assert [sorted(orders[start : start + 4]) for start in (0, 4, 8)] == [[0, 1, 2, 3]] * 3
    assert len({tuple(orders[start : start + 4]) for start in (0, 4, 8)}) > 1


def test_two_scales_need_larger_crops(store: Path) -> None:
    with pytest.raises(InputError, match="crop 64 is too small for two scales"):
        small_recipe(stage="4", store=str(store), after="x")
