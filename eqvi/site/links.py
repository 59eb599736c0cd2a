"""Links: from the project's files into the site, and a check of every link of a finished site. Needs no network."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from eqvi.errors import InputError

_EXTERNAL = ("http", "https", "mailto")
_ID_REFERENCES = ("for", "aria-controls", "aria-describedby", "aria-labelledby")
_CSS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


def relative(target: str, page: str) -> str:
    """The relative link from a page to a file, both as paths in the site."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def site_link(link: str, document: str, page: str, places: Mapping[str, str]) -> str | None:
    """A link of a document rewritten for a page; None if its target is not in the site.

    Args:
        link: as in the document.
        document: path of the document in the project.
        page: path of the page in the site.
        places: path in the project to path in the site.
    """
    parts = urlsplit(link)
    if parts.scheme in _EXTERNAL or not (parts.scheme or parts.netloc or parts.path):
        return link
    target = posixpath.normpath(posixpath.join(posixpath.dirname(document), unquote(parts.path)))
    if parts.scheme or parts.netloc or target not in places:
        return None
    place = relative(places[target], page)
    return f"{place}#{parts.fragment}" if parts.fragment else place


class Link(NamedTuple):
    """A link of a page; `loaded` if the browser fetches it by itself."""

    target: str
    loaded: bool


class _Page(HTMLParser):
    """The links of a page or style sheet, and a page's ids."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[Link] = []
        self.references: list[str] = []
        self._style = path.suffix == ".css"
        text = path.read_text(encoding="utf-8")
        if self._style:
            self.handle_data(text)
        else:
            self.feed(text)
            self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        for name, value in attrs:
            text = value or ""
            if name == "id":
                self.ids.add(text)
            elif name in ("href", "xlink:href"):
                self.links.append(Link(text, tag not in ("a", "area")))
            elif name in ("src", "poster", "data", "action"):
                self.links.append(Link(text, True))
            elif name == "srcset":
                self.links += [Link(part.split()[0], True) for part in text.split(",") if part.strip()]
            elif name == "style":
                self._add_css(text)
            elif name in _ID_REFERENCES:
                self.references += text.split()

    def handle_data(self, data: str) -> None:
        if self._style:
            self._add_css(data)

    def _add_css(self, text: str) -> None:
        self.links += [Link(match[0] or match[1], True) for match in _CSS.findall(text)]


def check(folder: Path) -> int:
    """Follow every link of a site's pages and style sheets; returns how many there are.

    Raises:
        InputError: a link that leads nowhere, or that would load something from elsewhere.
    """
    folder = folder.resolve()
    pages = {path: _Page(path) for pattern in ("*.html", "*.css") for path in sorted(folder.rglob(pattern))}
    for path, page in pages.items():
        name = path.relative_to(folder).as_posix()
        for reference in page.references:
            if reference not in page.ids:
                raise InputError(f"{name}: nothing has the id {reference!r} that is referred to")
        for link in page.links:
            fault = _fault(link, path, folder, pages)
            if fault:
                raise InputError(f"{name}: link {link.target!r} {fault}")
    return sum(len(page.links) for page in pages.values())


def _fault(link: Link, path: Path, folder: Path, pages: Mapping[Path, _Page]) -> str | None:
    parts = urlsplit(link.target)
    if parts.scheme == "data" and link.loaded:
        return None
    if parts.scheme or parts.netloc:
        if link.loaded:
            return "would be loaded from elsewhere"
        return None if parts.scheme in _EXTERNAL else "cannot be followed"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_relative_to(folder):
        return "leads out of the folder"
    if not target.is_file():
        return "leads to no file"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return "leads to no such place in its page"
    return None


def files(folder: Path) -> Iterator[Path]:
    """Every file of a site."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
