"""New frames made side by side: the same frames in the same order, bounds, errors, and for which frames it is done."""

import threading
from concurrent.futures import CancelledError, Future
from pathlib import Path

import cv2
import pytest
import torch
from footage import scene, write_folder

from eqvi.errors import InputError
from eqvi.media import convert as converting
from eqvi.media import memory_budget
from eqvi.media.convert import Settings, convert
from eqvi.media.memory_budget import MemoryBudget, bytes_around, bytes_per_pixel
from eqvi.media.precision import for_clips
from eqvi.media.side_by_side import MOST, SideBySide, at_most, frames_at_once
from eqvi.model.eqvi import EQVI
from eqvi.model.registry import FOOTAGE_CONFIG, presets
from eqvi.model.scopeflow import ScopeFlow

SMALL = (256, 448)


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)


@pytest.mark.parametrize("preset", ["footage", "baseline"])
def test_frames_are_the_same_however_many_are_made_at_once(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a size at which OpenCV samples, too."""
    source = write_folder(tmp_path / "in", scene(10, (160, 112)))
    model = EQVI(presets()[preset]).eval()
    with torch.no_grad():
        for weight in model.parameters():  # a new model's last layers are zero
            weight.add_(torch.randn_like(weight), alpha=0.02)
    for count in (1, 3):
        monkeypatch.setattr(converting, "frames_at_once", lambda *_, count=count: count)
        convert(source, tmp_path / str(count), for_clips(model, "float32", "cpu"), Settings(factor=4))
    names = sorted(path.name for path in (tmp_path / "1").glob("*.png"))
    assert len(names) == 10 + 9 * 3
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes(), name


def test_jobs_run_at_the_same_time_and_one_waits() -> None:
    meeting, gate, begun = threading.Barrier(3), threading.Event(), []

    def job(number: int) -> int:
        begun.append(number)
        if number < 2:
            meeting.wait(10)
        gate.wait(10)
        return number

    with SideBySide(2) as crew:
        results = [crew.submit(lambda: job(0)), crew.submit(lambda: job(1))]
        meeting.wait(10)
        results.append(crew.submit(lambda: job(2)))
        late: list[Future[int]] = []
        caller = threading.Thread(target=lambda: late.append(crew.submit(lambda: job(3))))
        caller.start()
        caller.join(0.1)
        assert caller.is_alive(), "whoever hands in a fourth job waits"
        assert sorted(begun) == [0, 1]
        gate.set()
        caller.join(10)
    assert [result.result(0) for result in (*results, *late)] == [0, 1, 2, 3], "all are done on leaving"


def test_threads_are_divided_within_and_as_before_afterwards() -> None:
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(4)
    try:
        with SideBySide(2) as crew:
            assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, 2)
            assert crew.submit(torch.get_num_threads).result() == 2
        assert torch.get_num_threads() == 4
        with SideBySide(1) as crew:
            assert crew.submit(threading.current_thread).result() is threading.current_thread()
            assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before[0])
    assert cv2.getNumThreads() == before[1]


def test_after_an_interruption_what_has_not_begun_is_dropped() -> None:
    results: list[Future[None]] = []
    gate = threading.Event()

    def interrupted() -> None:
        with SideBySide(2) as crew:
            results.extend(crew.submit(lambda: gate.wait(10) and None) for _ in range(3))
            threading.Timer(0.1, gate.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert results[0].done()
    with pytest.raises(CancelledError):
        results[2].result(0)


def test_an_error_in_a_job_is_raised_on_leaving_and_where_its_result_is_asked_for() -> None:
    def fails() -> None:
        raise InputError("no memory")

    results: list[Future[None]] = []

    def handed_in() -> None:
        with SideBySide(2) as crew:
            results.extend(crew.submit(job) for job in (lambda: None, fails, lambda: None))

    with pytest.raises(InputError, match="no memory"):
        handed_in()
    assert [result.done() for result in results] == [True] * 3, "the others are done all the same"
    with pytest.raises(InputError, match="no memory"):
        results[1].result()
    with SideBySide(1) as crew, pytest.raises(InputError, match="no memory"):
        crew.submit(fails)


def test_small_frames_are_made_side_by_side_as_far_as_there_are_threads() -> None:
    pixels = SMALL[0] * SMALL[1]
    assert [at_most(pixels, threads) for threads in (1, 2, 4, 64)] == [1, 2, 4, MOST]
    assert at_most(960 * 540, 2) == 2
    assert at_most(1280 * 720, 8) == 1


def test_memory_and_kind_of_a_model_decide_as_well(four_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_budget, "used_memory", lambda device: 0)
    assert MemoryBudget(FOOTAGE_CONFIG, "cpu").at_once(*SMALL) == 4
    assert MemoryBudget(FOOTAGE_CONFIG, "mps").at_once(*SMALL) == 1
    needed = (bytes_around(FOOTAGE_CONFIG) + bytes_per_pixel(FOOTAGE_CONFIG)) * 540 * 960
    tiles = MemoryBudget(FOOTAGE_CONFIG, "cpu", memory_budget.DECODER + needed - 1)
    assert len(tiles(540, 960)) > 1
    assert tiles.at_once(540, 960) == 1, "in tiles"
    for name in ("eqvi", "eqvi-quarter-dis", "matching"):
        assert frames_at_once(for_clips(EQVI(presets()[name]), "float32", "cpu"), *SMALL) == 1, name
    other = EQVI(FOOTAGE_CONFIG)
    other.flow = ScopeFlow(1 / 8)
    assert frames_at_once(for_clips(other, "float32", "cpu"), *SMALL) == 1, "a flow network in a model of its own"
    pixels = SMALL[0] * SMALL[1]
    whole = memory_budget.DECODER + (2 * bytes_around(FOOTAGE_CONFIG) + bytes_per_pixel(FOOTAGE_CONFIG)) * pixels
    each = (bytes_around(FOOTAGE_CONFIG) + bytes_per_pixel(FOOTAGE_CONFIG)) * pixels
    for count in (1, 2, 3):
        assert MemoryBudget(FOOTAGE_CONFIG, "cpu", whole + (count - 1) * each).at_once(*SMALL) == count
    assert frames_at_once(for_clips(EQVI(FOOTAGE_CONFIG), "exact", "cpu"), *SMALL) == 4
    assert frames_at_once(EQVI(FOOTAGE_CONFIG), *SMALL) == 1, "a model by itself"
