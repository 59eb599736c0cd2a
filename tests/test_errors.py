"""A refusal is one line that can be read, whatever it quotes."""

import pytest

from eqvi.errors import InputError


def test_a_message_that_is_a_line_stays_as_it_is() -> None:
    text = "clips/001.png: is no picture: give a PNG, JPEG or WebP file,  or a folder of them"
    assert str(InputError(text)) == text
    assert str(InputError()) == ""


@pytest.mark.parametrize("value", ["x" * 5000, "a\nb\r\n" * 900, "- [" * 2000, "/".join(["folder"] * 900)])
def test_what_is_quoted_cannot_make_it_long_or_many_lines(value: str) -> None:
    text = str(InputError(f"--recipe {value}: a recipe has no such field"))
    assert len(text) <= 1201
    assert len(text.splitlines()) == 1
    assert text.startswith("--recipe ")
    assert text.endswith(": a recipe has no such field")
    assert "…" in text
