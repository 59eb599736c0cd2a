"""The error budget replaces one mode of a frame's flows by the true one and leaves everything else as it is."""

import json
from pathlib import Path

import pytest
import torch
from faked import read_rows
from PIL import Image

from eqvi.__main__ import main
from eqvi.datasets.cases import open_held_out
from eqvi.evaluation import error_budget, measure
from eqvi.evaluation.error_budget import Modes
from eqvi.media.window import windows
from eqvi.model.motion import quadratic
from eqvi.reports.error_budget import BASELINE, BOTH, COMMON, CUBIC, DIFFERENCE, SMOOTH, TRAJECTORY


@pytest.fixture(scope="module")
def flows() -> torch.Tensor:
    return torch.randn(4, 1, 2, 24, 32, generator=torch.Generator().manual_seed(0))


class TestModes:
    @pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
    def test_joining_undoes_splitting(self, flows: torch.Tensor, t: float) -> None:
        joined = error_budget.join(error_budget.split(flows[0], flows[1], t), t)
        assert torch.allclose(torch.stack(joined), flows[:2], atol=1e-6)

    @pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
    def test_constant_velocity_has_no_common_part(self, flows: torch.Tensor, t: float) -> None:
        """A pixel that moves by v an interval is at -t v in frame 1 and at (1 - t) v in frame 2."""
        modes = error_budget.split(-t * flows[0], (1 - t) * flows[0], t)
        assert torch.allclose(modes.difference, flows[0], atol=1e-6)
        assert modes.common.abs().max() < 1e-6

    def test_each_variant_has_the_true_mode_that_it_is_named_after(self, flows: torch.Tensor) -> None:
        estimate, truth = Modes(flows[0], flows[1]), Modes(flows[2], flows[3])
        made = error_budget.variants(estimate, truth)
        assert made[DIFFERENCE] == (truth.difference, estimate.common)
        assert made[COMMON] == (estimate.difference, truth.common)
        assert made[BOTH] == truth
        assert made[SMOOTH].difference is estimate.difference

    def test_a_smoothed_common_part_is_true_where_its_error_is_the_same_everywhere(self, flows: torch.Tensor) -> None:
        truth = Modes(flows[0], flows[1])
        shifted = truth._replace(common=truth.common - torch.tensor([3.0, -2.0]).view(1, 2, 1, 1))
        smoothed = error_budget.variants(shifted, truth)[SMOOTH]
        assert torch.allclose(smoothed.common, truth.common, atol=1e-4)

    def test_a_jerk_is_in_the_difference_and_not_in_the_common_part(self) -> None:
        """The parabolas of the two frames miss a cubic path by the same amount on opposite sides."""
        jerk, position = 3.0, {s: torch.tensor(0.7 * s - 1.1 * s**2 + 3.0 * s**3 / 6) for s in (-1, 0, 0.5, 1, 2)}
        from_1 = quadratic(position[-1] - position[0], position[1] - position[0], 0.5)
        from_2 = quadratic(position[2] - position[1], position[0] - position[1], 0.5)
        error_1 = position[0] + from_1 - position[0.5]
        error_2 = position[1] + from_2 - position[0.5]
        assert error_1.item() == pytest.approx(jerk / 16)
        # F_t1 and F_t2 are minus these displacements, as far as the motion is the same around.
        wrong = error_budget.split(-error_1.expand(1, 2, 1, 1), -error_2.expand(1, 2, 1, 1), 0.5)
        assert wrong.difference.flatten().tolist() == pytest.approx([jerk / 8] * 2)
        assert wrong.common.abs().max() < 1e-6


class TestCommand:
    def test_rows_and_provenance(self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out, picture = tmp_path / "budget.csv", tmp_path / "modes.png"
        command = ["evaluate", str(folder), "--budget", "--gaps", "2", "--out", str(out), "--map", str(picture)]
        assert main(command) == 0
        with Image.open(picture) as shown:
            assert "Frame 007 of slide" in shown.info["Description"]
        rows = read_rows(out)
        names = [BASELINE, DIFFERENCE, SMOOTH, COMMON, BOTH, CUBIC, TRAJECTORY]
        assert [(row["frame"], row["model"]) for row in rows] == [(f, n) for f in ("003", "007") for n in names]
        assert {row["ssim"] for row in rows} == {""}
        made_by = json.loads(out.with_suffix(".json").read_text())
        assert made_by["parameters"] == {"step": 2, "every": 1, "limit": None, "ensemble": "none", "gaps": 2}
        assert str(tmp_path) not in out.with_suffix(".json").read_text()
        assert "| true difference |" in capsys.readouterr().out

    @pytest.mark.parametrize("at_once", [1, 3])
    def test_the_baseline_is_that_of_the_other_rows(
        self, at_once: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(measure, "at_most", lambda pixels, threads: at_once)
        budget, plain = tmp_path / "budget.csv", tmp_path / "plain.csv"
        main(["evaluate", str(folder), "--budget", "--out", str(budget)])
        main(["evaluate", str(folder), "--models", "baseline", "baseline+8", "--out", str(plain)])
        scores = {(row["model"], row["frame"]): row["psnr"] for row in read_rows(budget)}
        others = {(row["model"], row["frame"]): row["psnr"] for row in read_rows(plain)}
        assert others.items() <= scores.items()

    def test_true_flows_are_worth_most(self, reds: Path, tmp_path: Path) -> None:
        out = tmp_path / "budget.csv"
        command = ["evaluate", "--data", str(reds), "--dataset", "rendered", "--budget", "--step", "4"]
        assert main([*command, "--out", str(out)]) == 0
        scores = {}
        for row in read_rows(out):
            scores.setdefault(row["model"], []).append(float(row["psnr"]))
        means = {name: sum(values) / len(values) for name, values in scores.items()}
        assert {row["t"] for row in read_rows(out)} == {"0.25", "0.5", "0.75"}
        assert max(means, key=means.__getitem__) == BOTH

    def test_a_variant_can_be_measured_alone_and_again(self, folder: Path) -> None:
        """Reading the truth starts anew for whoever begins before the last frame that was read."""
        case = open_held_out(folder, 2)
        method = next(method for method in error_budget.methods() if method.name == BOTH)
        by_position = {window.position: window for window in windows(case.inputs(), neighbours=method.neighbours)}
        frame_at = method.open(case)
        first = [frame_at(by_position[target.position], target.t) for target in case.targets]
        again = [frame_at(by_position[target.position], target.t) for target in case.targets]
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--budget", "--ensemble", "flips"], "--budget"),
            (["--map", "modes.png"], "--map modes.png"),
            (["--budget", "--map", "modes.jpg"], "--map modes.jpg"),
            (["--gaps", "0"], "--gaps 0"),
            (["--gaps", "2", "--every", "3"], "--gaps 2"),
        ],
    )
    def test_bad_options_are_refused(
        self, folder: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["evaluate", str(folder), *options]) == 2
        assert said in capsys.readouterr().err
