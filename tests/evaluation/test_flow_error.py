"""The error of flow estimators: nothing for the truth, the motion's length for no motion, and rows that can be read."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from eqvi.datasets.camera import Camera
from eqvi.datasets.photographs import StereoPair, photograph, stereo_pair
from eqvi.datasets.random_scenes import RenderedClip, draw_clips
from eqvi.datasets.rendered_clips import metadata
from eqvi.datasets.rendering import Layer, Scene, Trajectory, exact_flow
from eqvi.errors import InputError
from eqvi.evaluation import flow_error
from eqvi.files import sha256
from eqvi.model import checkpoint
from eqvi.model.geometry import backward_warp
from eqvi.model.scopeflow import ScopeFlow
from eqvi.reports import flow_errors
from eqvi.reports.comparisons import gain
from eqvi.reports.runs import paired, read_run

SIZE = (72, 96)

WITHOUT_WEIGHTS = ["dis", "dis-two-way", "tvl1", "still"]


@pytest.fixture(scope="module")
def clip() -> RenderedClip:
    return draw_clips(2, 0, "val", SIZE)["001"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flow network that learned nothing."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "flow-quarter.safetensors"
    checkpoint.save(ScopeFlow(1 / 16), path, torch.float16)
    return path


@pytest.fixture(scope="module")
def rows(clip: RenderedClip, weights: Path) -> list[flow_error.Row]:
    """All four estimators on five clips that pan steadily, and on a small stereo pair."""
    estimators = flow_error.open_estimators(weights)
    clips = {f"{speed:03d}": panning(float(speed)) for speed in range(1, 6)}
    return flow_error.measure(clips, estimators, gaps=(1,)) + flow_error.measure_stereo(estimators, shifted(3))


def panning(speed: float) -> RenderedClip:
    """One textured background that moves as a whole."""
    layer = Layer("gravel", anchor=(250, 250), centre=(48, 36), trajectory=Trajectory(velocity=(speed, 0)))
    return RenderedClip(Scene(SIZE, (layer,)), Camera(), "linear", "train", 0, 6)


def shifted(disparity: int) -> StereoPair:
    """Two views of a plane, of which the left half was not measured."""
    wide = photograph("gravel")[..., 100:172, 100 : 196 + disparity]
    flow = torch.zeros(1, 2, *SIZE)
    flow[:, 0, :, 48:] = -disparity
    known = torch.zeros(1, 1, *SIZE, dtype=torch.bool)
    known[..., 48:] = True
    return StereoPair(wide[..., :96], wide[..., disparity:], flow, known)


class TestMeasure:
    def test_no_motion_errs_by_the_length_of_the_motion(self, clip: RenderedClip) -> None:
        found = flow_error.measure({"a": clip}, {"still": flow_error.zero_flow}, gaps=(1, 4))
        assert [(row.frame, row.intervals) for row in found] == [
            ("00000012", 1), ("00000012", 2), ("00000036", 1), ("00000036", 2),
        ]  # fmt: skip
        for row, (start, end) in zip(found, [(-2, -1), (-2, 0), (1, 2), (1, 3)], strict=True):
            truth = exact_flow(clip.scene, float(start), float(end))
            length = truth.flow.norm(dim=1, keepdim=True)
            assert 0 < truth.mixed.float().mean() < 1
            assert row.epe == pytest.approx(length[~truth.mixed].mean().item(), abs=1e-4)
            seen = ~(truth.mixed | truth.occluded)
            assert row.epe_visible == pytest.approx(length[seen].mean().item(), abs=1e-4)
            assert row.above_3px == pytest.approx((length[~truth.mixed] > 3).float().mean().item(), abs=1e-4)
        assert found[0].epe != found[0].epe_visible

    @pytest.mark.parametrize(("off", "wrong"), [(0.0, 0), (2.9, 0), (3.1, 1)])
    def test_the_truth_and_what_is_off_by_so_much(self, clip: RenderedClip, off: float, wrong: int) -> None:
        truth = flow_error.frame_pairs(clip, 1).truth.flow + torch.tensor([0.6 * off, -0.8 * off]).view(2, 1, 1)
        for row in flow_error.measure({"a": clip}, {"oracle": lambda a, b: truth}, gaps=(1,)):
            assert row.epe == pytest.approx(off, abs=1e-4)
            assert row.epe_visible == pytest.approx(off, abs=1e-4)
            assert row.above_3px == wrong

    def test_frames_fit_the_exact_flow(self) -> None:
        first, second, truth = flow_error.frame_pairs(panning(2.5), 1)
        visible = ~truth.occluded.expand_as(first)
        error = (backward_warp(second, truth.flow) - first).abs()[visible].mean()
        assert error < 0.2 * (second - first).abs()[visible].mean()
        assert torch.equal(first[0], first[1])
        assert truth.flow[:, 0].mean(dim=(1, 2)).tolist() == pytest.approx([2.5, 5.0])

    def test_rows_fit_the_frames_that_are_scored(self, clip: RenderedClip) -> None:
        facts = metadata(clip)["frames"]
        for row in flow_error.measure({"a": clip}, {"still": flow_error.zero_flow}):
            known = {"motion": row.motion, "acceleration": row.acceleration, "occlusion": row.occlusion}
            assert facts[row.frame] == known
            assert row.kind == clip.kind

    @pytest.mark.parametrize("gap", [-1, 5])
    def test_a_gap_without_a_second_interval_is_refused(self, clip: RenderedClip, gap: int) -> None:
        with pytest.raises(InputError, match=rf"gap {gap} .* gaps 0 to 4"):
            flow_error.measure({"a": clip}, {"still": flow_error.zero_flow}, gaps=(gap,))

    def test_classical_flow_is_nearer_than_none(self, rows: list[flow_error.Row]) -> None:
        epe = {(row.clip, row.flow, row.intervals): row.epe for row in rows if row.dataset == "rendered"}
        for speed in (1, 2, 3):
            assert epe[f"{speed:03d}", "still", 2] == pytest.approx(2 * speed, abs=1e-3)
            for name in ("dis", "dis-two-way", "tvl1"):
                assert epe[f"{speed:03d}", name, 1] < 0.3 * speed
                assert epe[f"{speed:03d}", name, 2] < 0.6 * speed


class TestEstimators:
    def test_the_network_takes_part_once_it_is_there(self, weights: Path, tmp_path: Path) -> None:
        assert list(flow_error.open_estimators(weights)) == ["flow-quarter", *WITHOUT_WEIGHTS]
        assert list(flow_error.open_estimators(tmp_path / "none.safetensors")) == WITHOUT_WEIGHTS
        assert {*flow_error.open_estimators(weights), "raft"} == set(flow_errors.ESTIMATORS)

    def test_raft_takes_part_once_its_weights_are_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        network = flow_error.RAFT_NETWORKS["raft"]._replace(file="here.pth", download=str(tmp_path))
        monkeypatch.setitem(flow_error.RAFT_NETWORKS, "raft", network)
        assert "raft" not in flow_error.open_estimators(tmp_path / "none.safetensors")
        network.path.touch()
        monkeypatch.setattr(flow_error, "open_raft", lambda _: (flow_error.zero_flow, "sha256"))
        assert list(flow_error.open_estimators(tmp_path / "none.safetensors")) == ["raft", *WITHOUT_WEIGHTS]

    def test_it_is_the_network_of_the_file(self, weights: Path) -> None:
        first, second = torch.rand(2, 1, 3, 64, 96)
        flow = flow_error.estimate_flow(flow_error.open_estimators(weights)["flow-quarter"], first, second)
        with torch.no_grad():
            assert torch.equal(flow, checkpoint.load_flow(weights)(first, second))
        assert flow.norm(dim=1).mean() > 0

    def test_small_frames_are_padded_for_it(self, weights: Path) -> None:
        first, second = torch.rand(2, 1, 3, 40, 56)
        for estimator in flow_error.open_estimators(weights).values():
            assert flow_error.estimate_flow(estimator, first, second).shape == (1, 2, 40, 56)

    def test_weights_that_are_none_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "flow-quarter.safetensors").write_bytes(b"none")
        with pytest.raises(InputError, match="flow-quarter"):
            flow_error.open_estimators(tmp_path / "flow-quarter.safetensors")


class TestStereo:
    def test_only_what_was_measured_counts(self) -> None:
        pair = shifted(3)
        (row,) = flow_error.measure_stereo({"still": flow_error.zero_flow}, pair)
        assert (row.dataset, row.clip, row.kind, row.epe, row.motion) == ("stereo", "motorcycle", "stereo", 3.0, 3.0)
        assert (row.epe_visible, row.occlusion) == ("", "")
        (row,) = flow_error.measure_stereo({"oracle": lambda a, b: pair.flow}, pair)
        assert (row.epe, row.above_3px) == (0, 0)
        (row,) = flow_error.measure_stereo({"dis": flow_error.open_estimators(Path("none"))["dis"]}, pair)
        assert row.epe < 0.5

    def test_the_pair_is_the_motorcycle(self) -> None:
        pair = stereo_pair()
        (row,) = flow_error.measure_stereo({"still": flow_error.zero_flow})
        assert row.epe == pytest.approx(-pair.flow[:, :1][pair.known].mean().item(), abs=1e-3)


class TestFile:
    def test_is_read_as_scored_frames(self, rows: list[flow_error.Row], weights: Path, tmp_path: Path) -> None:
        path = flow_error.write(rows, {"seed": 0}, tmp_path, weights)
        again = path.read_bytes()
        flow_error.write(rows, {"seed": 0}, tmp_path, weights)
        assert path.read_bytes() == again
        run = read_run(tmp_path, "flow_error:flow=dis,intervals=2")
        assert list(run.scores.index) == [(f"{speed:03d}", "00000012") for speed in range(1, 6)]
        assert run.has("epe_visible")
        stereo = read_run(tmp_path, "flow_error:flow=dis,dataset=stereo")
        assert (list(stereo.scores.index), stereo.has("epe"), stereo.has("occlusion")) == (
            [("motorcycle", "00000000")],
            True,
            False,
        )
        still = read_run(tmp_path, "flow_error:flow=still,intervals=2")
        own = {(row.clip, row.flow): row.epe for row in rows if row.intervals == 2}
        wanted = [own[clip, "dis"] - own[clip, "still"] for clip in run.clips]
        assert paired(run, still, "epe").tolist() == pytest.approx(wanted)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["flow_error.csv", "flow_error.json"]

    def test_says_what_made_it(self, rows: list[flow_error.Row], weights: Path, tmp_path: Path) -> None:
        flow_error.write(rows, {"seed": 7}, tmp_path, weights)
        made_by = json.loads((tmp_path / "flow_error.json").read_text())
        assert made_by["parameters"] == {"seed": 7}
        assert made_by["weights_sha256"] == sha256(weights)
        assert made_by["versions"]["scikit-image"]
        without = [row for row in rows if row.flow != "flow-quarter"]
        flow_error.write(without, {}, tmp_path, tmp_path / "none")
        assert json.loads((tmp_path / "flow_error.json").read_text())["weights_sha256"] is None


class TestTable:
    def test_has_every_estimator_on_everything(self, rows: list[flow_error.Row], weights: Path, tmp_path: Path) -> None:
        flow_error.write(rows, {}, tmp_path, weights)
        errors = flow_errors.flow_errors(tmp_path)
        assert len(errors) == 6 * 3
        still = errors.loc["no motion at all"]
        assert still["estimate"].tolist() == pytest.approx([3, 6, 3], abs=1e-3)
        assert still["low"].notna().tolist() == [True, True, False]
        assert still.loc["stereo pair", "reason"] == ""
        network = [row.epe for row in rows if (row.flow, row.intervals, row.kind) == ("flow-quarter", 1, "linear")]
        own = errors.loc[("our ScopeFlow, quarter width", "one interval"), "estimate"]
        assert own == pytest.approx(sum(network) / 5, abs=1e-4)
        visible = flow_errors.flow_errors(tmp_path, "epe_visible").loc[("no motion at all", "stereo pair")]
        assert math.isnan(visible["estimate"])
        assert visible["reason"].endswith("has no epe_visible")

    def test_differences_are_paired(self, rows: list[flow_error.Row], weights: Path, tmp_path: Path) -> None:
        flow_error.write(rows, {}, tmp_path, weights)
        differences = flow_errors.flow_differences(tmp_path, against="still")
        flows = ["our ScopeFlow, quarter width", "RAFT", "DIS", "DIS, both ways combined", "TV-L1"]
        assert list(differences.index.unique("difference")) == [f"{flow} less no motion at all" for flow in flows]
        one = gain(
            tmp_path, *(f"flow_error:flow={name},intervals=2,dataset=rendered" for name in ("dis", "still")), "epe"
        )
        assert differences.loc[("DIS less no motion at all", "two intervals"), "estimate"] == one.estimate

    def test_says_what_is_missing(self, rows: list[flow_error.Row], weights: Path, tmp_path: Path) -> None:
        no_weights = "no results/weights/flow-quarter.safetensors"
        errors = flow_errors.flow_errors(tmp_path)
        assert errors["estimate"].isna().all()
        raft = "needs `python -m eqvi download weights raft`"
        assert set(errors["reason"]) == {no_weights, raft, "needs notebook 15 run"}
        flow_error.write([row for row in rows if row.flow != "flow-quarter"], {}, tmp_path, weights)
        assert set(flow_errors.flow_errors(tmp_path)["reason"]) == {no_weights, raft, ""}
        assert flow_errors.flow_differences(tmp_path)["reason"].iloc[0] == "needs notebook 15 run"
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / weights.name).write_bytes(weights.read_bytes())
        assert flow_errors.flow_errors(tmp_path)["reason"].iloc[0] == "needs notebook 15 run"

    def test_needs_no_torch(self) -> None:
        code = "import sys; import eqvi.reports.flow_errors; sys.exit('torch' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True)
