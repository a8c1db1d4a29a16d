"""How a running backend is watched: metrics for Prometheus, health, logs as JSON without secrets.

Knows nothing of reports. In several workers every process writes its numbers to a folder that each can answer from.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import sys
import threading
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import prometheus_client
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, multiprocess

Kind = Literal["counter", "gauge", "histogram"]
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # set before prometheus_client is imported, or it does not look
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; of gauges `merged` says what several workers' numbers come to."""

    name: str
    kind: Kind
    line: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = _SECONDS
    merged: Literal["livesum", "livemax", "liveall"] = "livesum"


METRICS: tuple[Metric, ...] = (
    Metric("caucus_requests", "counter", "requests answered", ("route", "method", "status")),
    Metric("caucus_request_seconds", "histogram", "time from a request's head to the end of its answer", ("route",)),
    Metric("caucus_requests_in_progress", "gauge", "requests that were being answered when it was last asked"),
    Metric("caucus_writes_waiting", "gauge", "writes that wait for the writer or are being written"),
    Metric("caucus_batch_size", "histogram", "writes that shared a transaction", (), (1, 2, 4, 8, 16, 32, 64)),
    Metric("caucus_commit_seconds", "histogram", "time of a transaction of the writer, its commit included"),
    Metric("caucus_logins", "counter", "log-ins by outcome: accepted, wrong, limited, busy", ("outcome",)),
    Metric("caucus_refusals", "counter", "requests turned away, by code", ("code",)),
    Metric("caucus_hashes_waiting", "gauge", "log-ins that wait for their PIN to be hashed"),
    Metric("caucus_reads_waiting", "gauge", "requests that wait to ask the database"),
    Metric("caucus_database_connections_in_use", "gauge", "connections of the pool that are in use"),
    Metric("caucus_release_number", "gauge", "number of the public release that is shown", merged="livemax"),
    Metric("caucus_release_age_seconds", "gauge", "time since that release was made", merged="livemax"),
    Metric("caucus_events_unsealed", "gauge", "events of the audit log that no link covers yet", merged="livemax"),
    Metric("caucus_ready", "gauge", "processes that are ready"),
    Metric("caucus_process_cpu_seconds", "gauge", "CPU time of a process so far", merged="liveall"),
    Metric("caucus_process_resident_bytes", "gauge", "memory of a process", merged="liveall"),
    Metric("caucus_process_open_files", "gauge", "open files and connections of a process", merged="liveall"),
)


class Metrics:
    """The numbers of one process, by their names without the prefix."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client; a second series of each, unread
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for one in METRICS:
            if one.kind == "counter":
                self._counters[one.name] = Counter(one.name, one.line, one.labels, registry=self._registry)
            elif one.kind == "gauge":
                self._gauges[one.name] = Gauge(
                    one.name, one.line, one.labels, registry=self._registry, multiprocess_mode=one.merged
                )
            else:
                self._histograms[one.name] = Histogram(
                    one.name, one.line, one.labels, registry=self._registry, buckets=one.buckets
                )
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        key = (route, method, status)
        found = self._answered.get(key)
        if found is None:
            counter = self._counters["caucus_requests"].labels(route, method, str(status))
            found = self._answered[key] = counter, self._histograms["caucus_request_seconds"].labels(route)
        found[0].inc()
        found[1].observe(seconds)

    def refused(self, code: str) -> None:
        """Count a refusal."""
        self._counters["caucus_refusals"].labels(code).inc()

    def logged_in(self, outcome: str) -> None:
        """Count a log-in."""
        self._counters["caucus_logins"].labels(outcome).inc()

    def committed(self, writes: int, seconds: float) -> None:
        """Note a transaction of the writer."""
        self._histograms["caucus_batch_size"].observe(writes)
        self._histograms["caucus_commit_seconds"].observe(seconds)

    def note(self, **values: float) -> None:
        """Set gauges, named without the prefix."""
        for name, value in values.items():
            self._gauges[f"caucus_{name}"].set(value)

    def note_process(self) -> None:
        """Set the gauges of this process."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.note(
            process_cpu_seconds=used.ru_utime + used.ru_stime,
            process_resident_bytes=_resident_bytes(used.ru_maxrss),
            process_open_files=_open_files(),
        )

    def text(self) -> bytes:
        """Everything in Prometheus' text format; with several workers, of all of them."""
        folder = os.environ.get(MULTIPROCESS)
        if not folder:
            return prometheus_client.generate_latest(self._registry)
        _forget_dead(Path(folder))
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]  # prometheus_client
        return prometheus_client.generate_latest(registry)


def metrics_markdown() -> str:
    """The table of the reference page."""
    rows = []
    for one in METRICS:
        name = f"{one.name}_total" if one.kind == "counter" else one.name
        labels = ", ".join(f"`{label}`" for label in one.labels)
        rows.append(f"| `{name}` | {one.kind} | {labels} | {one.line} |")
    return "\n".join(("| metric | kind | labels | what it counts |", "|---|---|---|---|", *rows)) + "\n"


def _forget_dead(folder: Path) -> None:
    """Take the gauges of processes that are gone out of the folder; their counters stay."""
    for pid in {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_live*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]  # prometheus_client
        except PermissionError:
            continue


def _resident_bytes(most_kib: int) -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # no Linux: the most it ever was
        return float(most_kib * (1 if sys.platform == "darwin" else 1024))
    return float(pages * resource.getpagesize())


def _open_files() -> float:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return float(len(os.listdir(folder)))
        except OSError:
            continue
    return 0.0


_SECRET = re.compile(r"(^|_)(pin|password|secret|second_factor|token|authorization|cookie)s?($|_)", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"(://[^:/@\s]*:)[^@\s]+@")
_PASSWORD_IN_QUERY = re.compile(r"(\b(?:ssl)?password\s*=\s*)[^&\s]+", re.IGNORECASE)  # or among libpq's words


def without_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog's processor that a secret would have to get past: by the name of its field, or as part of a URL."""
    for name, value in event.items():
        if _SECRET.search(name):
            event[name] = "[hidden]"
        elif isinstance(value, str) and ("://" in value or "=" in value):
            event[name] = _PASSWORD_IN_QUERY.sub(r"\1[hidden]", _PASSWORD_IN_URL.sub(r"\1[hidden]@", value))
        elif isinstance(value, bytes):
            event[name] = f"[{len(value)} bytes]"
    return event


def configure_logs() -> None:
    """One JSON object a line on stderr, uvicorn's and the libraries' messages among them. For a process of its own."""
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        without_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _without_traceback,
            structlog.processors.JSONRenderer(),
        ],
        foreign_pre_chain=shared,
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    threading.excepthook = _thread_failed


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """A thread that an exception ended; Python's own way would tell its words, a statement's parameters among them."""
    if failed.exc_value is not None and not issubclass(failed.exc_type, SystemExit):
        name = failed.thread.name if failed.thread is not None else ""
        structlog.get_logger().critical("thread failed", thread=name, **told_of(failed.exc_value))


def _without_traceback(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A library's exception by its kind and place: its words may quote what was sent."""
    told = event.pop("exc_info", None)
    if isinstance(told, tuple) and told[1] is not None:
        event.update(told_of(told[1]))
        event["event"] = str(event["event"]).partition("\n")[0]  # asyncio goes on with the exception's words
    return event


def told_of(error: BaseException) -> Mapping[str, Any]:
    """An exception for a log: its kind and where it came from, not its words, which may quote what was sent."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "trace": frames[-12:]}
