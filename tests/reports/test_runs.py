"""Reading scored frames, and refusing what does not belong together."""

import math
from pathlib import Path

import faked
import numpy as np
import pytest

from eqvi.errors import InputError
from eqvi.reports.runs import check_comparable, members, paired, read_frames, read_run


def test_a_run_is_read_with_its_gaps(tmp_path: Path) -> None:
    faked.run(tmp_path, "a", [30, 34], frames=2)
    run = read_run(tmp_path, "a")
    assert run.clips == ["000", "001"]
    assert run.clip_means("psnr").to_dict() == {"000": 30, "001": 34}
    assert run.mean("psnr") == 32
    assert run.has("psnr")
    assert not run.has("lpips")
    assert not run.has("nonsense")
    assert math.isnan(run.scores["lpips"].iloc[0])
    assert run.estimate("lpips").reason == "a has no lpips"
    assert set(run.scores.dtypes) == {np.dtype("float64")}
    assert list(run.scores.index.names) == ["clip", "frame"]


def test_nobody_measured_it(tmp_path: Path) -> None:
    run = read_run(tmp_path, "a")
    assert (run.clips, len(run.scores), run.has("psnr")) == ([], 0, False)
    assert run.reason == run.estimate("psnr").reason == "needs the rendered clips scored"


def test_a_part_of_the_published_clips_is_not_a_measurement(tmp_path: Path) -> None:
    faked.run(tmp_path, "stage4_ms_fusion_vtsr5", [24, 25], frames=45)
    run = read_run(tmp_path, "stage4_ms_fusion_vtsr5")
    assert (run.reason, run.clips) == ("90 of 225 frames, 2 of 5 clips scored", [])


def test_rows_of_a_whole_file_have_names_as_text_and_numbers_as_floats(tmp_path: Path) -> None:
    rows = read_frames(faked.run(tmp_path, "a", [30, 34], frames=2))
    assert len(rows) == 4
    assert rows["clip"].tolist() == ["000", "000", "001", "001"]
    assert rows["psnr"].dtype == rows["lpips"].dtype == np.dtype("float64")


def test_the_worst_frames_come_first(tmp_path: Path) -> None:
    faked.run(tmp_path, "a", [30, 20, 25], frames=2)
    worst = read_run(tmp_path, "a").worst(3)
    assert list(worst.index) == [("001", "00000004"), ("001", "00000012"), ("002", "00000004")]


def test_a_file_of_several_models(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("clip,frame,model,psnr\na,1,x,30\na,1,y,31\n")
    (tmp_path / "real.json").write_text("{}")
    first, second = read_run(tmp_path, "real:model=x"), read_run(tmp_path, "real:model=y")
    assert paired(second, first, "psnr").to_dict() == {("a", "1"): 1}
    assert read_run(tmp_path, "real:model=z").clips == read_run(tmp_path, "real:nothing=z").clips == []


class TestSeeds:
    def test_a_star_takes_the_mean_over_the_seeds(self, tmp_path: Path) -> None:
        rows = "a,1,x_0,30\na,2,x_0,32\na,2,x_1,36\na,1,x_1,31\na,1,y_0,10\n"
        (tmp_path / "real.csv").write_text("clip,frame,model,psnr\n" + rows)
        (tmp_path / "real.json").write_text("{}")
        run = read_run(tmp_path, "real:model=x_*")
        assert run.scores["psnr"].to_dict() == {("a", "1"): 30.5, ("a", "2"): 34}
        assert members(tmp_path, "real:model=x_*") == ["real:model=x_0", "real:model=x_1"]
        assert members(tmp_path, "real:model=x_0") == ["real:model=x_0"]
        assert members(tmp_path, "nothing:model=x_*") == ["nothing:model=x_*"]

    def test_seeds_that_scored_other_frames_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "real.csv").write_text("clip,frame,model,psnr\na,1,x_0,30\na,2,x_1,36\n")
        (tmp_path / "real.json").write_text("{}")
        with pytest.raises(InputError, match="model x_0, x_1 score different frames"):
            read_run(tmp_path, "real:model=x_*")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("clip,psnr\na,1\n", "has no column 'frame'"),
        ("clip,frame,psnr\na,1,30\na,1,31\n", "holds clip a, frame 1 twice"),
        ("clip,frame,psnr\na,1,thirty\n", "clip a, frame 1: psnr='thirty' is no number"),
        ("clip,frame,psnr\na,1\n", "clip a, frame 1: psnr='' is no number"),
        ("clip,frame,psnr\na,1,\n", "clip a, frame 1: psnr='' is no number"),
        ("clip,frame,psnr,mse\na,1,30,inf\n", "clip a, frame 1: mse='inf' is no number"),
    ],
)
def test_bad_rows_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match=message):
        read_run(tmp_path, "a")


def test_still_frames_are_left_out_of_every_run_of_a_file(tmp_path: Path) -> None:
    rows = ["a,1,x,inf", "a,2,x,31", "a,3,x,33", "a,1,y,40", "a,2,y,30", "a,3,y,30", "b,1,z,inf"]
    (tmp_path / "real.csv").write_text("\n".join(["clip,frame,model,psnr", *rows]) + "\n")
    (tmp_path / "real.json").write_text("{}")
    x, y, z = (read_run(tmp_path, f"real:model={name}") for name in "xyz")
    assert (x.mean("psnr"), y.mean("psnr")) == (32, 30)
    assert x.equal == y.equal == {("a", "1")}
    assert paired(x, y, "psnr").tolist() == [1, 3]
    assert (z.clips, z.reason) == ([], "every frame equals its truth")


def test_rows_without_provenance_are_refused(tmp_path: Path) -> None:
    faked.run(tmp_path, "a", [30]).with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"a\.csv has no a\.json beside it"):
        read_run(tmp_path, "a")


def test_runs_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    faked.run(tmp_path, "a", [30, 31])
    faked.run(tmp_path, "b", [30, 31], protocol={"quantisation": "truncated"})
    faked.run(tmp_path, "c", [30])
    faked.run(tmp_path, "d", [30, 31], data="other")
    a, b, c, d = (read_run(tmp_path, name) for name in "abcd")
    with pytest.raises(InputError, match=r"different protocols \(quantisation: 'rounded' and 'truncated'\)"):
        check_comparable(a, b)
    with pytest.raises(InputError, match="different protocols"):
        paired(a, b, "psnr")
    with pytest.raises(InputError, match="score different frames"):
        paired(a, c, "psnr")
    with pytest.raises(InputError, match="differ in data_sha256"):
        paired(a, d, "psnr")


def test_pairs_are_found_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    faked.run(tmp_path, "a", [31, 35], frames=3)
    path = faked.run(tmp_path, "b", [30, 33], frames=3)
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]) + "\n")
    a, b = read_run(tmp_path, "a"), read_run(tmp_path, "b")
    assert paired(a, b, "psnr").tolist() == [1, 1, 1, 2, 2, 2]
