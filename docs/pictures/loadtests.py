"""Takes the pictures of the engineers' tutorial from the folders of finished runs.

python docs/pictures/loadtests.py RUN_OF_BREAK RUN_OF_REPLAY
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
PICTURES = {  # of which run, which part of its report
    "breaking-point.png": (0, ".page > .top, .figures-of-the-night"),
    "breaking-load.png": (0, "[id$=load-chapter] .panel"),
    "replay.png": (1, "#evening .panel"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Write them beside this file."""
    runs = [Path(given).resolve() for given in sys.argv[1:3]]
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1100, "height": 900}, color_scheme="light")
        for name, (which, selector) in PICTURES.items():
            page.goto((runs[which] / "report.html").as_uri())
            boxes = [box for one in page.locator(selector).all() if (box := one.bounding_box()) is not None]
            left, top = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
            right = max(box["x"] + box["width"] for box in boxes)
            bottom = max(box["y"] + box["height"] for box in boxes)
            clip = {"x": left - 10, "y": top - 6, "width": right - left + 20, "height": bottom - top + 12}
            page.screenshot(path=HERE / name, clip=clip, full_page=True)  # type: ignore[arg-type]  # a plain dict
        chromium.close()


if __name__ == "__main__":
    main()
