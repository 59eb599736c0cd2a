"""What a run of `eqvi.cli.interpolate` is told."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Settings:
    """What a run does; every field is an option of the command of the same name.

    Attributes:
        factor: frames put out for every input frame; 1 only copies or assembles.
        fps: frames a second to put out instead, as text (``60``, ``29.97``, ``30000/1001``).
        drop_inputs: put out new frames only.
        size, crop: ``WxH`` to resize inputs to, then ``WxH[+X+Y]`` of them to use.
        naming: ``generic`` (001.png, 001_0.png, 002.png) or ``reds`` (positions at 120 frames a second).
        scene_cuts: look for scene cuts and do not interpolate across them.
        input_fps: rate of a folder of frames, as text; 30 if it matters and is not given.
        rounding: ``round``, or ``truncate`` as the published writer does.
        format: ``png``, ``jpg`` or ``webp`` for a folder; None = as the input.
        limit: use the first so many input frames only.
        overwrite: replace what is there.
        lossless, crf, encoder_threads, audio: see `eqvi.media.video_writer`.
    """

    factor: int = 2
    fps: str | None = None
    drop_inputs: bool = False
    size: str | None = None
    crop: str | None = None
    naming: Literal["generic", "reds"] = "generic"
    scene_cuts: bool = True
    input_fps: str | None = None
    rounding: Literal["round", "truncate"] = "round"
    format: Literal["png", "jpg", "webp"] | None = None
    limit: int | None = None
    overwrite: bool = False
    lossless: bool = False
    crf: int | None = None
    encoder_threads: int = 1
    audio: bool = True
