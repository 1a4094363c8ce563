"""The real browser in which pages are tested: Chromium as it is installed, else as Playwright fetched it."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def executable(playwright: Playwright) -> str | None:
    own = playwright.chromium.executable_path
    return next((found for name in (*NAMES, own) if (found := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. While Playwright runs, no other event loop can in this thread."""
    with sync_playwright() as playwright:
        path = executable(playwright)
        assert path, "the pages are tested in Chromium, which was not found: `make browser` gets it"
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


if __name__ == "__main__":
    with sync_playwright() as found:
        sys.exit(executable(found) is None)
