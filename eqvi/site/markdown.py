"""Markdown as the site's pages show it: formulas as MathML, tables in boxes of their own, links into the site."""

import html
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from eqvi.site.formulas import mathml
from eqvi.site.links import Atlas

_TAG = re.compile(r"<[^>]+>")
_INTERVAL = re.compile(r"\[[+-]?[\d.]+, [+-]?[\d.]+\]")
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


class Heading(NamedTuple):
    """A heading of a page; `text` is plain."""

    level: int
    text: str
    id: str


def slug(text: str) -> str:
    """The id of a heading, by GitHub's rule, so that links into README.md lead to the same place here."""
    kept = re.sub(r"[^\w\- ]", "", text.strip().lower())
    return kept.replace(" ", "-")


class Renderer(IPythonRenderer):
    """One page's Markdown.

    Args:
        atlas: where the project's files are in the site.
        document: the file of the project that the text is from.
        page: the page of the site that shows it.
    """

    def __init__(self, atlas: Atlas, document: str, page: str) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)
        self.atlas, self.document, self.page = atlas, document, page
        self.headings: list[Heading] = []

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        """A heading that can be linked to."""
        plain = html.unescape(_TAG.sub("", text))
        name = base = slug(plain)
        taken, number = {one.id for one in self.headings}, 1
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        self.headings.append(Heading(level, plain, name))
        return f'<h{level} id="{html.escape(name)}">{text}</h{level}>\n'

    def block_math(self, body: str) -> str:
        """A formula on a line of its own, which scrolls alone where it is too wide."""
        return f'<span class="formula" tabindex="0">{mathml(body, display=True)}</span>'

    def inline_math(self, body: str) -> str:
        """A formula within the text."""
        return mathml(body, display=False)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """A link, or its text and where to look if the site does not hold it."""
        place = self.atlas.href(url, self.document, self.page)
        if place is None:
            return f'<span class="elsewhere" title="in the project: {html.escape(url)}">{text}</span>'
        return f'<a href="{html.escape(place)}">{text}</a>'

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """A picture of the project, with its words."""
        place = self.atlas.href(url, self.document, self.page)
        if place is None:
            return f'<span class="elsewhere" title="in the project: {html.escape(url)}">[picture: {text}]</span>'
        words = html.escape(html.unescape(_TAG.sub("", text)))
        return f'<img class="card" loading="lazy" src="{html.escape(place)}" alt="{words}">'

    def table(self, text: str) -> str:
        """A table in a box that scrolls by itself, also by keyboard; intervals stay on one line."""
        text = _INTERVAL.sub(lambda found: f'<span class="between">{found[0]}</span>', text)
        return f'<div class="scroll" role="region" aria-label="table" tabindex="0"><table>{text}</table></div>\n'


def converter(renderer: Renderer) -> Callable[[str], str]:
    """From Markdown to HTML. The renderer keeps the headings that came by."""
    return lambda text: MarkdownWithMath(renderer=renderer).render(_COMMENT.sub("", text))


def generated(document: str, name: str) -> str | None:
    """What stands between a document's markers of that name (see `eqvi.markdown.fill`)."""
    edge = re.escape(name)
    found = re.search(rf"<!-- begin: {edge} -->\n(.*?)\n<!-- end: {edge} -->", document, re.DOTALL)
    return found[1] if found else None
