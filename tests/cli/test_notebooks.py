"""Every notebook of the study runs to its end, in a copy of the project, at the size of `make reproduce` or less."""

import shutil
from pathlib import Path

import nbformat
import pytest

from eqvi.cli import headless, study
from eqvi.paths import FIGURES, NOTEBOOKS, RESULTS, ROOT, WEIGHTS

#: What takes minutes at the size of `make reproduce`, smaller.
SMALLER = {
    "07_interpolate_your_video": {"limit": 5, "size": 144},
    "10_evaluate": {"clips": 2},
    "11_motion_error": {"clips": 4},
    "13_train": {"steps": 8, "windows": 12, "scored": 2, "score_every": 4},
    "14_stages": {"steps": 2, "scored": 1},
    "15_flow_error": {"clips": 3},
    "16_ablation": {"clips": 2, "every": 6},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project that kernels import the package from, so that nothing here is written to."""
    for folder in (ROOT / "eqvi", NOTEBOOKS, RESULTS):
        if folder.exists():
            hidden = shutil.ignore_patterns("__pycache__", ".*", WEIGHTS.name)
            shutil.copytree(folder, tmp_path / folder.relative_to(ROOT), ignore=hidden)
    if WEIGHTS.exists():
        (tmp_path / WEIGHTS.relative_to(ROOT)).symlink_to(WEIGHTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("source", study.all_notebooks(), ids=lambda path: path.stem)
def test_notebook_runs(project: Path, source: Path) -> None:
    shared = study.read_params(study.QUICK, {path.stem for path in study.all_notebooks()})
    given = study.assign(shared, [], {source: headless.parameters_of(source)})
    executed = project / "executed.ipynb"
    values = given[source] | SMALLER.get(source.stem, {})
    headless.execute(project / "notebooks" / source.name, executed, values, timeout=600)

    for cell in nbformat.read(executed, as_version=4).cells:
        for shown in cell.get("outputs", []):
            assert shown.get("name") != "stderr", f"a warning or a progress bar: {shown.text}"
            text = shown.get("text", "") + shown.get("data", {}).get("text/plain", "")
            assert " at 0x" not in text, f"the address of an object: {text}"
    made = {path.name for path in (project / "figures").glob("*.png")}
    assert made == {path.name for path in FIGURES.glob(f"{source.stem.partition('_')[0]}_*.png")}, (
        "figures/ is not up to date"
    )
