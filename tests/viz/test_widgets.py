"""The explorer without a browser: what it shows when it is displayed, moved, clicked into, switched."""

import asyncio
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image
from small_model import small_model

from eqvi.datasets.rendering import demo_scene, render, write_clip
from eqvi.errors import InputError
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.model.trajectories import frame_times
from eqvi.viz import choices, pixel_motion, pixel_path, widgets
from eqvi.viz.explorer import Explorer
from eqvi.viz.pixel_motion import PixelMotion
from eqvi.viz.widgets import EFFECTS, GROUPS, Tile

READY = {"kind": "ready"}


def load(name: str) -> tuple[EQVI, str]:
    if name == "missing":
        raise InputError("--model missing: there is no such file or preset")
    return EQVI(PRESETS["baseline"]).eval() if name == "baseline" else small_model(), name


@pytest.fixture(autouse=True)
def _small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eqvi.viz.explorer.load_model", load)


@pytest.fixture
def explorer() -> Explorer:
    """An explorer whose grid is displayed, of small frames and few steps."""
    explorer = Explorer("portrait, cubic path", "", "small", height=128, steps=4)
    explorer._receive("grid", READY)
    return explorer


def tiles(explorer: Explorer) -> dict[str, Tile]:
    return {tile["name"]: tile for tile in (*explorer.grid.fixed, *explorer.grid.moving)}


class TestDisplay:
    def test_nothing_is_computed_before_it_is_displayed(self) -> None:
        explorer = Explorer(path="/nowhere", model="missing")
        assert explorer.grid.moving == []
        assert explorer.controls.message.value == ""

    def test_everything_is_computed_when_it_is_displayed(self, explorer: Explorer) -> None:
        assert explorer.grid.shown == 2
        assert explorer.grid.busy == ""
        assert explorer.controls.progress.value == 3
        assert explorer.controls.progress.description == "all ready"
        assert explorer.grid.size == [224, 128]
        for one in tiles(explorer).values():
            assert Image.open(io.BytesIO(one["data"])).size == (224, 128)
            assert one["alt"]
            assert one["group"] in GROUPS

    def test_in_a_kernel_messages_come_between_two_frames(self) -> None:
        explorer, asked = Explorer("portrait, linear path", "", "baseline", height=64, steps=8), list[int]()

        async def life() -> None:
            explorer._receive("grid", READY)
            assert explorer.grid.busy == "computing the frame at t = 4/8"
            while explorer.grid.shown != 4:
                await asyncio.sleep(0)
            asked.append(explorer.controls.progress.value)
            explorer.grid.step = 7
            while explorer.grid.shown != 7:
                await asyncio.sleep(0)
            asked.append(explorer.controls.progress.value)
            assert explorer._task is not None
            await explorer._task

        asyncio.run(life())
        assert asked == [1, 2]
        assert explorer.controls.progress.value == 7


class TestTime:
    def test_a_move_changes_every_picture_at_t_and_no_other(self, explorer: Explorer) -> None:
        before = tiles(explorer)
        explorer.grid.step = 3
        after = tiles(explorer)
        same = {name for name in before if before[name]["data"] == after[name]["data"]}
        assert same == {"I₀", "I₁", "I₂", "I₃", "F₁₂", "F₂₁"}
        assert {name for name in before if before[name]["alt"] == after[name]["alt"]} == same
        assert explorer.grid.shown == 3
        assert "at t = 0.75" in after["new frame"]["alt"]

    def test_both_sliders_move_together(self, explorer: Explorer) -> None:
        explorer.controls.step.value = 1
        assert explorer.grid.shown == 1


class TestSwitches:
    def test_a_switch_changes_frame_and_psnr(self, explorer: Explorer) -> None:
        before = tiles(explorer)["new frame"]
        explorer.controls.switches["rqfp"].value = False
        after = tiles(explorer)["new frame"]
        assert after["data"] != before["data"]
        assert after["note"] != before["note"]
        explorer.controls.switches["rqfp"].value = True
        assert tiles(explorer)["new frame"] == before

    def test_without_rcsn_there_is_no_residual(self, explorer: Explorer) -> None:
        assert "residual" in tiles(explorer)
        explorer.controls.switches["rcsn"].value = False
        assert "residual" not in tiles(explorer)

    def test_only_what_the_model_has_can_be_switched(self, explorer: Explorer) -> None:
        explorer.controls.model.value = "baseline"
        disabled = {name for name, box in explorer.controls.switches.items() if box.disabled}
        assert disabled == {"rcsn", "fusion"}
        assert not any(box.value for box in explorer.controls.switches.values())
        assert explorer.grid.shown == 2

    def test_effects_show_what_each_switch_changes(self, explorer: Explorer) -> None:
        explorer.controls.effects.value = True
        found = [one for one in explorer.grid.moving if one["group"] == EFFECTS]
        assert [one["name"] for one in found] == [
            "RQFP", "RCSN", "MS-Fusion", "ensemble"
        ]  # fmt: skip
        for one in found:
            assert re.search(r"mean \d+\.\d\d, [+-]\d+\.\d\d dB", one["note"])

    def test_arrows_are_on_every_flow(self, explorer: Explorer) -> None:
        assert not tiles(explorer)["F₁₂"]["arrows"]
        explorer.controls.arrows.value = True
        for name in ("F₁₂", "F₂₁", "Fₜ₁", "Fₜ₂"):
            assert len(tiles(explorer)[name]["arrows"]) == 4 * 8 * 14


class TestPixel:
    def test_a_click_on_the_first_frame_chooses_that_pixel(self, explorer: Explorer) -> None:
        explorer._receive("grid", {"kind": "click", "name": "I₁", "x": 60, "y": 20})
        assert explorer.grid.marks["0"] == [60, 20]
        assert explorer.grid.sentence.startswith("Pixel (60, 20) of frame 1 lands at (")
        assert "Pixel (60, 20)" in explorer.grid.table

    def test_the_mark_moves_with_t(self, explorer: Explorer) -> None:
        explorer._receive("grid", {"kind": "click", "name": "I₁", "x": 50, "y": 30})
        before, plot = explorer.grid.marks, explorer.grid.drawing
        explorer.grid.step = 3
        assert explorer.grid.marks["0"] == before["0"]
        assert explorer.grid.marks["t"] != before["t"]
        assert explorer.grid.drawing != plot

    def test_a_click_at_t_or_in_the_second_frame_is_followed_back(self, explorer: Explorer) -> None:
        for name, time in (("new frame", "t"), ("I₂", "1")):
            explorer._receive("grid", {"kind": "click", "name": name, "x": 50, "y": 30})
            assert explorer.grid.marks["0"] != [50, 30]
            assert explorer.grid.marks[time] == pytest.approx([50, 30], abs=3)

    def test_keys_move_it_and_stop_at_the_rim(self, explorer: Explorer) -> None:
        explorer._receive("grid", {"kind": "click", "name": "I₁", "x": 3, "y": 3})
        explorer._receive("grid", {"kind": "move", "x": 1, "y": 0})
        assert explorer.grid.marks["0"] == [4, 3]
        explorer._receive("grid", {"kind": "move", "x": -10, "y": -10})
        assert explorer.grid.marks["0"] == [0, 0]


class TestPath:
    """The path of the pixel under the pointer through up to eight frames."""

    def test_hovering_shows_another_path_and_leaving_the_chosen_one(self, explorer: Explorer) -> None:
        explorer._receive("grid", {"kind": "click", "name": "I₁", "x": 60, "y": 40})
        chosen = explorer.grid.path_sentence
        assert chosen.startswith("Pixel (60, 40) followed through 8 frames")
        explorer._receive("grid", {"kind": "hover", "name": "I₁", "x": 10, "y": 20})
        assert explorer.grid.path_sentence.startswith("Pixel (10, 20) followed")
        assert explorer.grid.path_marks["dots"][3] == [10, 20]
        assert len(explorer.grid.path_marks["dots"]) == 8
        assert explorer.grid.marks["0"] == [60, 40]
        explorer._receive("grid", {"kind": "leave"})
        assert explorer.grid.path_sentence == chosen

    def test_drawing_is_labelled_and_tells_lines_apart_without_colour(self, explorer: Explorer) -> None:
        picture = ElementTree.fromstring(explorer.grid.path_drawing)
        assert picture.get("aria-label") == explorer.grid.path_sentence
        lines = list(picture.iter("{http://www.w3.org/2000/svg}polyline"))
        assert len(lines) == 8
        assert len({one.get("stroke-dasharray") for one in lines}) == 4

    def test_polynomials_pass_through_their_frames(self, explorer: Explorer) -> None:
        path = pixel_path.pixel_path(explorer.exploration.paths(), 60, 40, 0.5)
        motion = explorer.exploration.motion()
        assert torch.allclose(path.places[4], motion.flow_12[0, :, 40, 60])
        for count in pixel_path.COUNTS:
            used = [path.times.index(time) for time in frame_times(count)]
            times = torch.tensor([float(time) for time in frame_times(count)])
            assert torch.allclose(pixel_path.curve(path, count, times), path.places[used], atol=1e-3)
        assert path.at_t[2] == pytest.approx((path.places[4] / 2).tolist(), abs=1e-5)

    def test_a_short_clip_has_a_shorter_path(self, tmp_path: Path) -> None:
        write_clip(tmp_path / "clip", render(demo_scene("linear", (64, 112)), torch.linspace(0, 1, 9)))
        explorer = Explorer(path=str(tmp_path / "clip"), model="baseline", height=64, steps=4)
        explorer._receive("grid", READY)
        assert sorted(explorer.exploration.paths()) == [-1, 1, 2]
        assert "through 4 frames" in explorer.grid.path_sentence


class TestDrawing:
    def test_drawing_is_well_formed_and_labelled(self, explorer: Explorer) -> None:
        picture, table = ElementTree.fromstring(explorer.grid.drawing), ElementTree.fromstring(explorer.grid.table)
        assert picture.get("aria-label") == explorer.grid.sentence
        lines = list(picture.iter("{http://www.w3.org/2000/svg}polyline"))
        assert len(lines) == 8
        assert len({(one.get("stroke"), one.get("stroke-dasharray")) for one in lines}) == 4
        assert len({one.get("stroke-dasharray") for one in lines}) == 4, "colour alone tells some lines apart"
        assert len(list(table.iter("tr"))) == 10

    def test_each_component_has_its_verdict(self) -> None:
        nothing = torch.zeros(3, 2)
        curves = dict.fromkeys(("linear", "quadratic", "least squares", "rectified"), torch.zeros(67, 2))
        found = PixelMotion((5, 6), nothing, nothing, (True, False), (0.75, 0.0), curves, (5.0, 6.0))
        words = pixel_motion.describe(found, 0.5)
        assert "in x the accelerations agree, alpha is 0.75" in words
        assert "in y the accelerations disagree" in words
        assert "no: two-point parabola" in pixel_motion.table(found)
        ElementTree.fromstring(pixel_motion.draw(found, 0.5))


class TestPair:
    def test_both_sides_and_their_difference(self, explorer: Explorer) -> None:
        assert explorer.divider.left == {}
        explorer._receive("divider", READY)
        assert explorer.divider.shown == 2
        assert (explorer.divider.left["name"], explorer.divider.right["name"]) == ("as switched above", "without RQFP")
        assert explorer.divider.left["data"] == tiles(explorer)["new frame"]["data"]
        assert explorer.divider.right["data"] != explorer.divider.left["data"]
        before = explorer.divider.change
        explorer.controls.other.value = "rcsn"
        assert explorer.divider.right["name"] == "without RCSN"
        assert explorer.divider.change != before

    def test_divider_follows_t_and_the_switches(self, explorer: Explorer) -> None:
        explorer._receive("divider", READY)
        explorer.grid.step = 1
        assert explorer.divider.shown == 1
        explorer.controls.switches["rqfp"].value = False
        assert explorer.divider.right["name"] == "with RQFP"


class TestFilm:
    def test_film_has_all_frames_in_order(self, explorer: Explorer) -> None:
        assert explorer.film.frames == []
        explorer._receive("film", READY)
        assert [frame["name"] for frame in explorer.film.frames] == ["I₁", "t = 1/4", "t = 2/4", "t = 3/4", "I₂"]
        assert explorer.film.frames[2]["data"] == tiles(explorer)["new frame"]["data"]

    def test_a_click_moves_t(self, explorer: Explorer) -> None:
        explorer._receive("film", {"kind": "chosen", "index": 3})
        assert explorer.grid.shown == 3
        explorer._receive("film", {"kind": "chosen", "index": 0})
        assert explorer.grid.shown == 1


class TestChoices:
    @pytest.fixture
    def clip(self, tmp_path: Path) -> Path:
        write_clip(tmp_path / "clip", render(demo_scene("linear", (64, 112)), torch.linspace(0, 1, 9)))
        return tmp_path / "clip"

    def test_every_scene_opens(self) -> None:
        for name in choices.SCENES:
            assert choices.open_quadruplet(name, "", 0.0, 32).frames.shape == (1, 4, 3, 32, 56)
            assert [start for _, start in choices.positions(name)] == [-1, -0.5, 0, 0.5, 1]

    def test_another_window_is_another_picture(self, explorer: Explorer) -> None:
        before = tiles(explorer)
        explorer.controls.position.value = 1.0
        assert tiles(explorer)["I₁"]["data"] != before["I₁"]["data"]
        assert tiles(explorer)["new frame"]["data"] != before["new frame"]["data"]

    def test_a_folder_is_opened_by_its_path(self, clip: Path) -> None:
        explorer = Explorer(path=str(clip), model="baseline", height=64, steps=4)
        explorer._receive("grid", READY)
        assert [label for label, _ in explorer.controls.position.options] == ["frame 2", "frame 3", "frame 4"]
        assert explorer.controls.position.value == 3
        assert "truth" in tiles(explorer)
        explorer.grid.step = 1
        assert "truth" not in tiles(explorer)
        assert tiles(explorer)["new frame"]["note"] == "no truth at this t"

    def test_a_path_is_taken_whatever_is_selected(self, explorer: Explorer, clip: Path) -> None:
        explorer.controls.model.value = "baseline"
        before = tiles(explorer)["I₁"]["data"]
        explorer.controls.path.value = str(clip)
        assert explorer.controls.clip.value == choices.FOOTAGE
        opened = tiles(explorer)["I₁"]["data"]
        assert opened != before
        explorer.controls.clip.value = "portrait, cubic path"
        assert tiles(explorer)["I₁"]["data"] == before
        explorer.controls.path._handle_custom_msg({"event": "submit"}, [])  # Enter once more on the same text
        assert explorer.controls.clip.value == choices.FOOTAGE
        assert tiles(explorer)["I₁"]["data"] == opened

    @pytest.mark.parametrize(
        ("path", "words"),
        [("", "no path is given"), ("/nowhere/at/all", "/nowhere/at/all"), ("short", "holds 2 frames")],
    )
    def test_a_bad_path_is_one_line_and_the_old_window_stays(
        self, explorer: Explorer, tmp_path: Path, path: str, words: str
    ) -> None:
        if path == "short":
            write_clip(tmp_path / "short", render(demo_scene("linear", (64, 112)), torch.tensor([0.0, 1.0])))
            path = str(tmp_path / "short")
        before = tiles(explorer)
        explorer.controls.path.value = path
        explorer.controls.clip.value = choices.FOOTAGE
        assert words in explorer.controls.message.value
        assert "\n" not in explorer.controls.message.value
        assert tiles(explorer) == before
        explorer.controls.clip.value = "portrait, shake path"
        assert explorer.controls.message.value == ""
        assert tiles(explorer) != before

    def test_messages_are_escaped(self, explorer: Explorer) -> None:
        explorer.controls.path.value = "<script>"
        explorer.controls.clip.value = choices.FOOTAGE
        assert "&lt;script&gt;" in explorer.controls.message.value


def test_the_front_end_fetches_nothing() -> None:
    for name in ("explorer.js", "explorer.css"):
        text = (Path(widgets.__file__).parent / name).read_text()
        assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}
        assert re.search(r"@import|\bimport\b\s*[({'\"]", text) is None
