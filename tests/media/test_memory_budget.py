"""The budget of memory: sizes that are written, tiles that fit, and a line where nothing fits."""

import dataclasses

import pytest

from eqvi import devices
from eqvi.errors import InputError
from eqvi.media import memory_budget
from eqvi.media.memory_budget import MemoryBudget, bytes_around, bytes_per_pixel, parse_memory
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.model.tiles import LARGEST_REACH, MARGIN, Box

CONFIG = dataclasses.replace(PRESETS["eqvi-quarter-dis"], trajectory=8)


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4 * 10**9), ("1.5 gb", 15 * 10**8), ("800MB", 8 * 10**8), ("2GiB", 2**31)]
)
def test_sizes_of_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "4", "GB", "-1GB", "4 apples", "0GB", "1e3MB"])
def test_what_is_no_size_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match="give a size such as 4GB or 800MB") as caught:
        parse_memory(text)
    assert "\n" not in str(caught.value)


def test_tiles_fit_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    base = 4 * 10**8
    monkeypatch.setattr(memory_budget, "used_memory", lambda device: base)
    height, width = 2160, 3840
    counts = []
    for limit in (4, 5, 6, 20):
        boxes = MemoryBudget(CONFIG, "cpu", limit * 10**9)(height, width)
        outer = [box.widened(MARGIN + LARGEST_REACH, height, width).pixels for box in boxes]
        largest = max(outer) if len(boxes) > 1 else height * width
        assert (
            base + memory_budget.DECODER + bytes_around(CONFIG) * height * width + bytes_per_pixel(CONFIG) * largest
            <= limit * 10**9
        )
        counts.append(len(boxes))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1 < counts[0]


@pytest.mark.parametrize(
    ("config", "needed"),
    [(CONFIG, r"3\.\d"), (PRESETS["matching"], r"7\.\d")],
    ids=["in tiles", "matching computes whole frames"],
)
def test_a_budget_that_is_too_small_says_what_would_do(
    config: EQVIConfig, needed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_budget, "used_memory", lambda device: 4 * 10**8)
    with pytest.raises(InputError, match=rf"frames of 3840x2160 need {needed} GB .* 1\.0 GB are allowed") as caught:
        MemoryBudget(config, "cpu", 10**9)(2160, 3840)
    advice = str(caught.value).partition("--memory ")[2].partition(",")[0]
    assert "\n" not in str(caught.value)
    boxes = MemoryBudget(config, "cpu", parse_memory(advice))(2160, 3840)
    assert boxes, "the advice must do"
    assert len(boxes) == 1 or not config.matching


def test_without_a_budget_most_of_what_is_free_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_budget, "used_memory", lambda device: 10**9)
    monkeypatch.setattr(memory_budget, "free_memory", lambda device: 10**10)
    assert MemoryBudget(CONFIG, "cpu").limit == 9 * 10**9 + memory_budget.DECODER
    monkeypatch.setattr(memory_budget, "free_memory", lambda device: None)
    assert MemoryBudget(CONFIG, "cpu")(2160, 3840) == [Box(0, 0, 2160, 3840)], "nothing is known: whole frames"


def test_memory_of_this_machine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.used_memory("cpu") < 10**11
    monkeypatch.setattr(devices.Path, "exists", lambda path: False)
    assert devices.free_memory("cpu") is None
    assert devices.used_memory("cpu") == 0


def test_learned_parts_have_room_for_their_transforms_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_budget, "used_memory", lambda device: 0)
    height, width = 1080, 1920
    least = bytes_around(CONFIG) * height * width + memory_budget.DECODER
    whole = least + bytes_per_pixel(CONFIG) * height * width
    assert len(MemoryBudget(CONFIG, "cpu", whole)(height, width)) > 1
    assert len(MemoryBudget(CONFIG, "cpu", whole + 2 * memory_budget.WORKSPACE)(height, width)) == 1
    unlearned = dataclasses.replace(CONFIG, refine=False, residual=False)
    enough = memory_budget.DECODER + (bytes_around(unlearned) + bytes_per_pixel(unlearned)) * height * width
    assert len(MemoryBudget(unlearned, "cpu", enough)(height, width)) == 1
