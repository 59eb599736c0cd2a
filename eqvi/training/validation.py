"""Validation during training: scores on a small fixed set, beside baselines that need no training."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi import metrics
from eqvi.model.classical_flow import DIS
from eqvi.model.eqvi import EQVI, Interpolation, Motion
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.objectives import mean_end_point_error
from eqvi.training.samples import FlowBatch, FlowSample, FrameBatch, FrameSample, WindowBatch, WindowSample, collate
from eqvi.training.window_objective import middle_frames, motion_errors

#: Samples of which example frames are shown.
EXAMPLES = 2


class Example(NamedTuple):
    """The true frame, and the model's beside those of the baselines, each (1, 3, H, W); flows as colours."""

    truth: Float[Tensor, "1 3 h w"]
    frames: dict[str, Float[Tensor, "1 3 h w"]]


class FrameValidation:
    """Mean PSNR in dB of new frames (8 bits, RGB) on fixed windows.

    The baselines are `blend`, the average of the neighbours weighted by time, and `warp`, the same flow and motion
    model without any trained part.

    Args:
        windows: of one size.
        model: whose flow, which must be frozen, and motion model are used.
        device: where it is computed.
    """

    def __init__(self, windows: Sequence[FrameSample], model: EQVI, device: torch.device) -> None:
        self._batches = [_to_device(collate([window]), device) for window in windows]
        self._motions = [_motion(model, batch) for batch in self._batches]
        plain = weight_free(model, device)
        # Two scales pad small windows to more, and their flows with them.
        motions = [_motion(plain, batch) for batch in self._batches] if model.config.multi_scale else self._motions
        self._baselines = []
        with torch.inference_mode():
            for batch, motion in zip(self._batches, motions, strict=True):
                blend = torch.lerp(batch.frames[:, 1], batch.frames[:, 2], batch.t.view(-1, 1, 1, 1))
                warp = plain.interpolate(batch.frames, motion, batch.t).frame
                self._baselines.append({"blend": blend, "warp": warp})
        self._known = {name: self._psnr([frames[name] for frames in self._baselines]) for name in ("blend", "warp")}

    def __call__(self, model: EQVI) -> dict[str, float]:
        """PSNR of the model and of the baselines."""
        return {"psnr": self._psnr(self._frames(model, len(self._batches)))} | self._known

    def examples(self, model: EQVI) -> list[Example]:
        """The first few new frames."""
        frames = self._frames(model, EXAMPLES)
        rows = zip(frames, self._baselines, self._batches, strict=False)
        return [Example(batch.truth, baselines | {"model": frame}) for frame, baselines, batch in rows]

    def _frames(self, model: EQVI, count: int) -> list[Tensor]:
        with torch.inference_mode():
            pairs = zip(self._batches[:count], self._motions[:count], strict=True)
            return [model.interpolate(batch.frames, motion, batch.t).frame for batch, motion in pairs]

    def _psnr(self, frames: list[Tensor]) -> float:
        return sum(map(_psnr, frames, self._batches)) / len(frames)


class WindowValidation:
    """Scores on fixed windows of eight frames with exact flow.

    ``psnr``, ``warp`` and ``blend`` as of `FrameValidation`, where `warp` has the model's trajectories; in pixels
    ``difference`` and ``common``, the end-point errors of both parts of the motion at t where the pixel is visible in
    both frames (`eqvi.training.window_objective`), and ``warp_difference`` and ``warp_common``, those of `warp`.

    Args:
        windows: of one size.
        model: whose flow and motion model `warp` has.
        device: where it is computed.
    """

    def __init__(self, windows: Sequence[WindowSample], model: EQVI, device: torch.device) -> None:
        self._batches: list[WindowBatch] = [_to_device(collate([window]), device) for window in windows]
        plain = weight_free(model, device)
        with torch.inference_mode():
            blends = [torch.lerp(b.frames[:, 3], b.frames[:, 4], b.t.view(-1, 1, 1, 1)) for b in self._batches]
        self._warps, known = self._scores(plain)
        self._blends = blends
        self._known = {
            "warp": known["psnr"],
            "blend": sum(map(_psnr, blends, self._batches)) / len(blends),
            "warp_difference": known["difference"],
            "warp_common": known["common"],
        }

    def __call__(self, model: EQVI) -> dict[str, float]:
        """Scores of the model and of the baselines."""
        scores = self._scores(model)[1]
        return {"psnr": scores.pop("psnr"), "warp": self._known["warp"], "blend": self._known["blend"]} | (
            scores | {name: value for name, value in self._known.items() if name.startswith("warp_")}
        )

    def examples(self, model: EQVI) -> list[Example]:
        """The first few new frames."""
        frames = [self._interpolation(model, batch).frame for batch in self._batches[:EXAMPLES]]
        rows = zip(frames, self._batches, self._blends, self._warps, strict=False)
        return [Example(batch.truth, {"blend": b, "warp": w, "model": frame}) for frame, batch, b, w in rows]

    def _interpolation(self, model: EQVI, batch: WindowBatch) -> Interpolation:
        with torch.inference_mode():
            frames = middle_frames(batch, model)
            return model.interpolate(frames, model.known_motion(frames, batch.flows), batch.t)

    def _scores(self, model: EQVI) -> tuple[list[Tensor], dict[str, float]]:
        frames, rows = [], []
        for batch in self._batches:
            result = self._interpolation(model, batch)
            frames.append(result.frame)
            t = batch.t.view(-1, 1, 1, 1)
            errors = motion_errors(result.flow_t1, result.flow_t2, batch.flow, batch.visibility, t)
            rows.append((_psnr(result.frame, batch), errors.difference.item(), errors.common.item()))
        means = (sum(column) / len(rows) for column in zip(*rows, strict=True))
        return frames, dict(zip(("psnr", "difference", "common"), means, strict=True))


class FlowValidation:
    """Mean end-point error in pixels on fixed pairs of frames.

    The baselines are `still` (no motion) and `dis` (OpenCV's DIS).

    Args:
        pairs: of one size.
        device: where it is computed.
    """

    def __init__(self, pairs: Sequence[FlowSample], device: torch.device) -> None:
        self._batches: list[FlowBatch] = [_to_device(collate([pair]), device) for pair in pairs]
        dis = DIS()
        self._known = {
            "still": self._error([torch.zeros_like(batch.flow) for batch in self._batches]),
            "dis": self._error([dis(batch.first, batch.second) for batch in self._batches]),
        }

    def __call__(self, model: ScopeFlow) -> dict[str, float]:
        """End-point error of the model and of the baselines."""
        with torch.inference_mode():
            return {"epe": self._error([model(batch.first, batch.second) for batch in self._batches])} | self._known

    def examples(self, model: ScopeFlow) -> list[Example]:
        """The first few flows as colours."""
        from eqvi.viz.colours import flow_scale, flow_to_rgb  # only who shows pictures needs it

        examples = []
        with torch.inference_mode():
            for batch in self._batches[:EXAMPLES]:
                scale = flow_scale(batch.flow)
                flows = {"dis": DIS()(batch.first, batch.second), "model": model(batch.first, batch.second)}
                colours = {name: flow_to_rgb(flow, scale) for name, flow in flows.items()}
                examples.append(Example(flow_to_rgb(batch.flow, scale), colours))
        return examples

    def _error(self, flows: list[Tensor]) -> float:
        pairs = zip(flows, self._batches, strict=True)
        errors = [mean_end_point_error(flow, batch.flow, batch.weight).item() for flow, batch in pairs]
        return sum(errors) / len(errors)


def weight_free(model: EQVI, device: torch.device) -> EQVI:
    """The same flow and motion model without any trained part."""
    config = dataclasses.replace(
        model.config, refine=False, residual=False, multi_scale=False, matching=False, finishing=False
    )
    plain = EQVI(config).to(device)
    plain.flow = model.flow
    return plain


def make_validation(samples: Sequence[Any], model: EQVI | ScopeFlow, device: torch.device) -> Any:
    """The validation of a model: `FlowValidation` on pairs, `WindowValidation` or `FrameValidation` on windows."""
    if isinstance(model, EQVI) and isinstance(samples[0], WindowSample):
        return WindowValidation(samples, model, device)
    return FlowValidation(samples, device) if isinstance(model, ScopeFlow) else FrameValidation(samples, model, device)


def _psnr(frame: Tensor, batch: FrameBatch | WindowBatch) -> float:
    return metrics.psnr(metrics.to_8bit(frame), metrics.to_8bit(batch.truth))


def _motion(model: EQVI, batch: FrameBatch) -> Motion:
    with torch.inference_mode():
        motion = model.estimate_motion(batch.frames)
        half = None if motion.half is None else motion.half._replace(features={})
        return motion._replace(features={}, half=half)  # features would only take memory


def _to_device(batch: Any, device: torch.device) -> Any:
    return type(batch)(*(None if field is None else field.to(device) for field in batch))
