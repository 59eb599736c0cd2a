"""What a camera's encoder does to a short clip: H.264 and back.

A sensor's noise is new in every frame; an encoder freezes what stands still, noise included, blurs colour, and spends
bits unequally from frame to frame. Training frames that have been through it are more like footage.
"""

import io

import av
import numpy as np
from numpy.typing import NDArray


def through_h264(frames: NDArray[np.uint8], crf: int) -> NDArray[np.uint8]:
    """The frames as a decoder gives them back, in 4:2:0; the same bytes for the same FFmpeg.

    Args:
        frames: (N, H, W, 3), RGB, in the order of their times; even sides.
        crf: the encoder's quality, 0 (best) to 51.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as decoder:
        decoder.streams.video[0].thread_type = "NONE"
        return np.stack([np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in decoder.decode(video=0)])
