"""Images, videos and clips, and the interpolation of a clip.

- Reading: `image_files`, `animation` and `video_reader`, joined by `clip`; `image` is an image in memory, `storage` the
  one form of frames that are stored in several, `png` what Pillow leaves out.
- Videos: `container` has their streams, `timestamps` repairs times, `colour` and `hdr` say what their values mean.
- Writing: `image_files` and `video_writer`, joined by `output`; `companion` copies sound, titles and chapters; `h264`
  compresses frames for training.
- Timing: `schedule` has the times of the output frames, `frame_names` their names, `repeats` leaves out doubled frames.
- Interpolation: `window` slides over the frames up to a cut (`scene_cuts`); `convert` goes from a clip to an output.
"""
