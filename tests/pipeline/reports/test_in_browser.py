"""The page in headless Chromium: no errors or requests, layout on a phone, contrast, keyboard."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from pipeline.reports import render
from tests.pipeline.reports.contents import content
from tests.serve.browser import chromium

LONG = "unbroken" * 40 + "</p><img src=https://example.org/x.png onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(content(LONG)), encoding="utf-8")
    return file


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=request.param)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("dialog", lambda dialog: problems.append(dialog.message))
    context.on(
        "request", lambda request: problems.append(request.url) if request.url != path.as_uri() else None
    )
    opened.goto(path.as_uri())
    yield opened
    opened.wait_for_timeout(50)
    context.close()
    assert problems == []


def test_page_fits_a_phone(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_samples_open_by_keyboard(page: Page) -> None:
    shown = page.locator("[id='toxicity.score'] .sample").first
    for text in ("1 reason, 0 records dropped", "3 dropped records (may be offensive)"):
        assert not shown.is_visible()
        page.get_by_text(text).focus()
        page.keyboard.press("Enter")
    assert shown.is_visible()


def test_links_to_a_reason_open_its_stage(page: Page) -> None:
    card = page.locator("[id='gopher.top_4_gram']")
    assert not card.is_visible()
    page.locator("a[href='#gopher.top_4_gram']").first.click()
    assert card.is_visible()


def test_colours_have_sufficient_contrast(page: Page) -> None:
    """WCAG AA: 4.5 to 1 for text, 3 to 1 for graphics."""
    colours = page.evaluate(
        """() => Object.fromEntries(
          ['paper', 'card', 'ink', 'soft', 'link', 'mark', 'passes', 'fails', 'words'].map(name => {
            document.body.style.color = `var(--${name})`
            return [name, getComputedStyle(document.body).color]
          }))"""
    )
    luminance = {name: _luminance(colour) for name, colour in colours.items()}
    for background in ("paper", "card"):
        for text in ("ink", "soft", "link", "mark"):
            assert _contrast(luminance[text], luminance[background]) >= 4.5, (text, background)
        for shape in ("passes", "fails", "words"):
            assert _contrast(luminance[shape], luminance[background]) >= 3, (shape, background)


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
