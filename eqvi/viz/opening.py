"""What the first notebook shows: the findings, as a list and with their pictures. Needs no torch."""

from collections.abc import Iterable

from IPython.display import Markdown, display
from PIL import Image

from eqvi.paths import FIGURES
from eqvi.reports.findings import IN_SHORT, Finding
from eqvi.viz.figure import show_file


def show_findings(found: Iterable[Finding], lists: Iterable[str]) -> None:
    """Show the answer in short, then the findings and what the lists of claims hold, as one list."""
    _show(IN_SHORT)
    _show("\n".join(f"- {text}" for text in [*(one.markdown for one in found), *lists]))


def show_pictures(found: Iterable[Finding]) -> None:
    """Show the picture of each finding below its title; where none has been made yet, say so."""
    for one in found:
        words, target = one.evidence
        path = FIGURES / one.picture
        _show(f"**{one.title}** [{words}]({target})" + ("" if path.is_file() else ": not drawn yet"))
        if path.is_file():
            with Image.open(path) as picture:
                alt = str(picture.info.get("Description", one.title))
            show_file(path, alt)


def _show(text: str) -> None:
    """Show Markdown whose links are as seen from the project's folder, in a notebook."""
    for folder, link in (("notebooks/", ""), ("results/", "../results/"), ("figures/", "../figures/")):
        text = text.replace(f"]({folder}", f"]({link}")
    display(Markdown(text))
