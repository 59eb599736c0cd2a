"""The worst frames of a run, found and made again."""

from pathlib import Path

import faked
import numpy as np
import pytest
from PIL import Image

from eqvi.datasets.cases import Case, open_held_out
from eqvi.errors import InputError
from eqvi.evaluation import measure
from eqvi.evaluation.methods import open_method
from eqvi.evaluation.worst_frames import worst_frames, worst_pictures
from eqvi.reports.runs import Run, read_run
from eqvi.viz import figure


@pytest.fixture
def case(tmp_path: Path) -> Case:
    folder = tmp_path / "000"
    folder.mkdir()
    texture = np.random.default_rng(6).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    for index in range(7):
        Image.fromarray(np.roll(texture, index**2, axis=1)).save(folder / f"{4 * index:08}.png")
    return open_held_out(folder, 2)


def scored(folder: Path, name: str) -> Run:
    return read_run(folder, name)


def test_are_pictures_of_truth_result_and_error(tmp_path: Path, case: Case) -> None:
    method = open_method("blend")
    measure.measure_each(tmp_path, [case], [method], "rendered", {"step": 2})
    run = scored(tmp_path, "blend_rendered")
    (clip, frame, psnr), *others = worst_frames(run, 2)
    assert psnr == run.scores["psnr"].min()
    assert len(others) == 1
    picture = worst_pictures(run, [case], method, 1)
    assert [axes.get_title(loc="left") for axes in picture.figure.axes[:3]] == [
        f"clip {clip}, {frame}\ntruth",
        f"clip {clip}, {frame}\nblend, {psnr:.2f} dB",
        f"clip {clip}, {frame}\nerror",
    ]
    assert figure.save(picture, "worst", tmp_path).stat().st_size > 1000


def test_what_was_not_scored_is_refused(tmp_path: Path, case: Case) -> None:
    method = open_method("blend")
    faked.run(tmp_path, "other_clip", [30, 2])
    with pytest.raises(InputError, match="clip 001, frame 00000004 is not in the data"):
        worst_pictures(scored(tmp_path, "other_clip"), [case], method)
    faked.run(tmp_path, "other_model", [2])
    with pytest.raises(InputError, match=r"has 2\.00 dB there and [0-9.]+ dB made again"):
        worst_pictures(scored(tmp_path, "other_model"), [case], method)
