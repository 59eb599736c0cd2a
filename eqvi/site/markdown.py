"""Markdown to HTML: formulas as MathML, tables in scrolling boxes, links into the site."""

import html
import itertools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from eqvi.errors import InputError
from eqvi.site.links import site_link

_TAG = re.compile(r"<[^>]+>")
_INTERVAL = re.compile(r"\[[+-]?[\d.]+, [+-]?[\d.]+\]")
_EMPTY_HEADER = re.compile(r"<th((?: [^>]*)?)>(?:\s|&nbsp;)*</th>")
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
# Brackets around a matrix, which stretch with all of their line if nothing sets them apart from it.
_MATRIX = re.compile(r"(<mo[^>]*>[^<]*</mo>)(<mtable[^>]*>.*?</mtable>)(<mo[^>]*>[^<]*</mo>)", re.DOTALL)
# Brackets of a named size, which browsers stretch to the next size that their font has.
_NAMED_SIZE = re.compile(r'stretchy="true" fence="true" minsize="([\d.]+em)" maxsize="\1"')
# Bars around a number, which have the spaces of a relation between two numbers.
_BAR = re.compile(r'<mo stretchy="false">(&#x0007C;|\||‖|&#x02016;)</mo>')
#: Commands that latex2mathml ignores silently, by what it knows.
_NORMS = {r"\lVert": "‖", r"\rVert": "‖", r"\lvert": "|", r"\rvert": "|"}


class Heading(NamedTuple):
    """A heading of a page; `text` is plain."""

    level: int
    text: str
    id: str


class Renderer(IPythonRenderer):
    """Renders the Markdown of one page and collects its headings.

    Args:
        places: path in the project to path in the site.
        document: the file of the project that holds the text.
        page: the page of the site that shows it.
    """

    def __init__(self, places: Mapping[str, str], document: str, page: str) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)
        self.places, self.document, self.page = places, document, page
        self.headings: list[Heading] = []

    def to_html(self, text: str) -> str:
        """The HTML of Markdown text."""
        return MarkdownWithMath(renderer=self).render(_COMMENT.sub("", text))

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        """A heading with an id."""
        plain = html.unescape(_TAG.sub("", text))
        name = base = slug(plain)
        taken, number = {one.id for one in self.headings}, 1
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        self.headings.append(Heading(level, plain, name))
        return f'<h{level} id="{html.escape(name)}">{text}</h{level}>\n'

    def block_math(self, body: str) -> str:
        """A formula on a line of its own, which scrolls where it is too wide."""
        return f'<span class="formula" tabindex="0">{mathml(body, display=True)}</span>'

    def inline_math(self, body: str) -> str:
        """A formula within the text."""
        return mathml(body, display=False)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """A link, or its text with a note if the target is not in the site."""
        place = site_link(url, self.document, self.page, self.places)
        return self._missing(url, text) if place is None else f'<a href="{html.escape(place)}">{text}</a>'

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """A picture of the project with its alternative text."""
        place = site_link(url, self.document, self.page, self.places)
        if place is None:
            return self._missing(url, f"[picture: {text}]")
        alt = html.escape(html.unescape(_TAG.sub("", text)))
        return f'<img class="card" loading="lazy" src="{html.escape(place)}" alt="{alt}">'

    def table(self, text: str) -> str:
        """A table in a box that scrolls by itself, also by keyboard; intervals stay on one line."""
        text = _INTERVAL.sub(r'<span class="between">\g<0></span>', text)
        return f'<div class="scroll" role="region" aria-label="table" tabindex="0"><table>{text}</table></div>\n'

    def _missing(self, url: str, text: str) -> str:
        return f'<span class="elsewhere" title="in the project: {html.escape(url)}">{text}</span>'


def slug(text: str) -> str:
    """The id of a heading by GitHub's rule, so that links into README.md work on both."""
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def mathml(latex: str, display: bool) -> str:
    r"""A LaTeX formula as a ``<math>`` element, which browsers typeset without script, font or request.

    Args:
        latex: without its dollars.
        display: on a line of its own, else within the text.

    Raises:
        InputError: an unknown command, which would show as its own name.
    """
    text = re.sub(r"\\[lr][Vv]ert(?![a-zA-Z])", lambda match: _NORMS[match[0]], latex.strip())
    try:
        element = convert(text, display="block" if display else "inline")
    except Exception as error:  # latex2mathml has two dozen kinds, each a plain Exception
        raise InputError(f"formula {latex.strip()!r} cannot be set: {type(error).__name__}") from error
    unknown = re.search(r"\\[a-zA-Z]+", element)
    if unknown:
        raise InputError(f"formula {latex.strip()!r}: {unknown[0]} is not known to latex2mathml: write it otherwise")
    element = _MATRIX.sub(r"<mrow>\1\2\3</mrow>", element)
    element = _NAMED_SIZE.sub(r'stretchy="false" mathsize="\1"', element)
    return _BAR.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', element)


def accessible(page: str) -> str:
    """The HTML of a whole page for readers without a mouse or without sight.

    Every table has a name of its own, no header cell is empty, and code that is too wide can be scrolled by keyboard.
    """
    count = itertools.count(1)
    page = re.sub('aria-label="table"', lambda _: f'aria-label="table {next(count)}"', page)
    return _EMPTY_HEADER.sub(r"<td\1></td>", page).replace("<pre>", '<pre tabindex="0">')


def generated_part(document: str, name: str) -> str | None:
    """The text between a document's markers of that name (see `eqvi.markdown.fill`)."""
    edge = re.escape(name)
    match = re.search(rf"<!-- begin: {edge} -->\n(.*?)\n<!-- end: {edge} -->", document, re.DOTALL)
    return match[1] if match else None
