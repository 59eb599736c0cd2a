"""JupyterLab's files: what is opened, run and saved marks no notebook of the study as changed."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from eqvi.cli import lab, lab_files
from eqvi.cli.lab_files import SavedAside
from eqvi.paths import ROOT


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SavedAside:
    """A project of one notebook with its own folder for what is saved."""
    monkeypatch.setattr(lab_files, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(lab_files, "SAVED", tmp_path / "build" / "lab")
    (tmp_path / "notebooks").mkdir()
    cell = nbformat.v4.new_code_cell("size: int = 3", id="given", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks" / "01_first.ipynb")
    return SavedAside(root_dir=str(tmp_path))


def play(files: SavedAside, path: str = "notebooks/01_first.ipynb", source: str = "size: int = 5") -> None:
    """What JupyterLab does with a notebook whose parameter was changed and whose cells were run."""
    model: dict[str, Any] = asyncio.run(files.get(path))
    cell = model["content"]["cells"][0]
    cell["source"], cell["execution_count"] = source, 1
    cell["outputs"] = [nbformat.v4.new_output("stream", text="5\n")]
    asyncio.run(files.save(model | {"path": path}, path))


def first_cell(files: SavedAside, path: str = "notebooks/01_first.ipynb") -> str:
    return asyncio.run(files.get(path))["content"]["cells"][0]["source"]


def test_a_notebook_is_saved_aside_and_opened_as_saved(files: SavedAside, tmp_path: Path) -> None:
    notebook = tmp_path / "notebooks" / "01_first.ipynb"
    committed = notebook.read_bytes()
    play(files)
    assert notebook.read_bytes() == committed
    assert first_cell(files) == "size: int = 5"
    play(files, source="size: int = 6")
    asyncio.run(files.restore_checkpoint("checkpoint", "notebooks/01_first.ipynb"))
    assert notebook.read_bytes() == committed


def test_a_source_that_has_changed_is_opened_and_the_older_copy_kept(files: SavedAside, tmp_path: Path) -> None:
    play(files)
    notebook = tmp_path / "notebooks" / "01_first.ipynb"
    newer = nbformat.read(notebook, as_version=4)
    newer.cells[0].source = "size: int = 4"
    nbformat.write(newer, notebook)
    assert first_cell(files) == "size: int = 4"
    committed = notebook.read_bytes()
    play(files, source="size: int = 7")
    assert notebook.read_bytes() == committed
    older = nbformat.read(tmp_path / "build" / "lab" / "01_first.older.ipynb", as_version=4)
    assert older.cells[0].source == "size: int = 5"


def test_other_files_are_saved_in_their_place(files: SavedAside, tmp_path: Path) -> None:
    (tmp_path / "mine.ipynb").write_bytes((tmp_path / "notebooks" / "01_first.ipynb").read_bytes())
    play(files, "mine.ipynb")
    assert "size: int = 5" in (tmp_path / "mine.ipynb").read_text()


def test_jupyterlab_takes_the_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "SAVED", tmp_path)
    command = [sys.executable, "-m", "jupyterlab", *lab.options(), "--show-config"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0
    assert "eqvi.cli.lab_files.SavedAside" in done.stdout
    assert "/lab/tree/notebooks/00_start.ipynb" in done.stdout
