"""Training losses of a new frame: a weighted sum of named terms.

Each term is a pure function of two frames (B, 3, H, W), RGB in [0, 1], and a mean over everything, so that it does not
depend on the size of batch or crop. All compute in float32 under any autocast: differences of nearly equal frames need
every digit. Source: the published training, `eqvi.training.recipe`; Wang, Simoncelli and Bovik 2003 for MS-SSIM.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.errors import InputError

Frame = Float[Tensor, "b 3 h w"]
Scalar = Float[Tensor, ""]

#: The published loss, by term.
PUBLISHED = {"laplacian": 5.0, "l1": 10.0}

_LEVELS = 5  # of the Laplacian pyramid, to which the remainder is added
SIGMA = 2.0  # pixels, of the Gaussians in its kernel

# MS-SSIM: exponents of the scales, fine to coarse (Wang et al. 2003), window, constants.
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _WINDOW_SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
# A mean may be negative, where powers are undefined; 0 instead would remove the gradient of all other scales.
_FLOOR = 1e-6


def _in_float32(term: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`term` of two frames, computed in float32 outside any autocast."""

    @functools.wraps(term)
    def exact(frame: Tensor, truth: Tensor, *options: float, **named: float) -> Tensor:
        with torch.autocast(frame.device.type, enabled=False):
            return term(frame.float(), truth.float(), *options, **named)

    return exact


@_in_float32
def laplacian(frame: Frame, truth: Frame) -> Scalar:
    """Laplacian-pyramid L1: sum over the levels of mean |L_k(frame) - L_k(truth)|.

    L_k = x_k - blur(x_k) for k = 0 .. 4 with x_0 the frame and x_{k+1} = pool(blur(x_k)), where pool averages 2x2
    pixels; the last level is the remainder x_5. The blur is 5x5, its border replicated.

    The kernel is the published one (`eqvi.training.recipe`) and no Gaussian: it *adds* the two axes where a Gaussian
    multiplies them, k[y, x] ~ g(y) + g(x). It is flatter: a corner weighs 0.37 of the centre instead of 0.14.

    Raises:
        InputError: frames too small for the pyramid.
    """
    check_size(frame, 2**_LEVELS, "laplacian")
    # The pyramid is linear: the pyramid of the difference is the difference of the pyramids.
    x = frame - truth
    kernel = _sum_kernel(x)
    total = x.new_zeros(())
    for _ in range(_LEVELS):
        blurred = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), kernel, groups=3)
        total = total + (x - blurred).abs().mean()
        x = F.avg_pool2d(blurred, 2)
    return total + x.abs().mean()


@_in_float32
def l1(frame: Frame, truth: Frame) -> Scalar:
    """Mean |frame - truth|."""
    return (frame - truth).abs().mean()


@_in_float32
def charbonnier(frame: Frame, truth: Frame, epsilon: float = 1e-3) -> Scalar:
    """Mean sqrt((frame - truth)^2 + epsilon^2): L1, smooth at 0; `epsilon` for equal frames."""
    return ((frame - truth).square() + epsilon**2).sqrt().mean()


@_in_float32
def ms_ssim(frame: Frame, truth: Frame) -> Scalar:
    """1 - MS-SSIM, in [0, 1] and 0 for equal frames: a perceptual term without downloaded weights.

    An alternative to the published VGG-16 distance (`eqvi.training.vgg`), not a reproduction of it. MS-SSIM =
    l_M^(w_M) prod_k cs_k^(w_k) over scales k = 1 .. M, each half the size of the one before by averaging 2x2 pixels:
    cs_k is the mean of contrast times structure, l_M that of luminance times both at the coarsest scale, in Gaussian
    windows of 11x11 (sigma 1.5) inside the frame; computed for each image and channel, then averaged. M = 5 from 176
    pixels on; a smaller frame has fewer scales, whose exponents are scaled to the same sum. Negative means count as
    1e-6. Source: Wang et al., Asilomar 2003.

    Raises:
        InputError: frames smaller than the window.
    """
    side = check_size(frame, _WINDOW, "ms_ssim")
    scales = min(len(_EXPONENTS), int(math.log2(side / _WINDOW)) + 1)
    whole = sum(_EXPONENTS) / sum(_EXPONENTS[:scales])
    u = torch.arange(_WINDOW, device=frame.device) - _WINDOW // 2
    window = torch.exp(-u.square() / (2 * _WINDOW_SIGMA**2))
    window = window / window.sum()
    product = frame.new_ones(frame.shape[:2])
    a, b = frame, truth
    for scale, exponent in enumerate(_EXPONENTS[:scales], start=1):
        if scale > 1:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        luminance, contrast_structure = _similarity(a, b, window)
        factor = luminance * contrast_structure if scale == scales else contrast_structure
        product = product * factor.mean((-2, -1)).clamp(min=_FLOOR) ** (whole * exponent)
    return 1 - product.mean()


#: Every term but ``vgg``, which has weights, by name.
TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "laplacian": laplacian,
    "l1": l1,
    "charbonnier": charbonnier,
    "ms_ssim": ms_ssim,
}


class Loss(nn.Module):
    """A weighted sum of named terms.

    Args:
        terms: weight by name: ``laplacian``, ``l1``, ``charbonnier``, ``ms_ssim`` or ``vgg``; see `PUBLISHED`.
        vgg: the distance behind ``vgg`` (`eqvi.training.vgg.open_vgg`).

    Raises:
        InputError: no term, an unknown one, a weight that is not a positive number, or ``vgg`` without its network.
    """

    def __init__(self, terms: Mapping[str, float], vgg: nn.Module | None = None) -> None:
        super().__init__()
        check_terms(terms)
        if "vgg" in terms and vgg is None:
            raise InputError("loss term 'vgg' needs its network: give Loss(terms, vgg=open_vgg()), or take 'ms_ssim'")
        self.weights = dict(terms)
        self.vgg = vgg if "vgg" in terms else None

    def forward(self, frame: Frame, truth: Frame) -> dict[str, Scalar]:
        """Every term by name, unweighted, and their weighted sum as ``total``.

        Raises:
            InputError: frames too small for a term.
        """
        terms = TERMS if self.vgg is None else TERMS | {"vgg": self.vgg}
        values = {name: terms[name](frame, truth) for name in self.weights}
        weighted = [weight * values[name] for name, weight in self.weights.items()]
        return values | {"total": torch.stack(weighted).sum()}


def check_terms(terms: Mapping[str, float], others: Sequence[str] = ()) -> None:
    """Raise InputError for no term, one that is neither of `Loss` nor of `others`, or a weight that is not positive."""
    known = (*others, *TERMS, "vgg")
    if not terms:
        raise InputError(f"the loss has no term: name at least one of {', '.join(known)}")
    for name, weight in terms.items():
        if name not in known:
            raise InputError(f"loss term {name!r} is not known: choose from {', '.join(known)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise InputError(f"weight {weight!r} of loss term {name!r} must be a positive number")


def check_size(frame: Tensor, smallest: int, term: str) -> int:
    """The shorter side; InputError if it is below `smallest`."""
    height, width = frame.shape[-2:]
    if min(height, width) < smallest:
        raise InputError(
            f"loss term {term!r} needs frames of at least {smallest}x{smallest}, these are {width}x{height}"
        )
    return min(height, width)


def _sum_kernel(like: Tensor) -> Tensor:
    """The blur of `laplacian`, (3, 1, 5, 5)."""
    u = torch.arange(-2, 3, device=like.device, dtype=like.dtype)
    g = torch.exp(-u.square() / (2 * SIGMA**2)) ** 2
    kernel = g[:, None] + g
    return (kernel / kernel.sum()).expand(3, 1, 5, 5)


def _similarity(a: Tensor, b: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, of every window inside the frame."""
    moments = torch.cat((a, b, a * a, b * b, a * b), dim=1)
    channels = moments.shape[1]
    for kernel in (window.view(1, 1, -1, 1), window.view(1, 1, 1, -1)):
        moments = F.conv2d(moments, kernel.expand(channels, -1, -1, -1), groups=channels)
    mean_a, mean_b, square_a, square_b, product = moments.chunk(5, dim=1)
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a.square() + mean_b.square() + _C1)
    spread = square_a - mean_a.square() + square_b - mean_b.square()
    return luminance, (2 * (product - mean_a * mean_b) + _C2) / (spread + _C2)
