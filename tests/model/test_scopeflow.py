"""Flow estimators: the parts, and the classical ones on a known displacement."""

import pytest
import torch

from eqvi.datasets.photographs import photograph
from eqvi.model.classical_flow import DIS, TVL1
from eqvi.model.pwc import KernelRefinement, cost_volume
from eqvi.model.scopeflow import ScopeFlow


def test_cost_channels_are_row_major_displacements():
    first, second = torch.rand(1, 5, 12, 14), torch.rand(1, 5, 12, 14)
    cost = cost_volume(first, second)
    dy, dx, y, x = 2, -3, 6, 7
    channel = (dy + 4) * 9 + (dx + 4)
    expected = (first[0, :, y, x] * second[0, :, y + dy, x + dx]).mean()
    torch.testing.assert_close(cost[0, channel, y, x], expected)
    assert cost[0, channel, 11, x] == 0, "outside the frame nothing correlates"


def test_kernel_refinement_averages_with_weights_that_sum_to_one():
    refinement = KernelRefinement(3, width=0.1)
    constant = torch.full((1, 2, 6, 5), 7.0)
    torch.testing.assert_close(refinement((torch.randn(1, 3, 6, 5),), constant), constant)


@pytest.mark.parametrize("size", [(64, 64), (67, 90), (64, 129)])
def test_both_ways_gives_the_same_forward_flow(size):
    torch.manual_seed(0)
    flow = ScopeFlow(width=0.125).eval()
    a, b = (flow.features(torch.rand(2, 3, *size)) for _ in range(2))
    with torch.inference_mode():
        both = flow.bidirectional(a, b)
        assert torch.equal(both.flow_ab, flow.between(a, b))
        assert torch.equal(both.flow_ba, flow.between(b, a))
    assert both.occlusion_a.shape == both.occlusion_b.shape == (2, 1, *size)


@pytest.mark.parametrize("estimator", [DIS(), TVL1()], ids=["dis", "tvl1"])
def test_classical_flow_finds_a_known_shift(estimator):
    picture = photograph("astronaut")[..., 100:292, 100:356]
    a, b = picture[..., 8:-8, 8:-8], picture[..., 6:-10, 11:-5]
    flow = estimator(torch.cat((a, b)), torch.cat((b, a)))
    assert flow.shape == (2, 2, 176, 240)
    expected = torch.tensor([[-3.0, 2.0], [3.0, -2.0]])
    torch.testing.assert_close(flow[..., 20:-20, 20:-20].flatten(2).median(2).values, expected, atol=0.1, rtol=0)


def test_a_flow_scaled_once_hands_on_what_the_coarser_level_found():
    """With a network that adds nothing, one scaling keeps a flow from level to level; the published two do not."""
    flows = {}
    for scalings in (1, 2):
        torch.manual_seed(0)
        flow = ScopeFlow(0.125, scalings).eval()
        for part in (flow.estimator, flow.context):
            for parameter in list(part.parameters())[-2:]:
                torch.nn.init.zeros_(parameter)
        image = torch.rand(1, 3, 64, 64)
        level = flow.features(image).levels[-1]
        flows[scalings] = flow._decode(level, level, torch.full((1, 2, 16, 16), 0.1), (64, 64)).flow
    assert torch.allclose(flows[1], torch.full_like(flows[1], 0.1), atol=1e-5)
    to_level = 20 * 16 / 64
    assert torch.allclose(flows[2], flows[1] / to_level, atol=1e-6)
