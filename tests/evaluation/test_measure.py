"""Evaluation computes frames that are known, scores them, and writes a row and a record for each."""

import json
import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from faked import read_rows
from published import state_dict, write_checkpoint
from reds_copy import frame, write_sliding
from skimage.data import coffee

from eqvi import devices, metrics, provenance
from eqvi.__main__ import main
from eqvi.datasets.cases import open_dataset, open_held_out
from eqvi.errors import InputError
from eqvi.evaluation import measure
from eqvi.evaluation.journal import COLUMNS
from eqvi.evaluation.methods import PUBLISHED, from_callable, open_method, open_methods
from eqvi.media.image import Image
from eqvi.media.image_files import read_image, write_image
from eqvi.paths import ROOT
from eqvi.reports.runs import check_comparable, paired, read_run


class TestClips:
    def test_rows_and_provenance_are_written(self, folder, tmp_path, capsys):
        out = tmp_path / "rows.csv"
        assert main(["evaluate", str(folder), "--models", "blend", "baseline", "--out", str(out)]) == 0
        rows = read_rows(out)
        assert [(row["frame"], row["model"]) for row in rows] == [
            (frame, model) for frame in ("001", "003", "005", "007") for model in ("blend", "baseline")
        ]
        assert {row["t"] for row in rows} == {"0.5"}
        assert {row["lpips"] + row["motion"] + row["seconds"] for row in rows} == {""}
        for blended, baseline in zip(rows[::2], rows[1::2], strict=True):
            assert float(baseline["psnr"]) > float(blended["psnr"]) + 6
            assert float(blended["sharpness"]) < float(baseline["sharpness"])
        made_by = json.loads(out.with_suffix(".json").read_text())
        assert made_by["parameters"] == {"step": 2, "every": 1, "limit": None, "ensemble": "none"}
        assert made_by["models"]["baseline"] == {"model": "baseline", "preset": "baseline", "weights_sha256": None}
        assert len(made_by["data_sha256"]) == 64
        assert made_by["protocol"] == metrics.PROTOCOL
        assert "| slide |      4 |" in capsys.readouterr().out
        assert read_run(tmp_path, "rows:model=baseline").clips == ["slide"]

    def test_the_blend_row_is_the_psnr_of_the_average(self, folder, tmp_path):
        out = tmp_path / "rows.csv"
        main(["evaluate", str(folder), "--models", "blend", "--limit", "3", "--out", str(out)])
        frames = [coffee()[100 + k : 196 + k, 100 + 4 * k : 228 + 4 * k].astype(float) for k in range(3)]
        # Half a grey level away from a tie, the two ways of averaging round alike.
        error = np.mean((np.rint((frames[0] + frames[2]) / 2 + 1e-9) - frames[1]) ** 2)
        (row,) = read_rows(out)
        assert float(row["psnr"]) == pytest.approx(10 * np.log10(255**2 / error), abs=0.05)

    def test_a_larger_step_scores_every_frame_left_out(self, folder, tmp_path):
        out = tmp_path / "rows.csv"
        main(["evaluate", str(folder), "--models", "minterpolate", "linear", "--step", "4", "--out", str(out)])
        assert [(row["frame"], row["t"]) for row in read_rows(out) if row["model"] == "linear"] == [
            (f"{k:03}", t)
            for start in (0, 4)
            for k, t in zip(range(start + 1, start + 4), ("0.25", "0.5", "0.75"), strict=True)
        ]

    def test_every_clip_starts_anew(self, folder, tmp_path):
        """A clip's rows do not depend on the clip before it."""
        other = tmp_path / "other"
        other.mkdir()
        for k in range(7):
            write_image(other / f"{k}.png", Image(coffee()[3 * k : 80 + 3 * k, 5 * k : 100 + 5 * k].copy()))
        both, alone = tmp_path / "both.csv", tmp_path / "alone.csv"
        main(["evaluate", str(folder), str(other), "--models", "baseline", "--out", str(both)])
        main(["evaluate", str(other), "--models", "baseline", "--out", str(alone)])
        assert [row for row in read_rows(both) if row["clip"] == "other"] == read_rows(alone)

    def test_without_a_place_only_means_are_shown(self, folder, capsys):
        assert main(["evaluate", str(folder), "--models", "blend", "--every", "2"]) == 0
        assert "| slide |      2 |" in capsys.readouterr().out
        assert not list(folder.parent.glob(".*.part"))


class TestLayout:
    def test_one_file_for_each_model(self, reds, tmp_path, capsys):
        out = tmp_path / "results"
        command = ["evaluate", "--data", str(reds), "--dataset", "rendered", "--out", str(out)]
        assert main([*command, "--models", "blend", "baseline", "rectified", "minterpolate"]) == 0
        names = [f"{name}_rendered" for name in ("baseline", "blend", "minterpolate", "rectified")]
        assert sorted(path.stem for path in out.glob("*.csv")) == names
        rows = read_rows(out / "baseline_rendered.csv")
        assert tuple(rows[0]) == COLUMNS
        assert [(row["clip"], row["frame"]) for row in rows] == [
            (clip, f"{8 * gap + 4:08d}") for clip in ("000", "001") for gap in range(5)
        ]
        assert {row["run"] for row in rows} == {"baseline_rendered"}
        runs = [read_run(out, name) for name in names]
        check_comparable(*runs)
        assert min(paired(runs[0], runs[1], "psnr")) > 3
        assert min(paired(runs[2], runs[1], "psnr")) > 1
        assert "| 000  |      5 |" in capsys.readouterr().out

    def test_a_csv_file_has_the_rows_of_all_models(self, reds, tmp_path):
        out = tmp_path / "rows.csv"
        command = ["evaluate", "--data", str(reds), "--dataset", "rendered", "--every", "3", "--psnr"]
        assert main([*command, "--models", "blend", "linear", "--out", str(out)]) == 0
        assert main([*command, "--models", "linear", "--out", str(tmp_path / "each")]) == 0
        rows, alone = read_rows(out), read_rows(tmp_path / "each" / "linear_rendered.csv")
        assert {row["model"] for row in rows} == {"blend", "linear"}
        scores = [[(row["clip"], row["frame"], row["psnr"]) for row in each] for each in (rows, alone)]
        assert [score for score, row in zip(scores[0], rows, strict=True) if row["model"] == "linear"] == scores[1]

    @pytest.mark.parametrize("at_once", [1, 3])
    def test_rows_do_not_depend_on_what_is_measured_beside_them(self, at_once, reds, tmp_path, monkeypatch):
        """Neither on how many models make a frame at a time, nor on which."""
        monkeypatch.setattr(measure, "at_most", lambda pixels, threads: at_once)
        cases, names = open_dataset(reds, "rendered", 4, every=2), ["blend", "rectified", "baseline+8", "minterpolate"]
        before = torch.get_num_threads()
        files = measure.measure_each(tmp_path, cases, open_methods(names), "rendered", {"step": 4})
        assert torch.get_num_threads() == before
        assert [path.stem for path in files] == [f"{name}_rendered_x4" for name in names]
        for name, path in zip(names, files, strict=True):
            alone = tmp_path / "alone.csv"
            assert measure.measure(alone, cases, [open_method(name)], "rendered", {"step": 4})
            assert [row | {"run": ""} for row in read_rows(path)] == [row | {"run": ""} for row in read_rows(alone)]

    def test_files_of_several_models_are_resumed_where_they_were(self, reds, tmp_path):
        """Whatever had scored a frame before an interruption is not asked for it again."""
        asked, broken = [], True

        def made_by(name):
            def frame_at(frames, t):
                asked.append(name)
                if broken and asked.count("b") == 3:
                    raise KeyboardInterrupt
                return frames[:, frames.shape[1] // 2 - 1]

            return from_callable(name, frame_at)

        cases, methods = open_dataset(reds, "rendered"), [made_by("a"), made_by("b")]
        with pytest.raises(KeyboardInterrupt):
            measure.measure_each(tmp_path, cases, methods, "rendered", {})
        assert asked == ["a", "b"] * 3
        broken = False
        asked.clear()
        files = measure.measure_each(tmp_path, cases, methods, "rendered", {})
        assert [len(read_rows(path)) for path in files] == [10, 10]
        assert (asked.count("a"), asked.count("b")) == (7, 8)

    def test_two_models_of_one_name_are_refused(self, reds, tmp_path):
        cases = open_dataset(reds, "rendered")
        with pytest.raises(InputError, match="two models are named blend_rendered: rename one"):
            measure.measure_each(tmp_path, cases, [open_method("blend")] * 2, "rendered", {})

    def test_the_truth_is_the_frame_at_the_higher_rate(self, reds, tmp_path):
        """A method that knows the truth scores infinitely well, at four times the rate as well."""
        truth = open_method("blend")._replace(
            name="truth",
            open=lambda case: (
                lambda window, t: (
                    torch.from_numpy(
                        read_image(
                            reds / "val/val_60fps" / case.name / f"{8 * window.position + round(8 * t):08d}.png"
                        ).pixels
                    ).permute(2, 0, 1)[None]
                    / 255
                )
            ),
        )
        cases = open_dataset(reds, "rendered", 4)
        assert measure.measure(tmp_path / "truth_rendered_x4.csv", cases, [truth], "rendered", {"step": 4})
        rows = read_rows(tmp_path / "truth_rendered_x4.csv")
        assert len(rows) == 2 * 5 * 3
        assert {row["psnr"] for row in rows} == {"inf"}
        assert [row["t"] for row in rows[:3]] == ["0.25", "0.5", "0.75"]

    def test_runs_are_named_after_what_they_are(self, reds, tmp_path):
        command = ["evaluate", "--data", str(reds), "--dataset", "rendered", "--out", str(tmp_path), "--models"]
        assert main([*command, "linear", "--step", "4", "--ensemble", "reversal"]) == 0
        assert (tmp_path / "linear_rendered_x4_reversal.csv").is_file()

    def test_what_is_known_of_the_motion_stands_beside_the_score(self, reds, tmp_path):
        known = {"motion": 4.5, "acceleration": 0.25, "occlusion": 0.125}
        (reds / "val/val_motion").mkdir()
        (reds / "val/val_motion/000.json").write_text(json.dumps({"frames": {"00000012": known}}))
        cases = open_dataset(reds, "rendered")
        measure.measure(tmp_path / "blend_rendered.csv", cases, [open_method("blend")], "rendered", {})
        found = {(row["clip"], row["frame"]): row for row in read_rows(tmp_path / "blend_rendered.csv")}
        assert [found["000", "00000012"][name] for name in known] == ["4.500000", "0.250000", "0.125000"]
        assert found["001", "00000012"]["motion"] == ""

    def test_any_callable_can_be_measured(self, reds, tmp_path):
        shapes = []

        def repeat(frames, t):
            shapes.append((tuple(frames.shape), t))
            return frames[:, frames.shape[1] // 2 - 1]

        cases = open_dataset(reds, "rendered", clips=1)
        assert measure.measure(tmp_path / "repeat.csv", cases, [from_callable("repeat", repeat)], "rendered", {})
        assert shapes == [((1, n, 3, 64, 80), 0.5) for n in (2, 4, 4, 4, 2)]
        first = metrics.psnr(frame(0, 0), frame(0, 4))
        assert float(read_rows(tmp_path / "repeat.csv")[0]["psnr"]) == pytest.approx(first, abs=1e-6)

    def test_the_published_way_on_a_miniature(self, tmp_path):
        """A checkpoint in the published format, the five clips of REDS_VTSR5, the published run's name."""
        reds = write_sliding(tmp_path / "reds", ("002", "005", "010", "017", "025"), (15, 30), inputs=2)
        file = tmp_path / "weights" / PUBLISHED["stage3_rcsn_rqfp"][0]
        file.parent.mkdir(parents=True)
        write_checkpoint(file, state_dict("eqvi"))
        options = ["--dataset", "vtsr5", "--weights", str(tmp_path / "weights"), "--out", str(tmp_path / "results")]
        assert main(["evaluate", "--data", str(reds), "--models", "stage3_rcsn_rqfp", "blend", *options]) == 0
        rows = read_rows(tmp_path / "results" / "stage3_rcsn_rqfp_vtsr5.csv")
        assert len(rows) == 5
        made_by = json.loads((tmp_path / "results" / "stage3_rcsn_rqfp_vtsr5.json").read_text())
        assert len(made_by["weights_sha256"]) == 64
        assert made_by["preset"] is None

    def test_writing_the_same_again_changes_nothing(self, reds, tmp_path, monkeypatch):
        cases = open_dataset(reds, "rendered", clips=1)
        run = tmp_path / "blend_rendered.csv"
        measure.measure(run, cases, [open_method("blend")], "rendered", {})
        before = [path.read_bytes() for path in (run, run.with_suffix(".json"))]
        monkeypatch.setattr(provenance, "ROOT", tmp_path)  # no repository: another commit
        measure.measure(run, cases, [open_method("blend")], "rendered", {})
        assert [path.read_bytes() for path in (run, run.with_suffix(".json"))] == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["blend_rendered.csv", "blend_rendered.json", "reds"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--step", "1"], "--step 1 is too small: give at least 2"),
            (["--step", "9"], "no gap of 9 frames"),
            (["--every", "0"], "--every 0 is too small: give at least 1"),
            (["--models", "eqvj"], "--model eqvj: there is no such file or preset"),
            (["--models", "blend", "blend"], "two models are named blend"),
            (["--models", "stage4_ms_fusion"], "stage4_ms_fusion needs the published checkpoints"),
            (["--models", "stage4_ms_fusion", "--weights", "/nowhere"], "Stage4_checkpoint.ckpt: is missing"),
            (["--models", "blend", "--ensemble", "flips"], "blend takes no ensemble"),
            (["--ensemble", "flops"], "there is no ensemble or member 'flops'"),
            (["--data", "x"], "give clips, or --data"),
        ],
    )
    def test_requests(self, folder, options, message, capsys):
        assert main(["evaluate", str(folder), *options]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert len([line for line in said if line.startswith("eqvi: error:")]) == 1
        assert message in said[-1]

    def refused(self, reds: Path, capsys, *more: str) -> str:
        out = reds.parent / "results"
        assert main(["evaluate", "--data", str(reds), "--models", "blend", "--out", str(out), *more]) == 2
        assert not out.exists()
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("eqvi: error:")]
        return line

    def test_a_missing_frame(self, reds, capsys):
        (reds / "val/val_15fps/001/00000016.png").unlink()
        assert "001: 1 of 6 frames missing: 00000016" in self.refused(reds, capsys, "--dataset", "rendered")

    def test_two_sizes(self, reds, capsys):
        write_image(reds / "val/val_30fps/000/00000004.png", Image(frame(0, 4, (78, 64))))
        assert "frames differ in size" in self.refused(reds, capsys, "--dataset", "rendered")

    def test_60_frames_a_second_where_30_are_meant(self, reds, capsys):
        shutil.rmtree(reds / "val/val_30fps")
        shutil.copytree(reds / "val/val_60fps", reds / "val/val_30fps")
        assert "holds frames at 60 a second, by their names, where 30 are meant" in self.refused(
            reds, capsys, "--dataset", "rendered"
        )

    def test_too_few_clips(self, reds, capsys):
        assert "holds 2 validation clips, val30 is 30 of them" in self.refused(reds, capsys)

    def test_a_checkpoint_that_is_another_model(self, reds, tmp_path, capsys):
        file = tmp_path / "weights" / PUBLISHED["stage4_ms_fusion"][0]
        file.parent.mkdir(parents=True)
        write_checkpoint(file, state_dict("eqvi"))
        more = ["--dataset", "rendered", "--models", "stage4_ms_fusion", "--weights", str(tmp_path / "weights")]
        line = self.refused(reds, capsys, *more)
        assert "has multi_scale=False, but stage4_ms_fusion is the preset 'eqvi-ms', with multi_scale=True" in line

    def test_a_damaged_truth_is_named(self, reds, capsys):
        path = reds / "val/val_30fps/001/00000012.png"
        path.write_bytes(path.read_bytes()[:-200])
        assert main(["evaluate", "--data", str(reds), "--dataset", "rendered", "--models", "blend",
                     "--out", str(reds.parent / "results")]) == 2  # fmt: skip
        assert "001/00000012.png: is truncated or damaged" in capsys.readouterr().err
        assert not list((reds.parent / "results").glob("*.csv"))

    @pytest.mark.usefixtures("unchecked")
    def test_frames_of_another_size_than_the_truth(self, reds, tmp_path):
        shrinking = from_callable("shrinking", lambda frames, t: frames[:, 0, :, :, 1:])
        with pytest.raises(InputError, match=r"000, frame 00000004: the new frame is 79x64, the true one 80x64"):
            measure.measure(tmp_path / "x.csv", open_dataset(reds, "rendered"), [shrinking], "rendered", {})


def test_minterpolate_keeps_to_the_times_it_is_asked_for(folder):
    """A filter's output must not be a frame early or late: it is closest to the truth at its own time."""
    case = open_held_out(folder, 2)
    fill = open_method("minterpolate").open(case)
    window = next(w for w in measure.windows(case.inputs()) if w.position == 1)
    made = metrics.to_8bit(fill(window, Fraction(1, 2)))
    truths = {k: coffee()[100 + k : 196 + k, 100 + 4 * k : 228 + 4 * k] for k in range(1, 6)}
    scores = {k: metrics.psnr(made, truth) for k, truth in truths.items()}
    assert max(scores, key=scores.__getitem__) == 3


def test_the_hash_of_the_code_covers_what_rows_depend_on(monkeypatch):
    read, before = Path.read_bytes, measure._code()
    for name, matters in (("model/motion", True), ("datasets/cases", True), ("metrics", True), ("viz/charts", False)):
        changed = {ROOT / "eqvi" / f"{name}.py"}
        monkeypatch.setattr(Path, "read_bytes", lambda self, c=changed: read(self) + b"#" * (self in c))
        assert (measure._code() != before) is matters, name


def test_every_process_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(devices, "choose_device", lambda name: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert devices.local_device("auto") == "cuda:1"
    assert chosen == ["cuda:1"]
    assert "WORLD_SIZE" not in os.environ
