"""A headless Chromium that watches what a page does: its requests, its dialogs, its errors."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own browser; none is downloaded, and without one the test is skipped."""
    if not CHROMIUM:
        pytest.skip("no chromium on PATH: install Debian's package of that name")
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@contextmanager
def watched_page(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page of a fresh profile at ``url``. It may raise no error, open no dialog, ask no other host."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(10_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda message: faults.append(message.text) if "Policy" in message.text else None)
    context.on("request", lambda asked: faults.append(asked.url) if _is_foreign(asked.url, url) else None)
    page.goto(url)
    yield page
    page.wait_for_timeout(50)
    context.close()
    assert not faults


def send(page: Page, text: str) -> None:
    """Ask ``text`` in the page's conversation."""
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send", exact=True).click()


def _is_foreign(asked: str, url: str) -> bool:
    return urlsplit(asked).netloc != urlsplit(url).netloc
