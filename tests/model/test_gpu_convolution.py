"""Convolutions arranged for a GPU give the same frames; on a CPU the same arrangement runs without its kernels."""

import pytest
import torch

from eqvi.evaluation.panned import panned
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.model.gpu_convolution import LaidOutConv2d, laid_out
from eqvi.model.layers import conv


@pytest.fixture
def frames():
    return panned((96, 130), range(4))[None]


@pytest.mark.parametrize("preset", ["eqvi-quarter", "eqvi-eighth-dis", "eqvi-ms"])
@torch.inference_mode()
def test_frames_in_float32_differ_by_rounding(preset, frames):
    torch.manual_seed(0)
    model = EQVI(PRESETS[preset]).eval()
    plain, arranged = model(frames, 0.3), laid_out(model, torch.float32)(frames, 0.3)
    torch.testing.assert_close(arranged.flow_t1, plain.flow_t1, atol=2e-3, rtol=1e-4)
    torch.testing.assert_close(arranged.frame, plain.frame, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_frames_in_bfloat16_are_as_good_as_under_autocast(frames):
    torch.manual_seed(0)
    model = EQVI(PRESETS["eqvi-quarter"]).eval()
    plain = model(frames, 0.5).frame
    with torch.autocast("cpu", torch.bfloat16):
        autocast = model(frames, 0.5).frame
    arranged = laid_out(model, torch.bfloat16)(frames, 0.5).frame
    assert arranged.dtype == torch.float32
    assert (arranged - plain).square().mean() < 1.5 * (autocast - plain).square().mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_layer_reads_is_padded_to_whole_units(dtype):
    layer = LaidOutConv2d(conv(5, 6), dtype)
    unit = 16 // dtype.itemsize
    assert layer.weight.shape[1] == 8
    assert layer.weight.shape[1] % unit == 0
    parts = torch.rand(2, 3, 4, 7), torch.rand(2, 2, 4, 7).contiguous(memory_format=torch.channels_last)
    x = layer.joined(parts)
    assert (x.dtype, x.is_contiguous(memory_format=torch.channels_last)) == (dtype, True)
    assert torch.equal(x[:, :5], torch.cat(parts, dim=1).to(dtype))
    assert not x[:, 5:].any()
    assert layer.joined((x,)) is x


def test_zeros_within_what_a_layer_reads():
    """Such as the features of a dense estimator, of which the last unit is filled."""
    plain = conv(7, 3)
    layer = LaidOutConv2d(plain, torch.float32, before=5)
    first, second = torch.rand(1, 5, 6, 6), torch.rand(1, 2, 6, 6)
    filled = torch.cat((first, torch.zeros(1, 3, 6, 6)), dim=1)
    torch.testing.assert_close(layer(layer.joined((filled, second))), plain(torch.cat((first, second), dim=1)))
