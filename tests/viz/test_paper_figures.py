"""The paper's illustrations: they draw what the model did, and look where candidates differ."""

from pathlib import Path

import pytest
import torch

from eqvi.datasets.rendering import demo_scene, exact_flow
from eqvi.model.config import EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.viz import figure, paper_figures
from eqvi.viz.exploration import Exploration
from eqvi.viz.quadruplet import from_scene

SCENE = demo_scene("quadratic", (128, 160))
WHOLE = EQVIConfig(flow="dis", refine_width=1 / 32, synthesis_width=1 / 32, context_channels=4, multi_scale=True)


@pytest.fixture(scope="module")
def exploration() -> Exploration:
    torch.manual_seed(0)
    return Exploration(EQVI(WHOLE).eval(), from_scene(SCENE, "demo"))


def test_the_method_shows_every_step(exploration: Exploration, tmp_path: Path) -> None:
    picture = paper_figures.method(exploration)
    texts = {text.get_text() for axes in picture.figure.axes for text in axes.texts}
    for title in ("1  optical flow", "2  motion (RQFP)", "3  reversal", "5  blend", "6  RCSN", "7  MS-Fusion"):
        assert title in texts
    assert len(picture.figure.axes) == 1 + 4 + 6 + 2 + 2 + 4 + 2 + 2 + 2 + 1  # the sheet, and a picture each
    shown = picture.figure.axes[-1].images[0].get_array()
    new = exploration.as_trained(0.5).frame[0].permute(1, 2, 0).numpy()
    assert shown is not None
    assert abs(shown - new).max() < 1e-6
    assert figure.save(picture, "method", tmp_path).is_file()


def test_scales_fuse_to_the_frame(exploration: Exploration) -> None:
    full, half, weight = exploration.scales(0.5)
    joined = torch.lerp(half, full, weight).clamp(0, 1)
    assert torch.allclose(joined, exploration.as_trained(0.5).frame, atol=1e-6)


def test_motion_captions_have_the_errors(exploration: Exploration) -> None:
    observed, exact = exploration.motion(), exact_flow(SCENE, 0, 0.5).flow
    picture = paper_figures.motion(observed, exact, 0.5, (40, 40, 32, 24))
    titles = [axes.get_title(loc="left") for axes in picture.figure.axes]
    assert sum("px off" in title for title in titles) == 2
    assert titles[0] == "exact $F_{1t}$"


def test_the_ablation_ends_with_the_truth(exploration: Exploration) -> None:
    truth = exploration.quadruplet.truth(0.5)
    assert truth is not None
    frames = {"one": truth, "other": exploration.as_trained(0.5).frame}
    picture = paper_figures.ablation(frames, truth, (0, 0, 32, 24))
    titles = [title for axes in picture.figure.axes if (title := axes.get_title(loc="left"))]
    assert titles[0] == "one\ninf dB"
    assert titles[-1] == "truth"


def test_most_different_box_contains_the_difference() -> None:
    one, other = torch.zeros(1, 3, 40, 60), torch.zeros(1, 3, 40, 60)
    other[..., 22:27, 33:41] = 1
    x, y, width, height = paper_figures.most_different_box([one, other], 10, 8)
    assert (width, height) == (10, 8)
    assert x <= 33
    assert x + width >= 41
    assert y <= 22
    assert y + height >= 27
