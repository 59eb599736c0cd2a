"""Precisions of clips: what each computes, and hardware that is asked for."""

import pytest
import torch
from small_model import small_model
from torch import Tensor

from eqvi import devices
from eqvi.errors import InputError
from eqvi.evaluation.panned import panned
from eqvi.media import precision
from eqvi.media.precision import ask_for_tiles, for_clips
from eqvi.model import fast_sampling
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.model.transformed_convolution import TransformedConv2d, transforms_pay


def decibels(a: Tensor, b: Tensor) -> float:
    """PSNR of one frame against another."""
    return -10 * (a - b).square().mean().log10().item()


def test_the_precision_of_a_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    model, frames = small_model(), panned((128, 128), range(4))[None]
    exact = for_clips(model, "exact", "cpu")
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    low = for_clips(model, "bfloat16", "cpu")
    assert low.window == model.window
    with torch.inference_mode():
        made = low.interpolate(frames, low.estimate_motion(frames), 0.5).frame
        plain = model(frames, 0.5).frame
        assert torch.equal(exact.interpolate(frames, exact.estimate_motion(frames), 0.5).frame, plain)
    assert made.dtype == torch.float32
    assert not torch.equal(made, plain), "nothing was computed in bfloat16"
    assert decibels(made, plain) > 45
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    with pytest.raises(InputError, match="has neither AVX512_BF16 nor AMX: give --precision float32"):
        for_clips(model, "bfloat16", "cpu")


def test_convolutions_are_transformed_in_float32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = EQVI(PRESETS["eqvi-quarter-dis"]).eval()
    frames = panned((64, 64), range(4))[None]
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    wide = model.residual.unet.stem[0]  # type: ignore[union-attr] # it has one
    own = for_clips(model, "float32", "cpu")._model.residual.unet.stem[0]
    assert isinstance(own, TransformedConv2d) == transforms_pay(wide)
    low = for_clips(model, "bfloat16", "cpu")
    with torch.inference_mode():
        made = low.interpolate(frames, low.estimate_motion(frames), 0.5).frame
        plain = model(frames, 0.5).frame
    assert decibels(made, plain) > 40


def test_a_clip_is_sampled_by_opencv_unless_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(fast_sampling, "usable", lambda *_: asked.append(fast_sampling._ASKED.get()))
    frames = panned((128, 128), range(4))[None]
    for name, by_opencv in (("float32", True), ("exact", False)):
        asked.clear()
        model = for_clips(small_model(), name, "cpu")
        with torch.inference_mode():
            model.interpolate(frames, model.estimate_motion(frames), 0.5)
        assert asked
        assert set(asked) == {by_opencv}


def test_where_a_frame_has_tiles_freed_memory_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    monkeypatch.setattr(precision, "keep_memory", kept.append)
    model = EQVI(PRESETS["eqvi-quarter-dis"]).eval()
    ask_for_tiles(for_clips(model, "float32", "cpu"), 64, 64)
    assert not kept
    ask_for_tiles(for_clips(model, "float32", "cpu", devices.used_memory("cpu") + 3 * 10**9), 2160, 3840)
    assert kept == [devices.GIVEN_BACK // 2]


def test_a_cpu_is_asked_whether_it_has_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.platform, "machine", lambda: "x86_64")
    for first, second in ((True, False), (False, True), (False, False)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda answer=first: answer)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda answer=second: answer)
        assert devices.has_bfloat16("cpu") is (first or second)
    assert not devices.has_bfloat16("mps")
