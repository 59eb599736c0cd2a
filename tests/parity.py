"""Parity: our model against the numbers of the released implementation, stage by stage.

Run as a program it writes results/parity.csv: ``python tests/parity.py [cpu|cuda]``.
"""

import csv
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from published import KINDS, arrays, state_dict, window, write_checkpoint
from torch import Tensor

import eqvi
from eqvi.files import replacing
from eqvi.model import motion as motions
from eqvi.model.eqvi import EQVI
from eqvi.model.geometry import backward_warp, reverse_flow
from eqvi.model.motion import displacement
from eqvi.paths import RESULTS

#: The published flag says four frames or two; golden name -> the field that holds it.
CASES = {"quad": (slice(0, 4), 0.5), "linear": (slice(1, 3), 0.25)}
RESULT = {"Ft1r": "flow_t1", "Ft2r": "flow_t2", "I1tf": "warped_1", "I2tf": "warped_2", "M": "mask", "It_warp": "frame"}
#: From the flow reversal on, rounding decides which pixels a flow near an integer is splatted to.
AFTER_REVERSAL = {"Ft1", "Ft2", "norm1", "norm2", *RESULT, "It"}


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


def load_models(folder: Path) -> dict[str, EQVI]:
    """The golden models, loaded from checkpoints in the published format."""
    return {kind: eqvi.load(write_checkpoint(folder / f"{kind}.ckpt", state_dict(kind))) for kind in KINDS}


@torch.inference_mode()
def stages(models: dict[str, EQVI], device: torch.device) -> Iterator[Stage]:
    """Every golden quantity, from single functions to the whole model at two scales."""
    golden = arrays("backward_warp")
    warped = backward_warp(golden["image"].to(device), golden["flow"].to(device))
    yield Stage("alone", "warp", warped.cpu(), golden["warped"])
    golden = arrays("flow_reversal")
    reverse = reverse_flow(golden["flow_1t"].to(device))
    yield Stage("alone", "reversal", reverse.flow.cpu(), golden["flow_t1"])
    yield Stage("alone", "reversal weight", reverse.weight.cpu().expand_as(golden["norm"]), golden["norm"])
    golden = arrays("rqfp")
    flows = [golden[f"flow_{pair}"].to(device) for pair in ("10", "12", "13")]
    for t in (0.25, 0.5, 0.75):
        yield Stage("alone", f"RQFP, t = {t}", motions.rectified(*flows, t).cpu(), golden[f"flow_1t_t{t}"])

    golden, model = arrays("eqvi"), models["eqvi"].to(device)
    for case, (places, t) in CASES.items():
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
        words = "four frames" if case == "quad" else "two frames"
        for name, value in ours.items():
            yield Stage(words, name, value.cpu(), golden[f"{case}_{name}"])

    golden, model = arrays("ms_fusion"), models["eqvi_ms_fusion"].to(device)
    weights: list[Tensor] = []
    assert model.fusion is not None
    hook = model.fusion.register_forward_hook(lambda module, inputs, output: weights.append(output))
    frame = model(window(golden).to(device), 0.5).frame
    hook.remove()
    yield Stage("two scales", "fusion weight", weights[0].cpu(), golden["fusion_weight"])
    yield Stage("two scales", "It", frame.cpu(), golden["It"])


def main(device: str = "cpu") -> None:
    """Write the table of results/."""
    path = RESULTS / ("parity.csv" if device == "cpu" else f"parity_{device}.csv")
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            (stage.case, stage.name, f"{stage.error:.1e}", f"{100 * stage.exceeding:.3f}")
            for stage in stages(load_models(Path(folder)), torch.device(device))
        ]
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("case", "stage", "largest difference", "pixels beyond 1e-4 (%)"))
        writer.writerows(rows)
    print(f"{len(rows)} stages: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
