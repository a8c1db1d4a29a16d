"""A page as a tagged PDF (PDF/UA-1), by WeasyPrint: the same page, as it prints.

Equal pages give equal bytes with the same fonts: nothing in the file says when or where it was made.
"""

from __future__ import annotations

import contextlib
import io
import re
from typing import Any

from simulation.errors import InputError
from simulation.report.plot import colors

VARIANT = "pdf/ua-1"
_SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
_NARROW = re.compile(r'<svg class="narrow".*?</svg>', re.DOTALL)
_ALTERNATIVE = re.compile(r"(<title[^>]*>)(.*?)</title><desc[^>]*>(.*?)</desc>", re.DOTALL)
_MARK = re.compile(r"<svg ([^>]*)data-mark=\"(\w+)\">")
_VARIABLE = re.compile(r"var\(--([a-z-]+)\)")


def check() -> None:
    """InputError, with what to install, where PDFs cannot be made on this machine."""
    _weasyprint()


def as_pdf(html: str) -> bytes:
    """The page as a PDF. InputError where this machine cannot make one."""
    weasyprint = _weasyprint()
    pdf: bytes = weasyprint.HTML(string=_printed(html)).write_pdf(pdf_variant=VARIANT)
    return pdf


def _printed(html: str) -> str:
    """The page for WeasyPrint, which knows neither variables inside pictures nor what is folded.

    Pictures for telephones are left out; pictures get the light colors themselves; their titles, all that it takes for
    a picture's alternative text, also say what the pictures show; and what is folded is opened.
    """
    found = _NARROW.sub("", html)
    found = _SVG.sub(lambda svg: _VARIABLE.sub(lambda name: colors()[name[1]], svg[0]), found)
    found = _ALTERNATIVE.sub(r"\1\2. \3</title>", found)
    found = _MARK.sub(r"<svg \1><title>mark: \2</title>", found)
    found = re.sub(r"<summary>.*?</summary>", "", found, flags=re.DOTALL)
    return re.sub(r"<(/?)details\b", r"<\1div", found)


def _weasyprint() -> Any:
    said = io.StringIO()  # WeasyPrint prints a page of advice where a library is missing; one sentence is enough
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            import weasyprint
    except ImportError:
        raise InputError(
            "--pdf: WeasyPrint is not installed, which makes the PDF: pip install 'caucus-trial-run[pdf]'"
        ) from None
    except OSError:
        raise InputError(
            "--pdf: WeasyPrint does not find the library Pango: install it (Debian, Ubuntu: apt-get install "
            "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0; macOS: brew install pango)"
        ) from None
    return weasyprint
