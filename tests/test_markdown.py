from argparse import Namespace
from pathlib import Path

import pytest

from eqvi import markdown
from eqvi.cli import readme as readme_command
from eqvi.errors import InputError
from eqvi.reports import readme


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

    def test_of_make_targets(self) -> None:
        makefile = "STUDY := x ## no\nall: a b ## do it all\n\tc\n.PHONY: all\nb: ; c\nd-e: ## and $(F)\n"
        assert markdown.make_targets(makefile) == [("all", "do it all"), ("d-e", "and $(F)")]


class TestParts:
    def test_options_are_those_of_the_parser(self) -> None:
        lines = readme.options_table("study").splitlines()
        assert lines[2] == "| `NOTEBOOK` | a path, or a name in notebooks/ (default: all of them) |"
        assert lines[4].startswith("| `-p NAME VALUE` | one parameter")
        assert "(default: build/notebooks)" in lines[5]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("options errors", "eqvi.errors declares no command-line options"),
            ("options nothing", "eqvi.nothing declares no command-line options"),
            ("tables", "there is no generated part 'tables'"),
            ("table", "there is no generated part 'table'"),
        ],
    )
    def test_an_unknown_part_is_refused(self, name: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            readme.part(name)

    def test_run_checks_before_it_writes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "README.md"
        for module in (readme, readme_command):
            monkeypatch.setattr(module, "ROOT", tmp_path)
        monkeypatch.setattr(readme_command, "DOCUMENTS", (file,))
        (tmp_path / "Makefile").write_text("reproduce: ## run it\n")
        file.write_text("<!-- begin: make targets -->\n<!-- end: make targets -->\n")
        outcomes = [readme_command.run(Namespace(check=check)) for check in (True, False, True)]
        assert outcomes == [1, 0, 0]
        assert "| `make reproduce` |" in file.read_text()
        assert len(capsys.readouterr().out.splitlines()) == 3
        assert sorted(path.name for path in tmp_path.iterdir()) == ["Makefile", "README.md"]
