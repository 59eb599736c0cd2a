"""Finishing: it starts as the weight-free method with detail, reads frames 0 and 3, and makes no colours of its own."""

import dataclasses

import pytest
import torch

from eqvi import EQVI, PRESETS
from eqvi.model.fast_convolution import accelerated
from eqvi.model.finishing import EVIDENCE, REACH, both, moving
from eqvi.model.gpu_convolution import laid_out
from eqvi.model.path_evidence import PATH_EVIDENCE
from eqvi.model.synthesis import blend, share_of_1
from eqvi.model.tiles import cores, tiled
from tests.model.test_matching import BASELINE, clip

PLAIN = dataclasses.replace(BASELINE, two_way=True, detail=True)
FINISHING = PRESETS["finishing"]


@pytest.fixture(name="trained")
def _trained() -> EQVI:
    """A model whose coefficients are not zero."""
    torch.manual_seed(0)
    model = EQVI(FINISHING).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("size", [(64, 80), (65, 97), (8, 8)])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_a_new_model_is_the_weight_free_method_with_detail_bit_for_bit(size, count):
    frames = clip(count, *size)
    with torch.inference_mode():
        ours, theirs = EQVI(FINISHING)(frames, 0.3), EQVI(PLAIN)(frames, 0.3)
    assert all(torch.equal(a, b) for a, b in zip(ours[:-1], theirs[:-1], strict=True))


def test_without_frames_0_and_3_nothing_is_added(trained):
    with torch.inference_mode():
        frames = clip(2)
        assert torch.equal(trained(frames, 0.5).frame, EQVI(PLAIN)(frames, 0.5).frame)
        frames = clip(4)
        assert not torch.equal(trained(frames, 0.5).frame, EQVI(PLAIN)(frames, 0.5).frame)


@pytest.mark.parametrize("size", [(64, 80), (65, 97)])
def test_frame_is_the_blend_with_the_residual(trained, size):
    with torch.inference_mode():
        result = trained(clip(8, *size), 0.3)
    blended = blend(result.warped_1, result.warped_2, result.mask, 0.3)
    assert result.frame.shape == (1, 3, *size)
    torch.testing.assert_close(result.frame, (blended + result.residual).clamp(0, 1), atol=1e-6, rtol=0)


def test_where_all_frames_are_alike_nothing_changes(trained):
    still = clip(1, 64, 80).expand(1, 8, -1, -1, -1)
    with torch.inference_mode():
        # What differs are samples that DIS's tiny flows take between pixels
        torch.testing.assert_close(trained(still, 0.5).frame, still[:, 3], atol=2e-3, rtol=0)


def test_a_darker_picture_gets_the_same_coefficients(trained):
    """Evidence is of ratios: halved, only the noise's own level moves, by log 2, and what lies below `_LEAST`."""
    seen = []
    network = trained.finishing.coefficients
    trained.finishing.coefficients = lambda evidence: seen.append(evidence) or network(evidence)
    noisy = clip(8) * 0.5 + 0.2 + 0.05 * torch.randn(1, 8, 3, 64, 80)
    flows = torch.zeros(1, 16, 2, 64, 80)
    with torch.inference_mode():
        for frames in (noisy, noisy / 2):
            trained.interpolate(frames, trained.known_motion(frames, flows), 0.5)
    bright, dark = seen
    assert (bright[:, 0] - dark[:, 0]).median().item() == pytest.approx(0.693, abs=0.02)
    torch.testing.assert_close(bright[:, 1:], dark[:, 1:], atol=0.2, rtol=0)


def test_every_weight_learns():
    model = EQVI(FINISHING).train()
    frames = clip(8)
    optimizer = torch.optim.SGD(model.finishing.parameters(), lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        (model(frames, 0.5).frame - 0.9 * frames[:, 3]).square().mean().backward()
        optimizer.step()
    without = [name for name, p in model.finishing.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert without == []


@pytest.mark.parametrize("arranged", [accelerated, lambda model: laid_out(model, torch.float32)], ids=["cpu", "gpu"])
@pytest.mark.parametrize(("count", "size"), [(8, (64, 80)), (6, (65, 97)), (4, (9, 33))])
def test_convolutions_arranged_for_a_device_give_the_same_frame(trained, arranged, count, size):
    frames = clip(count, *size)
    with torch.inference_mode():
        plain, fast = trained(frames, 0.3), arranged(trained)(frames, 0.3)
    assert (plain.residual - EQVI(PLAIN)(frames, 0.3).residual).abs().max() > 1e-3, "the weights do something"
    torch.testing.assert_close(fast.frame, plain.frame, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(520, 704), (519, 643)])
def test_tiles_are_parts_of_the_whole_frame(trained, size):
    frames = clip(8, *size)
    with torch.inference_mode():
        motion = trained.estimate_motion(frames)
        whole = trained.interpolate(frames, motion, 0.4).frame
        parts = tiled(trained, lambda height, width: cores(height, width, height * width - 1))
        assert len(parts.grid(*size)) > 1
        assert (parts.interpolate(frames, motion, 0.4).frame - whole).abs().max() < 0.1 / 255


def test_both_frames_count_where_the_mask_trusts_both():
    mask = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)
    assert both(mask).flatten().tolist() == pytest.approx([0.15, 1.0, 0.15])
    assert share_of_1(mask, 0.25).flatten().tolist() == pytest.approx([0.0, 0.75, 1.0])
    assert len(REACH) == 7


def test_what_stands_still_is_never_softened():
    speeds = torch.tensor([[0.0, 0.0], [0.1, 0.0], [3.0, 4.0]]).view(3, 2, 1, 1)
    assert moving(speeds).flatten().tolist() == pytest.approx([0.0, 0.0952, 0.9991], abs=1e-4)


def test_without_paths_their_evidence_is_the_usual(trained):
    """A window of four frames has short paths; a model that is told to follow none has no evidence of them."""
    seen = []
    network = trained.finishing.coefficients
    trained.finishing.coefficients = lambda evidence: seen.append(evidence) or network(evidence)
    trained.config = dataclasses.replace(trained.config, trajectory=0, two_way=False)
    with torch.inference_mode():
        trained(clip(4), 0.5)
    assert seen[0].shape[1] == len(EVIDENCE)
    assert seen[0][:, -len(PATH_EVIDENCE) :].abs().max() == 0
