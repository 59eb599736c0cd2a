"""Sampling by OpenCV: the same as by PyTorch, where it is asked for and nowhere else."""

import dataclasses
from threading import Thread

import pytest
import torch
from small_model import CONFIG
from torch import Tensor

from eqvi.evaluation.panned import panned
from eqvi.model import fast_sampling
from eqvi.model.eqvi import EQVI
from eqvi.model.geometry import backward_warp, sample_at

SIZE = (128, 160)

pytestmark = pytest.mark.skipif(not fast_sampling._is_exact(), reason="this OpenCV samples at every 1/32 of a pixel")


def flow(reach: float = 20.0, batch: int = 1) -> Tensor:
    """Random, out of the frame in places."""
    coarse = reach * torch.randn(batch, 2, 5, 6, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic")


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
@pytest.mark.parametrize("outside", ["zeros", "border"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_same_samples_as_pytorchs(
    kernel: str, outside: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.rand(2, channels, *SIZE)
    places = 150 * torch.rand(2, 2, 130, 128) - 10
    with torch.no_grad():
        plain = [backward_warp(image, flow(batch=2), outside, kernel), sample_at(image, places, outside, kernel)]
        with fast_sampling.fast_sampling():
            monkeypatch.setattr(torch.nn.functional, "grid_sample", None)  # whoever calls it fails
            fast = [backward_warp(image, flow(batch=2), outside, kernel), sample_at(image, places, outside, kernel)]
    for one, other in zip(plain, fast, strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=0)


def test_an_image_of_any_layout_and_kind() -> None:
    image = torch.rand(1, 3, *SIZE)
    kinds = [image.contiguous(memory_format=torch.channels_last), image.double(), image.flip(-1).flip(-1)]
    with torch.no_grad(), fast_sampling.fast_sampling():
        expected = backward_warp(image, flow())
        assert all(torch.equal(backward_warp(kind, flow()), expected) for kind in kinds)


def test_only_where_it_is_asked_for_and_pays() -> None:
    image, small = torch.rand(1, 3, *SIZE), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert not fast_sampling.usable(image, flow())
        with fast_sampling.fast_sampling():
            assert fast_sampling.usable(image, flow())
            assert not fast_sampling.usable(small, small[:, :2]), "too small to pay"
            assert not fast_sampling.usable(image.repeat(1, 2, 1, 1), flow()), "too many channels to pay"
            assert not fast_sampling.usable(image, flow().double())
            assert not fast_sampling.usable(image[..., :1], flow()), "one column has no neighbours"
            assert not fast_sampling.usable(image.to("meta"), flow()), "another device"
            with torch.enable_grad():
                assert not fast_sampling.usable(image, flow()), "it has no gradient"
            others: list[bool] = []
            thread = Thread(target=lambda: others.append(fast_sampling.usable(image, flow())))
            thread.start()
            thread.join()
            assert others == [False], "it is asked for by one thread"
        assert not fast_sampling.usable(image, flow())


def test_a_coarse_opencv_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of before version 5: places are rounded to 1/32 of a pixel."""
    exact = fast_sampling.cv2.remap

    def coarse(image: Tensor, x: Tensor, y: Tensor, *rest: object) -> Tensor:
        return exact(image, *((32 * places).round() / 32 for places in (x, y)), *rest)

    asked_anew = fast_sampling._is_exact.__wrapped__  # without its cache, which other tests read
    assert asked_anew()
    monkeypatch.setattr(fast_sampling.cv2, "remap", coarse)
    assert not asked_anew()


def test_a_frame_is_the_same_up_to_rounding() -> None:
    config = dataclasses.replace(CONFIG, refine_width=0.25, synthesis_width=0.25)
    torch.manual_seed(0)
    model = EQVI(config).eval()
    frames = panned(SIZE, range(4))[None]
    with torch.inference_mode():
        plain = model(frames, 0.25).frame
        with fast_sampling.fast_sampling():
            fast = model(frames, 0.25).frame
    assert not torch.equal(fast, plain), "nothing was sampled by OpenCV"
    assert (fast - plain).abs().max() < 1e-3
