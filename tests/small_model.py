"""A tiny model that has every part, with random weights."""

import torch

from eqvi.model.config import EQVIConfig
from eqvi.model.eqvi import EQVI

CONFIG = EQVIConfig(
    flow="dis", refine_width=1 / 32, synthesis_width=1 / 32, context_channels=4, multi_scale=True, motion="rectified"
)


def small_model() -> EQVI:
    """The same weights at every call."""
    torch.manual_seed(0)
    return EQVI(CONFIG).eval()
