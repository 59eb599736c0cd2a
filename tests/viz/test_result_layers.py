"""The layers of a new frame as pictures and words."""

import io

import pytest
import torch
from PIL import Image

from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.viz import result_layers
from eqvi.viz.exploration import Exploration, Switches, toggled
from eqvi.viz.panels import Bar, Panel, Wheel
from eqvi.viz.quadruplet import Quadruplet


@pytest.fixture(scope="module")
def baseline(quadruplet: Quadruplet) -> Exploration:
    return Exploration(EQVI(PRESETS["baseline"]), quadruplet)


def panels_of(exploration: Exploration, t: float, switches: Switches) -> dict[str, Panel]:
    return {name: layer.panel for name, layer in result_layers.layers_at(exploration, t, switches).items()}


class TestLayers:
    def test_every_layer_is_there_and_of_the_frame_s_size(self, exploration: Exploration) -> None:
        found = panels_of(exploration, 0.5, exploration.default)
        expected = {
            "new frame",
            "truth",
            "error",
            "mask M",
            "residual",
            *result_layers.WARPED,
            *result_layers.FLOWS,
            *result_layers.HOLES,
        }
        assert set(found) == expected
        assert {tuple(panel.rgb.shape) for panel in found.values()} == {(3, 128, 160)}
        assert isinstance(found["Fₜ₁"].legend, Wheel)
        assert isinstance(found["residual"].legend, Bar)

    def test_layers_without_data_are_left_out(self, baseline: Exploration) -> None:
        blind = Exploration(baseline.model, Quadruplet("blind", baseline.quadruplet.frames, lambda t: None, dict))
        found = result_layers.layers_at(blind, 0.5, blind.default)
        assert {"residual", "truth", "error"} & set(found) == set()
        assert "no truth at this t" in found["new frame"].alt

    def test_alt_texts_change_with_t_and_with_the_switches(self, exploration: Exploration) -> None:
        own = exploration.default
        at = {t: result_layers.layers_at(exploration, t, own) for t in (0.25, 0.5)}
        still = [name for name in at[0.5] if at[0.25][name].alt == at[0.5][name].alt]
        assert still == []
        assert "at t = 0.25" in at[0.25]["new frame"].alt
        assert "with RQFP and RCSN and MS-Fusion" in at[0.5]["new frame"].alt
        assert "with every part switched off" in result_layers.layers_at(exploration, 0.5, Switches())["new frame"].alt

    def test_flows_share_one_scale(self, exploration: Exploration) -> None:
        shown = [*panels_of(exploration, 0.25, exploration.default).values()]
        shown += [layer.panel for layer in result_layers.input_flows(exploration).values()]
        assert len({panel.legend for panel in shown if isinstance(panel.legend, Wheel)}) == 1

    def test_arrows_on_request(self, exploration: Exploration) -> None:
        found = result_layers.layers_at(exploration, 0.5, exploration.default, arrows=16)
        assert found["Fₜ₁"].panel.arrows is not None
        assert found["Fₜ₁"].panel.arrows.shape == (80, 4)
        assert panels_of(exploration, 0.5, exploration.default)["Fₜ₁"].arrows is None

    def test_input_frames_are_the_quadruplet_s(self, exploration: Exploration, quadruplet: Quadruplet) -> None:
        found = result_layers.input_frames(exploration)
        assert list(found) == ["I₀", "I₁", "I₂", "I₃"]
        assert torch.equal(found["I₂"].panel.rgb, quadruplet.frames[0, 2])


class TestSwitchEffect:
    def test_on_and_off_do_not_depend_on_the_present_setting(self, exploration: Exploration) -> None:
        own = exploration.default
        one = result_layers.switch_effect(exploration, 0.5, own, "rcsn")
        other = result_layers.switch_effect(exploration, 0.5, toggled(own, "rcsn"), "rcsn")
        assert (one.name, one.psnr_on, one.psnr_off) == ("RCSN", other.psnr_on, other.psnr_off)
        assert one.psnr_on == exploration.psnr(0.5, own)
        assert torch.equal(one.layer.panel.rgb, other.layer.panel.rgb)

    def test_equal_frames_differ_nowhere(self, exploration: Exploration) -> None:
        found = result_layers.difference(exploration, 0.5, exploration.default, exploration.default)
        assert found.note == "mean 0.00"
        assert float(found.panel.rgb.min()) > 0.999


def test_pixel_of_frame_1_follows_the_flow_and_stays_within_the_frame(exploration: Exploration) -> None:
    flow = exploration.result(0.5, exploration.default).flow_t1[0, :, 60, 70]
    expected = (round(70 + float(flow[0])), round(60 + float(flow[1])))
    assert result_layers.pixel_of_frame_1(exploration, 0.5, exploration.default, 70, 60) == expected
    for x, y in ((0, 0), (159, 127)):
        found = result_layers.pixel_of_frame_1(exploration, 0.5, exploration.default, x, y)
        assert 0 <= found[0] < 160
        assert 0 <= found[1] < 128


class TestEncoding:
    def test_a_panel_is_a_small_webp(self, exploration: Exploration) -> None:
        panel = result_layers.input_frames(exploration)["I₁"].panel
        data = result_layers.webp(panel)
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, picture.size) == ("WEBP", (160, 128))
        assert len(data) < 20_000
        assert data == result_layers.webp(panel)

    def test_legends(self, exploration: Exploration) -> None:
        found = panels_of(exploration, 0.5, exploration.default)
        assert result_layers.legend(found["new frame"]) is None
        wheel, bar = result_layers.legend(found["Fₜ₁"]), result_layers.legend(found["mask M"])
        assert wheel is not None
        assert bar is not None
        assert Image.open(io.BytesIO(wheel[0])).format == "PNG"
        assert wheel[2].startswith("motion; the rim is ")
        assert bar[1:] == ("0", "1 weight of I₁")
