"""Headless Chromium; pages are watched for errors, dialogs and requests to other hosts."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the installed browser; without one, skip the test. None is downloaded."""
    if not CHROMIUM:
        pytest.skip("no chromium on PATH: install Debian's package of that name")
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@contextmanager
def watched_page(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """Open ``url`` with a fresh profile; fail on errors, dialogs and requests to other hosts."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(60_000)
    faults: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("dialog", dismiss)
    page.on("console", lambda message: faults.extend([message.text] if "Policy" in message.text else []))
    context.on("request", lambda request: faults.extend(_foreign(request.url, url)))
    page.goto(url)
    yield page
    page.wait_for_timeout(50)
    context.close()
    assert not faults


def send(page: Page, text: str) -> None:
    """Send a message in the open conversation."""
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send", exact=True).click()


def _foreign(requested: str, url: str) -> list[str]:
    """Return the requested URL if its host is not the page's."""
    return [requested] if urlsplit(requested).netloc != urlsplit(url).netloc else []
