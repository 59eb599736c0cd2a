"""Reading ahead and writing behind: order, bounds, and that an end on one side is an end on all."""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import scene, write_folder
from small_model import small_model

from eqvi.errors import InputError
from eqvi.media import convert as converting
from eqvi.media.convert import Settings, convert
from eqvi.media.image import Image
from eqvi.media.output import FolderWriter
from eqvi.media.pipeline import DEPTH, WriteBehind, read_ahead

IMAGE = Image(np.zeros((2, 2, 3), np.uint8))


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("eqvi-")]


class Slow(FolderWriter):
    """A writer that notes what it gets, and fails at one name."""

    def __init__(self, broken: str = "") -> None:  # no folder behind it
        self.names: list[str] = []
        self.broken = broken

    def has(self, name: str) -> bool:
        return name == "there"

    def add(self, name: str, when: Fraction, image: Image, path: Path | None) -> None:
        time.sleep(0.002)
        if name == self.broken:
            raise InputError(f"{name}: the disk is full")
        self.names.append(name)

    def end(self, when: Fraction) -> None:
        self.names.append(f"end {when}")


def write(writer: Any, count: int) -> None:
    with WriteBehind(writer) as behind:
        for number in range(count):
            behind.add(str(number), Fraction(number), IMAGE, None)
        behind.end(Fraction(count))


def test_items_are_read_ahead_in_order_and_no_further_than_allowed() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    items = read_ahead(source(), depth=2)
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while len(taken) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert taken == [0, 1, 2, 3], "one is out, two wait, and one waits for a place"
    assert list(items) == list(range(1, 20))
    assert threads() == []


def test_an_error_in_reading_comes_after_what_was_read() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise InputError("frame 2 is broken")

    items = read_ahead(source())
    assert next(items) == 1
    with pytest.raises(InputError, match="frame 2 is broken"):
        next(items)
    assert threads() == []


def test_closing_ends_reading_and_closes_the_source_in_its_thread() -> None:
    closed: list[str] = []

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread().name)

    items = read_ahead(source())
    next(items)
    items.close()
    assert closed == ["eqvi-read"]
    assert threads() == []


def test_frames_are_written_behind_in_order() -> None:
    writer = Slow()
    write(writer, 10)
    assert writer.names == [*map(str, range(10)), "end 10"]
    with WriteBehind(writer) as behind:
        assert behind.has("there")
        assert not behind.has("not there")
    assert threads() == []


@pytest.mark.parametrize("broken", ["0", "5", "9"])
def test_an_error_in_writing_is_raised_where_frames_are_made(broken: str) -> None:
    writer = Slow(broken)
    with pytest.raises(InputError, match=f"{broken}: the disk is full"):
        write(writer, 10)
    assert writer.names == [str(number) for number in range(int(broken))], "nothing after the error"
    assert threads() == []


def ended_by(error: BaseException, writer: Any) -> None:
    with WriteBehind(writer) as behind:
        for number in range(DEPTH + 2):
            behind.add(str(number), Fraction(number), IMAGE, None)
        raise error


def test_an_interruption_ends_writing_and_an_error_elsewhere_does_not() -> None:
    writer = Slow()
    with pytest.raises(KeyboardInterrupt):
        ended_by(KeyboardInterrupt(), writer)
    assert len(writer.names) < DEPTH + 2, "what waits is let go"
    with pytest.raises(InputError, match="damaged"):
        ended_by(InputError("the next frame is damaged"), writer := Slow())
    assert writer.names == [str(number) for number in range(DEPTH + 2)], "what was made is kept"
    assert threads() == []


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("place", ["reading", "estimating", "computing", "writing"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("the cable is cut")])
def test_wherever_a_clip_ends_all_threads_end(
    place: str, error: BaseException, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, model = write_folder(tmp_path / "in", scene(8)), small_model()
    monkeypatch.setattr(converting, "frames_at_once", lambda *_: at_once)
    calls = 0

    def fails(whole: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 4:
                raise error
            return whole(*arguments, **named)

        return call

    if place == "reading":
        monkeypatch.setattr(converting, "CutDetector", lambda: fails(lambda a, b: False))
    elif place in ("estimating", "computing"):
        stage = "estimate_motion" if place == "estimating" else "interpolate"
        monkeypatch.setattr(model, stage, fails(getattr(model, stage)))
    else:
        monkeypatch.setattr(FolderWriter, "add", fails(FolderWriter.add))
    with pytest.raises(type(error)):
        convert(source, tmp_path / "out", model, Settings(factor=2))
    assert threads() == []
    assert all(path.suffix in ("", ".png") for path in (tmp_path / "out").iterdir() if not path.name.startswith("."))
