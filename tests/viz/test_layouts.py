"""Flow colours, and pages that come out the same every time."""

import io
import math

import pandas as pd
import pytest
import torch
from PIL import Image

from eqvi.errors import InputError
from eqvi.viz import charts, colours, figure, layouts, panels


def directions(length, count=72):
    angle = torch.arange(count) * (2 * math.pi / count)
    return length * torch.stack((angle.cos(), angle.sin()))[None, :, None]


def test_zero_flow_is_white():
    torch.testing.assert_close(
        colours.flow_to_rgb(torch.zeros(1, 2, 4, 4), 8.0), torch.ones(1, 3, 4, 4), atol=2e-3, rtol=0
    )


def test_opposite_motions_have_opposite_hues():
    flow = directions(5.0)
    there, back = colours.flow_to_lab(flow, 8.0), colours.flow_to_lab(-flow, 8.0)
    torch.testing.assert_close(there[:, 1:], -back[:, 1:])
    distance = (colours.flow_to_rgb(flow, 8.0) - colours.flow_to_rgb(-flow, 8.0)).norm(dim=1)
    assert distance.min() > 0.25


def test_right_is_darker_than_left():
    right = colours.flow_to_lab(torch.tensor([6.0, 0]).view(1, 2, 1, 1), 8.0)
    left = colours.flow_to_lab(torch.tensor([-6.0, 0]).view(1, 2, 1, 1), 8.0)
    assert left[0, 0] - right[0, 0] > 0.1


def test_colour_grows_with_the_motion_and_stops_at_the_scale():
    chroma = torch.stack([colours.flow_to_lab(directions(r), 8.0)[:, 1:].norm(dim=1) for r in (0.0, 2, 4, 8, 16)])
    torch.testing.assert_close(chroma[2], 2 * chroma[1])
    torch.testing.assert_close(chroma[3], 4 * chroma[1])
    torch.testing.assert_close(chroma[4], chroma[3])


def test_every_colour_of_the_wheel_is_in_srgb():
    for length in (0.1, 0.25, 0.5, 0.75, 1.0):
        rgb = colours.oklab_to_srgb(colours.flow_to_lab(directions(length), 1.0))
        assert rgb.min() > 0
        assert rgb.max() < 1.005


def test_ramps_are_in_srgb_and_heat_only_darkens():
    values = torch.linspace(-0.1, 1.1, 200).view(1, 1, 1, -1)
    heat, weight, signed = (colours.field_to_rgb(values, 0, 1, name).mean(dim=1).flatten() for name in colours.RAMPS)
    assert heat[0] > 0.995
    assert (heat.diff() <= 0).all()
    assert (weight.diff() >= 0).all()
    assert signed.argmax() in (99, 100)
    for stops in colours.RAMPS.values():
        rgb = colours.oklab_to_srgb(torch.tensor(stops).T[None, :, None])
        assert rgb.min() > -0.01
        assert rgb.max() < 1.01


def test_scale_covers_the_flows_and_is_round():
    flow = directions(12.34).expand(1, 2, 50, 72)
    assert colours.flow_scale(flow, flow / 2) == 13
    assert colours.flow_scale(torch.zeros(1, 2, 9, 9)) == 1
    assert colours.flow_scale(torch.full((1, 2, 9, 9), 100.0)) == 150


def page():
    picture = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(3))
    flow = torch.stack((torch.linspace(-5, 5, 64).expand(48, 64), torch.ones(48, 64)))[None]
    row = {
        "a photograph\nof noise": panels.image(picture),
        "flow": panels.arrows(panels.flow(flow, 6.0), flow, 16),
        "error": panels.error(picture, picture.flip(-1)),
        "mask": panels.mask(flow[:, :1] > 0, picture),
        "weight": panels.field(flow[:, :1], "px", -5, 5),
    }
    return layouts.strip(row, "noise and its flow: größer", columns=3, box=(8, 8, 20, 12))


def plot():
    x = torch.linspace(-1, 2, 20)
    marks = {"left": (torch.tensor([-1.0, 1]), {"observed": torch.tensor([1.0, 1])})}
    return charts.curves(x, {"left": {"a": x, "b": x**2}, "right": {"b": 2 * x}}, "two plots", "s", "px", marks)


def table():
    return charts.dots(pd.DataFrame({"a": [1.0, -2.0], "b": [0.5, math.nan]}, index=["one", "two"]), "marks", "dB")


def response():
    x = torch.linspace(0, 1, 20)
    upper = {"ideal": (x, torch.ones(20)), "a": (x, 1 - x)}
    return charts.stacked(upper, {"b": (x, 1 + x)}, "two plots", "frequency", ("share", "px"), 0.5, "ideal")


@pytest.mark.parametrize(
    "draw", [page, plot, table, response, lambda: charts.bars({"one": 1.0, "two": 2.5}, "bars", "px")]
)
def test_saved_pages_are_the_same_bytes_with_their_alt_text(tmp_path, draw):
    first = figure.save(draw(), "01_page", tmp_path / "a").read_bytes()
    second = figure.save(draw(), "01_page", tmp_path / "b").read_bytes()
    assert first == second
    assert len(first) < figure.MAX_BYTES
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["01_page.png"]
    png = Image.open(io.BytesIO(first))
    assert png.text == {"Description": draw().alt}
    assert png.width == round(figure.WIDTH * figure.DPI)


def test_what_was_not_measured_is_said():
    empty = charts.dots(pd.DataFrame({"a": [math.nan]}, index=["one"]), "marks", "dB")
    assert [text.get_text() for text in empty.figure.axes[0].texts] == ["not measured"]
    x = torch.linspace(0, 1, 5)
    lower = charts.stacked({"a": (x, x)}, {}, "two plots", "frequency", ("share", "px"), 0.5).figure.axes[1]
    assert [text.get_text() for text in lower.texts] == ["not measured"]


def test_a_large_page_is_reduced_and_a_larger_one_refused(tmp_path):
    noise = torch.rand(1, 3, 400, 900, generator=torch.Generator().manual_seed(3))
    smooth = torch.nn.functional.avg_pool2d(noise, 9, 1, 4) + 0.02 * noise
    reduced = Image.open(figure.save(layouts.strip({"smooth": panels.image(smooth)}, "smooth"), "big", tmp_path))
    assert reduced.mode == "P"
    assert reduced.convert("RGB").getpixel((reduced.width - 2, 1)) == (255, 255, 255)
    with pytest.raises(InputError, match="figure huge has"):
        figure.save(
            layouts.strip({str(i): panels.image(noise) for i in range(4)}, "noise", columns=1), "huge", tmp_path
        )
    assert [file.name for file in tmp_path.iterdir()] == ["big.png"]


def test_each_kind_of_colouring_has_one_legend():
    picture = page()
    wheels_and_bars = len(picture.figure.axes) - 5 * 2
    assert wheels_and_bars == 3
