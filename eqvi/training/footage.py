"""Windows of real footage: clips of frames on disk, by default sampled as published (`eqvi.training.recipe`)."""

import random
import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import av
import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.datasets.checksums import fingerprint
from eqvi.datasets.reds import CLIP_COUNTS, SPACING, check_root, clip_names, infer_rate, rate_folder
from eqvi.errors import InputError
from eqvi.media.companion import CONTAINERS
from eqvi.media.image import Image, crop_image, to_tensor
from eqvi.media.image_files import FORMATS, Header, list_frames, read_headers, read_image
from eqvi.training.augment import Augmentation, augment
from eqvi.training.samples import FrameSample

_VIDEOS = (*CONTAINERS, ".avi", ".flv", ".mpeg", ".mpg", ".mts", ".ts", ".wmv", ".y4m")
_RATE = 60  # frames a second of REDS_VTSR's complete clips


class _Clip(NamedTuple):
    """One clip: the files of its frames in order, and the header of the first."""

    folder: Path
    names: list[str]
    first: Header


class FootageWindows:
    """Windows of clips that are stored as frames; a `SampleSource`.

    A window spans 3 * `spacing` + 1 consecutive frames: I0 I1 I2 I3 are `spacing` apart, and the truth is one of the
    frames between I1 and I2: t = k / `spacing` for a random k of 1 .. `spacing` - 1. An epoch visits every window once,
    in an order drawn from (seed, epoch); frame, crop and augmentation are drawn from (seed, number).

    The constructor lists every clip's folder and reads the headers of its first and last frame; all 43 440 headers of
    REDS_VTSR would take many minutes on a slow disk. The size of the others is checked when they are read; their colour
    and depth may differ, every image becomes RGB in [0, 1].
    """

    def __init__(
        self,
        root: Path,
        *,
        crop: int = 512,
        spacing: int = 4,
        start_every: int = 4,
        augment: Augmentation = "published",
        seed: int = 0,
        clips: Sequence[str] | None = None,
        split: Literal["train", "val"] = "train",
    ) -> None:
        """Find the clips and check them.

        Args:
            root: a folder that contains REDS_VTSR's ``train/train_60fps`` or ``val/val_60fps``; or clips, each a folder
                of images; or the images of a single clip.
            crop: height and width of a window in pixels.
            spacing: frames from one input to the next; 4 takes 15 frames a second out of 60.
            start_every: frames from the start of one window to the next.
            augment: see `eqvi.training.augment.augment`.
            seed: of everything that is drawn.
            clips: names of the clips to use; all if None.
            split: of REDS_VTSR; without effect on other folders.

        Raises:
            InputError: there are no clips at `root`, or a named one is missing; a clip is shorter than a window,
                smaller than `crop`, unevenly numbered or of several image formats; a video lies among them; a number is
                out of range.
        """
        for name, value, least in (("crop", crop, 1), ("spacing", spacing, 2), ("start_every", start_every, 1)):
            if value < least:
                raise InputError(f"{name} {value} is too small: give {least} or more")
        if augment not in get_args(Augmentation):
            raise InputError(f"augment {augment!r} is not known: choose one of {', '.join(get_args(Augmentation))}")
        self._root, self._crop, self._spacing, self._start_every = root, crop, spacing, start_every
        self._augment, self._seed = augment, seed
        self._clips = [_open_clip(folder) for folder in _folders(root, split, clips)]
        for clip in self._clips:
            self._check(clip)
        counts = (len(range(0, len(clip.names) - 3 * spacing, start_every)) for clip in self._clips)
        self._ends = list(accumulate(counts))  # the windows of clip i are those before _ends[i]
        self.epoch = self._ends[-1]

    def sample(self, number: int) -> FrameSample:
        """The window of that number, (`crop`, `crop`) in size; five frames are read for it.

        Raises:
            InputError: one of them is missing, damaged, or of another size than the clip.
        """
        epoch, place = divmod(number, self.epoch)
        index = _order(self._seed, epoch, self.epoch)[place]
        clip_index = bisect_right(self._ends, index)
        clip, first = self._clips[clip_index], self._ends[clip_index - 1] if clip_index else 0
        start = (index - first) * self._start_every

        rng = random.Random(f"window {self._seed} {number}")
        width, height = clip.first.size
        k = rng.randrange(1, self._spacing)
        corner = rng.randrange(width - self._crop + 1), rng.randrange(height - self._crop + 1)
        frames = [self._read(clip, start + position * self._spacing, corner) for position in range(4)]
        truth = self._read(clip, start + self._spacing + k, corner)
        return augment(FrameSample(torch.stack(frames), truth, k / self._spacing), rng, self._augment)

    def record(self) -> dict[str, Any]:
        """What the windows are made of; ``frames_sha256`` is of the frames' names and sizes in bytes."""
        files = [(clip.folder.name, clip.folder / name) for clip in self._clips for name in clip.names]
        listing = ((f"{name}/{path.name}", str(path.stat().st_size)) for name, path in files)
        return {
            "source": "footage",
            "root": str(self._root),
            "folder": str(self._clips[0].folder.parent),
            "clips": [clip.folder.name for clip in self._clips],
            "frames": len(files),
            "frames_sha256": fingerprint(listing),
            "windows": self.epoch,
            "crop": self._crop,
            "spacing": self._spacing,
            "start_every": self._start_every,
            "augment": self._augment,
            "seed": self._seed,
        }

    def _check(self, clip: _Clip) -> None:
        needed = 3 * self._spacing + 1
        if len(clip.names) < needed:
            raise InputError(
                f"{clip.folder}: holds {len(clip.names)} frame(s), but a window of spacing {self._spacing} needs "
                f"{needed}: leave the clip out or lower the spacing"
            )
        width, height = clip.first.size
        if self._crop > min(width, height):
            raise InputError(
                f"{clip.folder}: frames are {width}x{height}, smaller than the crop of {self._crop}x{self._crop}: "
                f"give a crop of {min(width, height)} or less"
            )

    def _read(self, clip: _Clip, index: int, corner: tuple[int, int]) -> Float[Tensor, "3 h w"]:
        path = clip.folder / clip.names[index]
        header = clip.first
        is_rgb_png = (header.format, header.channels, header.depth, header.orientation) == ("PNG", 3, 8, 1)
        image = (_decode_png(path) if is_rgb_png else None) or read_image(path)
        if image.size != header.size:
            size, expected = ("x".join(map(str, pair)) for pair in (image.size, header.size))
            raise InputError(
                f"frames differ in size: {clip.names[0]} is {expected}, {path.name} is {size} (in {clip.folder}); "
                f"all frames of a clip must be alike"
            )
        return to_tensor(crop_image(image, (self._crop, self._crop, *corner)))[0]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    """The order in which an epoch visits the windows."""
    order = list(range(count))
    random.Random(f"epoch {seed} {epoch}").shuffle(order)
    return order


def _decode_png(path: Path) -> Image | None:
    """An 8-bit RGB PNG decoded by FFmpeg, which checks its checksums; None if it is anything else or damaged.

    Decoding five frames is nearly all the cost of a window. A 720p frame takes 12 ms, with `read_image` 26.
    """
    try:
        decoder = av.CodecContext.create("png", "r")
        decoder.thread_count = 1
        decoder.options = {"err_detect": "crccheck+explode"}
        frames = decoder.decode(av.Packet(path.read_bytes()))
    except (OSError, ValueError, av.FFmpegError):
        return None
    return Image(frames[0].to_ndarray()) if frames and frames[0].format.name == "rgb24" else None


def _folders(root: Path, split: str, wanted: Sequence[str] | None) -> list[Path]:
    """The folders of the clips to use, by name."""
    if root.is_file():
        if root.suffix.lower() in FORMATS:
            raise InputError(f"{root}: is a single picture: give the folder that holds the frames")
        raise InputError(_extract(root))
    if any(rate_folder(root, part, rate).is_dir() for part in CLIP_COUNTS for rate in SPACING):
        clips = rate_folder(root, split, _RATE)
        check_root(root, clips.relative_to(root).as_posix())
        folders = [clips / name for name in clip_names(clips)]
    else:
        folders = _clip_folders(root)
    if wanted is None:
        return folders
    missing = sorted(set(wanted) - {folder.name for folder in folders})
    if missing or not wanted:
        problem = f"there is no clip {missing[0]}" if missing else "no clips are asked for"
        names = ", ".join(folder.name for folder in folders[:3]) + ", ..." * (len(folders) > 3)
        raise InputError(f"{root}: {problem}: choose among the {len(folders)} there ({names})")
    return [folder for folder in folders if folder.name in wanted]


def _clip_folders(root: Path) -> list[Path]:
    try:
        entries = sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
    except FileNotFoundError:
        raise InputError(
            f"{root}: there is no such folder: give one that holds clips, each a folder of frames"
        ) from None
    except OSError as error:
        raise InputError(f"{root}: cannot be read: {error.strerror}") from None
    folders = [entry for entry in entries if entry.is_dir()]
    if any(entry.suffix.lower() in FORMATS for entry in entries if entry.is_file()):
        if folders:
            raise InputError(f"{root}: holds both pictures and folders ({folders[0].name}): give the clips alone")
        return [root.resolve()]  # "." has no name
    video = next((entry for entry in entries if _is_video(entry)), None)
    if video is not None:
        raise InputError(_extract(video))
    if not folders:
        raise InputError(f"{root}: holds no clips: give a folder that holds clips, each a folder of frames")
    return folders


def _open_clip(folder: Path) -> _Clip:
    # A glob skips a folder that cannot be read; the listing below reports it.
    video = next((entry for entry in sorted(folder.glob("*")) if _is_video(entry)), None)
    if video is not None:
        raise InputError(_extract(video))
    paths, _ = list_frames(folder)
    _check_numbers(folder, paths)
    return _Clip(folder, [path.name for path in paths], read_headers([paths[0], paths[-1]])[0])


def _check_numbers(folder: Path, paths: Sequence[Path]) -> None:
    """Refuse clips in which, by the numbers in their names, a frame is missing or there twice."""
    matches = [match for path in paths if (match := re.fullmatch(r"(.*?)([0-9]+)", path.stem))]
    numbers = [int(match[2]) for match in matches]
    if len(numbers) < len(paths) or len({match[1] for match in matches}) > 1:
        return
    steps = [b - a for a, b in pairwise(numbers)]
    usual = min(filter(None, steps), default=1)
    odd = next((index for index, step in enumerate(steps) if step != usual), None)
    if odd is not None:
        raise InputError(
            f"{folder}: {paths[odd].name} is followed by {paths[odd + 1].name}: frames are missing or there twice; "
            f"put the missing ones back, or split the clip there"
        )
    # A folder of REDS_VTSR has the rate in its name, and so have its frames.
    inferred = infer_rate(numbers)
    if folder.parent.name in {f"{split}_{_RATE}fps" for split in CLIP_COUNTS} and inferred not in (None, _RATE):
        raise InputError(f"{folder}: holds frames at {inferred} a second, by their names; {_RATE} are meant here")


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in _VIDEOS and not path.name.startswith(".") and path.is_file()


def _extract(video: Path) -> str:
    frames = f"clips/{video.stem}"
    return (
        f"{video}: is no folder of frames; extract a video's first, and give the folder clips: "
        f"mkdir -p '{frames}' && ffmpeg -i '{video}' -fps_mode passthrough '{frames}/%08d.png'"
    )
