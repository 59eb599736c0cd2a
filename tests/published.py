"""The golden numbers of the released implementation, and its weights rebuilt from their names (golden/README.md)."""

import datetime
import functools
import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"
KINDS = ("eqvi", "eqvi_ms_fusion")


def arrays(name: str) -> dict[str, Tensor]:
    """The arrays of golden/NAME.npz as tensors."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files if key != "meta"}


def window(golden: dict[str, Tensor]) -> Tensor:
    """Its four frames, (1, 4, 3, H, W)."""
    return torch.stack([golden[f"I{k}"] for k in range(4)], dim=1)


@functools.cache
def state_dict(kind: str, seed: int = 0, gain: float = 1.0) -> dict[str, Tensor]:
    """Every tensor of the published checkpoint of that kind, under its published name."""
    shapes = json.loads((GOLDEN / "state_dict_keys.json").read_text())[kind]
    state = {}
    for full_name, shape in shapes.items():
        name = full_name.removeprefix("module.").replace("acc.flownet.", "flownet.")
        if "get_grad" in name:
            kernel = torch.tensor([[0.0, 0, 0], [-1, 0, 1], [0, 0, 0]])
            state[full_name] = (kernel if name.endswith("_h") else kernel.T).reshape(shape).clone()
            continue
        drawn = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
        scale = gain * np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.05
        state[full_name] = torch.from_numpy((drawn * scale).astype(np.float32))
    return state


def write_checkpoint(path: Path, state: dict[str, Tensor], key: str = "model_state_dict", **more: object) -> Path:
    """A checkpoint as the published code writes it: pre-1.6 format, with a date inside."""
    content = {
        "Detail": "golden",
        "epoch": 7,
        "timestamp": datetime.datetime(2020, 7, 1),
        "trainLoss": [0.5],
        key: state,
    }
    torch.save(content | more, path, _use_new_zipfile_serialization=False)
    return path


def flow_state_dict(prefix: str = "_model.module.") -> dict[str, Tensor]:
    """The golden flow network under the names of a ScopeFlow or IRR-PWC checkpoint."""
    start = "module.flownet."
    flow = {name: value for name, value in state_dict("eqvi").items() if name.startswith(start)}
    return {prefix + name.removeprefix(start): value for name, value in flow.items()}
