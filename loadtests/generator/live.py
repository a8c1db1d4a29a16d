"""Metrics of a load test while it runs, as Prometheus reads them, from the generator's process (or Locust's master).

What Locust has counted, latencies from due, and how the processes are doing that make the load; asked for with
`--prometheus HOST:PORT`. Knows nothing of what is sent.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulation.errors import InputError

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtests.generator.open_loop import Generator

ADDRESS = "CAUCUS_LOAD_METRICS"  # the environment's name by which the process that makes load is told
_QUANTILES = (0.5, 0.9, 0.95, 0.99)


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT; InputError says what is expected."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise InputError(f"--prometheus {text}: expected HOST:PORT, such as 127.0.0.1:9646")
    return host.strip("[]"), int(port)


def tell_children(address: str | None) -> None:
    """Let the generators that are started from here on show their metrics there; None: nowhere."""
    os.environ.pop(ADDRESS, None)
    if address is not None:
        _check_free(address, *parse_address(address))
        os.environ[ADDRESS] = address


def _check_free(address: str, host: str, port: int) -> None:
    """InputError where nobody could listen there: the generator's own words go into a file."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            one.bind(place)
            one.listen()
    except OSError as error:
        raise InputError(f"--prometheus {address}: cannot be listened on: {error.strerror or error}") from None


@dataclass(frozen=True, slots=True)
class Figures:
    """How a process is doing that makes load, or several of them together."""

    under_way: int  # requests sent and not answered yet
    lateness_s: float | None  # p99 of the last thousand requests; of several processes, the worst
    cpu_s: float  # so far

    @classmethod
    def of(cls, generator: Generator | None) -> Figures:
        """This process's."""
        if generator is None:
            return cls(0, None, time.process_time())
        return cls(len(generator.client.under_way), generator.lateness_s(), time.process_time())

    @classmethod
    def together(cls, several: Sequence[Figures]) -> Figures:
        """Of all of them."""
        late_s = [one.lateness_s for one in several if one.lateness_s is not None]
        return cls(sum(one.under_way for one in several), max(late_s, default=None), sum(one.cpu_s for one in several))


def serve(environment: Environment, figures: Callable[[], Figures]) -> None:
    """Answer at the address that this process was told, if any; a port that is taken is said, and no more."""
    told = os.environ.get(ADDRESS)
    if not told:
        return
    import sys

    from gevent.pywsgi import WSGIServer
    from prometheus_client import CollectorRegistry, make_wsgi_app
    from prometheus_client.registry import Collector

    class Load(Collector):
        def collect(self) -> Iterable[Any]:
            return _families(environment, figures())

    registry = CollectorRegistry()
    registry.register(Load())
    server = WSGIServer(parse_address(told), make_wsgi_app(registry), log=None)
    try:
        server.start()
    except OSError as error:
        print(f"--prometheus {told}: {error.strerror or error}", file=sys.stderr)


def _families(environment: Environment, figures: Figures) -> Iterator[Any]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

    requests = CounterMetricFamily(
        "caucus_load_requests", "Requests that were answered or given up.", labels=["operation"]
    )
    failures = CounterMetricFamily(
        "caucus_load_failures", "Of them, those that were not answered well.", labels=["operation"]
    )
    latency = SummaryMetricFamily(
        "caucus_load_latency_seconds", "From due to the last byte, since the start.", labels=["operation"]
    )
    quantiles = GaugeMetricFamily(
        "caucus_load_latency_quantile_seconds", "Quantiles of it, since the start.", labels=["operation", "quantile"]
    )
    for entry in list(environment.stats.entries.values()):
        name = entry.name
        requests.add_metric([name], entry.num_requests)
        failures.add_metric([name], entry.num_failures)
        latency.add_metric([name], entry.num_requests, entry.total_response_time / 1000)
        for q in _QUANTILES:
            value = entry.get_response_time_percentile(q)
            if value is not None:
                quantiles.add_metric([name, str(q)], value / 1000)
    yield from (requests, failures, latency, quantiles)
    yield CounterMetricFamily(
        "caucus_load_cpu_seconds", "Processor time of all processes that make load, so far.", value=figures.cpu_s
    )
    workers = getattr(environment.runner, "worker_count", 0)
    yield GaugeMetricFamily("caucus_load_workers", "Processes that make load.", value=max(1, workers))
    yield GaugeMetricFamily("caucus_load_under_way", "Requests sent and not answered yet.", value=figures.under_way)
    if figures.lateness_s is not None:
        yield GaugeMetricFamily(
            "caucus_load_lateness_seconds",
            "How late the last thousand requests were sent, p99; of several processes, the worst.",
            value=figures.lateness_s,
        )


def metrics_markdown() -> str:
    """The table of metrics for docs/."""
    rows = (
        ("caucus_load_requests_total", "requests answered or given up, by operation"),
        ("caucus_load_failures_total", "of them, those that were not answered well"),
        ("caucus_load_latency_seconds", "sum and count of latencies from due, by operation"),
        ("caucus_load_latency_quantile_seconds", "p50, p90, p95, p99 of them since the start"),
        ("caucus_load_under_way", "requests sent and not answered yet"),
        (
            "caucus_load_lateness_seconds",
            "how late the generator itself is: p99 of the last thousand requests; of several processes, the worst",
        ),
        ("caucus_load_cpu_seconds_total", "processor time of the generator, all its processes together"),
        ("caucus_load_workers", "processes that make load; what they count is told every 3 s where there are several"),
    )
    table = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in rows)
    return f"| metric | means |\n|---|---|\n{table}\n"
