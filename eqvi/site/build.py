"""Puts the site together: pages from templates, pictures, the explorer, and a last look at every link."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from eqvi.errors import InputError
from eqvi.files import replacing_folder
from eqvi.paths import BUILD, FIGURES, NOTEBOOKS, RESULTS, ROOT
from eqvi.site import explorer_data, links, notebooks, verdicts
from eqvi.site.links import Atlas, relative
from eqvi.site.markdown import Heading, Renderer, converter, generated
from eqvi.site.notebooks import ASSETS, Pictures

#: Most that a site may take, in bytes: free hosts take that much.
LARGEST = 40_000_000
#: Generated parts of README.md that the index shows: name, heading, what it is.
PARTS = (
    ("published", "The published table", "Every figure the authors report, and what of it is measured here."),
    ("psnr results/real_clips_x2.csv", "On real footage, twice the frames",
     "Every second frame left out and put back; mean PSNR in dB by clip. eqvi-quarter-dis is our own model."),
    ("leads real_clips_x2 eqvi-quarter-dis", "Our model against the others", "The same frames, paired by clip."),
    ("ablation", "What each part is worth",
     "Small models of our own that differ in one part each, on rendered clips; weights are ours, not the published."),
)  # fmt: skip
FILM, STRIP = "film_loop.webp", "film_strip.png"


@dataclass(frozen=True)
class Study:
    """Where the study is that a site is made of."""

    root: Path = ROOT
    notebooks: Path = NOTEBOOKS
    executed: Path = BUILD / "notebooks"
    figures: Path = FIGURES
    results: Path = RESULTS

    @property
    def readme(self) -> Path:
        """The study in words."""
        return self.root / "README.md"

    @property
    def card(self) -> Path:
        """The model card."""
        return self.results / "weights" / "README.md"

    def name(self, path: Path) -> str:
        """A path as links in the project say it."""
        return path.relative_to(self.root).as_posix()


class Page(NamedTuple):
    """A notebook's page."""

    source: Path
    place: str
    title: str


class Site(NamedTuple):
    """What was made."""

    pages: int
    links: int
    size: int
    left_out: list[str]


Explorer = Callable[[Path], None]


def all_windows(folder: Path) -> None:
    """The explorer of the study's own windows and models."""
    explorer_data.write(folder, explorer_data.windows())


def build(folder: Path, study: Study, explorer: Explorer = all_windows, partial: bool = False) -> Site:
    """Make the site in a folder, in place of what was there once everything is done.

    Args:
        folder: of the site.
        study: what it is made of.
        explorer: writes the explorer's pictures and data.
        partial: leave out notebooks that were not executed instead of refusing.

    Raises:
        InputError: something is missing or does not hold together; `folder` is then as it was.
    """
    folder = folder.resolve()
    sources = sorted(study.notebooks.glob("*.ipynb"))
    absent = [path.name for path in sources if not (study.executed / path.name).is_file()]
    if absent and not partial:
        raise InputError(f"not executed: {', '.join(absent)}: run `make reproduce`, or leave them out by --partial")
    if folder.exists() and any(folder.iterdir()) and not (folder / "explorer" / "data.js").is_file():
        raise InputError(f"{folder} holds something that is no site: give another folder with --out")
    with replacing_folder(folder) as partial_site:
        try:
            _Builder(partial_site, study, [path for path in sources if path.name not in absent]).everything(explorer)
        except OSError as error:
            raise InputError(f"{error.filename or folder}: {error.strerror}: the site was not made") from error
        count = links.check(partial_site)
        size = sum(path.stat().st_size for path in links.files(partial_site))
        if size > LARGEST:
            raise InputError(f"the site takes {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}: show fewer windows")
        pages = len(list(partial_site.rglob("*.html")))
    return Site(pages, count, size, absent)


class _Builder:
    """One site under way."""

    def __init__(self, folder: Path, study: Study, sources: list[Path]) -> None:
        self.folder, self.study = folder, study
        self.executed = {path: notebooks.read(study.executed / path.name) for path in sources}
        self.pages = [
            Page(path, f"notebooks/{path.stem}.html", notebooks.title(notebook))
            for path, notebook in self.executed.items()
        ]
        shown = [path for path in sorted(study.figures.iterdir()) if path.suffix in (".png", ".webp")]
        self.figures = {f"figures/{path.name}": path for path in shown}
        places = {study.name(path): place for place, path in self.figures.items()}
        places |= {study.name(page.source): page.place for page in self.pages}
        places |= {study.name(study.readme): "study.html", study.name(study.card): "model-card.html"}
        self.atlas = Atlas(places)
        self.templates = Environment(
            loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        )  # fmt: skip

    def everything(self, explorer: Explorer) -> None:
        for path in self.figures.values():
            self._copy(path, f"figures/{path.name}")
        for path in sorted(ASSETS.glob("*.css")) + sorted(ASSETS.glob("*.js")):
            self._copy(path, path.name)
        pictures = Pictures(self.figures, self.folder)
        for number, page in enumerate(self.pages):
            self._notebook(number, page, pictures)
        self._document(self.study.readme, "study.html", "The study in full")
        self._document(self.study.card, "model-card.html", "Model card")
        self._gallery()
        self._page("explorer.html", "explorer.html", title="Explorer")
        self._index()
        explorer(self.folder)  # last: it takes longest

    def _copy(self, path: Path, place: str) -> None:
        target = self.folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())

    def _page(self, place: str, template: str, **values: Any) -> None:
        root = relative(".", place)
        values |= {"place": place, "root": "" if root == "." else f"{root}/", "pages": self.pages}
        target = self.folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.templates.get_template(template).render(**values), encoding="utf-8")

    def _notebook(self, number: int, page: Page, pictures: Pictures) -> None:
        renderer = Renderer(self.atlas, self.study.name(page.source), page.place)
        body = notebooks.body(self.executed[page.source], page.place, converter(renderer), pictures)
        before = self.pages[number - 1] if number else None
        after = self.pages[number + 1] if number + 1 < len(self.pages) else None
        self._page(
            page.place, "notebook.html", title=page.title, body=body, contents=_contents(renderer.headings),
            before=before, after=after,
        )  # fmt: skip

    def _document(self, path: Path, place: str, title: str) -> None:
        renderer = Renderer(self.atlas, self.study.name(path), place)
        body = converter(renderer)(_text(path))
        self._page(place, "document.html", title=title, body=body, contents=_contents(renderer.headings))

    def _gallery(self) -> None:
        groups: list[tuple[str, str | None, list[dict[str, Any]]]] = []
        shown = {page.source.name[:2]: page for page in self.pages}
        for place, path in self.figures.items():
            number = path.name[:2]
            page = shown.get(number)
            title = page.title if page else ("The film" if path.stem.startswith("film") else f"Notebook {number}")
            if not groups or groups[-1][0] != title:
                groups.append((title, page.place if page else None, []))
            with Image.open(path) as picture:
                width, height = picture.size
                words = picture.info.get("Description") or path.stem.replace("_", " ")
            groups[-1][2].append({"src": place, "alt": words, "width": width, "height": height})
        self._page("figures.html", "figures.html", title="All figures", groups=groups)

    def _index(self) -> None:
        readme, name = _text(self.study.readme), self.study.name(self.study.readme)
        render = converter(Renderer(self.atlas, name, "index.html"))
        tables = []
        for part, heading, words in PARTS:
            table = generated(readme, part)
            if table is None:
                raise InputError(f"{name} has no generated part {part!r}: run `python -m eqvi readme`")
            tables.append({"heading": heading, "words": words, "table": render(table)})
        title, _, rest = readme.partition("\n")
        self._page(
            "index.html", "index.html", title=title.removeprefix("# ").strip(),
            abstract=render(rest.partition("\n## ")[0].partition("\n![")[0]),
            groups=verdicts.groups(self.study.results), tables=tables, settles=_settles(readme, render),
            film=f"figures/{FILM}" in self.figures and f"figures/{STRIP}" in self.figures,
        )  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: a site takes it from the project") from error


def _contents(headings: list[Heading]) -> list[Heading]:
    return [one for one in headings if one.level in (2, 3)]


def _settles(readme: str, render: Callable[[str], str]) -> dict[str, str]:
    """What each notebook settles, by its number: from the table of notebooks in README.md."""
    found = {}
    for line in readme.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if line.startswith("| [") and len(cells) == 2 and ".ipynb)" in cells[0]:
            text = render(cells[1]).strip().removeprefix("<p>").removesuffix("</p>")
            found[cells[0][1:3]] = text
    return found
