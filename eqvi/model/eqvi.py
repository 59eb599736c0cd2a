"""EQVI, enhanced quadratic video interpolation (Liu et al., AIM 2020 workshop at ECCV): the method and its model.

Four consecutive frames I0 I1 I2 I3 of a clip give the frame I_t at any t in (0, 1) between I1 and I2. Frames are RGB in
[0, 1], (B, 3, H, W), without further normalisation. F_ab is the optical flow from frame a to frame b in pixels,
(B, 2, H, W), x (right) before y (down). ``warp(I_b, F_ab)`` samples I_b at x + F_ab(x), which registers it to frame a.
Time is counted in frame intervals from I1. The other files of the package cite the steps by their numbers.

1. Flows. A flow network, ScopeFlow [3] (IRR-PWC's architecture [4]), frozen, gives F_10, F_12, F_13 seen from I1 and
   F_23, F_21, F_20 seen from I2. Beyond the paper, an option: step 2 reads flows in which both ways of a pair are
   combined (`eqvi.model.two_way`).
2. Motion. A pixel of I1 is displaced by F_1s = v s + a s^2 / 2, observed at s = -1, 1, 2 as F_10, F_12, F_13. At t:
       linear         F_1t = t F_12
       quadratic [2]  F_1t = v t + a t^2 / 2 with v = (F_12 - F_10) / 2 and a = F_10 + F_12
       least squares  the same with v and a fitted to all three observations
       RQFP [1]       alpha (least squares) + (1 - alpha) (quadratic), per pixel and component, with
                      alpha = 1/2 - tanh(|a1 - a2| - 5) / 2 where the accelerations of the three pairs of
                      observations, a1 (-1, 1), a2 (-1, 2), a3 (1, 2), agree in sign; alpha = 0 elsewhere
   F_2t likewise from F_23, F_21, F_20 at 1 - t. The first and the last pair of a clip lack I0 or I3: their
   window is (I1, I2), their motion linear. Beyond the paper, an option: trajectories over up to n frames correct
   F_1t and F_2t (`eqvi.model.trajectories`).
3. Flow reversal [2]. Every pixel p of I1 is splatted to the four pixels q around p + F_1t(p) with weight
   w = exp(-|p + F_1t(p) - q|^2); F_t1(q) = -sum(w F_1t) / sum(w), and 0 where nothing lands. F_t2 from F_2t.
4. Backward warping. I_1t = warp(I1, F_t1), I_2t = warp(I2, F_t2): bilinear, zeros outside the frame.
5. Refinement and adaptive flow filter [2]. A U-Net sees (I1, I2, I_1t, I_2t, F_12, F_21, F_t1, F_t2) and gives for
   each flow an offset d and a correction r: F_t1 becomes warp(F_t1, 10 tanh(d)) + r. Step 4 is repeated with the new
   flows. The U-Net's last feature map h is kept for step 6.
6. Mask and blending. M = sigmoid(mask network(I_1t, I_2t, h)), one channel;
   I_t = ((1 - t) M I_1t + t (1 - M) I_2t) / ((1 - t) M + t (1 - M)). Beyond the paper, options: detail that the
   bilinear warps of step 4 lose is given back (`eqvi.model.detail`), and without RCSN a small network weighs all warped
   pictures and softens what cannot be placed (`eqvi.model.finishing`).
7. Residual contextual synthesis network, RCSN [1]. C = the first convolution of an ImageNet ResNet-18 at stride 1:
   context features [5]; G = the gradient magnitude per channel.
   I_t += U-Net(C1 and C2 warped to t, G1 and G2 warped to t, I_1t, I_2t). Clamp to [0, 1].
8. Multi-scale fusion, MS-Fusion [1]. Steps 1 to 7 with the same weights at full and at half resolution;
   I_t = w I_t(full) + (1 - w) I_t(half), with w = sigmoid(three convolutions of both).

Sampling convention. ``align_corners=True`` for warping: the centre of the first pixel is at -1, of the last at 1. The
released code leaves the argument unset, which meant True in PyTorch 1.2, for which it was written, and means False
since 1.3: with False a warp by zero flow blurs the frame, and published weights give other frames.

Cost at 256x448, in GFLOP (2 x multiply-adds). The released code calls ScopeFlow eight times for one new frame, each
time both ways and with occlusion: 2188. What the result depends on are six forward flows (50.1 each) from four feature
pyramids (0.8 each) and steps 5 to 7 (253.5): 557. Flows do not depend on t, so `EQVI.estimate_motion` computes them
once for all frames of a window, and takes two of them from the window before: 455 for each further window.

[1] Liu, Xie, Siyao, Sun, Qiao, Dong: Enhanced quadratic video interpolation. ECCV Workshops 2020.
[2] Xu, Siyao, Sun, Yin, Yang: Quadratic video interpolation (QVI). NeurIPS 2019.
[3] Bar-Haim, Wolf: ScopeFlow: dynamic scene scoping for optical flow. CVPR 2020.
[4] Hur, Roth: Iterative residual refinement for joint optical flow and occlusion estimation (IRR-PWC). CVPR 2019.
[5] Niklaus, Liu: Context-aware synthesis for video frame interpolation. CVPR 2018.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.errors import InputError
from eqvi.model.classical_flow import DIS, TVL1, ClassicalFlow
from eqvi.model.config import EQVIConfig, FlowKind
from eqvi.model.detail import lost_detail, surplus
from eqvi.model.finishing import Finishing
from eqvi.model.geometry import backward_warp, pad_to, resize, reverse_flow
from eqvi.model.inputs import check_frames, check_time, size_of
from eqvi.model.interpolation import Interpolation, Motion
from eqvi.model.matching import Matching, Stage
from eqvi.model.motion import FLOW_PAIRS, LONG_PAIRS, NEEDED, displacement
from eqvi.model.path_evidence import path_evidence
from eqvi.model.scopeflow import ScopeFlow
from eqvi.model.synthesis import ContextualResidual, Fusion, MaskNet, Outer, Refinement, SynthesisInput, blend
from eqvi.model.trajectories import correct, follow_both, seen_forwards
from eqvi.model.two_way import combined
from eqvi.model.visibility import Trust, VisibilityMask, filled
from eqvi.model.weight_free_start import FilledRefinement, HeldResidual, RaisedMask

#: The coarsest level of the flow network is 1/64; smaller frames are padded to one pixel of it and cropped again.
SMALLEST = 64

Flow = Float[Tensor, "b 2 h w"]
Image = Float[Tensor, "b 3 h w"]
Frames = Float[Tensor, "b n 3 h w"]


class EQVI(nn.Module):
    """The whole method, with random weights; `eqvi.load` reads trained ones.

    Args:
        config: which parts the model has, and their widths; the published model by default.
    """

    def __init__(self, config: EQVIConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EQVIConfig()
        self.flow = make_flow(config.flow, config.flow_width, config.flow_scalings)
        filled = config.start == "weight_free"
        refinement, mask = (FilledRefinement, RaisedMask) if filled else (Refinement, MaskNet)
        residual = HeldResidual if filled else ContextualResidual
        self.refinement = refinement(config.refine_width) if config.refine else Trust()
        self.mask = mask(config.refine_width) if config.refine else VisibilityMask()
        self.residual = residual(config.synthesis_width, config.context_channels) if config.residual else None
        self.fusion = Fusion() if config.multi_scale else None
        self.matching = Matching() if config.matching else None
        self.finishing = Finishing() if config.finishing else None
        self.correct = correct
        self.flow.requires_grad_(False)

    @property
    def window(self) -> int:
        """The most frames that a window may have."""
        return max(4, self.config.trajectory)

    @property
    def pair_suffices(self) -> bool:
        """Whether `interpolate` reads the two middle frames only, so that it may be given a window of those."""
        return self.finishing is None

    def forward(self, frames: Frames, t: float | Tensor) -> Interpolation:
        """The frame at `t` in the middle of a window; arguments as for `estimate_motion` and `interpolate`."""
        return self.interpolate(frames, self.estimate_motion(frames), t)

    def estimate_motion(self, frames: Frames, previous: Motion | None = None) -> Motion:
        """Step 1: the flows of a window, each computed once.

        Args:
            frames: RGB in [0, 1], (B, 4, 3, H, W) or, at a clip's ends, (B, 2, 3, H, W). With trajectories over n
                frames, any even number up to n.
            previous: the motion of the window one frame earlier in the same clip. Its flows and features are reused:
                further windows need four new flows and one new feature pyramid each.

        Raises:
            InputError: frames of another shape, or `previous` of another size.
        """
        check_frames(frames, self.config.trajectory)
        frames = self._pad(frames)
        motion = self._flows(frames, previous)
        if self.fusion is None:
            return motion
        return motion._replace(half=self._flows(halve(frames), None if previous is None else previous.half))

    def known_motion(self, frames: Frames, flows: Float[Tensor, "b m 2 h w"]) -> Motion:
        """The motion of a window whose flows are known; those at half resolution are estimated if the model needs them.

        Args:
            frames: as for `estimate_motion`.
            flows: in the order of `eqvi.model.motion.LONG_PAIRS`: the first six (`FLOW_PAIRS`), or all 16 of a
                window of eight frames, from which trajectories are followed.
        """
        known = dict(zip(LONG_PAIRS, flows.unbind(1), strict=False))
        read = known | (self._combined(frames, known, {}) if self.config.two_way else {})
        motion = Motion._make((*(read[pair] for pair in FLOW_PAIRS), {}, None, known, None))
        if self.config.trajectory and flows.shape[1] == len(LONG_PAIRS):
            motion = motion._replace(positions=follow_both(known, self.config.trajectory))
        return motion if self.fusion is None else motion._replace(half=self._flows(halve(frames), None))

    def interpolate(self, frames: Frames, motion: Motion, t: float | Tensor, check: bool = True) -> Interpolation:
        """Steps 2 to 8: the frame at `t`, from a window and its motion.

        Args:
            frames: as for `estimate_motion`.
            motion: the result of `estimate_motion` for them.
            t: in (0, 1), between frames 1 and 2; a number, or (B,) for one per sample.
            check: False where frames and a t of (B,) are known to be good: to look at t waits for the device.

        Raises:
            InputError: frames of another shape, t of another shape or not inside (0, 1).
        """
        if check:
            check_frames(frames, self.config.trajectory)
        time = check_time(t, frames) if check or not isinstance(t, Tensor) else t.to(frames).view(-1, 1, 1, 1)
        height, width = frames.shape[-2:]
        frames = self._pad(frames)
        result = self._interpolate_scale(frames, motion, time)
        # 8. Multi-scale fusion
        if self.fusion is not None:
            assert motion.half is not None
            half = self._interpolate_scale(halve(frames), motion.half, time).frame
            half = resize(half, (frames.shape[-2], frames.shape[-1]), align_corners=False)
            result = result._replace(frame=torch.lerp(half, result.frame, self.fusion(result.frame, half)))
        images = [None if field is None else field[..., :height, :width] for field in result[:-1]]
        return Interpolation._make((*images, result.stages))

    def _interpolate_scale(self, frames: Frames, motion: Motion, t: float | Tensor) -> Interpolation:
        """Steps 2 to 7 at one scale."""
        middle = frames.shape[1] // 2
        frame_1, frame_2 = frames[:, middle - 1], frames[:, middle]
        # 2. Motion
        flow_1t = displacement(self.config.motion, motion.flow_10, motion.flow_12, motion.flow_13, t)
        flow_2t = displacement(self.config.motion, motion.flow_23, motion.flow_21, motion.flow_20, 1 - t)
        flow_12, flow_21 = motion.middle
        if motion.positions is not None:
            flow_1t = self.correct(flow_1t, motion.positions[0], t)
            flow_2t = self.correct(flow_2t, motion.positions[1], 1 - t)
        if self.matching is not None:
            result = self.matching(frame_1, frame_2, flow_12, flow_21, flow_1t, flow_2t, motion.positions, t)
            details = self._details(frame_1, frame_2, *result[:4])
            return self._composed(t, details, *result)
        # 3. Flow reversal
        to_t1, to_t2 = reverse_flow(flow_1t), reverse_flow(flow_2t)
        del flow_1t, flow_2t  # of a large frame they are worth a tile
        if self.refinement.fills_holes:
            to_t1, to_t2 = filled(to_t1), filled(to_t2)
        given = SynthesisInput(frame_1, frame_2, flow_12, flow_21, to_t1, to_t2)
        if self.finishing is not None and middle > 1 and motion.flow_10 is not None and motion.flow_23 is not None:
            before, after = Outer(frames[:, middle - 2], motion.flow_10), Outer(frames[:, middle + 1], motion.flow_23)
            paths = path_evidence(motion.positions, t) if motion.positions is not None else None
            given = given._replace(before=before, after=after, paths=paths)
        return self.synthesize(given, t)

    def synthesize(self, given: SynthesisInput, t: float | Tensor) -> Interpolation:
        """Steps 4 to 7 at one scale. `eqvi.model.tiles` does them tile by tile."""
        frame_1, frame_2, flow_12, flow_21, to_t1, to_t2, *_ = given
        # 4. and 5. Backward warping, refinement and adaptive flow filter
        flow_t1, flow_t2, features = self.refinement(frame_1, frame_2, flow_12, flow_21, to_t1, to_t2)
        warped_1 = backward_warp(frame_1, flow_t1, self.refinement.outside)
        warped_2 = backward_warp(frame_2, flow_t2, self.refinement.outside)
        # 6. Mask and blending
        mask = self.mask(warped_1, warped_2, features)
        # 7. Residual contextual synthesis
        residual = None
        if self.residual is not None:
            residual = self.residual(frame_1, frame_2, flow_t1, flow_t2, warped_1, warped_2)
        details = self._details(frame_1, frame_2, flow_t1, flow_t2, warped_1, warped_2)
        result = self._composed(t, details, flow_t1, flow_t2, warped_1, warped_2, mask, residual)
        if self.finishing is None or details is None:
            return result
        added = self.finishing(given, result, details, t)
        residual = added if result.residual is None else result.residual + added
        return result._replace(frame=(result.frame + added).clamp(0, 1), residual=residual)

    def _details(
        self, frame_1: Image, frame_2: Image, flow_t1: Flow, flow_t2: Flow, warped_1: Image, warped_2: Image
    ) -> tuple[Image, Image] | None:
        """The detail that either frame lost in its warp, if the model gives it back."""
        if not self.config.detail:
            return None
        return surplus(frame_1, flow_t1, warped_1), surplus(frame_2, flow_t2, warped_2)

    def _composed(
        self, t: float | Tensor, details: tuple[Image, Image] | None, flow_t1: Flow, flow_t2: Flow, warped_1: Image,
        warped_2: Image, mask: Float[Tensor, "b 1 h w"], residual: Image | None, stages: tuple[Stage, ...] = (),
    ) -> Interpolation:  # fmt: skip
        """The blended frame with the residual, and with the detail that bilinear warping lost if the model has it."""
        frame = blend(warped_1, warped_2, mask, t)
        if details is not None:
            detail = lost_detail(*details, mask, t)
            residual = detail if residual is None else residual + detail
        if residual is not None:
            frame = frame + residual
        return Interpolation(frame.clamp(0, 1), flow_t1, flow_t2, warped_1, warped_2, mask, residual, stages)

    def _flows(self, frames: Frames, previous: Motion | None) -> Motion:
        """The flows that the motion model reads, without computing again those that `previous` has."""
        count = frames.shape[1]
        numbers = range(2 - count // 2, 2 + count // 2)
        needed = [pair for pair in NEEDED[self.config.motion] if set(pair) <= set(numbers)]
        if follows := self.config.trajectory > 0 and count >= 4:
            needed += [pair for a, b in pairwise(numbers) for pair in ((a, b), (b, a)) if pair not in needed]
        features: dict[int, Any] = {}
        flows: dict[tuple[int, int], Flow] = {}
        combined: dict[tuple[int, int], Flow | None] = {}
        if previous is not None:
            if previous.flow_12.shape[-2:] != frames.shape[-2:]:
                raise InputError(
                    f"previous motion is of {size_of(previous.flow_12)} frames, these are {size_of(frames)}"
                )
            # One frame later: frame 2 becomes frame 1, F_23 becomes F_12.
            features = {number - 1: f for number, f in previous.features.items() if number - 1 in numbers}
            flows = {(a - 1, b - 1): flow for (a, b), flow in previous.chained.items()}
            combined = {(1, 0): previous.flow_21, (1, 2): previous.flow_23}
        for number in sorted({number for pair in needed for number in pair} - set(features)):
            features[number] = self.flow.features(frames[:, number - numbers[0]])
        missing = [pair for pair in needed if pair not in flows]
        flows |= dict(
            zip(missing, self.flow.between_all([(features[a], features[b]) for a, b in missing]), strict=True)
        )
        chained = {pair: flows[pair] for pair in needed}  # in one order, whichever are new: graphs are captured with it
        read = chained | (self._combined(frames, chained, combined) if self.config.two_way else {})
        fields: dict[str, Any] = {f"flow_{a}{b}": read.get((a, b)) for a, b in FLOW_PAIRS}
        if not follows:
            return Motion(**fields, features=features, half=None, chained=chained)
        known = None if previous is None or previous.positions is None else seen_forwards(previous.positions[1])
        positions = follow_both(chained, count, known)
        return Motion(**fields, features=features, half=None, chained=chained, positions=positions)

    def _combined(
        self, frames: Frames, flows: Mapping[tuple[int, int], Flow], known: Mapping[tuple[int, int], Flow | None]
    ) -> dict[tuple[int, int], Flow]:
        """The flows that the motion model reads, both ways of each pair combined where there are both."""
        numbered = dict(enumerate(frames.unbind(1), 2 - frames.shape[1] // 2))
        pairs = [pair for pair in NEEDED[self.config.motion] if pair in flows and pair[::-1] in flows]
        old = {pair: flow for pair in pairs if (flow := known.get(pair)) is not None}
        new = {
            (a, b): combined(numbered[a], numbered[b], flows[a, b], flows[b, a]) for a, b in pairs if (a, b) not in old
        }
        return old | new

    def _pad(self, frames: Frames) -> Float[Tensor, "b n 3 p q"]:
        side = SMALLEST if self.fusion is None else 2 * SMALLEST
        return pad_to(frames, side, side)


def make_flow(kind: FlowKind, width: float = 1.0, scalings: int = 2) -> ScopeFlow | ClassicalFlow:
    """The flow estimator of that name; `width` and `scalings` are ScopeFlow's."""
    return ScopeFlow(width, scalings) if kind == "scopeflow" else {"dis": DIS, "tvl1": TVL1}[kind]()


def halve(frames: Frames) -> Float[Tensor, "b n 3 p q"]:
    """Frames at half resolution, rounded down."""
    small = resize(frames.flatten(0, 1), (frames.shape[-2] // 2, frames.shape[-1] // 2), align_corners=False)
    return small.unflatten(0, frames.shape[:2])
