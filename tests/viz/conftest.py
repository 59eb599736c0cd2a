"""A rendered quadruplet, and its exploration with a model that has every part."""

import pytest
from small_model import small_model

from eqvi.datasets.rendering import demo_scene
from eqvi.viz.exploration import Exploration
from eqvi.viz.quadruplet import Quadruplet, from_scene


@pytest.fixture(scope="module")
def quadruplet() -> Quadruplet:
    return from_scene(demo_scene("cubic", (128, 160)), "the demo scene")


@pytest.fixture(scope="module")
def exploration(quadruplet: Quadruplet) -> Exploration:
    return Exploration(small_model(), quadruplet)
