"""The model's interface: sizes, batches, times, windows, reuse, symmetry, counts."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import eqvi
from eqvi import EQVI, EQVIConfig, InputError
from eqvi.model.config import PRESETS
from eqvi.model.motion import displacement

NARROW = EQVIConfig(flow_width=0.125, refine_width=0.125, synthesis_width=0.125, context_channels=4)
MODELS = {
    "narrow": NARROW,
    "narrow-ms": dataclasses.replace(NARROW, multi_scale=True),
    "no residual": dataclasses.replace(NARROW, residual=False),
    "baseline": PRESETS["baseline"],
}


@pytest.fixture(params=MODELS, name="model")
def _model(request):
    torch.manual_seed(0)
    return EQVI(MODELS[request.param]).eval()


def clip(count, height=64, width=80, batch=1):
    """A smooth picture that moves by (3, 1) pixels a frame."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    period = torch.tensor([5.0, 6, 7]).view(3, 1, 1)
    frames = [0.5 + 0.4 * torch.sin((x - 3 * s) / period + (y - s) / 7) for s in range(count)]
    return torch.stack(frames).expand(batch, -1, -1, -1, -1).contiguous()


@pytest.mark.parametrize("size", [(64, 80), (65, 97), (31, 130), (8, 8)])
@pytest.mark.parametrize("count", [2, 4])
def test_any_frame_size(model, size, count):
    frames = clip(count, *size)
    with torch.inference_mode():
        result = model(frames, 0.5)
    assert result.frame.shape == (1, 3, *size)
    assert result.flow_t1.shape == result.flow_t2.shape == (1, 2, *size)
    assert result.mask.shape == (1, 1, *size)
    assert torch.isfinite(result.frame).all()
    assert result.frame.min() >= 0
    assert result.frame.max() <= 1


def test_a_batch_is_its_samples_and_t_may_differ_between_them(model):
    frames = torch.cat([clip(4), clip(4).flip(-1), clip(4).flip(1)])
    t = torch.tensor([0.25, 0.5, 0.75])
    with torch.inference_mode():
        together = model(frames, t).frame
        alone = torch.cat([model(f[None], float(s)).frame for f, s in zip(frames, t, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_motion_is_shared_by_every_t_and_gives_what_a_single_call_gives(model):
    frames = clip(4)
    with torch.inference_mode():
        motion = model.estimate_motion(frames)
        for t in (0.25, 0.75):
            assert torch.equal(model.interpolate(frames, motion, t).frame, model(frames, t).frame)


def test_a_running_clip_reuses_flows_and_changes_nothing(model):
    frames = clip(6)
    windows = [frames[:, :2], frames[:, 0:4], frames[:, 1:5], frames[:, 2:6], frames[:, 4:]]
    previous = None
    with torch.inference_mode():
        for window in windows:
            previous = model.estimate_motion(window, previous)
            fresh = model.estimate_motion(window)
            for name in ("flow_10", "flow_12", "flow_13", "flow_23", "flow_21", "flow_20"):
                ours, theirs = getattr(previous, name), getattr(fresh, name)
                assert (ours is None) == (theirs is None)
                assert ours is None or torch.equal(ours, theirs), name


def test_two_frames_give_linear_motion(model):
    frames = clip(4)
    with torch.inference_mode():
        motion = model.estimate_motion(frames[:, 1:3])
    assert motion.flow_10 is None
    assert motion.flow_13 is None
    flow_1t = displacement(model.config.motion, motion.flow_10, motion.flow_12, motion.flow_13, 0.25)
    assert torch.equal(flow_1t, motion.flow_12 * 0.25)


def test_exchanging_the_ends_mirrors_the_flows(model):
    frames = clip(4)
    with torch.inference_mode():
        forward, backward = model.estimate_motion(frames), model.estimate_motion(frames.flip(1))
    for there, back in (("flow_12", "flow_21"), ("flow_10", "flow_23"), ("flow_13", "flow_20")):
        ours, theirs = getattr(forward, there), getattr(backward, back)
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.equal(ours, theirs)


def test_exchanging_the_ends_and_t_with_one_minus_t_mirrors_the_weight_free_frame():
    model = EQVI(PRESETS["baseline"])
    frames = clip(4)
    forward, backward = model(frames, 0.25), model(frames.flip(1), 0.75)
    torch.testing.assert_close(forward.flow_t1, backward.flow_t2, atol=1e-5, rtol=0)
    torch.testing.assert_close(forward.mask, 1 - backward.mask, atol=1e-5, rtol=0)
    torch.testing.assert_close(forward.frame, backward.frame, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["linear", "quadratic", "least_squares", "rectified"])
def test_the_weight_free_model_follows_the_motion(kind):
    frames = clip(7, 96, 128)[:, ::2]
    result = EQVI(dataclasses.replace(PRESETS["baseline"], motion=kind))(frames, 0.5)
    truth = clip(7, 96, 128)[:, 3]
    blended = (frames[:, 1] + frames[:, 2]) / 2
    inner = (..., slice(16, -16), slice(16, -16))
    assert (result.frame - truth)[inner].abs().mean() < 0.25 * (blended - truth)[inner].abs().mean()


def test_what_neither_frame_has_seen_is_not_black(monkeypatch):
    model = EQVI(PRESETS["baseline"])
    # Both flows to the right: at the left rim, t looks outside either frame.
    monkeypatch.setattr(model.flow, "pair", lambda a, b: np.stack((np.full_like(a, 8), np.zeros_like(a))))
    flat = torch.full((1, 2, 3, 64, 80), 0.75)
    torch.testing.assert_close(model(flat, 0.5).frame, flat[:, 0])


def test_parameter_counts_equal_the_published_ones():
    with torch.device("meta"):
        model = EQVI(PRESETS["eqvi-ms"])
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    context = model.residual.context.weight.numel()
    assert count["refinement"] == 19_817_224
    assert count["flow"] == 6_362_092
    assert count["residual"] - context == 1_847_075
    assert count["mask"] == 35_201
    assert context == 9_408
    assert count["fusion"] == 11_297
    # The published 28 071 018 counts the two constant 3x3 gradient kernels as well.
    assert sum(count.values()) - count["fusion"] == 28_071_018 - 18
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trainable - count["fusion"] == 21_699_500


def gflop(call):
    with FlopCounterMode(display=False) as counter:
        result = call()
    return counter.get_total_flops() / 1e9, result


def test_arithmetic_is_what_is_needed_and_no_more():
    """The cost at the head of `eqvi.model.eqvi`, at 256x448, counted on shapes alone."""
    with torch.device("meta"):
        model = EQVI().eval()
        clip = torch.empty(1, 5, 3, 256, 448)
    first, motion = gflop(lambda: model.estimate_motion(clip[:, :4]))
    further, motion = gflop(lambda: model.estimate_motion(clip[:, 1:], motion))
    frame, _ = gflop(lambda: model.interpolate(clip[:, 1:], motion, 0.5))
    pyramids, (a, b) = gflop(lambda: [model.flow.features(clip[:, k]) for k in (0, 1)])
    one_way, _ = gflop(lambda: model.flow.between(a, b))
    both_ways, _ = gflop(lambda: model.flow.bidirectional(a, b))
    assert first + frame == pytest.approx(557.3, rel=0.02)
    assert further + frame == pytest.approx(454.8, rel=0.02)
    assert further + 3 * frame == pytest.approx(961.9, rel=0.02)
    assert pyramids / 2 == pytest.approx(0.77, rel=0.02)
    assert one_way == pytest.approx(50.1, rel=0.02)
    assert frame == pytest.approx(253.5, rel=0.02)
    # A published call, with the occlusion decoder, must cost what the published one costs.
    assert pyramids + both_ways == pytest.approx(241.9, rel=0.02)


def test_the_constructor_opens_no_file_and_prints_nothing(monkeypatch, capsys):
    monkeypatch.setattr("builtins.open", lambda *a, **k: pytest.fail("a file was opened"))
    EQVI(NARROW)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.rand(1, 3, 3, 64, 64), "frames are 1x3x3x64x64: give"),
        (torch.rand(4, 3, 64, 64), "frames are 4x3x64x64: give"),
        (torch.rand(1, 4, 1, 64, 64), "frames are 1x4x1x64x64: give"),
        (torch.zeros(1, 4, 3, 64, 64, dtype=torch.uint8), "frames are torch.uint8: give"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_frames_of_another_shape_are_refused(frames, message):
    with pytest.raises(InputError, match=message):
        EQVI(PRESETS["baseline"]).estimate_motion(frames)


@pytest.mark.parametrize("t", [0, 1, -0.5, 1.5, float("nan"), torch.tensor([0.5, 0.5]), torch.tensor([1.0])])
def test_a_time_outside_the_interval_or_of_another_shape_is_refused(t):
    with pytest.raises(InputError, match="t"):
        EQVI(PRESETS["baseline"])(clip(4), t)


def test_motion_of_another_clip_is_refused():
    model = EQVI(PRESETS["baseline"])
    with pytest.raises(InputError, match="previous motion is of 64x80 frames, these are 64x96"):
        model.estimate_motion(clip(4, 64, 96), model.estimate_motion(clip(4)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flow": "raft"}, "flow='raft' is not known"),
        ({"motion": "cubic"}, "motion='cubic' is not known"),
        ({"refine_width": 0}, "refine_width=0 must lie"),
        ({"refine": False}, "residual=True needs refine=True"),
        ({"refine": False, "residual": False, "multi_scale": True}, "multi_scale=True needs refine=True"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_configuration_that_makes_no_model_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(EQVIConfig(), **changes)


def test_configuration_round_trips_and_unknown_keys_are_named():
    for config in PRESETS.values():
        assert EQVIConfig.from_dict(dataclasses.asdict(config)) == config
    with pytest.raises(InputError, match="'widht' is not known"):
        EQVIConfig.from_dict({"widht": 1})


def test_the_package_names_what_it_offers():
    assert {name for name in eqvi.__all__ if getattr(eqvi, name) is None} == set()
    with pytest.raises(AttributeError, match="no attribute 'EQVY'"):
        _ = eqvi.EQVY
