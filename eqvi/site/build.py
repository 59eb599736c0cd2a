"""Builds the site: pages from templates, pictures and the explorer's data; then every link is checked."""

import errno
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from eqvi.errors import InputError
from eqvi.files import reason, replacing_folder, write_failure
from eqvi.paths import BUILD, FIGURES, NOTEBOOKS, RESULTS, ROOT
from eqvi.reports import proved
from eqvi.reports.claim_list import COMMAND
from eqvi.reports.findings import IN_SHORT, Finding, findings
from eqvi.site import explorer_data, links, notebooks, verdicts
from eqvi.site.links import relative
from eqvi.site.markdown import Heading, Renderer, accessible, generated_part
from eqvi.site.notebooks import ASSETS, PictureStore

#: Largest size of a site in bytes, which free hosts accept.
LARGEST = 40_000_000
#: Generated parts of the documents that the index shows: name, heading, what it is.
PARTS = (
    ("published", "The published table", "Every figure the authors report, and what of it is measured here."),
    ("psnr results/real_clips_x2.csv", "On real footage, twice the frames",
     "Every second frame left out and put back; mean PSNR in dB by clip. eqvi-quarter-dis is our own model."),
    ("leads real_clips_x2 eqvi-quarter-dis", "Our model against the others", "The same frames, paired by clip."),
    ("ablation", "What each part is worth",
     "Small models of our own that differ in one part each, on rendered clips; weights are ours, not the published."),
)  # fmt: skip
FILM, STRIP = "figures/film_loop.webp", "figures/film_strip.png"


@dataclass(frozen=True)
class Study:
    """The folders of the study that a site is made of."""

    root: Path = ROOT
    notebooks: Path = NOTEBOOKS
    executed: Path = BUILD / "notebooks"
    figures: Path = FIGURES
    results: Path = RESULTS
    findings: Callable[[Path], Sequence[Finding]] = findings

    @property
    def documents(self) -> dict[str, tuple[Path, str]]:
        """The documents by page: file and title. The results in full are left out where they are not written."""
        pages = {
            "study.html": (self.root / "README.md", "The study in full"),
            "results.html": (self.results / "README.md", "All results"),
            "model-card.html": (self.results / "weights" / "README.md", "Model card"),
        }
        return {place: page for place, page in pages.items() if place != "results.html" or page[0].exists()}

    def name(self, path: Path) -> str:
        """The path of a file in the project, as links write it."""
        return path.relative_to(self.root).as_posix()


class Page(NamedTuple):
    """The page of a notebook; `place` is its path in the site."""

    source: Path
    place: str
    title: str

    @property
    def number(self) -> str:
        """What the notebook's name begins with, as its figures' do: ``03b`` of ``03b_longer_trajectories``."""
        return self.source.stem.partition("_")[0]


class Site(NamedTuple):
    """Numbers of pages and links, size in bytes, and the notebooks that were left out."""

    pages: int
    links: int
    size: int
    left_out: list[str]


def write_explorer(folder: Path) -> None:
    """Write the explorer of the study's own windows and models."""
    explorer_data.write(folder, explorer_data.windows())


def build(folder: Path, study: Study, explorer: Callable[[Path], None] = write_explorer, partial: bool = False) -> Site:
    """Build the site in a folder; the last one stays until the new one is complete.

    Args:
        folder: of the site.
        study: what it is made of.
        explorer: writes the explorer's pictures and data.
        partial: leave out notebooks that were not executed instead of refusing.

    Raises:
        InputError: something is missing or inconsistent; `folder` is then as it was.
    """
    folder = folder.resolve()
    sources = sorted(study.notebooks.glob("*.ipynb"))
    absent = [path.name for path in sources if not (study.executed / path.name).is_file()]
    if absent and not partial:
        raise InputError(f"not executed: {', '.join(absent)}: run `make reproduce`, or leave them out by --partial")
    if folder.exists() and any(folder.iterdir()) and not (folder / "explorer" / "data.js").is_file():
        raise InputError(f"{folder} holds something that is no site: give another folder with --out")
    with replacing_folder(folder) as new:
        try:
            _Builder(new, study, [path for path in sources if path.name not in absent]).write()
            explorer(new)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # which names the file that was copied, if any
                raise InputError(f"{folder}: the site was not made: {write_failure(error)}") from None
            raise InputError(f"{error.filename or folder}: {reason(error)}: the site was not made") from error
        count = links.check(new)
        size = sum(path.stat().st_size for path in links.files(new))
        if size > LARGEST:
            raise InputError(f"the site takes {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}: show fewer windows")
        pages = len(list(new.rglob("*.html")))
    return Site(pages, count, size, absent)


class _Builder:
    """Writes the pages of one site.

    Args:
        folder: of the site.
        study: what it is made of.
        sources: the notebooks that were executed.
    """

    def __init__(self, folder: Path, study: Study, sources: list[Path]) -> None:
        self.folder, self.study = folder, study
        self.executed = {path: notebooks.read(study.executed / path.name) for path in sources}
        self.pages = [
            Page(path, f"notebooks/{path.stem}.html", notebooks.title(notebook))
            for path, notebook in self.executed.items()
        ]
        images = [path for path in sorted(study.figures.iterdir()) if path.suffix in (".png", ".webp")]
        self.figures = {f"figures/{path.name}": path for path in images}
        self.places = {study.name(path): place for place, path in self.figures.items()}
        self.places |= {study.name(page.source): page.place for page in self.pages}
        self.places |= {study.name(path): place for place, (path, _) in study.documents.items()}
        self.templates = Environment(
            loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        )  # fmt: skip

    def write(self) -> None:
        assets = [path for path in sorted(ASSETS.iterdir()) if path.suffix in (".css", ".js")]
        for place, path in {**self.figures, **{path.name: path for path in assets}}.items():
            target = self.folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        pictures = PictureStore(self.figures, self.folder)
        for number, page in enumerate(self.pages):
            renderer = self._renderer(page.source, page.place)
            body = notebooks.body(self.executed[page.source], page.place, renderer.to_html, pictures)
            neighbours = [None, *self.pages, None][number : number + 3 : 2]
            steps = dict(zip(("before", "after"), neighbours, strict=True))
            self._page(page.place, "notebook.html", page.title, body=body, contents=_contents(renderer), **steps)
        for place, (path, title) in self.study.documents.items():
            renderer = self._renderer(path, place)
            body = renderer.to_html(_text(path))
            self._page(place, "document.html", title, body=body, contents=_contents(renderer))
        self._page("figures.html", "figures.html", "All figures", groups=self._gallery())
        self._page("explorer.html", "explorer.html", "Explorer")
        self._index()

    def _renderer(self, document: Path, place: str) -> Renderer:
        return Renderer(self.places, self.study.name(document), place)

    def _page(self, place: str, template: str, title: str, **values: Any) -> None:
        root = relative(".", place)
        values |= {"place": place, "title": title, "pages": self.pages, "documents": list(self.study.documents)}
        target = self.folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        text = self.templates.get_template(template).render(root="" if root == "." else f"{root}/", **values)
        target.write_text(accessible(text), encoding="utf-8")

    def _gallery(self) -> list[tuple[str, str | None, list[dict[str, Any]]]]:
        """The figures by notebook: its title, its page, and each figure's place, words and size."""
        groups: dict[str, tuple[str, str | None, list[dict[str, Any]]]] = {}
        numbered = {page.number: page for page in self.pages}
        for place, path in self.figures.items():
            number = path.stem.partition("_")[0]
            page = numbered.get(number)
            other = "The film" if number == "film" else f"Notebook {number}"
            title = page.title if page else other
            with Image.open(path) as picture:
                alt = picture.info.get("Description") or path.stem.replace("_", " ")
                figure = {"src": place, "alt": alt, "width": picture.width, "height": picture.height}
            groups.setdefault(title, (title, page.place if page else None, []))[2].append(figure)
        return list(groups.values())

    def _alt(self, figure: str) -> str:
        """The words of a figure, or its name."""
        path = self.figures.get(f"figures/{figure}")
        if path is None:
            raise InputError(f"figures/{figure}: a finding shows it, and it is missing: run `make reproduce`")
        with Image.open(path) as picture:
            return str(picture.info.get("Description", figure))

    def _index(self) -> None:
        texts = {path: _text(path) for path, _ in self.study.documents.values()}
        tables = []
        for part, heading, words in PARTS:
            for path, text in texts.items():
                table = generated_part(text, part)
                if table is not None:
                    html = self._renderer(path, "index.html").to_html(table)
                    tables.append({"heading": heading, "words": words, "table": html})
                    break
            else:
                names = " or ".join(map(self.study.name, texts))
                raise InputError(f"{names} has no generated part {part!r}: run `python -m eqvi readme`")
        path, readme = next(iter(texts.items()))
        render = self._renderer(path, "index.html").to_html
        title, _, rest = readme.partition("\n")
        self._page(
            "index.html", "index.html", title.removeprefix("# ").strip(),
            answer=render(IN_SHORT), abstract=render(rest.partition("\n## ")[0].partition("\n![")[0]),
            found=[
                (one, render(one.sentence), render(f"[{one.evidence[0]}]({one.evidence[1]})"), self._alt(one.picture))
                for one in self.study.findings(self.study.results)
            ],
            claims=verdicts.lists(self.study.results), command=COMMAND, properties=proved.PROPERTIES,
            tables=tables, settles=_settles(readme, render),
            film={FILM, STRIP} <= self.figures.keys(),
        )  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: a site takes it from the project") from error


def _contents(renderer: Renderer) -> list[Heading]:
    return [heading for heading in renderer.headings if heading.level in (2, 3)]


def _settles(readme: str, render: Callable[[str], str]) -> dict[str, str]:
    """What each notebook settles, by its number: from the table of notebooks in README.md."""
    settles = {}
    for line in readme.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if line.startswith("| [") and len(cells) == 2 and ".ipynb)" in cells[0]:
            settles[cells[0][1:].split()[0]] = render(cells[1]).strip().removeprefix("<p>").removesuffix("</p>")
    return settles
