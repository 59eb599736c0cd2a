"""Executed notebooks as pages: nbconvert's bare HTML with our cells, pictures as files."""

import base64
import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from PIL import Image

from eqvi.errors import InputError
from eqvi.site.links import relative

_CARRIED = re.compile(r'src="data:(?:video|image)/(?P<kind>mp4|webm|png|webp|jpeg);base64,(?P<data>[^"]+)"')
ASSETS = Path(__file__).parent / "assets"


class Pictures:
    """The pictures of a site by what they hold: a figure that a notebook shows again is not kept twice.

    Args:
        figures: the study's figures by their path in the site.
        folder: the site, into which further pictures are written.
    """

    def __init__(self, figures: dict[str, Path], folder: Path) -> None:
        self.folder = folder
        self._known = {_digest(path.read_bytes()): place for place, path in figures.items()}

    def place(self, data: bytes, name: str) -> str:
        """Where in the site a picture is; it is written as `name` if it was not there."""
        digest = _digest(data)
        if digest not in self._known:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self._known[digest] = name
        return self._known[digest]


class Shown(NamedTuple):
    """A picture as a cell's output: its place seen from the page, its words and size."""

    src: str
    alt: str
    width: int
    height: int


def title(notebook: NotebookNode) -> str:
    """The heading that a notebook begins with."""
    first = notebook.cells[0].source if notebook.cells else ""
    return first.partition("\n")[0].removeprefix("# ").strip()


def read(path: Path) -> NotebookNode:
    """An executed notebook.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises half a dozen kinds, some of them plain Exception
        raise InputError(f"{path} is not an executed notebook: run the study again") from error


def body(notebook: NotebookNode, page: str, markdown: Callable[[str], str], pictures: Pictures) -> str:
    """The cells of a notebook as HTML.

    Args:
        notebook: executed.
        page: where in the site it goes.
        markdown: from Markdown to HTML.
        pictures: takes those that cells show.
    """
    copy = nbformat.from_dict(notebook)
    number = 0
    for cell in copy.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                number += 1
                place = f"pictures/{Path(page).stem}_{number}.png"
                output.metadata["shown"] = _shown(output, page, place, pictures)
            if "text/html" in data:
                number += 1
                data["text/html"] = _unpacked(data["text/html"], page, f"{Path(page).stem}_{number}", pictures)
    exporter = HTMLExporter(
        raw_template=(ASSETS / "cells.html").read_text(encoding="utf-8"),
        template_name="basic",
        filters={"prose": markdown, "count": lambda source: len(source.splitlines())},
    )
    return exporter.from_notebook_node(copy)[0]


def _shown(output: Any, page: str, name: str, pictures: Pictures) -> dict[str, Any]:
    data = base64.b64decode(output.data["image/png"])
    alt = output.metadata.get("image/png", {}).get("alt") or output.data.get("text/plain", "")
    with Image.open(io.BytesIO(data)) as picture:
        width, height = picture.size
    return Shown(relative(pictures.place(data, name), page), alt, width, height)._asdict()


def _unpacked(text: str, page: str, name: str, pictures: Pictures) -> str:
    """A cell's HTML with the videos and pictures that it carries within itself as files."""
    number = 0

    def file(found: re.Match[str]) -> str:
        nonlocal number
        number += 1
        place = f"pictures/{name}_{number}.{found['kind']}"
        return f'src="{relative(pictures.place(base64.b64decode(found["data"]), place), page)}"'

    return _CARRIED.sub(file, text)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
