"""Training objectives: gradients reach what they should, losses fall, a batch's loss is that of its parts."""

import pytest
import torch
from pictures_folder import fill

from eqvi.model.config import EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.losses import PUBLISHED, Loss
from eqvi.training.objectives import FlowObjective, FrameObjective, mean_end_point_error
from eqvi.training.samples import FlowBatch, FrameBatch, collate
from eqvi.training.window_pool import PooledWindows, WindowPool
from eqvi.training.window_samples import FlowPairs, FrameWindows


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> PooledWindows:
    pool = WindowPool(None, 4, 64, pictures=fill(tmp_path_factory.mktemp("pictures")))
    return PooledWindows(pool, (64, 64))


@pytest.fixture(scope="module")
def pairs(windows: PooledWindows) -> FlowBatch:
    source = FlowPairs(windows)
    return collate([source.sample(number) for number in range(4)])


@pytest.fixture(scope="module")
def batch(windows: PooledWindows) -> FrameBatch:
    source = FrameWindows(windows)
    return collate([source.sample(number) for number in range(2)])


def fitted(learner: FlowObjective | FrameObjective, given: FlowBatch | FrameBatch, steps: int) -> list[float]:
    """The losses of so many steps on one batch."""
    learning = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    adam, losses = torch.optim.Adam(learning, lr=1e-3), []
    for _ in range(steps):
        adam.zero_grad()
        total = learner(given)["total"]
        total.backward()
        torch.nn.utils.clip_grad_norm_(learning, 5.0)
        adam.step()
        losses.append(total.item())
    return losses


def test_a_flow_network_fits_a_batch(pairs: FlowBatch) -> None:
    model = ScopeFlow(0.125)
    model.occlusion.requires_grad_(False)
    losses = fitted(FlowObjective(model), pairs, 25)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_frames_fit_a_batch(batch: FrameBatch) -> None:
    model = EQVI(EQVIConfig(flow="dis", refine_width=0.125, synthesis_width=0.125, context_channels=4))
    losses = fitted(FrameObjective(model, Loss(PUBLISHED)), batch, 30)
    assert losses[-1] < 0.6 * losses[0]


def test_the_end_point_error_of_exact_flow_is_none_at_any_level(pairs: FlowBatch) -> None:
    assert mean_end_point_error(pairs.flow, pairs.flow, pairs.weight).item() == pytest.approx(0, abs=1e-4)
    # A pure shift survives averaging down to any size.
    shift = torch.tensor([3.0, -4.0]).view(1, 2, 1, 1).expand_as(pairs.flow)
    for size in (64, 32, 8, 1):
        found = mean_end_point_error(torch.zeros(4, 2, size, size), shift, pairs.weight)
        assert found.item() == pytest.approx(5, abs=1e-4)


def test_what_is_not_trusted_does_not_count(pairs: FlowBatch) -> None:
    weight = (torch.rand(pairs.weight.shape, generator=torch.Generator().manual_seed(0)) < 0.9).float()
    wrong = torch.where(weight > 0, pairs.flow, 1000.0)
    assert mean_end_point_error(wrong, pairs.flow, weight).item() == pytest.approx(0, abs=1e-4)
    assert mean_end_point_error(wrong, pairs.flow, pairs.weight).item() > 50


def test_a_batch_is_the_mean_of_its_parts(pairs: FlowBatch) -> None:
    learner = FlowObjective(ScopeFlow(0.0625))
    parts = [FlowBatch(*(field[index : index + 1] for field in pairs)) for index in range(4)]
    with torch.inference_mode():
        whole, alone = learner(pairs)["total"], [learner(part)["total"].item() for part in parts]
    assert whole.item() == pytest.approx(sum(alone) / 4, rel=1e-5)


def test_known_flows_are_taken_as_they_are(batch: FrameBatch) -> None:
    model = EQVI(EQVIConfig(flow="dis", refine_width=0.125, synthesis_width=0.125, context_channels=4))
    learner = FrameObjective(model, Loss(PUBLISHED))
    motion = model.estimate_motion(batch.frames)
    flows = torch.stack(
        [motion.flow_10, motion.flow_12, motion.flow_13, motion.flow_23, motion.flow_21, motion.flow_20]
    )
    with torch.inference_mode():
        assert torch.equal(learner.frame(batch), learner.frame(batch._replace(flows=flows.transpose(0, 1))))
        still = learner.frame(batch._replace(flows=torch.zeros_like(flows).transpose(0, 1)))
    assert not torch.equal(learner.frame(batch), still)
