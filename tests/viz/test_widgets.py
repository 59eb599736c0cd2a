"""The explorer without a browser: what it shows when it is displayed, moved, clicked into, switched."""

import asyncio
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image

from eqvi.datasets.rendering import demo_scene, render, write_clip
from eqvi.errors import InputError
from eqvi.model.config import PRESETS, EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.viz import choices, explorer, pixel_motion
from eqvi.viz.explorer import Explorer
from eqvi.viz.pixel_motion import PixelMotion
from eqvi.viz.widgets import EFFECTS, GROUPS, Tile

SMALL = EQVIConfig(
    flow="dis", refine_width=1 / 32, synthesis_width=1 / 32, context_channels=4, multi_scale=True, motion="rectified"
)
READY = {"kind": "ready"}


def load(name: str) -> tuple[EQVI, str]:
    if name == "missing":
        raise InputError("--model missing: there is no such file or preset")
    torch.manual_seed(0)
    return EQVI(PRESETS["baseline"] if name == "baseline" else SMALL).eval(), name


@pytest.fixture(autouse=True)
def _small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "load_model", load)


@pytest.fixture
def shown() -> Explorer:
    """An explorer whose grid is displayed, of small frames and few steps."""
    made = Explorer("portrait, cubic path", "", "small", height=128, steps=4)
    made._receive("grid", READY)
    return made


def pictures(found: Explorer) -> dict[str, Tile]:
    return {one["name"]: one for one in (*found.grid.fixed, *found.grid.moving)}


class TestDisplay:
    def test_nothing_is_done_before_a_browser_asks(self) -> None:
        made = Explorer(path="/nowhere", model="missing")
        assert made.grid.moving == []
        assert made.controls.message.value == ""

    def test_everything_is_made_when_it_does(self, shown: Explorer) -> None:
        assert shown.grid.shown == 2
        assert shown.grid.busy == ""
        assert shown.controls.progress.value == 3
        assert shown.controls.progress.description == "all ready"
        assert shown.grid.size == [224, 128]
        for one in pictures(shown).values():
            assert Image.open(io.BytesIO(one["data"])).size == (224, 128)
            assert one["alt"]
            assert one["group"] in GROUPS

    def test_in_a_kernel_questions_come_between_two_frames(self) -> None:
        made, asked = Explorer("portrait, linear path", "", "baseline", height=64, steps=8), list[int]()

        async def life() -> None:
            made._receive("grid", READY)
            assert made.grid.busy == "computing the frame at t = 4/8"
            while made.grid.shown != 4:
                await asyncio.sleep(0)
            asked.append(made.controls.progress.value)
            made.grid.step = 7
            while made.grid.shown != 7:
                await asyncio.sleep(0)
            asked.append(made.controls.progress.value)
            assert made._task is not None
            await made._task

        asyncio.run(life())
        assert asked == [1, 2]
        assert made.controls.progress.value == 7


class TestTime:
    def test_a_move_changes_every_picture_at_t_and_no_other(self, shown: Explorer) -> None:
        before = pictures(shown)
        shown.grid.step = 3
        after = pictures(shown)
        same = {name for name in before if before[name]["data"] == after[name]["data"]}
        assert same == {"I₀", "I₁", "I₂", "I₃", "F₁₂", "F₂₁"}
        assert {name for name in before if before[name]["alt"] == after[name]["alt"]} == same
        assert shown.grid.shown == 3
        assert "at t = 0.75" in after["new frame"]["alt"]

    def test_the_other_slider_is_the_same(self, shown: Explorer) -> None:
        shown.controls.step.value = 1
        assert shown.grid.shown == 1


class TestSwitches:
    def test_a_switch_changes_frame_and_psnr(self, shown: Explorer) -> None:
        before = pictures(shown)["new frame"]
        shown.controls.switches["rqfp"].value = False
        after = pictures(shown)["new frame"]
        assert after["data"] != before["data"]
        assert after["note"] != before["note"]
        shown.controls.switches["rqfp"].value = True
        assert pictures(shown)["new frame"] == before

    def test_without_rcsn_there_is_no_residual(self, shown: Explorer) -> None:
        assert "residual" in pictures(shown)
        shown.controls.switches["rcsn"].value = False
        assert "residual" not in pictures(shown)

    def test_only_what_the_model_has_can_be_switched(self, shown: Explorer) -> None:
        shown.controls.model.value = "baseline"
        disabled = {name for name, box in shown.controls.switches.items() if box.disabled}
        assert disabled == {"rcsn", "fusion"}
        assert not any(box.value for box in shown.controls.switches.values())
        assert shown.grid.shown == 2

    def test_what_each_changes(self, shown: Explorer) -> None:
        shown.controls.effects.value = True
        found = [one for one in shown.grid.moving if one["group"] == EFFECTS]
        assert [one["name"] for one in found] == [
            "RQFP", "RCSN", "MS-Fusion", "ensemble"
        ]  # fmt: skip
        for one in found:
            assert re.search(r"mean \d+\.\d\d, [+-]\d+\.\d\d dB", one["note"])

    def test_arrows(self, shown: Explorer) -> None:
        assert not pictures(shown)["F₁₂"]["arrows"]
        shown.controls.arrows.value = True
        for name in ("F₁₂", "F₂₁", "Fₜ₁", "Fₜ₂"):
            assert len(pictures(shown)[name]["arrows"]) == 4 * 8 * 14


class TestPixel:
    def test_a_click_on_the_first_frame_chooses_that_pixel(self, shown: Explorer) -> None:
        shown._receive("grid", {"kind": "click", "name": "I₁", "x": 60, "y": 20})
        assert shown.grid.marks["0"] == [60, 20]
        assert shown.grid.sentence.startswith("Pixel (60, 20) of frame 1 lands at (")
        assert "Pixel (60, 20)" in shown.grid.table

    def test_the_mark_moves_with_t(self, shown: Explorer) -> None:
        shown._receive("grid", {"kind": "click", "name": "I₁", "x": 50, "y": 30})
        before, plot = shown.grid.marks, shown.grid.drawing
        shown.grid.step = 3
        assert shown.grid.marks["0"] == before["0"]
        assert shown.grid.marks["t"] != before["t"]
        assert shown.grid.drawing != plot

    def test_a_click_at_t_or_in_the_second_frame_is_followed_back(self, shown: Explorer) -> None:
        for name, time in (("new frame", "t"), ("I₂", "1")):
            shown._receive("grid", {"kind": "click", "name": name, "x": 50, "y": 30})
            assert shown.grid.marks["0"] != [50, 30]
            assert shown.grid.marks[time] == pytest.approx([50, 30], abs=3)

    def test_keys_move_it_and_stop_at_the_rim(self, shown: Explorer) -> None:
        shown._receive("grid", {"kind": "click", "name": "I₁", "x": 3, "y": 3})
        shown._receive("grid", {"kind": "move", "x": 1, "y": 0})
        assert shown.grid.marks["0"] == [4, 3]
        shown._receive("grid", {"kind": "move", "x": -10, "y": -10})
        assert shown.grid.marks["0"] == [0, 0]


class TestDrawing:
    def test_it_is_well_formed_and_says_what_it_shows(self, shown: Explorer) -> None:
        picture, table = ElementTree.fromstring(shown.grid.drawing), ElementTree.fromstring(shown.grid.table)
        assert picture.get("aria-label") == shown.grid.sentence
        lines = list(picture.iter("{http://www.w3.org/2000/svg}polyline"))
        assert len(lines) == 8
        assert len({(one.get("stroke"), one.get("stroke-dasharray")) for one in lines}) == 4
        assert len({one.get("stroke-dasharray") for one in lines}) == 4, "colour alone tells some lines apart"
        assert len(list(table.iter("tr"))) == 10

    def test_a_verdict_for_each_component(self) -> None:
        nothing = torch.zeros(3, 2)
        curves = dict.fromkeys(("linear", "quadratic", "least squares", "rectified"), torch.zeros(67, 2))
        found = PixelMotion((5, 6), nothing, nothing, (True, False), (0.75, 0.0), curves, (5.0, 6.0))
        words = pixel_motion.describe(found, 0.5)
        assert "in x the accelerations agree, alpha is 0.75" in words
        assert "in y the accelerations disagree" in words
        assert "no: two-point parabola" in pixel_motion.table(found)
        ElementTree.fromstring(pixel_motion.draw(found, 0.5))


class TestPair:
    def test_both_sides_and_their_difference(self, shown: Explorer) -> None:
        assert shown.divider.left == {}
        shown._receive("divider", READY)
        assert shown.divider.shown == 2
        assert (shown.divider.left["name"], shown.divider.right["name"]) == ("as switched above", "without RQFP")
        assert shown.divider.left["data"] == pictures(shown)["new frame"]["data"]
        assert shown.divider.right["data"] != shown.divider.left["data"]
        before = shown.divider.change
        shown.controls.other.value = "rcsn"
        assert shown.divider.right["name"] == "without RCSN"
        assert shown.divider.change != before

    def test_it_follows_t_and_the_switches(self, shown: Explorer) -> None:
        shown._receive("divider", READY)
        shown.grid.step = 1
        assert shown.divider.shown == 1
        shown.controls.switches["rqfp"].value = False
        assert shown.divider.right["name"] == "with RQFP"


class TestFilm:
    def test_all_frames_in_order(self, shown: Explorer) -> None:
        assert shown.film.frames == []
        shown._receive("film", READY)
        assert [frame["name"] for frame in shown.film.frames] == ["I₁", "t = 1/4", "t = 2/4", "t = 3/4", "I₂"]
        assert shown.film.frames[2]["data"] == pictures(shown)["new frame"]["data"]

    def test_a_click_moves_t(self, shown: Explorer) -> None:
        shown._receive("film", {"kind": "chosen", "index": 3})
        assert shown.grid.shown == 3
        shown._receive("film", {"kind": "chosen", "index": 0})
        assert shown.grid.shown == 1


class TestChoices:
    @pytest.fixture
    def clip(self, tmp_path: Path) -> Path:
        write_clip(tmp_path / "clip", render(demo_scene("linear", (64, 112)), torch.linspace(0, 1, 9)))
        return tmp_path / "clip"

    def test_every_scene_opens(self) -> None:
        for name in choices.SCENES:
            assert choices.open_quadruplet(name, "", 0.0, 32).frames.shape == (1, 4, 3, 32, 56)
            assert [start for _, start in choices.positions(name)] == [-1, -0.5, 0, 0.5, 1]

    def test_another_window_is_another_picture(self, shown: Explorer) -> None:
        before = pictures(shown)
        shown.controls.position.value = 1.0
        assert pictures(shown)["I₁"]["data"] != before["I₁"]["data"]
        assert pictures(shown)["new frame"]["data"] != before["new frame"]["data"]

    def test_a_folder_by_its_path(self, clip: Path) -> None:
        made = Explorer(path=str(clip), model="baseline", height=64, steps=4)
        made._receive("grid", READY)
        assert [label for label, _ in made.controls.position.options] == ["frame 2", "frame 3", "frame 4"]
        assert made.controls.position.value == 3
        assert "truth" in pictures(made)
        made.grid.step = 1
        assert "truth" not in pictures(made)
        assert pictures(made)["new frame"]["note"] == "no truth at this t"

    @pytest.mark.parametrize(
        ("path", "words"),
        [("", "no path is given"), ("/nowhere/at/all", "/nowhere/at/all"), ("short", "holds 2 frames")],
    )
    def test_a_bad_path_is_one_line_and_the_old_window_stays(
        self, shown: Explorer, tmp_path: Path, path: str, words: str
    ) -> None:
        if path == "short":
            write_clip(tmp_path / "short", render(demo_scene("linear", (64, 112)), torch.tensor([0.0, 1.0])))
            path = str(tmp_path / "short")
        before = pictures(shown)
        shown.controls.path.value = path
        shown.controls.clip.value = choices.FOOTAGE
        assert words in shown.controls.message.value
        assert "\n" not in shown.controls.message.value
        assert pictures(shown) == before
        shown.controls.clip.value = "portrait, shake path"
        assert shown.controls.message.value == ""
        assert pictures(shown) != before

    def test_what_the_message_holds_is_text(self, shown: Explorer) -> None:
        shown.controls.path.value = "<script>"
        shown.controls.clip.value = choices.FOOTAGE
        assert "&lt;script&gt;" in shown.controls.message.value


def test_the_front_end_fetches_nothing() -> None:
    for name in ("explorer.js", "explorer.css"):
        text = (Path(explorer.__file__).parent / name).read_text()
        assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}
        assert re.search(r"@import|\bimport\b\s*[({'\"]", text) is None
