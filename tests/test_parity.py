"""The whole model, stage by stage, against numbers of the released implementation (tolerances: golden/README.md).

Flows are held to 1e-4 px. From the reversal on, a flow that lands a hair beyond an integer picks other neighbours, in
anyone's arithmetic: there all but 0.1 % of the pixels are held to 1e-4.
"""

import pytest
import torch
from published import KINDS, arrays, state_dict, window, write_checkpoint

import eqvi
from eqvi.geometry import reverse_flow
from eqvi.model import displacement

#: golden name -> where our result has it, beyond the flows
LATER = {"Ft1r": "flow_t1", "Ft2r": "flow_t2", "I1tf": "warped_1", "I2tf": "warped_2", "M": "mask", "It_warp": "frame"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    return {kind: eqvi.load(write_checkpoint(folder / f"{kind}.ckpt", state_dict(kind))) for kind in KINDS}


def exceeding(ours, golden):
    """The share of pixels that miss by more than 1e-4."""
    return ((ours.cpu() - golden).abs().amax(1) > 1e-4).float().mean().item()


@pytest.mark.parametrize(("case", "frames", "t"), [("quad", slice(0, 4), 0.5), ("linear", slice(1, 3), 0.25)])
def test_every_stage_equals_the_released_implementation(models, device, case, frames, t):
    golden = {name.removeprefix(f"{case}_"): value for name, value in arrays("eqvi").items()}
    model = models["eqvi"].to(device)
    frames = window(golden)[:, frames].to(device)
    with torch.inference_mode():
        motion = model.estimate_motion(frames)
        result = model.interpolate(frames, motion, t)
        flow_1t = displacement("rectified", motion.flow_10, motion.flow_12, motion.flow_13, t)
        flow_2t = displacement("rectified", motion.flow_23, motion.flow_21, motion.flow_20, 1 - t)
        reversals = reverse_flow(flow_1t), reverse_flow(flow_2t)
    for name, flow in (("F12", motion.flow_12), ("F21", motion.flow_21), ("F1t", flow_1t), ("F2t", flow_2t)):
        torch.testing.assert_close(flow.cpu(), golden[name], atol=1e-4, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
    for name, reverse in zip(("1", "2"), reversals, strict=True):
        assert exceeding(reverse.flow, golden[f"Ft{name}"]) < 1e-3
        assert exceeding(reverse.weight.expand(-1, 2, -1, -1), golden[f"norm{name}"]) < 1e-3
    for name, field in LATER.items():
        assert exceeding(getattr(result, field), golden[name]) < 1e-3, name


def test_multi_scale_fusion_equals_the_released_implementation(models, device):
    golden = arrays("ms_fusion")
    model = models["eqvi_ms_fusion"].to(device)
    with torch.inference_mode():
        frame = model(window(golden).to(device), 0.5).frame
    assert exceeding(frame, golden["It"]) < 1e-3


def test_fusion_weight_equals_the_released_implementation(models, device):
    golden = arrays("ms_fusion")
    model = models["eqvi_ms_fusion"].to(device)
    seen = []
    hook = model.fusion.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.inference_mode():
        model(window(golden).to(device), 0.5)
    hook.remove()
    torch.testing.assert_close(seen[0].cpu(), golden["fusion_weight"], atol=1e-4, rtol=0)


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
