"""What every test may ask for: reference data, a browser, what a page does against WCAG, how hypothesis runs."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

IN_CI = os.environ.get("CI") == "true"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")  # as in install_system_packages.sh
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")  # axe-core's tags for all of WCAG 2.2, level AA

# Who starts the tests in the background of a script has them, and all that they start, begin deaf to Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the first example of a kernel compiles it. In CI the same examples every time, so that red means changed.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if IN_CI else "local")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of historical reference data, `../shared/data` beside the project's root."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the reference data (../shared/data beside the project) are not here")
    return folder


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The system's Chromium or Chrome, for Playwright's `executable_path`."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        message = f"no browser for the browser tests: none of {', '.join(BROWSERS)} is installed"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="session")
def violations() -> Callable[[Page], list[str]]:
    """What axe-core finds in an open page against WCAG 2.2 AA, folded parts unfolded: a rule and its elements each."""
    from axe_playwright_python.sync_playwright import Axe

    def found(page: Page) -> list[str]:
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        options = {"runOnly": WCAG, "resultTypes": ["violations"]}
        answer = Axe().run(page, options=options).response
        assert answer["passes"], "axe-core checked nothing"
        return [f"{rule['id']}: {[node['target'] for node in rule['nodes']]}" for rule in answer["violations"]]

    return found
