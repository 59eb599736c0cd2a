"""The paper's refinement and mask, started from the weight-free method instead of from noise (steps 5 and 6).

The published network starts from reversed flows with holes, beyond whose rim frames are black, and from a mask that is
one half. In models of our own it may start where `eqvi.model.visibility` ends: holes are filled, the rim is held, and
the mask network adds to the logit of the visibility mask. With last layers at zero a new model gives the weight-free
method's frames, and training adds to those. Weights have the published names and shapes.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.geometry import Outside, Reversed
from eqvi.model.synthesis import ContextualResidual, Flow, Image, MaskNet, Refined, Refinement, Weight
from eqvi.model.visibility import Trust, VisibilityMask, raise_mask


class FilledRefinement(Refinement):
    """Step 5 from reversed flows without holes; its features begin with the trust in both frames, (B, 2, H, W)."""

    outside: Outside = "border"
    fills_holes = True

    def __init__(self, width: float = 1.0) -> None:
        super().__init__(width)
        self.trust = Trust()
        set_zero(self.unet.head)

    def forward(
        self, frame_1: Image, frame_2: Image, flow_12: Flow, flow_21: Flow, to_t1: Reversed, to_t2: Reversed
    ) -> Refined:
        start = self.trust(frame_1, frame_2, flow_12, flow_21, to_t1, to_t2)
        refined = self.refined(frame_1, frame_2, flow_12, flow_21, start.flow_t1, start.flow_t2)
        return refined._replace(features=torch.cat((start.features, refined.features.to(start.features)), dim=1))


class RaisedMask(MaskNet):
    """Step 6 with the visibility mask's logit added to the network's."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__(width)
        self.visibility = VisibilityMask()
        set_zero(self.head)

    def forward(self, warped_1: Image, warped_2: Image, features: Float[Tensor, "b f h w"]) -> Weight:
        visible = self.visibility(warped_1, warped_2, features[:, :2])
        return raise_mask(visible, self.logit(warped_1, warped_2, features[:, 2:]))


class HeldResidual(ContextualResidual):
    """Step 7 whose context and gradients are held beyond the rim."""

    outside: Outside = "border"

    def __init__(self, width: float = 1.0, context_channels: int = 64) -> None:
        super().__init__(width, context_channels)
        set_zero(self.unet.head)


def set_zero(*layers: nn.Module) -> None:
    """Set all weights of these layers to zero."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
