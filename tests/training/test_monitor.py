"""A run as it is seen: its curves, pictures and live figure."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from IPython.display import DisplayHandle
from PIL import Image

from eqvi.errors import InputError
from eqvi.training import monitor
from eqvi.training.samples import FlowSample, FrameSample, WindowSample
from eqvi.training.train import Progress
from eqvi.training.validation import Example


def make_run(folder: Path, steps: int, of: int, names: str = "psnr,blend,warp") -> None:
    """The files of a run that has come to step `steps`."""
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"recipe": {"stage": "scratch"}, "steps": of}))
    scores = [f"step,{names}", *(f"{step},{20 + step},21.5,29.25" for step in range(0, steps + 1, 2))]
    curve = ["step,epoch,rate,l1,total,gradient", *(f"{n},0,0.001,0.1,{1 / n},2" for n in range(1, steps + 1))]
    for name, lines in (("scores.csv", scores), ("curve.csv", curve)):
        (folder / name).write_text("\n".join(lines) + "\n")


def example(*names: str) -> Example:
    return Example(torch.full((1, 3, 64, 64), 0.5), {name: torch.full((1, 3, 64, 64), 0.6) for name in names})


def file_line(path: Path, step: str) -> str:
    """The last line of a curve, as of another step."""
    return ",".join([step, *path.read_text().splitlines()[-1].split(",")[1:]]) + "\n"


def titles(picture: Any) -> list[str]:
    return [axes.get_title(loc="left") for axes in picture.figure.axes if axes.get_title(loc="left")]


class TestCurves:
    def test_says_how_far_it_is_and_how_good(self, tmp_path: Path) -> None:
        make_run(tmp_path / "run", 4, 10)
        picture = monitor.training_curves(tmp_path / "run")
        assert "step 4 of 10. PSNR, dB: psnr 24.00, blend 21.50, warp 29.25" in picture.alt
        score, loss, rate = picture.figure.axes
        model, blend, warp = score.get_lines()
        assert list(model.get_ydata()) == [20, 22, 24]
        assert list(blend.get_ydata()) == [21.5, 21.5]
        assert list(warp.get_ydata()) == [29.25, 29.25]
        looks = {(line.get_marker(), line._unscaled_dash_pattern) for line in (model, blend, warp)}  # type: ignore[attr-defined]
        assert len(looks) == 3  # known by more than their colours
        every, smoothed = loss.get_lines()
        assert list(every.get_ydata()) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
        assert list(smoothed.get_ydata()) == pytest.approx([1, 3 / 4, 11 / 18, 25 / 48])
        assert rate.get_xlim()[1] >= 10

    def test_before_the_first_step(self, tmp_path: Path) -> None:
        make_run(tmp_path, 0, 10, "epe,still,dis")
        assert "end-point error, px: epe 20.00" in monitor.training_curves(tmp_path).alt

    def test_where_there_is_no_run(self, tmp_path: Path, unchecked: None) -> None:
        with pytest.raises(InputError, match=r"scores\.csv"):
            monitor.training_curves(tmp_path)


class TestPictures:
    def test_frames_have_their_psnr_and_flows_have_none(self) -> None:
        shown = titles(monitor.example_frames([example("blend", "warp", "model")] * 2))
        row = ["truth", "model\n20.17 dB", "blend\n20.17 dB", "warp\n20.17 dB"]
        heads = ["window {0}\n", *["window {0}, "] * 3]
        assert shown == [head.format(n) + text for n in (1, 2) for head, text in zip(heads, row, strict=True)]
        flows = titles(monitor.example_frames([example("dis", "model")]))
        assert flows == ["window 1\ntruth", "window 1, model", "window 1, dis"]

    def test_samples(self) -> None:
        window = FrameSample(torch.rand(4, 3, 64, 64), torch.rand(3, 64, 64), 0.25)
        assert len(titles(monitor.sample_page(window))) == 12
        eight = WindowSample(
            torch.rand(8, 3, 64, 64), torch.rand(3, 64, 64), 0.25,
            torch.ones(2, 2, 64, 64), torch.ones(2, 64, 64), torch.ones(16, 2, 64, 64),
        )  # fmt: skip
        shown = titles(monitor.sample_page(eight))
        assert (shown[0], shown[7], shown[8], len(shown)) == ("at -3", "at 4", "truth, at 0.25", 16)
        pair = FlowSample(torch.rand(3, 64, 64), torch.rand(3, 64, 64), torch.ones(2, 64, 64), torch.ones(1, 64, 64))
        assert titles(monitor.sample_page(pair)) == ["first", "second", "exact flow", "left out of the loss"]

    def test_kept_as_files_the_same_every_time(self, tmp_path: Path) -> None:
        contents = []
        for name in ("a", "b"):
            make_run(tmp_path / name, 4, 10)
            monitor.save_pictures(Progress(tmp_path / name, 4, 10, {}, (example("blend", "warp", "model"),)))
            made = [tmp_path / name / "curves.png", tmp_path / name / "examples" / "step_000004.png"]
            contents.append([path.read_bytes() for path in made])
            with Image.open(made[0]) as picture:
                assert picture.info["Description"].startswith("Training curves")
            assert [path.name for path in tmp_path.rglob("*.png") if path.name.startswith(".")] == []
        assert contents[0] == contents[1]


class TestLive:
    @pytest.fixture
    def shown(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
        """What is displayed, and what takes its place, as (what happened, alternative text)."""
        displayed: list[tuple[str, str]] = []

        class Handle(DisplayHandle):
            def update(self, data: dict[str, str], **options: Any) -> None:
                displayed.append(("update", options["metadata"]["image/png"]["alt"]))

        def display(data: dict[str, str], display_id: bool, **options: Any) -> Handle:
            assert display_id
            displayed.append(("display", options["metadata"]["image/png"]["alt"]))
            return Handle()

        monkeypatch.setattr("eqvi.viz.figure.display", display)
        return displayed

    def carry_out(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(monitor, "save_own", lambda picture, name: folder / "curves.png")
        make_run(folder, 4, 4)
        with monitor.LiveCurves(folder, "13_curves") as live:
            for step in (0, 2, 4):
                live(Progress(folder, step, 4, {}, (example("blend", "warp", "model"),)))

    def break_off(self, folder: Path, *steps: int) -> None:
        with monitor.LiveCurves(folder, "13_curves") as live:
            for step in steps:
                live(Progress(folder, step, 10, {}, (example("blend", "warp", "model"),)))
            raise KeyboardInterrupt

    def test_one_picture_in_place(
        self, tmp_path: Path, shown: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, unchecked: None
    ) -> None:
        monkeypatch.setattr(monitor, "get_ipython", lambda: type("Shell", (), {"kernel": object()}))
        self.carry_out(tmp_path, monkeypatch)
        assert [what for what, _ in shown] == ["display", "update", "update", "update"]
        assert shown[0][1] == "Training, step 0 of 4."
        assert shown[-1][1].startswith("Training curves of stage scratch, step 4 of 4")

    def test_curves_move_between_scores(
        self, tmp_path: Path, shown: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, unchecked: None
    ) -> None:
        monkeypatch.setattr(monitor, "get_ipython", lambda: type("Shell", (), {"kernel": object()}))
        make_run(tmp_path, 4, 10)
        with (tmp_path / "curve.csv").open("a") as file:
            file.write(file_line(tmp_path / "curve.csv", "5"))
        live = monitor.LiveCurves(tmp_path, "13_curves")
        live.refresh()
        assert shown[0][0] == "display"
        assert "step 5 of 10" in shown[0][1]
        assert (tmp_path / "curves.png").is_file()

    def test_an_interrupted_run_is_there_again_from_the_start(
        self,
        tmp_path: Path,
        shown: list[tuple[str, str]],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(monitor, "get_ipython", lambda: type("Shell", (), {"kernel": object()}))
        make_run(tmp_path, 4, 10)
        with pytest.raises(KeyboardInterrupt):
            self.break_off(tmp_path, 4)
        assert shown == [("display", "Training, step 4 of 10.")]
        assert capsys.readouterr().out == "Interrupted: run this cell again to resume.\n"
        with pytest.raises(KeyboardInterrupt):
            self.break_off(tmp_path)
        assert shown[1:] == [("display", "Training, as far as the run has come.")]

    def test_nothing_outside_a_notebook(
        self, tmp_path: Path, shown: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.carry_out(tmp_path, monkeypatch)
        assert shown == []
        assert len(list((tmp_path / "examples").glob("step_*.png"))) == 3
