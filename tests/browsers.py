"""Headless Chromium."""

import contextlib
import os
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Where to leave screenshots, for a look at them.
SCREENSHOTS = os.environ.get("HLN_TF_SCREENSHOTS")


@contextlib.contextmanager
def chromium(*more):
    """A browser; skips the test where there is none.

    Args:
        more: Flags of Chromium, in addition.
    """
    api = pytest.importorskip("playwright.sync_api", reason="the package playwright is missing")
    if CHROMIUM is None:
        pytest.skip("there is no chromium (apt-get install chromium)")
    flags = [
        *("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", *more),
    ]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()
