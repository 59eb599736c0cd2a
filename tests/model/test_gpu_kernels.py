"""Triton's kernels give what the plain versions give: in Triton's interpreter, and on a GPU where there is one."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F

from eqvi.model import gpu_kernels
from eqvi.model.geometry import pixel_grid, sample_at, splat
from eqvi.model.pwc import cost_volume
from eqvi.paths import ROOT

#: Where `.ci/run` puts Triton, out of torch's sight, on a machine without a GPU.
APART = ROOT / "build" / "triton"
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
LAYOUTS = (torch.contiguous_format, torch.channels_last)
computed = pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="no CUDA device; see the last")


def random(*shape, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(DEVICE)


@computed
@pytest.mark.parametrize("layout", LAYOUTS)
def test_cost_volume(layout):
    first, second = random(2, 7, 5, 70), random(2, 7, 5, 71)[..., :70]
    found = gpu_kernels.cost_volume(first.contiguous(memory_format=layout), second, 4)
    assert found.is_contiguous(memory_format=layout)
    torch.testing.assert_close(found.cpu(), cost_volume(first.cpu(), second.cpu()), atol=1e-6, rtol=1e-5)


@computed
def test_splat_is_the_plain_one_and_the_same_in_every_run():
    flow = random(2, 2, 6, 50, scale=5.0)
    found = gpu_kernels.splat(flow)
    torch.testing.assert_close(found.cpu(), splat(flow.cpu()), atol=1e-5, rtol=1e-5)
    assert torch.equal(found, gpu_kernels.splat(flow))


@computed
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("outside", ["zeros", "border"])
@pytest.mark.parametrize("channels", [3, 70])
def test_samples(channels, outside, layout):
    image = random(2, channels, 5, 30)
    places = pixel_grid(4, 20, image) + random(2, 2, 4, 20, scale=8.0)
    places[0, :, 0, 0], places[0, :, 0, 1] = 1e9, -1e9
    found = gpu_kernels.sample_at(image.contiguous(memory_format=layout), places, outside == "border")
    assert found.is_contiguous(memory_format=layout)
    torch.testing.assert_close(found.cpu(), sample_at(image.cpu(), places.cpu(), outside), atol=2e-5, rtol=1e-4)


@computed
def test_samples_of_lower_precision():
    image, places = random(1, 5, 6, 40).bfloat16(), pixel_grid(6, 40, random(1)) + random(1, 2, 6, 40)
    found = gpu_kernels.sample_at(image, places, border=True)
    assert found.dtype == torch.bfloat16
    wanted = sample_at(image.float().cpu(), places.cpu())
    torch.testing.assert_close(found.float().cpu(), wanted, atol=1e-6, rtol=2**-7)  # the interpreter cuts off


@computed
def test_bias_and_activation():
    x, bias = random(2, 5, 7, 9).contiguous(memory_format=torch.channels_last), random(5)
    wanted = F.leaky_relu(x + bias[:, None, None], 0.1)
    gpu_kernels.add_bias_and_activate(x, bias, 0.1)
    torch.testing.assert_close(x, wanted, atol=1e-7, rtol=1e-6)


def test_kernels_are_for_a_gpu_without_gradients():
    assert not gpu_kernels.usable(torch.zeros(1))


@pytest.mark.skipif(INTERPRETED or torch.cuda.is_available(), reason="the tests above were run")
@pytest.mark.skipif(not (APART.is_dir() or find_spec("triton")), reason="no Triton: it comes with torch's CUDA wheels")
def test_all_of_this_in_the_interpreter():
    """Triton decides when it is imported whether it interprets: so in another process."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", __file__]
    places = [str(APART), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 passed, 1 skipped" in done.stdout
