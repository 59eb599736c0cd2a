"""Execution of one notebook without a browser; the result depends on nothing but the source.

papermill executes. Added here: the kernel is always the running Python, everything that differs between two runs of one
notebook is removed from the result, and a failure of any kind never looks like a result.
"""

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import nbformat
import papermill
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbformat import NotebookNode
from traitlets import CaselessStrEnum, Unicode, default
from traitlets.config import Config

from eqvi.errors import InputError
from eqvi.files import replacing
from eqvi.paths import PACKAGE, REPLACES, ROOT

_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

# papermill and nbclient log every failure besides raising it; once is enough.
logging.getLogger("papermill").addHandler(logging.NullHandler())


class NotebookFailure(Exception):
    """A notebook did not run to its end. Its text is one line: the cell, the error, where the copy is."""


class WatchfulClient(AsyncKernelClient):
    """A client that polls for the kernel's reply once a second.

    nbclient answers a widget that captures output on the same socket on which it waits for the end of the cell. pyzmq
    wakes a waiter only when a socket changes, and such an answer can consume that event: the reply then stays unread,
    and the notebook hangs (pyzmq 27.3, nbclient 0.11).
    """

    async def is_alive(self) -> bool:
        """Whether the kernel lives, which nbclient asks every second while a cell runs."""
        assert self.shell_channel.socket is not None
        await self.shell_channel.socket.poll(1)  # wakes any other task that waits for this socket
        return await super().is_alive()


class ThisPython(AsyncKernelManager):
    """A kernel of the running interpreter, connected through Unix sockets.

    Jupyter would search several folders for a kernel named ``python3``, where another environment may have left its
    own. The kernel also starts with an empty IPython folder, without the user's start-up files and history, and with a
    fixed hash seed.
    """

    folder = Unicode(help="an empty folder for the sockets and for IPython").tag(config=True)
    package = Unicode(help="the folder that the kernel imports this package from").tag(config=True)
    replaces = Unicode(help="the committed folders that the notebook may replace files in").tag(config=True)
    transport = CaselessStrEnum(["tcp", "ipc"], default_value="ipc")

    #: Every kernel that this process has started.
    started: ClassVar[list["ThisPython"]] = []

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.started.append(self)

    @classmethod
    def kill_all(cls) -> None:
        """End the kernels of this process at once: an interruption can come before anybody else knows of them."""
        for manager in cls.started:
            process = getattr(manager.provisioner, "process", None)
            if process is not None:
                process.kill()
                process.wait()

    @default("client_factory")
    def _client_factory_default(self) -> type[AsyncKernelClient]:
        return WatchfulClient

    @default("connection_file")
    def _connection_file_default(self) -> str:
        return os.path.join(self.folder, "kernel.json")

    async def _async_interrupt_kernel(self) -> None:
        """Interrupt the kernel, but not to shut it down: one that has only just become idle would log an error."""
        if not self.shutting_down:
            await super()._async_interrupt_kernel()

    @property
    def kernel_spec(self) -> KernelSpec:
        """How to start the kernel."""
        backend = "module://matplotlib_inline.backend_inline"
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name=_METADATA["kernelspec"]["display_name"],
            language=_METADATA["kernelspec"]["language"],
            env={
                "IPYTHONDIR": self.folder,
                "MPLBACKEND": backend,
                "PYTHONHASHSEED": "0",
                REPLACES: self.replaces,
                # First, because an environment that was copied or renamed with its clone has the original installed.
                "PYTHONPATH": os.pathsep.join(filter(None, (self.package, os.environ.get("PYTHONPATH")))),
                **_matplotlib_settings(self.folder),
            },
        )


def _matplotlib_settings(folder: str) -> dict[str, str]:
    """Where matplotlib keeps its list of fonts, if not in the user's home: it would print a warning there."""
    home = os.environ.get("MPLCONFIGDIR") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~")
    if os.access(home, os.W_OK):
        return {}
    settings = {"MPLCONFIGDIR": folder}
    if not any(Path(folder).glob("fontlist*")):
        # Made in advance: where that takes long, matplotlib says so in the notebook.
        command = [sys.executable, "-c", "import matplotlib.font_manager"]
        subprocess.run(command, env=os.environ | settings, capture_output=True, check=False)
    return settings


def read(path: Path) -> NotebookNode:
    """A notebook with the metadata of a Python kernel.

    Raises:
        InputError: the file is missing or holds no notebook.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: name a notebook that can be read") from error
    except Exception:  # nbformat raises half a dozen kinds, some of them plain Exception
        notebook = None
    if not isinstance(notebook, NotebookNode) or not _has_cells(notebook):  # nbformat also reads other JSON
        raise InputError(f"{path} is not a Jupyter notebook: name an .ipynb file")
    notebook.metadata.update(_METADATA)
    return notebook


def _has_cells(notebook: NotebookNode) -> bool:
    """Whether all cells are such that can be run and written."""
    cells = notebook.get("cells")
    return (
        isinstance(notebook.get("nbformat_minor"), int)
        and isinstance(notebook.get("metadata"), NotebookNode)
        and isinstance(cells, list)
        and all(
            isinstance(cell, NotebookNode)
            and isinstance(cell.get("cell_type"), str)
            and isinstance(cell.get("source"), str)
            and isinstance(cell.get("metadata"), NotebookNode)
            and isinstance(cell.metadata.get("tags", []), list)
            and isinstance(cell.get("outputs", None if cell["cell_type"] == "code" else []), list)
            for cell in cells
        )
    )


def parameters_of(path: Path) -> dict[str, str]:
    """The parameters that a notebook declares in its tagged cell, with their defaults as source text.

    Raises:
        InputError: as `read`.
    """
    return {name: info["default"] for name, info in papermill.inspect_notebook(read(path)).items()}


def execute(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    timeout: int | None = None,
    replaces: Iterable[str] = ("figures", "results"),
) -> None:
    """Run a notebook in its own folder, as JupyterLab does, and write the executed copy.

    Args:
        notebook: the source; never written to.
        output: the executed copy; an older one is replaced once every cell has run.
        parameters: values for the cell tagged ``parameters``; check the names first with `parameters_of`.
        timeout: seconds that one cell may take; no limit if None.
        replaces: the committed folders that it may replace files in (`eqvi.paths.writable`).

    Raises:
        NotebookFailure: a cell raised, ran out of time, or the kernel died. What was executed is kept as
            ``NAME.failed.ipynb`` beside `output`, and `output` is left as it was.
        InputError: the copy cannot be written.
    """
    failed = output.with_name(f"{output.stem}.failed.ipynb")
    copies: list[NotebookNode] = []  # the copy being executed: papermill does not return it when it fails
    started: list[NotebookNode] = []  # code cells
    try:
        with _folder_of_kernel() as folder:
            kernel = {"folder": folder, "package": str(_project(notebook)), "replaces": " ".join(replaces)}
            executed = papermill.execute_notebook(
                read(notebook),
                None,
                dict(parameters),
                cwd=notebook.resolve().parent,
                # disable=None: shown on a terminal only
                progress_bar={"desc": notebook.stem, "leave": False, "disable": None},
                execution_timeout=timeout,
                kernel_manager_class=ThisPython,
                config=Config(ThisPython=kernel),
                coalesce_streams=True,
                record_timing=False,
                on_notebook_start=lambda notebook: copies.append(notebook),
                on_cell_start=lambda cell, cell_index: started.append(cell) if cell.cell_type == "code" else None,
            )
        if len(started) < sum(cell.cell_type == "code" for cell in executed.cells):
            raise SystemExit("the notebook left before its end")  # papermill lets sys.exit(0) pass
    except (Exception, SystemExit) as error:  # a cell's exception, a timeout, a dead kernel
        where = f"cell [{len(started)}] failed" if started else "no cell was run"
        place = f" (executed so far: {failed})" if copies else ""
        for copy in copies:
            _write(copy, failed)
        raise NotebookFailure(f"{notebook.name}: {where}: {_one_line(error)}{place}") from error
    _write(executed, output)
    failed.unlink(missing_ok=True)


@contextlib.contextmanager
def _folder_of_kernel() -> Iterator[str]:
    """A temporary folder; the kernels that use it are ended before it is removed, when somebody interrupts."""
    # A kernel that nobody knows of yet may write there at this moment: that is not to hide the interruption.
    with tempfile.TemporaryDirectory(prefix="eqvi-", dir=_short_folder(), ignore_cleanup_errors=True) as folder:
        try:
            yield folder
        except KeyboardInterrupt:
            # What Jupyter's event loop finds of it when it is torn down is no news.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            ThisPython.kill_all()
            raise


def _short_folder() -> str | None:
    """Where to make temporary folders for sockets, whose paths may have about 100 characters; None: anywhere."""
    folders = (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")
    return next((name for name in folders if len(os.fsencode(name)) < 60 and os.access(name, os.W_OK)), None)


def _project(notebook: Path) -> Path:
    """The project that a notebook belongs to: the one whose folder ``notebooks`` it is in, else this one."""
    folder = notebook.resolve().parent.parent
    return folder if (folder / PACKAGE.name / "paths.py").is_file() else ROOT


def _one_line(error: BaseException) -> str:
    if isinstance(error, papermill.PapermillExecutionError):
        kind, text = error.ename, error.evalue
    else:
        kind, text = type(error).__name__, str(error)
    lines = text.strip().splitlines()
    return f"{kind}: {lines[0]}" if lines else kind


def _write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook without what differs between runs or machines."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.id = "injected-parameters"
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            # Widgets have random names and no kernel: each has a static twin in its notebook.
            cell.outputs = [output for output in cell.outputs if _WIDGET_VIEW not in output.get("data", {})]
    with replacing(path) as partial:
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, partial)
