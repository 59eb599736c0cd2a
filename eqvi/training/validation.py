"""How good a model is while it learns: scores on a small fixed set, beside what needs no learning."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi import metrics
from eqvi.model.classical_flow import DIS
from eqvi.model.eqvi import EQVI, Motion
from eqvi.training.objectives import FlowLearner, FrameLearner, mean_end_point_error
from eqvi.training.samples import FlowBatch, FlowSample, FrameBatch, FrameSample, collate

#: The samples of which frames are kept as pictures.
SHOWN = 2


class Example(NamedTuple):
    """A new frame among its rivals, each (1, 3, H, W)."""

    truth: Float[Tensor, "1 3 h w"]
    frames: dict[str, Float[Tensor, "1 3 h w"]]


class FrameScores:
    """Mean PSNR in dB of new frames (8 bits, RGB) on fixed windows.

    Beside it `blend`, the average of the neighbours weighted by time, and `warp`, the same flow and motion model
    without any learned part.

    Args:
        windows: of one size.
        model: whose flow and motion are used; its flow must not learn.
        device: where it works.
    """

    def __init__(self, windows: Sequence[FrameSample], model: EQVI, device: torch.device) -> None:
        self._batches = [_moved(collate([window]), device) for window in windows]
        self._motions = [_motion(model, batch) for batch in self._batches]
        config = dataclasses.replace(model.config, refine=False, residual=False, multi_scale=False)
        plain = EQVI(config).to(device)
        plain.flow = model.flow
        # Two scales pad small windows to more, and their flows with them.
        known = [_motion(plain, batch) for batch in self._batches] if model.config.multi_scale else self._motions
        self._rivals: list[dict[str, Tensor]] = []
        with torch.inference_mode():
            for batch, motion in zip(self._batches, known, strict=True):
                share = batch.t.view(-1, 1, 1, 1)
                blend = torch.lerp(batch.frames[:, 1], batch.frames[:, 2], share)
                warp = plain.interpolate(batch.frames, motion, batch.t).frame
                self._rivals.append({"blend": blend, "warp": warp})
        self._known = {
            name: _mean(_psnr(r[name], b.truth) for r, b in zip(self._rivals, self._batches, strict=True))
            for name in ("blend", "warp")
        }

    def __call__(self, learner: FrameLearner) -> dict[str, float]:
        """PSNR of the model and of its rivals."""
        frames = self._frames(learner, len(self._batches))
        return {"psnr": _mean(_psnr(f, b.truth) for f, b in zip(frames, self._batches, strict=True))} | self._known

    def examples(self, learner: FrameLearner) -> list[Example]:
        """The first few new frames with their rivals."""
        frames = self._frames(learner, SHOWN)
        kept = zip(frames, self._rivals, self._batches, strict=False)
        return [Example(batch.truth, rivals | {"model": frame}) for frame, rivals, batch in kept]

    def _frames(self, learner: FrameLearner, count: int) -> list[Tensor]:
        with torch.inference_mode():
            pairs = zip(self._batches[:count], self._motions[:count], strict=True)
            return [learner.model.interpolate(b.frames, m, b.t).frame for b, m in pairs]


class FlowScores:
    """Mean end-point error in pixels on fixed pairs of frames; beside it `still` (no motion) and `dis` (OpenCV's DIS).

    Args:
        pairs: of one size.
        device: where it works.
    """

    def __init__(self, pairs: Sequence[FlowSample], device: torch.device) -> None:
        self._batches = [_moved(collate([pair]), device) for pair in pairs]
        dis = DIS()
        self._known = {
            "still": _mean(_epe(torch.zeros_like(b.flow), b) for b in self._batches),
            "dis": _mean(_epe(dis(b.first, b.second), b) for b in self._batches),
        }

    def __call__(self, learner: FlowLearner) -> dict[str, float]:
        """End-point error of the model and of its rivals."""
        with torch.inference_mode():
            return {"epe": _mean(_epe(learner.flow(b), b) for b in self._batches)} | self._known

    def examples(self, learner: FlowLearner) -> list[Example]:
        """The first few flows as colours, with their rivals."""
        from eqvi.viz.colours import flow_scale, flow_to_rgb  # here, as only who shows pictures needs it

        found = []
        with torch.inference_mode():
            for batch in self._batches[:SHOWN]:
                size = flow_scale(batch.flow)
                flows = {"dis": DIS()(batch.first, batch.second), "model": learner.flow(batch)}
                colours = {name: flow_to_rgb(flow, size) for name, flow in flows.items()}
                found.append(Example(flow_to_rgb(batch.flow, size), colours))
        return found


def _motion(model: EQVI, batch: FrameBatch) -> Motion:
    with torch.inference_mode():
        motion = model.estimate_motion(batch.frames)
        half = None if motion.half is None else motion.half._replace(features={})
        return motion._replace(features={}, half=half)  # features would only take memory


def _moved(batch: Any, device: torch.device) -> Any:
    return type(batch)(*(None if field is None else field.to(device) for field in batch))


def _psnr(frame: Tensor, truth: Tensor) -> float:
    return metrics.psnr(metrics.to_8bit(frame), metrics.to_8bit(truth))


def _epe(flow: Tensor, batch: FlowBatch) -> float:
    return mean_end_point_error(flow, batch.flow, batch.weight).item()


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
