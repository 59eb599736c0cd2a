"""A budget of memory for the interpolation of a clip: how large the tiles of a new frame may be."""

import re

import torch

from eqvi.devices import free_memory, held_memory, release_memory, used_memory
from eqvi.errors import InputError
from eqvi.media.side_by_side import at_most
from eqvi.model.config import EQVIConfig
from eqvi.model.tiles import KEPT, Box, cores, smallest_pixels
from eqvi.model.transformed_convolution import WORKSPACE

#: Share of the free memory that is used when nobody says how much.
SHARE = 0.8
#: Frames that are read ahead, and written behind (`eqvi.media.pipeline`).
DEPTH = 3
#: What readers and writers of a video take.
DECODER = 15 * 10**7
_UNITS = {"MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}


def parse_memory(text: str) -> int:
    """Bytes from ``4GB``, ``1.5GB``, ``800MB`` or ``2GiB``.

    Raises:
        InputError: it is written otherwise.
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?) ?(MB|GB|MiB|GiB)", text, re.ASCII | re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise InputError(f"--memory {text}: give a size such as 4GB or 800MB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def bytes_per_pixel(config: EQVIConfig) -> int:
    """Memory that steps 4 to 7, or matching, take for a pixel of a tile, in float32; measured, and rounded up."""
    inputs = 2 * config.context_channels + 12 if config.residual else 0
    learned = 50 if config.refine else 350 if config.finishing else 300 if config.matching else 0
    return 200 + learned + 14 * inputs


def bytes_around(config: EQVIConfig) -> int:
    """Memory that a clip takes for a pixel of its frames besides that: frames, flows between them, and the new frame.

    A frame is there as it was read and as the flow estimator's features, the two of the gap as numbers of their own;
    neighbours have two flows, and four of them combined ones as well. Two of the motion model reach further. Then
    there are two reversed flows with weights, and what is kept of the new frame. A sixth is added for what the C
    library keeps between them.
    """
    frames = max(4, config.trajectory)
    features = 32 if config.flow == "scopeflow" else 1
    waiting = 3 * 2 * DEPTH  # read ahead and written behind
    flows = 8 * (2 * frames + 4 * config.two_way) + 2 * 12
    return (frames * (3 + features) + 2 * 12 + flows + 4 * sum(KEPT.values()) + waiting) * 7 // 6


class MemoryBudget:
    """The tiles of a new frame, as large as a budget allows; to be called with a frame's height and width.

    Args:
        config: of the model.
        device: where it computes; what the process holds there now is taken to stay.
        limit: bytes that the process may hold there in all; None for a share of what is free.
    """

    def __init__(self, config: EQVIConfig, device: str, limit: int | None = None) -> None:
        release_memory()  # what is free in this process is no part of what it holds
        self._config, self._device, self._base = config, device, used_memory(device) + DECODER
        free = free_memory(device)
        #: None where nothing is known of the device's memory: then frames are computed whole.
        self.limit = limit if limit or free is None else self._base + int(SHARE * free)
        self._grids: dict[tuple[int, int], list[Box]] = {}

    def __call__(self, height: int, width: int) -> list[Box]:
        """The cores of a frame's tiles; the whole frame where it fits.

        Raises:
            InputError: the budget is too small for a tile, or with matching for a frame.
        """
        if (height, width) not in self._grids:
            self._grids[height, width] = self._grid(height, width)
        return self._grids[height, width]

    def has_room(self, height: int, width: int) -> bool:
        """Whether a frame's computation, with its inputs twice, fits beside all that the device holds by now."""
        needed = (bytes_per_pixel(self._config) + 2 * bytes_around(self._config)) * height * width
        return self.limit is None or held_memory(self._device) + needed <= self.limit

    def at_once(self, height: int, width: int) -> int:
        """How many frames are made side by side: small whole ones on a CPU, as memory allows."""
        config = self._config
        if self._device != "cpu" or len(self(height, width)) > 1:
            return 1
        count = at_most(height * width, torch.get_num_threads())
        if self.limit is None:
            return count
        around = bytes_around(config) * height * width
        each = around + bytes_per_pixel(config) * height * width  # a window's flows and frames are its own
        return max(1, min(count, (self.limit - self._base - around) // each))

    def _grid(self, height: int, width: int) -> list[Box]:
        cost = bytes_per_pixel(self._config)
        # of the main thread, and of all others together
        transformed = 2 * WORKSPACE if self._config.refine and self._device == "cpu" else 0
        around = self._base + transformed + bytes_around(self._config) * height * width
        if self.limit is None or around + cost * height * width <= self.limit:
            return [Box(0, 0, height, width)]
        whole = self._config.matching  # its steps are others than those that `tiles` knows
        boxes = [] if whole else cores(height, width, (self.limit - around) // cost)
        if not boxes:
            least = (around + cost * (height * width if whole else smallest_pixels(height, width))) / 10**9
            raise InputError(
                f"frames of {width}x{height} need {least:.1f} GB of memory with this model, and "
                f"{self.limit / 10**9:.1f} GB are allowed: give --memory {least + 0.05:.1f}GB, or a smaller --size"
            )
        return boxes
