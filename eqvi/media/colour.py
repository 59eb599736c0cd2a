"""Colour in video: tags, and the conversion between a decoded frame and RGB pixels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from eqvi.errors import InputError
from eqvi.media.image import Image, Pixels

# PyAV's default flags take a fast path that darkens: cups_720p to RGB and back loses 0.8 grey levels of luma on average
# (mean squared error 1.03), with these flags 0.01 (0.014). Bicubic, because bilinear gives wrong 16-bit RGB. BITEXACT
# gives the same result on every processor.
SCALING = int(
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)
# Matrix numbers of ITU-T H.273, as FFmpeg uses them for tags, and swscale's name for each.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
# Matrices that swscale does not convert, by their numbers.
_UNKNOWN_MATRICES = {
    8: "YCgCo",
    10: "BT.2020 constant luminance",
    11: "SMPTE ST 2085",
    12: "chromaticity-derived",
    13: "chromaticity-derived constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
# Pixel formats that store RGB: these have no matrix and are always full range.
_RGB = ("rgb24", "bgr0", "gbrp", "gbrp16le")


class Colour(NamedTuple):
    """Colour tags as in ITU-T H.273: 1 = BT.709, 2 = unspecified; range: 0 = unspecified, 1 = limited, 2 = full."""

    matrix: int = 1
    range: int = 1
    primaries: int = 1
    transfer: int = 1

    def check(self, path: Path) -> None:
        """Refuse what cannot be converted to RGB.

        Raises:
            InputError: the matrix of the video `path` is one of them.
        """
        if name := _UNKNOWN_MATRICES.get(self.matrix):
            raise InputError(
                f"{path}: its colours are stored as {name}, which is not supported: convert it to BT.709 first"
            )

    def stored_as(self, pixel_format: str, size: tuple[int, int]) -> "Colour":
        """The tags of frames of (width, height) written in `pixel_format`.

        RGB is full range, everything else is written as limited, and a source in RGB with the matrix that `to_frame`
        takes for frames of that size.
        """
        if pixel_format in _RGB:
            return self._replace(matrix=0, range=2)
        return self._replace(matrix=_guess(*size) if self.matrix == 0 else self.matrix, range=1)


#: The tags of HD video, limited range.
BT709 = Colour()


def to_pixels(frame: VideoFrame, colour: Colour, deep: bool) -> Pixels:
    """RGB (H, W, 3) of a decoded frame, uint16 where `deep`, else uint8."""
    return frame.to_ndarray(
        format="rgb48le" if deep else "rgb24",
        src_colorspace=_matrix(colour, frame.width, frame.height),
        src_color_range=ColorRange.JPEG if colour.range == 2 else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=SCALING,
        threads=1,
    )


def to_frame(image: Image, colour: Colour, pixel_format: str) -> VideoFrame:
    """A frame to encode, in `pixel_format`; grey is repeated in three channels, alpha left out."""
    pixels = np.ascontiguousarray(np.broadcast_to(image.colour, (*image.pixels.shape[:2], 3)))
    frame = VideoFrame.from_ndarray(pixels, format="rgb24" if pixels.dtype == np.uint8 else "rgb48le")
    return frame.reformat(
        format=pixel_format,
        dst_colorspace=_matrix(colour, *image.size),
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG if pixel_format in _RGB else ColorRange.MPEG,
        interpolation=SCALING,
        threads=1,
    )


def _matrix(colour: Colour, width: int, height: int) -> Colorspace:
    """The matrix between YUV and RGB; what has none or does not say it is taken as players do."""
    return _MATRICES[colour.matrix if colour.matrix in _MATRICES else _guess(width, height)]


def _guess(width: int, height: int) -> int:
    """The number of the matrix of untagged video: BT.709 if HD and BT.601 below, as players take it."""
    return 1 if width >= 1280 or height > 576 else 6
