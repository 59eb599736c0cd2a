"""What every test runs under: checked shapes and types, fixed seeds, one thread a process, each device."""

import os
import random
import signal
from collections.abc import Iterator

# Read when torch, OpenCV and the kernels of executed notebooks start: pytest-xdist already uses every core.
os.environ["OMP_NUM_THREADS"] = "1"

# A shell that runs the tests in the background has them, and the commands that they start, ignore interruptions.
signal.signal(signal.SIGINT, signal.default_int_handler)

from jaxtyping import config, install_import_hook

# Shapes and types are checked at every call into the package. Before the first import of eqvi.
install_import_hook("eqvi", "typecheck.checked")

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device that the model runs on here."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    # On CUDA the goldens ask for float32 throughout; TF32 keeps ten bits of the mantissa.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return torch.device(request.param)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """The package as users run it, without the checker: for its own guards against bad input."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
