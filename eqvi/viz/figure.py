"""The page that every figure of the study is drawn on: its style, its file, its place in a notebook. Knows no torch.

Pages are dark on white (readable printed, and as a card on a dark screen), their colours are Okabe and Ito's, which
readers with any colour vision can tell apart, and no line is known by its colour alone.
"""

import base64
import io
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from eqvi.errors import InputError
from eqvi.paths import FIGURES

DPI = 110
WIDTH = 9.0
MAX_BYTES = 400_000

#: Okabe and Ito's palette.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
INK, MUTED = "#1a1a1a", "#666666"
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9.5, "axes.titlesize": 9.5, "axes.labelsize": 9.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED, "axes.grid": True,
    "grid.color": "#dddddd", "axes.axisbelow": True, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK,
    "ytick.color": INK, "legend.frameon": False, "figure.facecolor": "white", "axes.facecolor": "white",
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A page and the words that stand for it where it cannot be seen."""

    figure: Figure
    alt: str


def blank(height: float) -> Figure:
    """An empty page, `height` inches tall."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def styled() -> AbstractContextManager[None]:
    """The study's style, for what is drawn inside the ``with``."""
    return matplotlib.rc_context(_STYLE)


def _reduced(page: Image.Image) -> Image.Image:
    """The page in its 256 best colours, dithered, with the paper kept white."""
    sample = page.resize((page.width // 3, page.height // 3), Image.Resampling.NEAREST)
    entries = np.array(sample.quantize(256, kmeans=1).getpalette()).reshape(-1, 3)
    # Pillow looks colours up by a coarse grid: a near-white in the palette would stand for white.
    entries[entries.min(axis=1) > 247] = 255
    chosen = Image.new("P", (1, 1))
    chosen.putpalette(entries.flatten().tolist())
    return page.quantize(palette=chosen, dither=Image.Dither.FLOYDSTEINBERG)


def save(picture: Picture, name: str, folder: Path = FIGURES) -> Path:
    """Write ``folder/name.png``, the same bytes every time, with the alt text inside.

    A page of more than `MAX_BYTES` is reduced to its 256 best colours.

    Raises:
        InputError: the page is too large even so.
    """
    picture.figure.canvas.draw()
    page = Image.fromarray(np.asarray(picture.figure.canvas.buffer_rgba())[..., :3])  # type: ignore[attr-defined]
    words = PngImagePlugin.PngInfo()
    words.add_itxt("Description", picture.alt)

    def encoded(page: Image.Image) -> bytes:
        file = io.BytesIO()
        page.save(file, "PNG", optimize=True, pnginfo=words, dpi=(DPI, DPI))
        return file.getvalue()

    data = encoded(page)
    if len(data) > MAX_BYTES:
        data = encoded(_reduced(page))
    if len(data) > MAX_BYTES:
        raise InputError(f"figure {name} has {len(data)} bytes, more than {MAX_BYTES}: show fewer or smaller pictures")
    folder.mkdir(parents=True, exist_ok=True)
    path, partial = folder / f"{name}.png", folder / f".{name}.png"
    partial.write_bytes(data)
    partial.replace(path)
    return path


def show(picture: Picture, name: str) -> None:
    """`save` the picture and show that file below the cell, its alt text with it."""
    path = save(picture, name)
    data = {"image/png": base64.b64encode(path.read_bytes()).decode(), "text/plain": picture.alt}
    display(data, raw=True, metadata={"image/png": {"alt": picture.alt}})


def show_table(markdown: str) -> None:
    """Show a Markdown table below the cell, legible as text as well."""
    display({"text/markdown": markdown, "text/plain": markdown}, raw=True)
