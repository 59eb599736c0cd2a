"""Validation during training: scores on a small fixed set, beside baselines that need no training."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi import metrics
from eqvi.model.classical_flow import DIS
from eqvi.model.config import EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.model.interpolation import Interpolation, Motion
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training.objectives import mean_end_point_error
from eqvi.training.samples import FlowBatch, FlowSample, FrameBatch, FrameSample, WindowBatch, WindowSample, collate
from eqvi.training.window_objective import middle_frames, motion_errors

#: Samples of which example frames are shown.
EXAMPLES = 2
# Windows of eight frames in a batch.
_TOGETHER = 8


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
        return sum(_psnr(frame, batch.truth) for frame, batch in zip(frames, self._batches, strict=True)) / len(frames)


class ScoredWindows:
    """Fixed windows of eight frames with exact flow, to score several models on.

    Args:
        windows: of one size.
        device: where they are kept, `_TOGETHER` in a batch.
    """

    def __init__(self, windows: Sequence[WindowSample], device: torch.device) -> None:
        groups = [windows[first : first + _TOGETHER] for first in range(0, len(windows), _TOGETHER)]
        self.batches: list[WindowBatch] = [_to_device(collate(group), device) for group in groups]
        self.blends = [torch.lerp(b.frames[:, 3], b.frames[:, 4], b.t.view(-1, 1, 1, 1)) for b in self.batches]
        self._weight_free: dict[EQVIConfig, tuple[list[Tensor], dict[str, float]]] = {}

    def scores(self, model: EQVI) -> tuple[list[Tensor], dict[str, float]]:
        """The new frames of each batch, and the means of ``psnr``, ``difference`` and ``common`` over all windows."""
        frames, rows = [], []
        for batch in self.batches:
            result = self.interpolation(model, batch)
            frames.append(result.frame)
            for one in range(len(batch.t)):
                place = slice(one, one + 1)
                flows, t = (result.flow_t1[place], result.flow_t2[place]), batch.t[place].view(-1, 1, 1, 1)
                errors = motion_errors(*flows, batch.flow[place], batch.visibility[place], t)
                psnr = _psnr(result.frame[place], batch.truth[place])
                rows.append((psnr, errors.difference.item(), errors.common.item()))
        means = (sum(column) / len(rows) for column in zip(*rows, strict=True))
        return frames, dict(zip(("psnr", "difference", "common"), means, strict=True))

    def weight_free_scores(self, model: EQVI) -> tuple[list[Tensor], dict[str, float]]:
        """As `scores`, of the same flow and motion model without any trained part; computed once for each."""
        plain = weight_free(model, self.blends[0].device)
        if plain.config not in self._weight_free:
            self._weight_free[plain.config] = self.scores(plain)
        return self._weight_free[plain.config]

    def blend_psnr(self) -> float:
        """The mean PSNR of frames 1 and 2 blended."""
        rows = [_psnr(a[None], b[None]) for blends, batch in zip(self.blends, self.batches, strict=True)
                for a, b in zip(blends, batch.truth, strict=True)]  # fmt: skip
        return sum(rows) / len(rows)

    def interpolation(self, model: EQVI, batch: WindowBatch) -> Interpolation:
        """The new frames of a batch."""
        with torch.inference_mode():
            frames = middle_frames(batch, model)
            return model.interpolate(frames, model.known_motion(frames, batch.flows), batch.t)


class WindowValidation:
    """Scores on fixed windows of eight frames with exact flow.

    ``psnr``, ``warp`` and ``blend`` as of `FrameValidation`, where `warp` has the model's trajectories; in pixels
    ``difference`` and ``common``, the end-point errors of both parts of the motion at t where the pixel is visible in
    both frames (`eqvi.training.window_objective`), and ``warp_difference`` and ``warp_common``, those of `warp`.

    Args:
        windows: of one size, or several runs' `ScoredWindows`.
        model: whose flow and motion model `warp` has.
        device: where it is computed.
    """

    def __init__(self, windows: Sequence[WindowSample] | ScoredWindows, model: EQVI, device: torch.device) -> None:
        self._windows = windows if isinstance(windows, ScoredWindows) else ScoredWindows(windows, device)
        self._warps, known = self._windows.weight_free_scores(model)
        self._known = {
            "warp": known["psnr"],
            "blend": self._windows.blend_psnr(),
            "warp_difference": known["difference"],
            "warp_common": known["common"],
        }

    def __call__(self, model: EQVI) -> dict[str, float]:
        """Scores of the model and of the baselines."""
        scores = self._windows.scores(model)[1]
        return {"psnr": scores.pop("psnr"), "warp": self._known["warp"], "blend": self._known["blend"]} | (
            scores | {name: value for name, value in self._known.items() if name.startswith("warp_")}
        )

    def examples(self, model: EQVI) -> list[Example]:
        """The first few new frames."""
        batch, blends = self._windows.batches[0], self._windows.blends[0]
        frames = self._windows.interpolation(model, batch).frame
        places = [slice(one, one + 1) for one in range(min(EXAMPLES, len(frames)))]
        shown = {"blend": blends, "warp": self._warps[0], "model": frames}
        return [Example(batch.truth[at], {name: some[at] for name, some in shown.items()}) for at in places]


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
        model.config,
        start="published",
        refine=False,
        residual=False,
        multi_scale=False,
        matching=False,
        finishing=False,
    )
    plain = EQVI(config).to(device)
    plain.flow = model.flow
    return plain


def make_validation(samples: Any, model: EQVI | ScopeFlow, device: torch.device) -> Any:
    """The validation of a model: `FlowValidation` on pairs, `WindowValidation` or `FrameValidation` on windows."""
    if isinstance(model, EQVI) and (isinstance(samples, ScoredWindows) or isinstance(samples[0], WindowSample)):
        return WindowValidation(samples, model, device)
    return FlowValidation(samples, device) if isinstance(model, ScopeFlow) else FrameValidation(samples, model, device)


def _psnr(frame: Tensor, truth: Tensor) -> float:
    return metrics.psnr(metrics.to_8bit(frame), metrics.to_8bit(truth))


def _motion(model: EQVI, batch: FrameBatch) -> Motion:
    with torch.inference_mode():
        motion = model.estimate_motion(batch.frames)
        half = None if motion.half is None else motion.half._replace(features={})
        return motion._replace(features={}, half=half)  # features would only take memory


def _to_device(batch: Any, device: torch.device) -> Any:
    return type(batch)(*(None if field is None else field.to(device) for field in batch))
