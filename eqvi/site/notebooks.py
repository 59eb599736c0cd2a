"""Executed notebooks as pages: nbconvert's basic HTML with our cell template, pictures as files."""

import base64
import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from PIL import Image

from eqvi.errors import InputError
from eqvi.site.links import relative

ASSETS = Path(__file__).parent / "assets"
_EMBEDDED = re.compile(r'src="data:(?:video|image)/(?P<kind>mp4|webm|png|webp|jpeg);base64,(?P<data>[^"]+)"')


class PictureStore:
    """The pictures of a site by content: a figure that a notebook shows again is stored once.

    Args:
        figures: the study's figures by their path in the site.
        folder: the site, into which further pictures are written.
    """

    def __init__(self, figures: dict[str, Path], folder: Path) -> None:
        self.folder = folder
        self._places = {hashlib.sha256(path.read_bytes()).digest(): place for place, path in figures.items()}

    def place(self, data: bytes, name: str) -> str:
        """The path of a picture in the site; a new one is written as `name`."""
        digest = hashlib.sha256(data).digest()
        if digest not in self._places:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self._places[digest] = name
        return self._places[digest]


def title(notebook: NotebookNode) -> str:
    """The first heading of a notebook."""
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


def body(notebook: NotebookNode, page: str, markdown: Callable[[str], str], pictures: PictureStore) -> str:
    """The cells of a notebook as HTML.

    Args:
        notebook: executed.
        page: its path in the site.
        markdown: from Markdown to HTML.
        pictures: stores those that cells show.
    """
    copy = nbformat.from_dict(notebook)
    number = 0
    for cell in copy.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                number += 1
                place = f"pictures/{Path(page).stem}_{number}.png"
                output.metadata["shown"] = _image_attributes(output, page, place, pictures)
            if "text/html" in data:
                number += 1
                name = f"pictures/{Path(page).stem}_{number}"
                data["text/html"] = _extract_embedded(data["text/html"], page, name, pictures)
    exporter = HTMLExporter(
        raw_template=(ASSETS / "cells.html").read_text(encoding="utf-8"),
        template_name="basic",
        filters={"prose": markdown, "count": lambda source: len(source.splitlines())},
    )
    return exporter.from_notebook_node(copy)[0]


def _image_attributes(output: Any, page: str, name: str, pictures: PictureStore) -> dict[str, Any]:
    data = base64.b64decode(output.data["image/png"])
    alt = output.metadata.get("image/png", {}).get("alt") or output.data.get("text/plain", "")
    with Image.open(io.BytesIO(data)) as picture:
        width, height = picture.size
    return {"src": relative(pictures.place(data, name), page), "alt": alt, "width": width, "height": height}


def _extract_embedded(text: str, page: str, name: str, pictures: PictureStore) -> str:
    """A cell's HTML with its embedded videos and pictures as files."""
    number = 0

    def link(match: re.Match[str]) -> str:
        nonlocal number
        number += 1
        place = f"{name}_{number}.{match['kind']}"
        return f'src="{relative(pictures.place(base64.b64decode(match["data"]), place), page)}"'

    return _EMBEDDED.sub(link, text)
