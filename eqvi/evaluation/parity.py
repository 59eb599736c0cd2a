"""Parity: our model against the numbers of the released implementation, stage by stage (``tests/golden/README.md``).

The golden models have the published form, and weights that are generated from their tensors' names.
"""

import datetime
import functools
import json
import math
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.model import motion as motions
from eqvi.model.checkpoint import load
from eqvi.model.eqvi import EQVI
from eqvi.model.geometry import backward_warp, reverse_flow
from eqvi.model.motion import displacement
from eqvi.paths import GOLDEN

#: The golden models: at one scale, and with MS-Fusion.
KINDS = ("eqvi", "eqvi_ms_fusion")
#: A window's frames, and t, of the golden cases of the whole model: four frames, and the two of a clip's end.
CASES = {"quad": (slice(0, 4), 0.5), "linear": (slice(1, 3), 0.25)}
WORDS = {"quad": "four frames", "linear": "two frames"}
#: Golden name -> the field of `eqvi.model.interpolation.Interpolation` that holds it.
RESULT = {"Ft1r": "flow_t1", "Ft2r": "flow_t2", "I1tf": "warped_1", "I2tf": "warped_2", "M": "mask", "It_warp": "frame"}
#: From the flow reversal on, rounding decides which pixels a flow near an integer is splatted to.
AFTER_REVERSAL = {"Ft1", "Ft2", "norm1", "norm2", *RESULT, "It"}
#: Those that are a new frame.
FRAMES = {"It_warp", "It"}


class Stage(NamedTuple):
    """One quantity as we compute it and as the released implementation did."""

    case: str
    name: str
    ours: Tensor
    golden: Tensor

    @property
    def error(self) -> float:
        """Largest absolute difference."""
        return (self.ours - self.golden).abs().max().item()

    @property
    def exceeding(self) -> float:
        """The share of pixels that miss by more than 1e-4."""
        return ((self.ours - self.golden).abs().amax(1) > 1e-4).float().mean().item()

    @property
    def within(self) -> bool:
        """Whether it holds in float32: to 1e-4; after a reversal on all but 0.1 % of the pixels."""
        return self.exceeding < 1e-3 if self.name in AFTER_REVERSAL else self.error < 1e-4

    @property
    def psnr(self) -> float | None:
        """PSNR of a new frame against the golden one, dB; None for other stages and for equal frames."""
        mean = (self.ours - self.golden).square().mean().item()
        return -10 * math.log10(mean) if self.name in FRAMES and mean > 0 else None


def arrays(name: str) -> dict[str, Tensor]:
    """The arrays of golden/NAME.npz as tensors."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files if key != "meta"}


def window(golden: Mapping[str, Tensor]) -> Float[Tensor, "1 4 3 h w"]:
    """The four frames of a golden file."""
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


def write_checkpoint(path: Path, state: Mapping[str, Tensor], key: str = "model_state_dict", **more: object) -> Path:
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


def load_models(folder: Path, kinds: Sequence[str] = KINDS) -> dict[str, EQVI]:
    """The golden models by kind, loaded from checkpoints in the published format, which `folder` gets."""
    return {kind: load(write_checkpoint(folder / f"{kind}.ckpt", state_dict(kind))) for kind in kinds}


@torch.inference_mode()
def stages(models: Mapping[str, EQVI], device: torch.device, only: Collection[str] | None = None) -> Iterator[Stage]:
    """Every golden quantity, from single functions to the whole model at two scales.

    Args:
        models: as of `load_models`; they are moved to `device`.
        device: that computes.
        only: the cases to compute: alone, four frames, two frames, two scales; all by default.
    """
    wanted = only or ("alone", *WORDS.values(), "two scales")
    if "alone" in wanted:
        yield from _functions(device)
    for case, words in WORDS.items():
        if words in wanted:
            yield from _whole(models["eqvi"].to(device), case, device)
    if "two scales" in wanted:
        yield from _two_scales(models["eqvi_ms_fusion"].to(device), device)


def _functions(device: torch.device) -> Iterator[Stage]:
    """Single functions, on inputs of their own."""
    golden = arrays("backward_warp")
    warped = backward_warp(golden["image"].to(device), golden["flow"].to(device))
    yield Stage("alone", "warp", warped.cpu(), golden["warped"])
    golden = arrays("flow_reversal")
    reverse = reverse_flow(golden["flow_1t"].to(device))
    yield Stage("alone", "reversal", reverse.flow.cpu(), golden["flow_t1"])
    yield Stage("alone", "reversal weight", reverse.weight.cpu().expand_as(golden["norm"]), golden["norm"])
    golden = arrays("rqfp")
    flow_10, flow_12, flow_13 = (golden[f"flow_{pair}"].to(device) for pair in ("10", "12", "13"))
    for t in (0.25, 0.5, 0.75):
        flow_1t = motions.rectified(flow_10, flow_12, flow_13, t)
        yield Stage("alone", f"RQFP, t = {t}", flow_1t.cpu(), golden[f"flow_1t_t{t}"])


def _whole(model: EQVI, case: str, device: torch.device) -> Iterator[Stage]:
    """The whole model at one scale, stage by stage."""
    golden, (places, t) = arrays("eqvi"), CASES[case]
    frames = window(golden)[:, places].to(device)
    motion = model.estimate_motion(frames)
    result = model.interpolate(frames, motion, t)
    flow_1t = displacement("rectified", motion.flow_10, motion.flow_12, motion.flow_13, t)
    flow_2t = displacement("rectified", motion.flow_23, motion.flow_21, motion.flow_20, 1 - t)
    reverse_1, reverse_2 = reverse_flow(flow_1t), reverse_flow(flow_2t)
    ours = {"F12": motion.flow_12, "F21": motion.flow_21, "F1t": flow_1t, "F2t": flow_2t}
    ours |= {"Ft1": reverse_1.flow, "Ft2": reverse_2.flow}
    ours |= {"norm1": reverse_1.weight.expand(-1, 2, -1, -1), "norm2": reverse_2.weight.expand(-1, 2, -1, -1)}
    ours |= {name: getattr(result, field) for name, field in RESULT.items()}
    for name, value in ours.items():
        yield Stage(WORDS[case], name, value.cpu(), golden[f"{case}_{name}"])


def _two_scales(model: EQVI, device: torch.device) -> Iterator[Stage]:
    """The fusion of two scales."""
    golden = arrays("ms_fusion")
    weights: list[Tensor] = []
    assert model.fusion is not None
    hook = model.fusion.register_forward_hook(lambda module, inputs, output: weights.append(output))
    frame = model(window(golden).to(device), 0.5).frame
    hook.remove()
    yield Stage("two scales", "fusion weight", weights[0].cpu(), golden["fusion_weight"])
    yield Stage("two scales", "It", frame.cpu(), golden["It"])
