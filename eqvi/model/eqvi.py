"""EQVI, enhanced quadratic video interpolation (Liu et al., AIM 2020 workshop at ECCV): the method and its model.

Four consecutive frames I0 I1 I2 I3 of a clip give the frame I_t at any t in (0, 1) between I1 and I2. Frames are RGB in
[0, 1], (B, 3, H, W), without further normalisation. F_ab is the optical flow from frame a to frame b in pixels,
(B, 2, H, W), x (right) before y (down). ``warp(I_b, F_ab)`` samples I_b at x + F_ab(x), which registers it to frame a.
Time is counted in frame intervals from I1. The other files of the package cite the steps by their numbers.

1. Flows. A flow network, ScopeFlow [3] (IRR-PWC's architecture [4]), frozen, gives F_10, F_12, F_13 seen from I1 and
   F_23, F_21, F_20 seen from I2.
2. Motion. A pixel of I1 is displaced by F_1s = v s + a s^2 / 2, observed at s = -1, 1, 2 as F_10, F_12, F_13. At t:
       linear         F_1t = t F_12
       quadratic [2]  F_1t = v t + a t^2 / 2 with v = (F_12 - F_10) / 2 and a = F_10 + F_12
       least squares  the same with v and a fitted to all three observations
       RQFP [1]       alpha (least squares) + (1 - alpha) (quadratic), per pixel and component, with
                      alpha = 1/2 - tanh(|a1 - a2| - 5) / 2 where the accelerations of the three pairs of
                      observations, a1 (-1, 1), a2 (-1, 2), a3 (1, 2), agree in sign; alpha = 0 elsewhere
   F_2t likewise from F_23, F_21, F_20 at 1 - t. The first and the last pair of a clip lack I0 or I3: their
   window is (I1, I2), their motion linear.
3. Flow reversal [2]. Every pixel p of I1 is splatted to the four pixels q around p + F_1t(p) with weight
   w = exp(-|p + F_1t(p) - q|^2); F_t1(q) = -sum(w F_1t) / sum(w), and 0 where nothing lands. F_t2 from F_2t.
4. Backward warping. I_1t = warp(I1, F_t1), I_2t = warp(I2, F_t2): bilinear, zeros outside the frame.
5. Refinement and adaptive flow filter [2]. A U-Net sees (I1, I2, I_1t, I_2t, F_12, F_21, F_t1, F_t2) and gives for
   each flow an offset d and a correction r: F_t1 becomes warp(F_t1, 10 tanh(d)) + r. Step 4 is repeated with the new
   flows. The U-Net's last feature map h is kept for step 6.
6. Mask and blending. M = sigmoid(mask network(I_1t, I_2t, h)), one channel;
   I_t = ((1 - t) M I_1t + t (1 - M) I_2t) / ((1 - t) M + t (1 - M)).
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

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.errors import InputError
from eqvi.model.classical_flow import DIS, TVL1, ClassicalFlow
from eqvi.model.config import EQVIConfig, FlowKind
from eqvi.model.geometry import backward_warp, pad_to, resize, reverse_flow
from eqvi.model.motion import FLOW_PAIRS, NEEDED, displacement
from eqvi.model.scopeflow import ScopeFlow
from eqvi.model.synthesis import ContextualResidual, Fusion, MaskNet, Refinement, blend
from eqvi.model.visibility import fill_holes, visibility_mask

#: The coarsest level of the flow network is 1/64; smaller frames are padded to one pixel of it and cropped again.
SMALLEST = 64

Flow = Float[Tensor, "b 2 h w"]
Frames = Float[Tensor, "b n 3 h w"]


class Motion(NamedTuple):
    """All that a window's frames say about motion: nothing here depends on t.

    A flow is None where the window lacks a frame (at a clip's ends it has frames 1 and 2 only) or where the motion
    model does not ask for it.

    Attributes:
        flow_10, flow_12, flow_13: (B, 2, H, W) in pixels, seen from frame 1.
        flow_23, flow_21, flow_20: the same from frame 2.
        features: what the flow estimator shares between flows, by the frame's number in the window (0 to 3).
        half: the motion at half resolution where the model fuses two scales, else None.
    """

    flow_10: Flow | None
    flow_12: Flow
    flow_13: Flow | None
    flow_23: Flow | None
    flow_21: Flow
    flow_20: Flow | None
    features: dict[int, Any]
    half: "Motion | None"


class Interpolation(NamedTuple):
    """A new frame and what it was made of.

    Attributes:
        frame: (B, 3, H, W), RGB in [0, 1].
        flow_t1, flow_t2: (B, 2, H, W) in pixels, as used for warping (refined where the model refines).
        warped_1, warped_2: (B, 3, H, W), frames 1 and 2 brought to t.
        mask: (B, 1, H, W), M: trust in warped_1 over warped_2, before time weighs in.
        residual: (B, 3, H, W) added by RCSN, None without it. With two scales, all but `frame` are the full-scale ones.
    """

    frame: Float[Tensor, "b 3 h w"]
    flow_t1: Flow
    flow_t2: Flow
    warped_1: Float[Tensor, "b 3 h w"]
    warped_2: Float[Tensor, "b 3 h w"]
    mask: Float[Tensor, "b 1 h w"]
    residual: Float[Tensor, "b 3 h w"] | None


class EQVI(nn.Module):
    """The whole method, with weights drawn at random; `eqvi.load` brings trained ones.

    Args:
        config: what the model is made of; the published one by default.
    """

    def __init__(self, config: EQVIConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EQVIConfig()
        self.flow = make_flow(config.flow, config.flow_width, config.flow_scalings)
        self.refinement = Refinement(config.refine_width) if config.refine else None
        self.mask = MaskNet(config.refine_width) if config.refine else None
        self.residual = ContextualResidual(config.synthesis_width, config.context_channels) if config.residual else None
        self.fusion = Fusion() if config.multi_scale else None
        self.flow.requires_grad_(False)

    def forward(self, frames: Frames, t: float | Tensor) -> Interpolation:
        """The frame at `t` of a window of (B, 4, 3, H, W) or, at a clip's ends, (B, 2, 3, H, W) frames."""
        return self.interpolate(frames, self.estimate_motion(frames), t)

    def estimate_motion(self, frames: Frames, previous: Motion | None = None) -> Motion:
        """Every flow of the window, each computed once.

        Args:
            frames: RGB in [0, 1], (B, 4, 3, H, W) or (B, 2, 3, H, W).
            previous: the motion of the window one frame earlier in the same clip, whose flows and features are then
                reused: a running clip needs four new flows and one new pyramid a window.

        Raises:
            InputError: frames of another shape, or `previous` of another size.
        """
        check_frames(frames)
        padded = pad_to(frames, *self._smallest())
        motion = self._flows(padded, previous)
        if self.fusion is None:
            return motion
        before = None if previous is None else previous.half
        return motion._replace(half=self._flows(_half(padded), before))

    def known_motion(self, frames: Frames, flows: Float[Tensor, "b 6 2 h w"]) -> Motion:
        """The motion of a window whose flows were found beforehand.

        Args:
            frames: as given to `estimate_motion`; where two scales are fused, the half-size flows are estimated now.
            flows: in the order of `eqvi.model.motion.FLOW_PAIRS`.
        """
        f10, f12, f13, f23, f21, f20 = flows.unbind(1)
        motion = Motion(f10, f12, f13, f23, f21, f20, features={}, half=None)
        return motion if self.fusion is None else motion._replace(half=self._flows(_half(frames), None))

    def interpolate(self, frames: Frames, motion: Motion, t: float | Tensor) -> Interpolation:
        """The frame at `t`, from a window and its motion.

        Args:
            frames: as given to `estimate_motion`.
            motion: what `estimate_motion` returned for them.
            t: in (0, 1), between frames 1 and 2; a number, or (B,) for one per sample.

        Raises:
            InputError: frames of another shape, t of another shape or not inside (0, 1).
        """
        check_frames(frames)
        time = _time(t, frames)
        height, width = frames.shape[-2:]
        padded = pad_to(frames, *self._smallest())
        middle = padded.shape[1] // 2
        result = self._synthesise(padded[:, middle - 1], padded[:, middle], motion, time)
        if self.fusion is not None:
            assert motion.half is not None
            small = _half(padded)
            half = self._synthesise(small[:, middle - 1], small[:, middle], motion.half, time).frame
            half = resize(half, (padded.shape[-2], padded.shape[-1]), align_corners=False)
            result = result._replace(frame=torch.lerp(half, result.frame, self.fusion(result.frame, half)))
        fields: dict[str, Any] = result._asdict()
        for name, field in fields.items():
            fields[name] = None if field is None else field[..., :height, :width]
        return Interpolation(**fields)

    def _smallest(self) -> tuple[int, int]:
        side = SMALLEST if self.fusion is None else 2 * SMALLEST
        return side, side

    def _flows(self, frames: Tensor, previous: Motion | None) -> Motion:
        """The flows that the motion model asks for, less those that `previous` already holds."""
        roles = _roles(frames.shape[1])
        needed = [pair for pair in NEEDED[self.config.motion] if set(pair) <= set(roles)]
        features: dict[int, Any] = {}
        flows: dict[tuple[int, int], Tensor | None] = {}
        if previous is not None:
            if previous.flow_12.shape[-2:] != frames.shape[-2:]:
                raise InputError(f"previous motion is of {_size(previous.flow_12)} frames, these are {_size(frames)}")
            # One frame later: what was frame 2 is frame 1, what was F_23 is F_12.
            features = {role - 1: known for role, known in previous.features.items() if role > 0}
            flows = {(1, 0): previous.flow_21, (1, 2): previous.flow_23}
        for role in sorted({role for pair in needed for role in pair} - set(features)):
            features[role] = self.flow.features(frames[:, roles.index(role)])
        for a, b in needed:
            if flows.get((a, b)) is None:
                flows[a, b] = self.flow.between(features[a], features[b])
        fields: dict[str, Any] = {f"flow_{a}{b}": flows[a, b] if (a, b) in needed else None for a, b in FLOW_PAIRS}
        return Motion(**fields, features=features, half=None)

    def _synthesise(self, frame_1: Tensor, frame_2: Tensor, motion: Motion, t: float | Tensor) -> Interpolation:
        """Steps 2 to 7 at one scale."""
        flow_12, flow_21 = motion.flow_12, motion.flow_21
        to_t1 = reverse_flow(displacement(self.config.motion, motion.flow_10, flow_12, motion.flow_13, t))
        to_t2 = reverse_flow(displacement(self.config.motion, motion.flow_23, flow_21, motion.flow_20, 1 - t))
        if self.refinement is None or self.mask is None:
            flow_t1, flow_t2 = fill_holes(to_t1), fill_holes(to_t2)
            mask = visibility_mask(flow_12, flow_21, flow_t1, flow_t2, to_t1.weight == 0, to_t2.weight == 0)
            # Some pixels neither frame has seen: there the rim is held, where learned weights would paint over zeros.
            warped_1 = backward_warp(frame_1, flow_t1, outside="border")
            warped_2 = backward_warp(frame_2, flow_t2, outside="border")
        else:
            refined = self.refinement(frame_1, frame_2, flow_12, flow_21, to_t1.flow, to_t2.flow)
            flow_t1, flow_t2 = refined.flow_t1, refined.flow_t2
            warped_1, warped_2 = backward_warp(frame_1, flow_t1), backward_warp(frame_2, flow_t2)
            mask = self.mask(warped_1, warped_2, refined.features)
        frame = blend(warped_1, warped_2, mask, t)
        residual = None
        if self.residual is not None:
            residual = self.residual(frame_1, frame_2, flow_t1, flow_t2, warped_1, warped_2)
            frame = frame + residual
        return Interpolation(frame.clamp(0, 1), flow_t1, flow_t2, warped_1, warped_2, mask, residual)


def make_flow(kind: FlowKind, width: float = 1.0, scalings: int = 2) -> ScopeFlow | ClassicalFlow:
    """The flow estimator of that name; `width` and `scalings` are ScopeFlow's."""
    return ScopeFlow(width, scalings) if kind == "scopeflow" else {"dis": DIS, "tvl1": TVL1}[kind]()


def check_frames(frames: Tensor) -> None:
    """Raise InputError unless `frames` is a floating-point (B, 4, 3, H, W) or (B, 2, 3, H, W)."""
    if frames.ndim != 5 or frames.shape[1] not in (2, 4) or frames.shape[2] != 3:
        raise InputError(f"frames are {_size(frames, 5)}: give (B, 4, 3, H, W), or (B, 2, 3, H, W) at a clip's ends")
    if not frames.is_floating_point():
        raise InputError(f"frames are {frames.dtype}: give floating-point RGB in [0, 1]")


def _roles(count: int) -> tuple[int, ...]:
    """Which of I0 .. I3 a window of that many frames holds."""
    return (0, 1, 2, 3) if count == 4 else (1, 2)


def _time(t: float | Tensor, frames: Tensor) -> float | Tensor:
    """`t` checked, as a number or (B, 1, 1, 1)."""
    if isinstance(t, Tensor) and t.ndim:
        if t.shape != frames.shape[:1]:
            raise InputError(f"t has shape {tuple(t.shape)}: give a number, or one per sample ({frames.shape[0]},)")
        if not bool(((t > 0) & (t < 1)).all()):
            raise InputError(f"t={t.tolist()} must lie between 0 and 1, the times of frames 1 and 2")
        return t.to(frames).view(-1, 1, 1, 1)
    if not 0 < float(t) < 1:
        raise InputError(f"t={float(t)} must lie between 0 and 1, the times of frames 1 and 2")
    return float(t)


def _half(frames: Tensor) -> Tensor:
    """Frames at half resolution."""
    small = resize(frames.flatten(0, 1), (frames.shape[-2] // 2, frames.shape[-1] // 2), align_corners=False)
    return small.unflatten(0, frames.shape[:2])


def _size(x: Tensor, last: int = 2) -> str:
    return "x".join(map(str, x.shape[-last:]))
