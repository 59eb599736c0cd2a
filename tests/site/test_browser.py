"""The site as readers see it: a headless Chromium opens it from disk, wide and narrow, and uses it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import small_site
import torch
from lab import CHROMIUM, FLAGS, NO_BROWSER

from eqvi.viz.exploration import Exploration
from eqvi.viz.pixel_motion import pixel_motion

#: Milliseconds: two busy cores are slow.
PATIENCE = 120_000
WIDE, NARROW = (1280, 900), (360, 780)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


@dataclass
class Visit:
    """A page in the browser, and what it should not have done."""

    page: Any
    site: Path
    faults: list[str] = field(default_factory=list)

    def open(self, place: str) -> Any:
        self.page.goto((self.site / place).as_uri())
        return self.page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(params=[WIDE, NARROW], ids=["desktop", "phone"])
def visit(request: pytest.FixtureRequest, chromium: Any, site: Path) -> Iterator[Visit]:
    """A visitor; at the end, nothing was asked of a server and no script has failed."""
    width, height = request.param
    context = chromium.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    visit = Visit(page, site)
    page.on("request", lambda sent: visit.faults.append(sent.url) if sent.url.startswith("http") else None)
    page.on("requestfailed", lambda sent: visit.faults.append(f"failed: {sent.url}"))
    page.on("console", lambda said: visit.faults.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: visit.faults.append(str(error)))
    yield visit
    context.close()
    assert visit.faults == []


def overflow(page: Any) -> int:
    """Pixels by which the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def explorer(visit: Visit) -> Any:
    page = visit.open("explorer.html")
    page.wait_for_function("window.EQVI_STATE && window.EQVI_STATE.found")
    return page


def seen(page: Any, selector: str) -> bytes:
    """What is painted there now."""
    page.wait_for_function("[...document.images].every((image) => image.complete || image.loading === 'lazy')")
    return page.locator(selector).screenshot(animations="disabled")


class TestPages:
    def test_nothing_is_wider_than_the_window(self, visit: Visit) -> None:
        for path in sorted(visit.site.rglob("*.html")):
            page = visit.open(path.relative_to(visit.site).as_posix())
            assert overflow(page) <= 0, path
            assert page.locator("h1").count() == 1
            assert page.locator("img:not([alt])").count() == 0

    def test_findings_are_seen_first(self, visit: Visit) -> None:
        page = visit.open("index.html")
        assert page.locator(".tally button").count() == 4
        finding = page.locator(".finding").first
        box = finding.bounding_box()
        assert box["y"] + box["height"] <= page.viewport_size["height"], "below the fold"
        assert page.get_by_text("No published score was measured here").is_visible()
        finding.get_by_role("link", name="notebook 01").click()
        page.wait_for_url("**/01_first.html")

    def test_a_table_can_be_downloaded(self, visit: Visit) -> None:
        page = visit.open("index.html")
        with page.expect_download() as download:
            page.get_by_role("button", name="download the claims of this study as CSV").click()
        lines = Path(download.value.path()).read_text().splitlines()
        assert lines[0].startswith("claim,published,")
        assert any(line.startswith(str(small_site.LEDGER.loc[0, "claim"])) for line in lines)
        names = page.locator("[role=region]").evaluate_all("all => all.map(one => one.ariaLabel)")
        assert len(set(names)) == len(names)
        assert page.locator("th:empty").count() == 0

    def test_verdicts_can_be_filtered_by_keyboard(self, visit: Visit) -> None:
        page = visit.open("index.html")
        claim = small_site.LEDGER.loc[0, "claim"]
        assert page.get_by_text(claim, exact=True).is_visible()
        button = page.locator(".tally button.holds")
        button.focus()
        page.keyboard.press("Enter")
        assert page.get_by_text(claim, exact=True).is_hidden()
        assert button.get_attribute("aria-pressed") == "false"
        assert page.locator("[data-hidden-note]").inner_text() == "Hidden now: 1 holds, 1 not measured."
        page.locator(".tally button.missing").click()
        assert page.get_by_text(small_site.LEDGER.loc[3, "claim"], exact=True).is_visible()

    def test_formulas_are_laid_out(self, visit: Visit) -> None:
        page = visit.open("notebooks/01_first.html")
        assert page.locator("math").count() == 2
        fraction = page.locator("mfrac").bounding_box()
        assert fraction["height"] > fraction["width"]  # one above the other: it is set, not spelled

    def test_code_is_quiet_until_it_is_wanted(self, visit: Visit) -> None:
        page = visit.open("notebooks/01_first.html")
        code = page.locator("details.code .highlight").first
        assert code.is_hidden()
        page.get_by_role("button", name="show all code").click()
        assert code.is_visible()

    def test_links_between_notebooks(self, visit: Visit) -> None:
        page = visit.open("notebooks/01_first.html")
        page.locator("a[rel=next]").click()
        page.wait_for_url("**/02_second.html")
        assert page.locator("h1").inner_text() == "02 Second"


class TestExplorer:
    def test_t_by_keyboard(self, visit: Visit) -> None:
        page = explorer(visit)
        before, words = (
            seen(page, "[data-layer=frame]"),
            page.locator("[data-layer=frame] img").first.get_attribute("alt"),
        )
        page.locator("#t").focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("#t-value").inner_text() == "0.75"
        assert page.locator("[data-layer=frame] img").first.get_attribute("alt") != words
        assert seen(page, "[data-layer=frame]") != before

    @pytest.mark.parametrize("part", ["rqfp", "rcsn", "fusion"])
    def test_a_switch_changes_the_frame(self, visit: Visit, part: str) -> None:
        page = explorer(visit)
        before, quality = seen(page, "[data-layer=frame] .strip"), page.locator("#left-psnr").inner_text()
        box = page.locator(f"#parts input[value={part}]")
        box.focus()
        page.keyboard.press("Space")
        assert not box.is_checked()
        assert seen(page, "[data-layer=frame] .strip") != before
        assert page.locator("#left-psnr").inner_text() != quality
        assert page.locator("#parts input[value=ensemble]").is_disabled()

    def test_the_ensemble(self, visit: Visit) -> None:
        page = explorer(visit)
        before = seen(page, "[data-layer=frame] .strip")
        page.locator("#parts input[value=ensemble]").check()
        assert seen(page, "[data-layer=frame] .strip") != before

    def test_a_variant_is_chosen_by_its_name(self, visit: Visit) -> None:
        page = explorer(visit)
        page.get_by_role("button", name="no part", exact=True).click()
        assert page.locator("#left-name").inner_text() == "no part"
        assert page.locator("[data-layer=residual]").get_attribute("class") == "absent"

    def test_the_divider(self, visit: Visit) -> None:
        page = explorer(visit)
        page.locator("#other").select_option("truth")
        divider = page.locator("#divider")
        divider.focus()
        page.keyboard.press("Home")
        right = seen(page, "#compare")
        page.keyboard.press("End")
        assert seen(page, "#compare") != right
        assert page.locator("#compare").evaluate("node => node.style.getPropertyValue('--cut')") == "100%"

    def test_larger(self, visit: Visit) -> None:
        page = explorer(visit)
        before = seen(page, "#compare")
        page.locator("#zoom").select_option("6")
        assert seen(page, "#compare") != before

    def test_the_loop(self, visit: Visit) -> None:
        page = explorer(visit)
        page.locator("#play").click()
        page.wait_for_function("document.getElementById('t-value').textContent === '0.25'")
        page.locator("#play").click()
        assert page.locator("#play").get_attribute("aria-pressed") == "false"

    def test_a_click_shows_the_pixel_s_motion(self, visit: Visit) -> None:
        page = explorer(visit)
        window = small_site.windows()["tiny"]
        motion, (height, width) = Exploration(window.model, window.quadruplet).motion(), small_site.SIZE
        picture = page.locator("#pixel-picture")
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        alphas = set()
        for x, y in ((20, 30), (60, 64), (72, 60), (100, 100), (150, 10)):
            picture.click(position={"x": (x + 0.5) * box["width"] / width, "y": (y + 0.5) * box["height"] / height})
            found = pixel_motion(motion, x, y, 0.5, torch.tensor([0.5]))
            state = page.evaluate("""() => {
              const { pixel, x, y, landing } = window.EQVI_STATE.found;
              const axis = ({ observed, accelerations, consistent, alpha, curves }) => ({ observed, accelerations,
                consistent, alpha, curves: Object.fromEntries(Object.entries(curves).map(([k, f]) => [k, f(0.5)])) });
              return { pixel, axes: [axis(x), axis(y)], landing };
            }""")
            assert tuple(state["pixel"]) == (x, y)
            for c, axis in enumerate(state["axes"]):
                assert axis["observed"] == pytest.approx(found.observed[:, c].tolist(), abs=0.01)
                assert axis["accelerations"] == pytest.approx(found.accelerations[:, c].tolist(), abs=0.02)
                assert axis["consistent"] == found.consistent[c]
                assert axis["alpha"] == pytest.approx(found.alpha[c], abs=0.02)
                assert axis["curves"].keys() == found.curves.keys()
                for name, curve in found.curves.items():
                    assert axis["curves"][name] == pytest.approx(float(curve[0, c]), abs=0.02)
                alphas.add(axis["alpha"] > 0)
                # and it stands in the table
                cells = page.locator("#numbers tbody tr").nth(c).locator("td").all_inner_texts()
                shown = [float(cell.replace("−", "-")) for cell in cells[:6]]
                assert shown == pytest.approx(
                    [*found.observed[:, c].tolist(), *found.accelerations[:, c].tolist()], abs=0.03
                )
            assert state["landing"] == pytest.approx(found.landing, abs=0.02)
        assert alphas == {True, False}, "the pixels should show both answers of the sign test"
        assert page.locator("#curves polyline").count() == 8

    def test_the_address_keeps_what_is_shown(self, visit: Visit) -> None:
        page = explorer(visit)
        page.locator("#parts input[value=rqfp]").uncheck()
        page.locator("#t").focus()
        page.keyboard.press("Home")
        page.wait_for_function("location.hash.startsWith('#tiny,0.25,rcsn+fusion,')")
        address = page.url
        page.goto("about:blank")
        page.goto(address)
        page.wait_for_function("window.EQVI_STATE && window.EQVI_STATE.found")
        assert page.locator("#t-value").inner_text() == "0.25"
        assert page.locator("#left-name").inner_text() == "RCSN + MS-Fusion"

    def test_the_pixel_by_keyboard(self, visit: Visit) -> None:
        page = explorer(visit)
        x, y = page.evaluate("window.EQVI_STATE.pixel")
        page.locator("#pixel-picture").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowUp")
        assert page.evaluate("window.EQVI_STATE.pixel") == [x + 2, y - 16]
        assert f"Pixel {x + 2}, {y - 16}." in page.locator("#pixel-said").inner_text()
        page.locator("#pixel-x").fill("10")
        page.keyboard.press("Enter")
        assert page.evaluate("window.EQVI_STATE.pixel") == [10, y - 16]


def test_dark_and_still(chromium: Any, site: Path) -> None:
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme="dark", reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto((site / "index.html").as_uri())
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in dark.removeprefix("rgb(").rstrip(")").split(",")) < 60
    assert page.locator("img[data-film]").evaluate("image => image.currentSrc").endswith("film_strip.png")
    card = page.locator("img.card").first.evaluate("image => getComputedStyle(image).backgroundColor")
    assert card == "rgb(255, 255, 255)"
    context.close()
