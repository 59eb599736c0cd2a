"""Images to render from: in range, repeatable, and none for both training and validation."""

from itertools import chain
from typing import get_args

import pytest
import torch

from eqvi.datasets import photographs
from eqvi.datasets.photographs import SIDE, ProceduralKind, procedural
from eqvi.errors import InputError


def test_no_photograph_is_for_training_and_validation():
    train, val = (set(photographs.SPLITS[split]) for split in get_args(photographs.Split))
    assert not train & val
    assert train | val <= set(photographs.PHOTOGRAPHS) - {"motorcycle"}
    assert len(train) + len(val) == len(list(chain(*photographs.SPLITS.values())))


@pytest.mark.parametrize("kind", get_args(ProceduralKind))
def test_procedural_images_are_in_range_and_repeatable(kind):
    picture = procedural(kind, 3)
    assert picture.shape == (1, 3, SIDE, SIDE)
    assert picture.dtype == torch.float32
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.std() > 0.05  # something to see
    assert torch.equal(picture, procedural(kind, 3))
    assert not torch.equal(picture, procedural(kind, 5))
    assert torch.equal(picture, photographs.photograph(f"{kind}:3"))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["marble:1", "leaves:", "leaves:x", "leaves:-1"])
def test_unknown_images_are_refused(name):
    with pytest.raises(InputError, match="is not known: choose one of"):
        photographs.photograph(name)


@pytest.mark.parametrize("name", ["coffee", "rocket", "leaves:4"])
def test_sizes_are_known_without_drawing(name):
    assert photographs.photograph_size(name) == tuple(photographs.photograph(name).shape[-2:])
