"""Generated Markdown: parts between markers, and tables."""

from pathlib import Path

import pytest

from eqvi import markdown
from eqvi.errors import InputError


class TestFill:
    document = (
        "before\n<!-- begin: a -->\nold\n<!-- end: a -->\nbetween\n<!-- begin: b c -->\n<!-- end: b c -->\nafter\n"
    )

    def test_writes_between_the_markers_only(self) -> None:
        filled = markdown.fill(self.document, lambda name: f"\nnew {name}\n\n")
        assert filled == self.document.replace("old\n", "new a\n").replace("c -->\n<", "c -->\nnew b c\n<")

    def test_twice_is_once(self) -> None:
        once = markdown.fill(self.document, str.upper)
        assert markdown.fill(once, str.upper) == once

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            ("\n<!-- begin: a -->\n", "the marker 'begin: a' has no 'end: a'"),
            ("\n<!-- end: a -->\n", "line 2: found the marker 'end: a' where 'begin' belongs"),
            ("<!-- begin: a -->\n<!-- begin: b -->", "line 2: found the marker 'begin: b' where 'end: a' belongs"),
            ("<!-- begin: a -->\n<!-- end: b -->", "line 2: found the marker 'end: b' where 'end: a' belongs"),
        ],
    )
    def test_refuses_markers_that_do_not_pair_up(self, document: str, message: str) -> None:
        with pytest.raises(InputError, match=f"^{message}$"):
            markdown.fill(document, str.upper)


class TestTables:
    def test_numbers_stand_to_the_right(self) -> None:
        table = markdown.markdown_table(["run", "PSNR"], [["a|b", "24.10"], ["c", ""]])
        assert table.splitlines() == ["| run | PSNR |", "| --- | ---: |", "| a\\|b | 24.10 |", "| c |  |"]

    def test_cells_are_padded_for_a_terminal(self) -> None:
        table = markdown.markdown_table(["run", "PSNR"], [["abcd", "4.1"]], aligned=True)
        assert table.splitlines() == ["| run  | PSNR |", "| ---  | ---: |", "| abcd |  4.1 |"]

    def test_of_a_csv_file_keeps_figures_as_written(self, tmp_path: Path) -> None:
        file = tmp_path / "rows.csv"
        file.write_text('run,psnr\n"x, y",24.0350\n')
        assert markdown.csv_table(file).splitlines()[2] == "| x, y | 24.0350 |"

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "No such file"), ("", "holds no table"), ("a,b\n1,2\n3\n", "line 3: 1 values under 2 headings")],
    )
    def test_of_a_bad_csv_file(self, tmp_path: Path, content: str | None, message: str) -> None:
        file = tmp_path / "rows.csv"
        if content is not None:
            file.write_text(content)
        with pytest.raises(InputError, match=f"{file}.*{message}"):
            markdown.csv_table(file)
