"""A headless Chromium, where there is one."""

import os
import shutil
from collections.abc import Iterator

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, sync_playwright

from shop.seed import seed

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No sandbox, since CI often runs as root; and no talk with anybody but our own server.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def browser(monkeypatch) -> Iterator[Browser]:
    """One for each test: its event loop must be gone before another test runs its own."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        reason = f"no browser: none of {', '.join(NAMES)} is on PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    # Playwright's loop is current in this thread, and Django forbids its ORM inside of one.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
        # Django keeps connections apart for code inside of a loop: these are out of reach soon.
        connections.close_all()


@pytest.fixture
def shop(transactional_db, empty_cache) -> None:
    seed(products=200, reviews=300, progress=lambda done, total: None)


@pytest.fixture(params=[1280, 360], ids=["desktop", "phone"])
def page(request, browser: Browser, live_server, shop) -> Iterator[Page]:
    """A page that fails the test if the browser complains of anything, or scrolls sideways."""
    width = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 800}, base_url=live_server.url
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []
    # Before its style sheets are there, no page has the width it was given.
    page.wait_for_load_state("load")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
