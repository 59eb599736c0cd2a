"""LaTeX formulas as MathML, which browsers set by themselves: no script, no font, no request."""

import re

from latex2mathml.converter import convert

from eqvi.errors import InputError

#: Commands that latex2mathml passes over in silence, by what it knows.
_KNOWN = {r"\lVert": "‖", r"\rVert": "‖", r"\lvert": "|", r"\rvert": "|"}


def mathml(latex: str, display: bool) -> str:
    """A formula as a ``<math>`` element.

    Args:
        latex: without its dollars.
        display: on a line of its own, else within the text.

    Raises:
        InputError: a command that would show as its own name.
    """
    known = re.sub(r"\\[lr][Vv]ert(?![a-zA-Z])", lambda found: _KNOWN[found[0]], latex.strip())
    try:
        found = convert(known, display="block" if display else "inline")
    except Exception as error:  # latex2mathml has two dozen kinds, each a plain Exception
        raise InputError(f"formula {latex.strip()!r} cannot be set: {type(error).__name__}") from error
    unknown = re.search(r"\\[a-zA-Z]+", found)
    if unknown:
        raise InputError(f"formula {latex.strip()!r}: {unknown[0]} is not known to latex2mathml: write it otherwise")
    return found
