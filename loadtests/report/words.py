"""Figures of a load test as an engineer reads them: loads, latencies, intervals, and what ran out.

Text only; knows nothing of where the figures come from.
"""

from __future__ import annotations

import math
import re

from simulation.words import DASH, THIN, number, percent

FLOWS = {
    "login": "the log-in",
    "report": "the reports",
    "photo": "the photos",
    "clerk": "hotline entry",
    "results": "the public results",
    "mix": "everything at once",
}
_WHO = {
    "service": "the service",
    "database": "the database",
    "generator": "the load generator",
    "machine": "the machine",
    "target": "the backend",
}
_WHAT = {"cpu": "CPU", "disk": "disk", "pool": "connection pool", "memory": "memory", "queue": "queue"}


def flow_name(flow: str) -> str:
    """What breaks: "the log-in"."""
    return FLOWS.get(flow, flow)


def short_name(flow: str) -> str:
    """Beside a row of a picture."""
    return {"mix": "all together", "results": "public results", "login": "log-in", "clerk": "hotline entry"}.get(
        flow, flow
    )


def place_name(flow: str) -> str:
    """Where a backend breaks: "at the log-in"."""
    return f"{'with' if flow == 'mix' else 'at'} {flow_name(flow)}"


def operation_name(operation: str) -> str:
    """Which of a mix's operations: "the report's final step"."""
    flow, _, step = operation.partition(".")
    known = flow_name(flow)
    return f"{known} ({step.replace('_', ' ')})" if step and flow == "report" else known


def resource_name(resource: str) -> str:
    """What ran out: "service.cpu" is "CPU of the service"."""
    who, _, what = resource.removesuffix("_max").partition(".")
    if who == "metrics":
        return f"what waited for its turn ({what})"
    if resource == "generator":
        return "the load generator itself"
    if not what:
        return _WHAT.get(who, resource)
    return f"{_WHAT.get(what, what)} of {_WHO.get(who, who)}"


def significant(value: float, digits: int) -> str:
    """A figure to so many significant digits, never with an exponent; thousands apart."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "never"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    rounded = round(value, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{rounded:,.{decimals}f}"


def per_s(value: float) -> str:
    """Requests a second."""
    return f"{significant(value, 3)}/s"


def span(low: float, high: float) -> str:
    """An interval: three digits, and more where the ends would look alike."""
    for digits in (3, 4, 5):
        ends = significant(low, digits), significant(high, digits)
        if ends[0] != ends[1] or low == high:
            break
    return ends[0] if ends[0] == ends[1] else DASH.join(ends)


def middle(low: float, high: float) -> str:
    """The one number that stands for an interval: two digits, where the interval leaves no more."""
    value = math.sqrt(low * high)
    return significant(value, 3 if high / low - 1 < 0.03 else 2)


def latency(seconds: float | None) -> str:
    """Milliseconds below a second; None or infinite: not answered well."""
    if seconds is None or not math.isfinite(seconds):
        return "never"
    if seconds < 0.9995:
        ms = seconds * 1000
        return f"{significant(ms, 2) if ms < 10 else number(round(ms))}{THIN}ms"
    return f"{significant(seconds, 3 if seconds < 100 else 4)}{THIN}s"


def share(value: float) -> str:
    """Errors: hundredths of a percent count."""
    if 0 < value < 0.01:
        return f"{max(value * 100, 0.01):.2f}{THIN}%"
    return percent(value)


def length(seconds: float) -> str:
    """How long something took: seconds, then minutes, then hours."""
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + f"{THIN}s"
    if seconds < 120:
        return f"{seconds:.0f}{THIN}s"
    if seconds < 7200:
        return f"{significant(seconds / 60, 2 if seconds < 6000 else 3)}{THIN}min"
    return f"{significant(seconds / 3600, 2)}{THIN}h"


def typeset(text: str) -> str:
    """Plain text in the page's type: thin spaces before units, dashes in ranges."""
    text = re.sub(r"(?<=\d)-(?=\d)", DASH, text)
    return re.sub(r"(?<=\d) (?=(?:%|ms|s|min|h)\b|%)", THIN, text)


def joined(texts: list[str]) -> str:
    """Several things in a sentence."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def sentence(text: str) -> str:
    """With a large first letter, and a full stop where there is none."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
