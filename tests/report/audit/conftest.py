"""A headless Chromium, which CI must have and other machines may lack."""

import os

import pytest

from heatproof.report.audit.printed import browser


@pytest.fixture(scope="module")
def chromium():
    """A browser driven by Playwright; without one a test fails in CI and skips elsewhere."""
    program = browser()
    if program is None:
        reason = "no Chromium is on the path (CHROMIUM names one elsewhere)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()
