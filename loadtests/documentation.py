"""The pages of docs/ that `python -m loadtests.documentation .` writes from the code of the load tests."""

from __future__ import annotations

import sys
from pathlib import Path


def pages() -> dict[str, str]:
    """File name to text of every generated page."""
    from loadtests.faults import faults_markdown

    return {
        "backend.md": backend_markdown(),
        "faults.md": faults_markdown(),
        "load-tests.md": load_tests_markdown(),
    }


def backend_markdown() -> str:
    """What the reference backend does with a report, and every code and number that it tells."""
    from loadtests.backend.checks import codes_markdown
    from loadtests.backend.identity.limits import locks_markdown
    from loadtests.backend.operation import metrics_markdown
    from loadtests.backend.records import machine_markdown
    from loadtests.backend.refusals import refusals_markdown

    return "\n".join(
        (
            _INTRODUCTION,
            "## States of a record\n",
            _STATES,
            machine_markdown(),
            "## What is said of a report\n",
            _CODES,
            codes_markdown(),
            "## What is said of a request\n",
            refusals_markdown(),
            "## Log-ins that are locked out\n",
            locks_markdown(),
            _FILES,
            "## Metrics\n",
            _METRICS,
            metrics_markdown(),
        )
    )


def load_tests_markdown() -> str:
    """What can be asked of a backend under load, how it is found out, and the metrics of a run."""
    from loadtests import breaking_point, objectives
    from loadtests.generator import live

    method = breaking_point.method_markdown()
    return "\n".join((objectives.metrics_markdown(), method, _DRIFT, _LIVE, live.metrics_markdown()))


_METRICS = """\
At `/metrics`, as Prometheus reads them. `/healthz` says whether the process lives, `/readyz` whether it can take
reports.
"""

_DRIFT = """\
## What counts as a drift

`caucus loadtest soak` samples latency, memory and file handles once a stretch (a minute, or less in short soaks). The
slope is Sen's: the median of all slopes between two samples. Whether it is more than luck is tested by Mann and
Kendall, with as many independent samples as the autocorrelation of what the slope leaves over allows (Yue and Wang
2004): without that, a steady service whose samples hang together is called leaking far too often. A drift is
reported where luck alone would do as much in fewer than 1 soak of 100 and the figure moved by a twentieth of its level
or more. The first fifth of the time is left out, in which caches fill. With fewer than 8 samples after it, a figure is
not known to keep its level: the soak says so, and ends with exit code 1. Of a backend whose processes cannot be seen
from here, memory and file handles are not looked at.
"""

_LIVE = """\
## Metrics while a run goes on

With `--prometheus HOST:PORT` the process that makes load (Locust's master, where there are several) shows these; none
of them costs the generator anything until somebody asks.
"""

_INTRODUCTION = """\
# The reporting backend

Written by `make docs`. `caucus backend` serves it, [guide-engineers.md](guide-engineers.md) shows how to load it, and
`/openapi.json` describes every request. Reports come in steps: `open` (the head count, which freezes N),
`first-alignment`, `final` (final alignment and delegates), and a photo of the worksheet. Nothing is overwritten: each
step, correction, entry and approval is a version of its own, with an event in the audit log.
"""

_STATES = """\
Only `accepted` makes figures public. What the hotline takes down is keyed by two clerks; what differs, or what the
checks warn of, goes to review and is released by two people. The public keeps the accepted figures until a correction
is released. On a night without preference groups (a straw poll) there is no first alignment: `final` follows `open`.
"""

_CODES = """\
Codes with a status are errors: the request is refused, and `{"errors": [{"code", "message", "field"}]}` says why. The
others are warnings: the report is recorded, and a reviewer looks at it.
"""


_FILES = """\
## Public results

- `/results`: the page, which needs no script; `/results/counties/NAME.html`: the page of a county.
- `/results.json`: totals of the state and of its counties, and how many sites have reported.
- `/results.csv`: a row a site and candidate, in OpenElections' columns `county, precinct, office, district, party,
  candidate, votes` (`votes` is the final alignment; `district` and `party` are empty), then `first_alignment,
  final_alignment, delegates, sde, site`. A candidate for whom nobody stood has no row, nor has a site that has not
  reported.
- `/results/nist.json`: NIST SP 1500-100, version 2. The total is the final alignment; first alignment, delegates and
  SDE are counts of type `other`.
- `/results/counties/NAME.json`, `/results/sites/CODE.json`: a county, a site.
- `/results/releases/N.json`, `.csv`: release N, which stays as it is; its SHA-256 is that of its CSV.

Satellites share a pool of SDE by attendance: until all have reported, those still out count with their expected
attendance, so that the SDE of satellites move until then.
"""


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / "docs" / name).write_text(text, encoding="utf-8")
