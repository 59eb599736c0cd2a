"""The explorer in JupyterLab in a real browser: moved, clicked, switched, dragged, and looked at."""

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lab import CHROMIUM, NO_BROWSER, PATIENCE, SEEN, browser, errors, lab, run_all

from eqvi.paths import NOTEBOOKS, ROOT, WEIGHTS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)

NAME = "08_explorer.ipynb"
#: Small and quick: the test is that everything reacts.
PARAMETERS = {"model": '"baseline"', "size": "128", "steps": "4"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, so that nothing here is written to, with the notebook at small parameters."""
    shutil.copytree(ROOT / "eqvi", tmp_path / "eqvi", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / WEIGHTS.relative_to(ROOT)).parent.mkdir()
    (tmp_path / WEIGHTS.relative_to(ROOT)).symlink_to(WEIGHTS)
    notebook = nbformat.read(NOTEBOOKS / NAME, as_version=4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    lines = cell.source.splitlines()
    for name, value in PARAMETERS.items():
        lines = [f"{name} = {value}" if line.startswith(f"{name}:") else line for line in lines]
    cell.source = "\n".join(lines)
    nbformat.write(notebook, tmp_path / "notebooks" / NAME)
    return tmp_path


def seen(page: Any, name: str) -> tuple[int, str]:
    """What a picture of the grid shows, and its words."""
    image = page.locator(f"[data-name='{name}'] img").first
    return image.evaluate(SEEN), image.get_attribute("alt")


def test_explorer(project: Path) -> None:
    with lab(project, project) as address, browser() as page:
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        outside: list[str] = []
        page.on("request", lambda request: outside.append(request.url))
        run_all(page, address.format(f"notebooks/{NAME}"))
        groups = page.locator(".eqvi-groups")
        page.wait_for_selector(".eqvi-groups[data-shown='2']")
        page.wait_for_selector(".eqvi-strip button >> nth=4")  # by then every t is computed

        page.set_default_timeout(PATIENCE / 4)

        # t by the keyboard: what belongs to t changes, in picture and words, and the input frames do not.
        before = {name: seen(page, name) for name in ("new frame", "I₁ warped to t", "Fₜ₁", "error", "I₁")}
        slider = page.get_by_label("time t of the new frame")
        slider.focus()
        slider.press("ArrowRight")
        page.wait_for_selector(".eqvi-groups[data-shown='3']")
        after = {name: seen(page, name) for name in before}
        assert {name for name in before if before[name][0] == after[name][0]} == {"I₁"}
        assert {name for name in before if before[name][1] == after[name][1]} == {"I₁"}
        assert "t = 0.75" in after["new frame"][1]
        slider.press("ArrowLeft")
        page.wait_for_selector(".eqvi-groups[data-shown='2']")
        assert seen(page, "new frame") == before["new frame"]
        latency = int(groups.get_attribute("data-latency"))
        print(f"a move of t was shown after {latency} ms")
        assert 0 < latency < 30_000  # how long it may take is measured on a machine that does nothing else

        # A pixel by the mouse, then by the keyboard.
        sentence = page.locator(".eqvi-sentence")
        picture = page.locator("[data-name='I₁'] .eqvi-picture")
        first = sentence.inner_text()
        picture.click(position={"x": 60, "y": 50})
        page.wait_for_function("old => document.querySelector('.eqvi-sentence').textContent !== old", arg=first)
        clicked, curves = sentence.inner_text(), page.locator(".eqvi-drawing").inner_html()
        assert picture.locator("circle:not(.eqvi-dot)").count() == 2

        # The path of the pixel under the pointer, drawn in the picture that it is over, too.
        path = page.locator(".eqvi-path-sentence")
        chosen = path.inner_text()
        assert "through 8 frames" in chosen
        page.locator("[data-name='Fₜ₁'] .eqvi-picture").hover(position={"x": 20, "y": 20})
        page.wait_for_function("old => document.querySelector('.eqvi-path-sentence').textContent !== old", arg=chosen)
        page.wait_for_function("() => document.querySelectorAll(\"[data-name='Fₜ₁'] .eqvi-dot\").length === 16")
        assert picture.locator(".eqvi-dot").count() == 16
        picture.focus()
        picture.press("ArrowRight")
        page.wait_for_function("old => document.querySelector('.eqvi-sentence').textContent !== old", arg=clicked)
        assert page.locator(".eqvi-drawing").inner_html() != curves
        assert page.locator(".eqvi-table tr").count() == 10

        # A switch.
        page.get_by_label("RQFP", exact=True).check()
        page.wait_for_function(
            "old => document.querySelector(\"[data-name='new frame'] img\").alt !== old", arg=before["new frame"][1]
        )
        page.wait_for_timeout(300)
        frame, words = seen(page, "new frame")
        assert frame != before["new frame"][0]
        assert "with RQFP" in words

        # The divider, dragged with the mouse and moved by keys.
        stage = page.locator(".eqvi-stage")
        page.wait_for_selector(".eqvi-stage[data-shown='2']")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        cut = "() => document.querySelector('.eqvi-stage img:not(.eqvi-over)').style.clipPath"
        middle = page.evaluate(cut)
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5, steps=4)
        page.mouse.up()
        assert page.evaluate(cut) not in (middle, "")
        assert page.evaluate(cut).split()[1] in {"74%", "75%", "76%"}
        dragged = page.evaluate(cut)
        page.get_by_label("divider between both variants").press("ArrowRight")
        assert page.evaluate(cut) != dragged
        left, right = (stage.locator("img").nth(number).evaluate(SEEN) for number in (0, 1))
        assert left != right

        # The film plays, and stops where it is first to.
        screen = page.locator(".eqvi-screen")
        shown = screen.get_attribute("src")
        page.locator(".eqvi-play").click()
        page.wait_for_function("old => document.querySelector('.eqvi-screen').src !== old", arg=shown)
        page.get_by_label("stop at t = 1/4").click()
        page.wait_for_selector(".eqvi-groups[data-shown='1']", state="attached")
        assert page.locator(".eqvi-play").inner_text() == "▶ play"

        assert page.locator(".eqvi-explorer img:not([alt])").count() == 0
        assert errors(page) == []
        assert problems == []
        own = address.split("/lab/")[0].removeprefix("http://")
        assert [url for url in outside if not url.startswith(("data:", "blob:")) and own not in url] == []
