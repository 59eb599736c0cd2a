"""Figures: the study's style, the files that they are saved to, and showing them in a notebook. Needs no torch.

Figures are dark on white (readable in print, and as a card on a dark screen), their colours are Okabe and Ito's, which
readers with any colour vision can tell apart, and no line is identified by its colour alone.
"""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from IPython.display import DisplayHandle, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from eqvi.errors import InputError
from eqvi.files import replacing
from eqvi.paths import FIGURES, shown, writable
from eqvi.viz.palette import INK, MUTED

DPI = 110
#: Width of every figure in inches.
WIDTH = 9.0
#: Largest size of a saved figure.
MAX_BYTES = 400_000

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9.5, "axes.titlesize": 9.5, "axes.labelsize": 9.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED, "axes.grid": True,
    "grid.color": "#dddddd", "axes.axisbelow": True, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK,
    "ytick.color": INK, "legend.frameon": False, "figure.facecolor": "white", "axes.facecolor": "white",
}  # fmt: skip


@dataclass(frozen=True)
class Page:
    """A drawn figure and its alt text."""

    figure: Figure
    alt: str


@contextmanager
def blank(height: float, layout: Literal["constrained"] | None = None) -> Iterator[Figure]:
    """An empty figure, `height` inches tall; the study's style holds for what the ``with`` block draws."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout=layout)
        FigureCanvasAgg(figure)
        yield figure


def show(page: Page, name: str) -> None:
    """Save the page as ``figures/name.png`` and show that file below the cell, with its alt text."""
    show_file(save_own(page, name), page.alt)


def save_own(page: Page, name: str) -> Path:
    """Save the page as ``figures/name.png``.

    Outside the study's own command that is in ``build/play``, and the first cell that saves a figure says so.
    """
    folder = writable(FIGURES)
    path = save(page, name, folder)
    if folder != FIGURES:
        _say_where(folder)
    return path


@cache
def _say_where(folder: Path) -> None:
    print(f"figures of this run are saved in {shown(folder)}/; the study's own stay as they are")


def show_file(path: Path, alt: str, handle: DisplayHandle | None = None) -> DisplayHandle:
    """Show a PNG file below the cell, or in place of what `handle` shows; returns the handle to replace it."""
    data = {"image/png": base64.b64encode(path.read_bytes()).decode(), "text/plain": alt}
    options: dict[str, Any] = {"raw": True, "metadata": {"image/png": {"alt": alt}}}
    if handle is None:
        return display(data, display_id=True, **options)
    handle.update(data, **options)
    return handle


def save(page: Page, name: str, folder: Path) -> Path:
    """Write ``folder/name.png`` with the alt text inside; the same page gives the same bytes.

    A page of more than `MAX_BYTES` is reduced to its 256 best colours.

    Raises:
        InputError: the page is too large even so, or cannot be written.
    """
    picture = _drawn(page)
    data = _png(picture, page.alt)
    if len(data) > MAX_BYTES:
        data = _png(_reduced(picture), page.alt)
    if len(data) > MAX_BYTES:
        raise InputError(f"figure {name} has {len(data)} bytes, more than {MAX_BYTES}: show fewer or smaller pictures")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    with replacing(path) as partial:
        partial.write_bytes(data)
    return path


def png(page: Page) -> bytes:
    """The page as a PNG file, for a widget that shows it."""
    return _png(_drawn(page), page.alt)


def _drawn(page: Page) -> Image.Image:
    page.figure.canvas.draw()
    return Image.fromarray(np.asarray(page.figure.canvas.buffer_rgba())[..., :3])  # type: ignore[attr-defined]


def _png(picture: Image.Image, alt: str) -> bytes:
    description = PngImagePlugin.PngInfo()
    description.add_itxt("Description", alt)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, pnginfo=description, dpi=(DPI, DPI))
    return file.getvalue()


def _reduced(picture: Image.Image) -> Image.Image:
    """The picture in its 256 best colours, dithered, with white kept white."""
    sample = picture.resize((picture.width // 3, picture.height // 3), Image.Resampling.NEAREST)
    entries = np.array(sample.quantize(256, kmeans=1).getpalette()).reshape(-1, 3)
    # Pillow looks colours up by a coarse grid: a near-white in the palette would stand for white.
    entries[entries.min(axis=1) > 247] = 255
    palette = Image.new("P", (1, 1))
    palette.putpalette(entries.flatten().tolist())
    return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
