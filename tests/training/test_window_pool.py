"""A pool of training windows: a cache whose windows depend on their numbers alone."""

import dataclasses
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures_folder import fill

from eqvi.__main__ import main
from eqvi.datasets.windows import WINDOW_PAIRS
from eqvi.errors import InputError
from eqvi.model.geometry import backward_warp
from eqvi.training import augment
from eqvi.training.samples import WindowSample
from eqvi.training.window_pool import (
    PooledWindows,
    WindowPool,
    double_flows,
    fill_pool,
    halve_flows,
    to_sample,
    unpack_window,
)

SIZE = 96


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def pool(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> WindowPool:
    filled = WindowPool(tmp_path_factory.mktemp("pool"), 4, SIZE, 7, pictures)
    assert fill_pool(filled, progress=False) == 4
    return filled


def same(a: tuple, b: tuple) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_pool_gives_the_windows_that_would_be_rendered(pool: WindowPool) -> None:
    unstored = dataclasses.replace(pool, folder=None)
    assert all(same(pool.window(index), unstored.window(index)) for index in range(3))
    assert not same(pool.window(0), pool.window(1))


def test_a_full_pool_is_left_alone_and_a_larger_one_goes_on(pool: WindowPool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fill_pool(dataclasses.replace(pool, count=5), 1, 2, progress=False) == 0  # number 4 is the other worker's
    rendered: list[int] = []
    monkeypatch.setattr(WindowPool, "window", lambda self, index: rendered.append(index))
    assert fill_pool(pool, progress=False) == 0
    assert fill_pool(dataclasses.replace(pool, count=6), progress=False) == 2
    assert rendered == [4, 5]


def test_a_reader_renders_and_keeps_what_is_missing(pool: WindowPool, pictures: Path, tmp_path: Path) -> None:
    empty = WindowPool(tmp_path, 4, SIZE, 7, pictures)
    source, filled = (PooledWindows(of, (64, 64), seed=1) for of in (empty, pool))
    for name, value in source.sample(2)._asdict().items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(getattr(filled.sample(2), name)))
    assert [path.name for path in tmp_path.glob("*.npz")] == ["00000002.npz"]
    assert list(tmp_path.glob(".*part*")) == []


def test_other_windows_are_refused(pool: WindowPool, tmp_path: Path) -> None:
    for change in ({"seed": 8}, {"size": 128}, {"pictures": None}):
        with pytest.raises(InputError, match="holds other windows"):
            dataclasses.replace(pool, **change).prepare()  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is no folder of pictures"):
        fill_pool(dataclasses.replace(pool, pictures=tmp_path / "none"), progress=False)


def test_a_damaged_window_is_named(pool: WindowPool, tmp_path: Path) -> None:
    copy = dataclasses.replace(pool, folder=tmp_path)
    assert copy.folder is not None
    for content in (b"", b"PK\x03\x04 cut short"):
        (tmp_path / "00000000.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"00000000.npz: cannot be read .*: remove it"):
            copy.window(0)


def test_flows_survive_half_the_resolution() -> None:
    half = np.random.default_rng(0).normal(0, 8, (2, 2, 24, 32)).astype(np.float32)
    whole = double_flows(half)
    np.testing.assert_allclose(halve_flows(whole), half, atol=1e-4)
    assert whole.shape == (2, 2, 48, 64)


@pytest.mark.parametrize("box", [(0, 0, 96, 96), (0, 31, 64, 65), (31, 0, 65, 64), (5, 18, 33, 7), (16, 15, 80, 81)])
def test_a_part_is_unpacked_as_it_stands_in_the_whole(pool: WindowPool, box: tuple[int, int, int, int]) -> None:
    y, x, height, width = box
    packed = pool.packed(2)
    part, whole = unpack_window(packed, box), unpack_window(packed)
    for name, values in part._asdict().items():
        expected = getattr(whole, name)
        np.testing.assert_array_equal(values, expected if name == "t" else expected[..., y : y + height, x : x + width])


def test_samples_have_the_crop_and_repeat(pool: WindowPool) -> None:
    source = PooledWindows(pool, (64, 80), seed=3)
    sample, again = source.sample(5), pickle.loads(pickle.dumps(source)).sample(5)
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(sample, again, strict=True))
    assert sample.flows.shape == (16, 2, 64, 80)
    assert sample.visibility.shape == (2, 64, 80)
    assert {source.epoch, len(source.record()["pictures"]["sha256"])} == {4, 64}


@pytest.mark.parametrize("transform", ["mirror", "flip", "transpose", "reverse"])
def test_augmentation_moves_frames_and_flows_together(pool: WindowPool, transform: str) -> None:
    window = next(sample for sample in map(to_sample, map(pool.window, range(4))) if sample.visibility.mean() > 0.3)
    changed = getattr(augment, transform)(window)
    assert error(changed) == pytest.approx(error(window), rel=0.02, abs=1e-4)
    assert error(changed._replace(flow=-changed.flow)) > error(changed) or window.flow.abs().max() < 0.1
    twice = getattr(augment, transform)(changed)
    assert all(torch.allclose(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(twice, window, strict=True))


def error(window: WindowSample) -> float:
    """Of both neighbours warped to t by exact flow, where they are visible; and of estimated flows, by their pairs."""
    total = 0.0
    for frame, flow, seen in zip(window.frames[3:5], window.flow, window.visibility, strict=True):
        total += float(((backward_warp(frame[None], flow[None], "border")[0] - window.truth).abs() * seen).mean())
    for index, (a, b) in enumerate(WINDOW_PAIRS):
        warped = backward_warp(window.frames[b : b + 1], window.flows[index : index + 1], "border")[0]
        total += float((warped - window.frames[a]).abs().mean())
    return total


def test_augment_covers_every_transform(pool: WindowPool) -> None:
    window = to_sample(pool.window(0))
    seen = {
        round(float(augment.augment(window, random.Random(seed), "full").frames[0, 0, 0, 0]), 3) for seed in range(30)
    }
    assert len(seen) > 4


def test_the_command_fills_a_pool(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["windows", str(tmp_path / "pool"), "--count", "2", "--size", "64", "--pictures", str(pictures)]
    assert main(arguments) == 0
    assert "2 rendered" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "all there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "65"], "--size 65 is odd"),
        (["--count", "0"], "--count 0 is out of range"),
        (["--pictures", "nowhere"], "nowhere: is no folder of pictures"),
    ],
)
def test_bad_options_take_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["windows", str(tmp_path / "pool"), *options]) == 2
    error_text = capsys.readouterr().err
    assert message in error_text
    assert error_text.count("\n") == 1
    assert not list(tmp_path.rglob("*.npz"))
