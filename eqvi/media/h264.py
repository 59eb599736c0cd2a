"""H.264 compression of a short clip, so that training frames resemble footage from a camera.

The noise of a sensor is new in every frame. An encoder freezes whatever stands still, noise included, blurs colour, and
spends its bits unequally on the frames.
"""

import io

import av
import numpy as np
from numpy.typing import NDArray

from eqvi.media.colour import SCALING

# With macroblock trees (mbtree), x264's assembly code gave one of two results for equal frames on one of our machines;
# its C code always gives the same.
_OPTIONS = {"preset": "veryfast", "x264-params": "asm=0"}


def through_h264(frames: NDArray[np.uint8], crf: int) -> NDArray[np.uint8]:
    """The frames encoded in 4:2:0 and decoded again; the same bytes for the same version of FFmpeg.

    Args:
        frames: (N, H, W, 3), RGB, in the order of their times; H and W even.
        crf: the encoder's quality, 0 (best) to 51.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options=_OPTIONS | {"crf": str(crf)})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        for rgb in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", interpolation=SCALING, threads=1)))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as container:
        container.streams.video[0].thread_type = "NONE"
        decoded = container.decode(video=0)
        return np.stack([frame.to_ndarray(format="rgb24", interpolation=SCALING, threads=1) for frame in decoded])
