"""The site: markup, formulas, links, determinism, and what it says where something is missing."""

import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_site
from PIL import Image

from eqvi.__main__ import main
from eqvi.errors import InputError
from eqvi.paths import NOTEBOOKS, ROOT
from eqvi.site import links
from eqvi.site.build import PARTS, Study, build
from eqvi.site.explorer_data import variants
from eqvi.site.links import check
from eqvi.site.markdown import Renderer, accessible, generated_part, mathml, slug
from eqvi.site.verdicts import interval
from eqvi.viz.exploration import Exploration, Switches


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in links.files(folder)}


class TestPages:
    def test_every_page_is_there(self, site: Path) -> None:
        pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
        plain = {"index", "study", "results", "model-card", "figures", "explorer"}
        plain |= {"notebooks/01_first", "notebooks/02_second"}
        assert pages == {f"{name}.html" for name in plain}

    def test_verdicts_come_first_each_with_its_claims(self, site: Path) -> None:
        text = (site / "index.html").read_text()
        assert text.index('id="verdicts"') < min(
            text.index(f'id="{name}"') for name in ("results", "film", "notebooks")
        )
        assert re.findall(r'<tbody data-kind="(\w+)">', text) == ["holds", "fails", "open", "missing"]
        assert all(claim in text for claim in small_site.LEDGER["claim"])
        assert "[+0.100, +0.700]" in text
        assert text.count('class="interval') == 3
        assert re.findall(r'class="count">(\d+)<', text) == ["1", "1", "1", "1"]  # of this study alone
        assert "1 not measured here." in text  # of the paper
        assert "No published score was measured here" in text

    def test_formulas_are_mathml(self, site: Path) -> None:
        text = (site / "notebooks" / "01_first.html").read_text()
        assert text.count("<math") == 2
        assert 'display="block"' in text
        assert "$" not in text
        assert "<math" in (site / "index.html").read_text()  # in a table of results/README.md
        assert "<math" in (site / "notebooks" / "02_second.html").read_text()  # in a table that a cell shows

    def test_a_figure_is_kept_once_and_has_its_words(self, site: Path) -> None:
        text = (site / "notebooks" / "01_first.html").read_text()
        assert 'src="../figures/01_red.png"' in text
        assert 'src="../pictures/01_first_2.png"' in text
        assert 'alt="A red picture."' in text
        assert re.search(r'<img[^>]*width="40"', text)
        assert "base64" not in text
        assert (site / "figures.html").read_text().count("A red picture.") == 2  # as its words and below it

    def test_a_video_becomes_a_file(self, site: Path) -> None:
        text = (site / "notebooks" / "02_second.html").read_text()
        assert 'src="../pictures/02_second_1_1.mp4"' in text
        assert (site / "pictures/02_second_1_1.mp4").read_bytes() == b"film"

    def test_links_lead_into_the_site(self, site: Path) -> None:
        first = (site / "notebooks" / "01_first.html").read_text()
        assert 'href="02_second.html#more"' in first
        assert "results/a.csv" in first
        assert 'href="../results/' not in first
        study = (site / "study.html").read_text()
        assert 'href="notebooks/01_first.html"' in study
        assert 'href="#the-results"' in study
        assert 'href="https://example.org/x"' in study
        assert "in the project: eqvi/model/motion.py" in study
        assert 'href="study.html#the-results"' in (site / "model-card.html").read_text()

    def test_notebooks_follow_one_another(self, site: Path) -> None:
        first, second = ((site / "notebooks" / f"{name}.html").read_text() for name in ("01_first", "02_second"))
        assert re.search(r'rel="next"[^>]*href="02_second.html"|href="02_second.html"[^>]*rel="next"', first)
        assert re.search(r'rel="prev"[^>]*href="01_first.html"|href="01_first.html"[^>]*rel="prev"', second)

    def test_code_is_closed_and_what_it_said_is_escaped(self, site: Path) -> None:
        text = (site / "notebooks" / "01_first.html").read_text()
        assert '<details class="code"><summary>code, 1 line</summary>' in text
        assert "said &lt; this" in text

    def test_the_project_s_own_readme_has_what_the_index_shows(self) -> None:
        texts = "".join(path.read_text() for path, _ in Study().documents.values())
        assert [name for name, *_ in PARTS if generated_part(texts, name) is None] == []


class TestBuilding:
    def test_twice_the_same_bytes(self, site: Path, tmp_path: Path) -> None:
        build(tmp_path / "site", small_site.study(tmp_path), small_site.explorer)
        assert contents(tmp_path / "site") == contents(site)

    def test_missing_notebooks_are_named(self, tmp_path: Path) -> None:
        study = small_site.study(tmp_path)
        (study.executed / "02_second.ipynb").unlink()
        with pytest.raises(InputError, match=r"not executed: 02_second.ipynb: run `make reproduce`"):
            build(tmp_path / "site", study, small_site.none)
        assert not (tmp_path / "site").exists()

    def test_or_left_out(self, tmp_path: Path) -> None:
        study = small_site.study(tmp_path)
        (study.executed / "02_second.ipynb").unlink()
        with pytest.raises(InputError) as without:
            build(tmp_path / "site", study, small_site.none)
        assert "\n" not in str(without.value)
        made = build(tmp_path / "site", study, small_site.none, partial=True)
        assert made.left_out == ["02_second.ipynb"]
        assert "02</span>" in (tmp_path / "site" / "notebooks" / "01_first.html").read_text()  # no link any more

    def test_a_failure_leaves_the_site_as_it_was(self, tmp_path: Path) -> None:
        study = small_site.study(tmp_path)
        build(tmp_path / "site", study, small_site.none)
        before = contents(tmp_path / "site")
        (study.results / "weights" / "README.md").write_text("# Card\n\n[nowhere](#nothing)\n")
        with pytest.raises(InputError, match=r"^model-card.html: link '#nothing' leads to no such place in its page$"):
            build(tmp_path / "site", study, small_site.none)
        assert contents(tmp_path / "site") == before
        assert sorted(path.name for path in tmp_path.glob(".*")) == []

    def test_what_is_no_site_is_not_replaced(self, tmp_path: Path) -> None:
        study = small_site.study(tmp_path)
        with pytest.raises(InputError, match="holds something that is no site"):
            build(study.results, study, small_site.none)
        assert (study.results / "weights" / "README.md").is_file()

    def test_a_damaged_picture_is_named(self, tmp_path: Path) -> None:
        study = small_site.study(tmp_path)
        picture = next(study.figures.glob("*.png"))
        picture.write_bytes(b"no picture")
        with pytest.raises(InputError, match=rf"cannot identify image file .*{picture.name}.*: the site was not made"):
            build(tmp_path / "site", study, small_site.none)

    def test_what_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        study = small_site.study(tmp_path)
        shutil.rmtree(study.figures)
        with pytest.raises(InputError, match=r"figures: No such file or directory: the site was not made"):
            build(tmp_path / "site", study, small_site.none)

    def test_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("eqvi.site.build.LARGEST", 1000)
        with pytest.raises(InputError, match=r"the site takes 0.1 MB, more than 0: show fewer windows"):
            build(tmp_path / "site", small_site.study(tmp_path), small_site.none)

    def test_readme_without_its_tables(self, tmp_path: Path) -> None:
        study = small_site.study(tmp_path)
        (study.results / "README.md").write_text("# Title\n")
        with pytest.raises(InputError, match=r"README.md or .*README.md has no generated part 'published'"):
            build(tmp_path / "site", study, small_site.none)

    def test_command_names_what_was_not_executed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "executed").mkdir()
        assert main(["site", "--executed", str(tmp_path / "executed"), "--out", str(tmp_path / "site")]) == 2
        said = capsys.readouterr().err
        assert all(path.name in said for path in NOTEBOOKS.glob("*.ipynb"))
        assert len(said.splitlines()) == 1


class TestChecker:
    def page(self, folder: Path, body: str) -> None:
        (folder / "page.html").write_text(f"<!doctype html><title>x</title>{body}")

    @pytest.mark.parametrize(
        ("body", "fault"),
        [
            ('<img src="gone.png" alt="">', "link 'gone.png' leads to no file"),
            ('<a href="page.html#gone">x</a>', "link 'page.html#gone' leads to no such place in its page"),
            ('<a href="../../etc/passwd">x</a>', "link '../../etc/passwd' leads out of the folder"),
            ('<script src="https://example.org/x.js"></script>', "would be loaded from elsewhere"),
            ('<link rel="stylesheet" href="//example.org/x.css">', "would be loaded from elsewhere"),
            ('<img src="data:," srcset="http://example.org/x.png 2x" alt="">', "would be loaded from elsewhere"),
            ("<style>@import 'https://example.org/x.css';</style>", "would be loaded from elsewhere"),
            ('<p style="background: url(https://example.org/x.png)">', "would be loaded from elsewhere"),
            ('<a href="javascript:alert(1)">x</a>', "cannot be followed"),
            ('<label for="gone">x</label>', "nothing has the id 'gone'"),
        ],
    )
    def test_names_page_and_link(self, tmp_path: Path, body: str, fault: str) -> None:
        self.page(tmp_path, body)
        with pytest.raises(InputError, match=f"^page.html: .*{re.escape(fault)}"):
            check(tmp_path)

    def test_style_sheets_too(self, tmp_path: Path) -> None:
        (tmp_path / "x.css").write_text("body { background: url('gone.png') }")
        with pytest.raises(InputError, match=r"^x.css: link 'gone.png' leads to no file"):
            check(tmp_path)

    def test_what_holds(self, tmp_path: Path) -> None:
        self.page(
            tmp_path, '<p id="a b"><a href="https://example.org">x</a><a href="#a%20b">y</a><img src="data:," alt="">'
        )
        assert check(tmp_path) == 3


class TestMarkdown:
    def render(self, text: str) -> str:
        return Renderer({"README.md": "study.html"}, "notebooks/01.ipynb", "notebooks/01.html").to_html(text)

    def test_slugs_are_github_s(self) -> None:
        assert slug("Parity, stage by stage") == "parity-stage-by-stage"
        assert slug("What `x_y` costs: 3 dB") == "what-x_y-costs-3-db"

    def test_equal_headings_get_ids_of_their_own(self) -> None:
        assert re.findall(r'id="([^"]+)"', self.render("## One\n\n## One")) == ["one", "one-1"]

    def test_links(self) -> None:
        assert 'href="../study.html#x"' in self.render("[a](../README.md#x)")
        assert "<a" not in self.render("[a](../README.txt)")
        assert 'title="in the project: a&amp;b.py"' in self.render("[a](a&b.py)")

    def test_tables_scroll_alone(self) -> None:
        assert '<div class="scroll" role="region" aria-label="table" tabindex="0"><table>' in self.render(
            "|a|\n|-|\n|b|"
        )

    def test_intervals_stay_on_one_line(self) -> None:
        assert '1 <span class="between">[-0.5, +2]</span>' in self.render("|a|\n|-|\n|1 [-0.5, +2]|")

    def test_markers_are_not_shown(self) -> None:
        assert "begin" not in self.render("<!-- begin: x -->\ntext\n<!-- end: x -->")


class TestFormulas:
    def test_brackets_stretch_with_what_they_hold_alone(self) -> None:
        matrix = mathml(r"\begin{pmatrix} v \\ a \end{pmatrix} = \bigl(|b| - 5\bigr)", display=True)
        assert re.search(r"<mrow><mo>[^<]*</mo><mtable>.*</mtable><mo>[^<]*</mo></mrow><mo>", matrix)
        assert matrix.count('stretchy="false" mathsize="1.2em"') == 2
        assert matrix.count('lspace="0" rspace="0"') == 2

    def test_a_page_has_names_for_its_tables_and_no_empty_headers(self) -> None:
        row = '<tr><th class="blank">&nbsp;</th><th>a</th></tr>'
        table = f'<div role="region" aria-label="table"><table>{row}</table></div>'
        page = accessible(2 * table + "<pre>x</pre>")
        assert [f'aria-label="table {number}"' in page for number in (1, 2, 3)] == [True, True, False]
        assert page.count('<td class="blank"></td><th>a</th>') == 2
        assert '<pre tabindex="0">' in page

    def test_every_formula_of_the_notebooks_can_be_set(self) -> None:
        formula = re.compile(r"\$\$(.+?)\$\$|(?<![$\\])\$(.+?)(?<![$\\])\$", re.DOTALL)
        found = 0
        for path in NOTEBOOKS.glob("*.ipynb"):
            for cell in json.loads(path.read_text())["cells"]:
                if cell["cell_type"] == "markdown":
                    for match in formula.finditer("".join(cell["source"])):
                        assert mathml(match[1] or match[2], display=bool(match[1])).startswith("<math")
                        found += 1
        assert found > 50

    def test_what_is_not_known_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"\\nonsense is not known"):
            mathml(r"\nonsense x", display=False)

    def test_norms(self) -> None:
        assert mathml(r"\bigl\lVert x \bigr\rVert", display=False).count("‖") == 2


class TestVerdicts:
    def test_interval_about_zero(self) -> None:
        low, high, value = interval(small_site.LEDGER.iloc[2]) or (0, 0, 0)
        assert low < 50 < value < high

    def test_a_level_is_no_difference(self) -> None:
        first, missing = small_site.LEDGER.iloc[0].copy(), small_site.LEDGER.iloc[3]
        first["kind"] = "span"
        assert interval(first) is not None
        first["kind"] = "figure"
        assert interval(first) is None
        assert interval(missing) is None


class TestWindows:
    def data(self, site: Path) -> dict:
        return json.loads((site / "explorer/data.js").read_text().partition(" = ")[2].rstrip(";\n"))

    def test_every_variant_once(self) -> None:
        found = variants(("rqfp", "rcsn", "fusion", "ensemble"), Switches(True, True, True))
        assert len(set(found)) == len(found) == 9
        assert found[0] == Switches()
        assert found[-1] == Switches(True, True, True, ensemble=True)

    def test_strips_are_there_and_hold_every_t(self, site: Path) -> None:
        (window,) = self.data(site)["windows"]
        height, width = small_site.SIZE
        for strip in window["strips"]:
            with Image.open(site / strip["file"]) as picture:
                assert picture.size == (width, height * len(strip["alts"]))
            assert all(strip["alts"])
        assert {len(strip["alts"]) for strip in window["strips"]} == {3, 4}
        assert len(list((site / "explorer/tiny").glob("*.webp"))) == len({one["file"] for one in window["strips"]})

    def test_variants_differ_where_they_should(self, site: Path) -> None:
        (window,) = self.data(site)["windows"]
        layers = {one["key"]: one["layers"] for one in window["variants"]}
        file = {key: {name: window["strips"][n]["file"] for name, n in of.items()} for key, of in layers.items()}
        assert len({of["frame"] for of in file.values()}) == 9
        assert len({of["truth"] for of in file.values()}) == 1
        assert file["none"]["flow1"] == file["rcsn"]["flow1"] != file["rqfp"]["flow1"]
        assert "residual" in layers["rcsn"]
        assert "residual" not in layers["none"]

    def test_psnr_is_the_model_s(self, site: Path) -> None:
        window = small_site.windows()["tiny"]
        exploration = Exploration(window.model, window.quadruplet)
        shown = {one["key"]: one["psnr"] for one in self.data(site)["windows"][0]["variants"]}
        assert shown["rqfp"][1] == pytest.approx(exploration.psnr(0.5, Switches(rqfp=True)))

    def test_flows_are_the_model_s(self, site: Path) -> None:
        flows = json.loads((site / "explorer/tiny/flows.js").read_text().partition('["tiny"] = ')[2].rstrip(";\n"))
        whole = np.frombuffer(base64.b64decode(flows["data"]), "<i2").reshape(flows["rows"], flows["columns"], 6, 2)
        window = small_site.windows()["tiny"]
        motion = Exploration(window.model, window.quadruplet).motion()
        assert motion.flow_13 is not None
        expected = motion.flow_13[0, :, 20, 30].numpy()
        assert whole[20 // flows["step"], 30 // flows["step"], 2] * flows["unit"] == pytest.approx(
            expected, abs=flows["unit"]
        )


def test_assets_travel_with_the_package(tmp_path: Path) -> None:
    assert {"base.html", "style.css", "site.js", "explorer.js", "motion.js"} <= {
        path.name for path in (ROOT / "eqvi/site/assets").iterdir()
    }
    assert '"eqvi.site" = ["assets/*"]' in (ROOT / "pyproject.toml").read_text()


def test_the_study_s_own_places() -> None:
    files = [path for path, _ in Study().documents.values()]
    assert files[0] == ROOT / "README.md"
    assert files[-1] == ROOT / "results/weights/README.md"
    assert re.search(r"^site: reproduce\b", (ROOT / "Makefile").read_text(), re.MULTILINE)
