"""HDR10 mastering data of a video: how bright its display and its brightest pictures are, for x264."""

from typing import Any

from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from eqvi.media.container import side_data


def hdr10_parameters(frame: VideoFrame) -> str:
    """The mastering display (SMPTE ST 2086) and content light levels of a frame as x264's parameters; empty if none."""
    parameters = []
    # FFmpeg's AVMasteringDisplayMetadata: red, green, blue, white point as x and y, least and greatest luminance, all
    # of them fractions, and whether the colours and the luminance are known.
    display = side_data(frame, Type.MASTERING_DISPLAY_METADATA)
    if display is not None and display[20] and display[21]:
        numerators, denominators = display[:20:2].astype(float), display[1:20:2].astype(float)
        values = numerators / denominators
        red, green, blue, white = (_point(values[index : index + 2]) for index in (0, 2, 4, 6))
        luminance = f"({round(values[9] * 10000)},{round(values[8] * 10000)})"
        parameters.append(f"mastering-display=G{green}B{blue}R{red}WP{white}L{luminance}")
    light = side_data(frame, Type.CONTENT_LIGHT_LEVEL)
    if light is not None:
        parameters.append(f"cll={light[0]},{light[1]}")
    return ":".join(parameters)


def _point(xy: Any) -> str:
    """A point of the chromaticity diagram in units of 1/50000."""
    return f"({round(xy[0] * 50000)},{round(xy[1] * 50000)})"
