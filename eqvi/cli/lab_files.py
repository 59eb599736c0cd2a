"""The files that JupyterLab sees: the project's, except that the study's notebooks are saved in ``build/lab``.

JupyterLab saves a notebook every two minutes, with its outputs and the parameters that somebody tries. That must not
change what is committed. Paths, links and the kernel's folder are those of ``notebooks/`` all the same.
"""

import filecmp
import os
import shutil
from pathlib import Path
from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

from eqvi.cli.lab import SAVED
from eqvi.paths import NOTEBOOKS


class SavedAside(AsyncLargeFileManager):
    """The project's files; of a notebook of the study what was saved last, unless its source has changed since."""

    async def save(self, model: dict[str, Any], path: str = "") -> Any:
        """Save a file; a notebook of the study into `SAVED`."""
        self._make_copy(path)
        return await super().save(model, path)

    async def restore_checkpoint(self, checkpoint_id: str, path: str) -> Any:
        """Restore a file; a notebook of the study in `SAVED`."""
        self._make_copy(path)
        return await super().restore_checkpoint(checkpoint_id, path)

    def _get_os_path(self, path: str) -> str:
        source = Path(super()._get_os_path(path))
        copy = SAVED / source.name
        return str(copy) if _is_ours(source) and _is_current(copy, source) else str(source)

    def _make_copy(self, path: str) -> None:
        """Have a copy of a notebook in `SAVED`; one of an older source is kept under another name."""
        source = Path(super()._get_os_path(path))
        copy = SAVED / source.name
        if not _is_ours(source) or _is_current(copy, source):
            return
        _base(copy).parent.mkdir(parents=True, exist_ok=True)
        if copy.exists():
            os.replace(copy, copy.with_suffix(".older.ipynb"))
        for target in (copy, _base(copy)):
            shutil.copyfile(source, target)


def _is_ours(source: Path) -> bool:
    return source.suffix == ".ipynb" and source.parent == NOTEBOOKS and source.is_file()


def _base(copy: Path) -> Path:
    """The source that a copy began as."""
    return copy.parent / "sources" / copy.name


def _is_current(copy: Path, source: Path) -> bool:
    base = _base(copy)
    return copy.is_file() and base.is_file() and filecmp.cmp(base, source, shallow=False)
