"""What a camera's encoder does to a short clip: H.264 and back.

A sensor's noise is new in every frame; an encoder freezes what stands still, noise included, blurs colour, and spends
bits unequally from frame to frame. Training frames that have been through it are more like footage.
"""

import io

import av
import numpy as np
from numpy.typing import NDArray

from eqvi.media.colour import SCALING

# x264's assembly gave one of two results for equal frames on a machine of ours, as long as macroblocks are weighed by
# what later frames take from them (mbtree). Its plain C does not.
_OPTIONS = {"preset": "veryfast", "x264-params": "asm=0"}


def through_h264(frames: NDArray[np.uint8], crf: int) -> NDArray[np.uint8]:
    """The frames as a decoder gives them back, in 4:2:0; the same bytes for the same FFmpeg.

    Args:
        frames: (N, H, W, 3), RGB, in the order of their times; even sides.
        crf: the encoder's quality, 0 (best) to 51.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options=_OPTIONS | {"crf": str(crf)})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p", interpolation=SCALING, threads=1)))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as decoder:
        decoder.streams.video[0].thread_type = "NONE"
        back = [frame.to_ndarray(format="rgb24", interpolation=SCALING, threads=1) for frame in decoder.decode(video=0)]
        return np.stack(back).astype(np.uint8, copy=False)
