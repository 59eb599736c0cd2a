"""The whole model, stage by stage, against numbers of the released implementation (tolerances: golden/README.md)."""

import pytest
import torch

from eqvi.evaluation.parity import AFTER_REVERSAL, arrays, load_models, stages


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return load_models(tmp_path_factory.mktemp("published"))


def test_every_stage_equals_the_released_implementation(models, device):
    """Flows, warps, motion and reversal to 1e-4; what follows a reversal to 1e-4 on all but 0.1 % of the pixels."""
    names = set()
    for stage in stages(models, device):
        names.add(stage.name)
        if stage.name in AFTER_REVERSAL:
            assert stage.exceeding < 1e-3, stage[:2]
        else:
            assert stage.error < 1e-4, stage[:2]
        assert stage.within, stage[:2]
    assert names >= AFTER_REVERSAL | {"warp", "reversal", "F12", "F21", "F1t", "F2t", "fusion weight"}


def test_scaling_the_flow_once_would_be_seen(models):
    """Trap 2: the goldens tell the published double scaling from a clean rewrite."""
    golden = arrays("eqvi")
    flow = models["eqvi"].cpu().flow
    original = flow.refinement.forward
    flow.refinement.forward = lambda guide, rough: original(guide, rough) / 20
    with torch.inference_mode():
        changed = flow(golden["I1"], golden["I2"])
    flow.refinement.forward = original
    assert (changed - golden["quad_F12"]).abs().max() > 0.1
