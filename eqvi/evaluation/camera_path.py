"""The path of a clip's camera as numbers: where the scene has moved to, frame by frame.

The displacement between neighbours is the median over the frame of the flow that DIS finds between them at half
resolution, x and y on their own; the path is their sum, in pixels of the whole frame. It is the motion of most of the
picture: of the camera where that moves, of nothing where hands or people move before a camera that stands still.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from eqvi.datasets.checksums import fingerprint
from eqvi.errors import InputError
from eqvi.evaluation.journal import write_rows
from eqvi.files import sha256
from eqvi.media.clip import Clip, open_clip
from eqvi.media.image import to_tensor
from eqvi.media.image_files import list_frames
from eqvi.model.classical_flow import DIS
from eqvi.provenance import surroundings

_PACKAGES = ("torch", "numpy", "opencv-python-headless", "av", "pillow")


class Row(NamedTuple):
    """One position.

    Attributes:
        clip: the clip's name.
        frame: the number of the frame in the clip.
        x, y: in pixels, from the first frame; right and down.
    """

    clip: str
    frame: int
    x: float
    y: float


def median_flow(flow: Float[Tensor, "1 2 h w"]) -> tuple[float, float]:
    """The median of a flow, of x and of y."""
    x, y = flow[0].flatten(1).median(dim=1).values.tolist()
    return x, y


def positions(clip: Clip) -> Iterator[tuple[float, float]]:
    """The position at every frame of a clip, (0, 0) at the first."""
    flow, before = DIS(), None
    x = y = 0.0
    for frame in clip.read():
        now = flow.features(F.avg_pool2d(to_tensor(frame.image), 2))
        if before is not None:
            dx, dy = median_flow(flow.between(before, now))
            x, y = x + 2 * dx, y + 2 * dy
        before = now
        yield x, y


def write(paths: list[Path], out: Path) -> None:
    """Write the camera paths of clips into a CSV file of `Row`, and a JSON file that says what made them.

    Raises:
        InputError: a clip cannot be read, two have one name, or the file cannot be written.
    """
    clips = {path.resolve().stem: open_clip(path) for path in paths}
    if len(clips) < len(paths):
        raise InputError("two clips have one name: rename one, so that the rows can tell them apart")
    rows = [
        Row(name, number, round(x, 3), round(y, 3))
        for name, clip in tqdm(sorted(clips.items()), unit="clip", disable=None)
        for number, (x, y) in enumerate(positions(clip))
    ]
    files = [file for path in paths for file in ([path] if path.is_file() else list_frames(path)[0])]
    record = {
        "run": out.stem,
        "model": "median of DIS flow between neighbouring frames, summed",
        "dataset": "real clips",
        "clips": {name: {"size": list(clip.size), "rate": float(clip.rate)} for name, clip in sorted(clips.items())},
        "data_sha256": fingerprint([(file.name, sha256(file)) for file in files]),
        **surroundings("cpu", _PACKAGES),
    }
    write_rows(out, Row._fields, rows, record)
