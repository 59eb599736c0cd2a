"""Reports of a visit to a GPU: ratios and floors are right, what is missing says so, no rehearsal is a result."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eqvi.errors import InputError
from eqvi.reports import gpu

CASE = {"height": 720, "width": 1280, "execution": "eager", "windows": 1}


def write(folder: Path, step: str, tables: dict[str, Any], **values: Any) -> None:
    content = {
        "step": step, "status": "done", "why": "", "seconds": 10.0, "device_kind": "cuda", "toy": False,
        "command": "python -m eqvi gpu", "provenance": {"device": "A GPU", "commit": "abc"}, "tables": tables,
    }  # fmt: skip
    (folder / f"{step}.json").write_text(json.dumps(content | values))


def timed(precision: str, variant: str, seconds: float, peak: float, made: int = 1, number: int = 1) -> dict[str, Any]:
    row = {"precision": precision, "variant": variant, "round": number, "made": made, "seconds": seconds}
    return CASE | row | {"peak_mib": peak}


@pytest.fixture
def visit(tmp_path: Path) -> Path:
    rates = [{"what": f"matrix {name}", "rate": rate, "unit": "TFLOP/s"} for name, rate in (("tf32", 100.0),)]
    write(tmp_path, "environment", {"rates": rates})
    rows = [timed("tf32", "published", 1.0, 3000), timed("tf32", "published", 3.0, 3000, number=2)]
    rows += [timed("tf32", "x2", 0.1, 1000), timed("bfloat16", "x2", 0.05, 1000)]
    work = [{"height": 720, "width": 1280, "variant": "x2", "gflop": 2500.0}]
    out = [CASE | {"precision": "tf32", "variant": "x4", "why": "does not fit into the memory"}]
    out += [CASE | {"precision": name, "variant": "all", "why": "no time left: about 9 s would be needed, 1 s were"}
            for name in ("float32", "bfloat16")]  # fmt: skip
    write(tmp_path, "speed", {"rows": rows, "work": work, "left_out": out})
    return tmp_path


def test_speed_is_held_against_the_published_schedule_and_the_floor(visit: Path) -> None:
    lines = gpu.speed(visit).set_index(["precision", "variant"])
    ours = lines.loc[("tf32", "x2")]
    assert (ours["size"], ours["frames_per_second"], ours["why"]) == ("1280x720", 10, "")
    # The published schedule's median rate is that of 1 and 1/3 a second: 2/3.
    assert ours["ratio"] == pytest.approx(15)
    # Another precision is held against the published schedule in the default one, and has no ratio in its own.
    assert lines.loc[("bfloat16", "x2"), "of_published"] == pytest.approx(30)
    assert pd.isna(lines.loc[("bfloat16", "x2"), "ratio"])
    assert ours["memory_ratio"] == pytest.approx(1 / 3)
    # 2.5 TFLOP at 100 TFLOP/s would take 25 ms of the 100 ms.
    assert ours["of_floor"] == pytest.approx(0.25)
    assert lines.loc[("tf32", "x4"), "why"] == "does not fit into the memory"
    late = gpu.speed(visit).iloc[-1]
    assert (late["variant"], late["why"]) == (
        "2 cases", "no time left for 1280x720 float32 eager, 1280x720 bfloat16 eager"
    )  # fmt: skip


def test_kernels_are_shown_by_what_they_do(visit: Path) -> None:
    kernels = (("sm90_fprop_a", 6, 3.0, 0.3), ("cutlass_gemm_b", 3, 1.5, 0.15), ("nchwToNhwcKernel", 3, 0.3, 0.03),
               ("something", 3, 0.6, 0.06))  # fmt: skip
    names = ("operation", "calls", "milliseconds", "share")
    rows = [CASE | {"precision": "tf32", "windows": 3} | dict(zip(names, kernel, strict=True)) for kernel in kernels]
    write(visit, "speed", {"profile": rows})
    lines = gpu.profile(visit)
    assert lines["kind"].tolist() == ["convolution", "something", "layout and precision"]
    assert lines.loc[0, ["calls", "milliseconds", "share"]].tolist() == pytest.approx([3, 1.5, 0.45])


def test_parity_is_summed_up_by_mode(visit: Path) -> None:
    def stage(mode: str, name: str, largest: float, within: bool, psnr: float | None = None) -> dict[str, Any]:
        row = {"mode": mode, "case": "four frames", "stage": name, "largest": largest, "exceeding": largest / 10}
        return row | {"psnr": psnr, "within": within}

    rows = [stage("float32", "F12", 1e-5, True), stage("float32", "It_warp", 0.5, True, 90.0)]
    rows += [stage("tf32", "F12", 0.2, False), stage("tf32", "It_warp", 0.9, False, 63.0)]
    splat = [{"deterministic": one, "run": run, "largest": 1e-6 * run * (not one), "identical": one}
             for one in (False, True) for run in (1, 2)]  # fmt: skip
    write(visit, "parity", {"stages": rows, "splat": splat})
    lines = gpu.parity(visit).set_index("mode")
    assert lines.loc["float32"].tolist() == [2, 2, 1e-5, 0.05, 90]
    assert lines.loc["tf32"].tolist() == [2, 0, 0.2, pytest.approx(0.09), 63]
    assert gpu.splat(visit).to_numpy().tolist() == [[False, 2, 0, 2e-6], [True, 2, 2, 0]]


def test_training_is_held_against_the_published_schedule(visit: Path) -> None:
    rows = [{"precision": "tf32", "crop": 512, "batch": 12, "variant": name, "round": 1, "made": 12,
             "seconds": seconds, "peak_mib": 1.0} for name, seconds in (("published", 6.0), ("ours", 2.0))]  # fmt: skip
    write(visit, "training_rate", {"rows": rows})
    assert gpu.training_rate(visit)["ratio"].tolist() == [1, 3]
    run = {"run": "finishing", "seed": 0, "step": 10, "steps": 20}
    row = run | {"finished": False, "seconds": 0.5, "timed": 10, "psnr_start": 35.0, "psnr": 36.0}
    write(visit, "weights", {"runs": [row], "left_out": [{"run": "linear_0", "why": "no time", "failed": False}]})
    lines = gpu.weights(visit)
    assert lines.iloc[0].to_dict() == run | {"ms_a_step": 50.0, "psnr_start": 35.0, "psnr": 36.0, "why": ""}
    assert lines.iloc[1][["run", "why"]].tolist() == ["linear_0", "no time"]
    write(visit, "weights", {"runs": [row]})
    assert "why" not in gpu.weights(visit)


def test_rendering_is_counted_at_its_end(visit: Path) -> None:
    rows = [{"event": event, "made": made, "seconds": seconds, "workers": 13}
            for event, made, seconds in (("paused", 100, 4.0), ("ended", 400, 10.0))]  # fmt: skip
    write(visit, "rendering", {"windows": rows})
    assert gpu.rendering(visit).to_dict("records") == [
        {"workers": 13, "made": 400, "seconds": 10.0, "windows_per_second": 40.0}
    ]


def test_a_step_that_is_missing_or_failed_says_so(visit: Path) -> None:
    write(visit, "parity", {}, status="failed", why="RuntimeError: no kernel")
    assert gpu.parity(visit)["result"].tolist() == ["not measured: RuntimeError: no kernel"]
    assert gpu.training_rate(visit)["result"].tolist() == [f"not measured: {gpu.LEFT_OUT}"]
    lines = gpu.steps(visit).set_index("step")
    assert lines.loc["parity", ["status", "device", "commit"]].tolist() == ["failed", "A GPU", "abc"]
    assert lines.loc["weights", ["status", "why"]].tolist() == ["not measured", gpu.LEFT_OUT]
    text = gpu.section(visit)
    assert "1280x720" in text
    assert "not measured: RuntimeError: no kernel" in text


@pytest.mark.parametrize("change", [{"device_kind": "cpu"}, {"toy": True}])
def test_a_rehearsal_is_no_result(visit: Path, change: dict[str, Any]) -> None:
    for step in ("environment", "speed"):
        content = json.loads((visit / f"{step}.json").read_text())
        write(visit, step, content["tables"], **change)
    assert gpu.section(visit) == f"Not measured: {gpu.NO_GPU}."
    assert gpu.speed(visit)["result"].tolist() == [f"not measured: {gpu.NO_GPU}"]


def test_another_file_is_refused(visit: Path) -> None:
    (visit / "speed.json").write_text("{}")
    with pytest.raises(InputError, match=r"speed\.json: is no file of `python -m eqvi gpu`"):
        gpu.section(visit)


def test_a_sentence_names_the_fastest_and_the_published(visit: Path) -> None:
    assert gpu.sentence(visit).startswith(
        "On one A GPU the model at published widths makes new frames of 1280x720, 20 a second at x2 (30 times the "
        "published schedule), in bfloat16; the published schedule of flow calls makes 0.7 in TF32"
    )


def test_a_sentence_prefers_what_interpolate_does(visit: Path) -> None:
    rows = [timed("tf32", "published", 1.0, 3000), timed("bfloat16", "x2", 0.05, 1000)]
    rows.append(timed("bfloat16", "x2", 0.1, 1000) | {"execution": "clip"})
    write(visit, "speed", {"rows": rows})
    assert "1280x720, computed as `eqvi interpolate` does, 10 a second at x2 (10 times the" in gpu.sentence(visit)


def test_without_a_visit_the_sentence_says_so(tmp_path: Path) -> None:
    assert gpu.sentence(tmp_path) == f"Speed on a GPU was not measured: {gpu.NO_GPU}."
