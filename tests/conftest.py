"""What every test may ask for: the reference data beside the project, a browser, how hypothesis runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import hypothesis
import pytest

IN_CI = os.environ.get("CI") == "true"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")  # as in install_chromium.sh

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
