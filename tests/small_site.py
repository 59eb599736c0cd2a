"""A study of two tiny executed notebooks and one tiny window, to make a site of."""

import base64
import io
from pathlib import Path

import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image, PngImagePlugin
from small_model import small_model

from eqvi.datasets.rendering import demo_scene
from eqvi.reports.claims import COLUMNS
from eqvi.reports.claims import write as write_claims
from eqvi.reports.findings import Finding
from eqvi.reports.verdict_rule import FAILS, HOLDS, MISSING, OPEN
from eqvi.site.build import PARTS, Study
from eqvi.site.explorer_data import ExplorerWindow, write
from eqvi.viz.quadruplet import from_scene

TIMES = (0.25, 0.5, 0.75)
SIZE = (128, 160)
LEDGER = pd.DataFrame(
    [
        ("quadratic beats linear", 0.4, 0.1, 0.7, HOLDS, "", "study"),
        ("RQFP beats quadratic", -0.2, -0.4, -0.1, FAILS, "other", "study"),
        ("our model beats another", 0.1, -0.4, 0.5, OPEN, "", "study"),
        ("our model on other clips", None, None, None, MISSING, "needs other clips", "study"),
        ("PSNR of the published model", None, None, None, MISSING, "needs REDS_VTSR", "paper"),
    ],
    columns=["claim", "estimate", "low", "high", "verdict", "reason", "list"],
)
# The other fields are empty.
LEDGER = LEDGER.assign(**{name: "" for name, dtype in COLUMNS.items() if dtype == "str" and name not in LEDGER})
LEDGER = LEDGER.assign(kind="difference", metric="epe_visible").reindex(columns=list(COLUMNS)).astype(COLUMNS)


_VIDEO = (
    f'<video controls width="480"><source src="data:video/mp4;base64,{base64.b64encode(b"film").decode()}"></video>'
)


def png(colour: tuple[int, int, int], alt: str = "", size: tuple[int, int] = (40, 20)) -> bytes:
    words = PngImagePlugin.PngInfo()
    words.add_itxt("Description", alt)
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG", pnginfo=words)
    return file.getvalue()


def study(root: Path) -> Study:
    """Write the study."""
    results, figures, notebooks, executed = (root / name for name in ("results", "figures", "notebooks", "executed"))
    for folder in (results / "weights", figures, notebooks, executed):
        folder.mkdir(parents=True)
    parts = "\n\n".join(
        f"<!-- begin: {name} -->\n| model | $x^2$ |\n| --- | ---: |\n| a | 1.5 |\n<!-- end: {name} -->"
        for name, *_ in PARTS
    )
    (root / "README.md").write_text(
        "# Does it hold?\n\nA study of *two* notebooks.\n\n![film](figures/film_loop.webp)\n\n## Notebooks\n\n"
        "| notebook | what it settles |\n| --- | --- |\n| [01 first](notebooks/01_first.ipynb) | what $t$ is |\n\n"
        "See [the code](eqvi/model/motion.py), [below](#the-results) and [outside](https://example.org/x).\n\n"
        "## The results\n\nAre [elsewhere](results/README.md).\n"
    )
    (results / "README.md").write_text(f"# Results\n\n{parts}\n")
    (results / "weights" / "README.md").write_text("# Model card\n\nOf [the study](../../README.md#the-results).\n")
    write_claims(LEDGER, results)
    shown = png((200, 30, 30), "A red picture.")
    (figures / "01_red.png").write_bytes(shown)
    (figures / "film_strip.png").write_bytes(png((30, 30, 200), "A strip."))
    Image.new("RGB", (40, 20)).save(figures / "film_loop.webp")

    first = new_notebook(
        cells=[
            new_markdown_cell(
                "# 01 First\n\nInline $F_{1t} = t\\,F_{12}$ and\n\n$$f(s) = v\\,s + \\tfrac12\\,a\\,s^2 .$$"
            ),
            new_code_cell(
                "print('said < this')",
                outputs=[new_output("stream", text="said < this\n"), _picture(shown), _picture(png((1, 2, 3)), "New.")],
            ),
            new_markdown_cell("## A heading\n\nNext: [02](02_second.ipynb#more), and [data](../results/a.csv)."),
        ]
    )
    table = "| gain $g$ | dB |\n| --- | ---: |\n| " + " ".join(["wide"] * 12) + " | 0.12 |"
    second = new_notebook(
        cells=[
            new_markdown_cell("# 02 Second\n\nAfter [01](01_first.ipynb).\n\n## More"),
            new_code_cell("1 + 1", outputs=[new_output("display_data", {"text/markdown": table, "text/plain": table})]),
            new_code_cell("show(video)", outputs=[new_output("display_data", {"text/html": _VIDEO})]),
        ]
    )
    for name, notebook in (("01_first", first), ("02_second", second)):
        for number, cell in enumerate(notebook.cells):
            cell.id = f"cell-{number}"
        for folder in (notebooks, executed):
            nbformat.write(notebook, folder / f"{name}.ipynb")
    found = Finding(
        "Quadratic motion helps.", "It gains +0.40 dB.", "01_red.png", ("notebook 01", "notebooks/01_first.ipynb")
    )
    return Study(root, notebooks, executed, figures, results, lambda folder: [found])


def windows() -> dict[str, ExplorerWindow]:
    """One window of a rendered scene, through a model with every part and random weights."""
    return {
        "tiny": ExplorerWindow(from_scene(demo_scene("cubic", SIZE), "the demo scene"), small_model(), "random weights")
    }


def explorer(folder: Path) -> None:
    """The explorer of that window."""
    write(folder, windows(), TIMES)


def none(folder: Path) -> None:
    """An explorer without data, for tests that do not look at it."""
    (folder / "explorer").mkdir()
    (folder / "explorer" / "data.js").write_text("window.EQVI_DATA = null;\n")


def _picture(data: bytes, alt: str = "A red picture.") -> nbformat.NotebookNode:
    shown = {"image/png": base64.b64encode(data).decode(), "text/plain": alt}
    return new_output("display_data", shown, metadata={"image/png": {"alt": alt}})
