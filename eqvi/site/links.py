"""Where links lead: from the project's files to the site's, and whether the site's own hold. Knows no network."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from eqvi.errors import InputError

_OUTSIDE = ("http", "https", "mailto")
_REFERENCES = ("for", "aria-controls", "aria-describedby", "aria-labelledby")
_CSS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


def relative(target: str, page: str) -> str:
    """The way from a page to a file of the site, both named from the site's root."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


class Atlas:
    """Which file of the project is where in the site.

    Args:
        places: path in the project to path in the site.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = dict(places)

    def href(self, link: str, document: str, page: str) -> str | None:
        """What a link says on a page; None if what it leads to is not in the site.

        Args:
            link: as it stands in the document.
            document: where in the project it stands.
            page: where in the site it is shown.
        """
        parts = urlsplit(link)
        if parts.scheme in _OUTSIDE or not (parts.scheme or parts.netloc or parts.path):
            return link
        target = posixpath.normpath(posixpath.join(posixpath.dirname(document), unquote(parts.path)))
        if parts.scheme or parts.netloc or target not in self.places:
            return None
        place = relative(self.places[target], page)
        return f"{place}#{parts.fragment}" if parts.fragment else place


class Use(NamedTuple):
    """Something that a page refers to; `loaded` if the browser fetches it without being asked."""

    target: str
    loaded: bool


class _Reader(HTMLParser):
    """Collects what a page refers to, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.uses: list[Use] = []
        self.references: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        for name, value in attrs:
            text = value or ""
            if name == "id":
                self.ids.add(text)
            elif name in ("href", "xlink:href"):
                self.uses.append(Use(text, tag not in ("a", "area")))
            elif name in ("src", "poster", "data", "action"):
                self.uses.append(Use(text, True))
            elif name == "srcset":
                self.uses += [Use(part.split()[0], True) for part in text.split(",") if part.strip()]
            elif name == "style":
                self.uses += _of_css(text)
            elif name in _REFERENCES:
                self.references += text.split()

    def handle_data(self, data: str) -> None:
        if self._style:
            self.uses += _of_css(data)


def _of_css(text: str) -> list[Use]:
    return [Use(found[0] or found[1], True) for found in _CSS.findall(text)]


def check(folder: Path) -> int:
    """Follow every link of a site's pages and style sheets.

    Args:
        folder: the site.

    Returns:
        How many links there are.

    Raises:
        InputError: one that leads nowhere, or that would load something from elsewhere.
    """
    folder = folder.resolve()
    pages = {path: _read(path) for path in sorted(folder.rglob("*.html"))}
    count = 0
    for path, page in pages.items():
        name = path.relative_to(folder).as_posix()
        for reference in page.references:
            if reference not in page.ids:
                raise InputError(f"{name}: nothing has the id {reference!r} that is referred to")
        for use in page.uses:
            count += 1
            fault = _fault(use, path, folder, pages)
            if fault:
                raise InputError(f"{name}: link {use.target!r} {fault}")
    for path in sorted(folder.rglob("*.css")):
        for use in _of_css(path.read_text(encoding="utf-8")):
            count += 1
            fault = _fault(use, path, folder, pages)
            if fault:
                raise InputError(f"{path.relative_to(folder).as_posix()}: link {use.target!r} {fault}")
    return count


def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader


def _fault(use: Use, path: Path, folder: Path, pages: Mapping[Path, _Reader]) -> str | None:
    """What is wrong with a link, if anything."""
    parts = urlsplit(use.target)
    if parts.scheme == "data" and use.loaded:
        return None
    if parts.scheme or parts.netloc:
        if use.loaded:
            return "would be loaded from elsewhere"
        return None if parts.scheme in _OUTSIDE else "cannot be followed"
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
