"""Images, videos and clips, and the interpolation of a clip.

- Reading: `image_files` and `video_reader`, joined by `clip`; `image` is an image in memory, `colour` that of videos.
- Writing: `image_files` and `video_writer`, joined by `output`; `h264` compresses frames for training.
- Timing: `schedule` has the times of the output frames, `frame_names` their names.
- Interpolation: `window` slides over the frames up to a cut (`scene_cuts`); `convert` goes from a clip to an output.
"""
