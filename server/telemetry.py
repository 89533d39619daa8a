"""What an operator sees: log lines and metrics.

Log lines are events with fields (``area.happened``), JSON in production. Metrics are the plain
numbers of ``Meters``, turned into Prometheus's form when it asks for them.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from resource import getpagesize
from typing import Any, TextIO

import orjson
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from actors.runtime.clock import Clock
from actors.runtime.meters import Counts, Meters, Spread, Spreads
from server.config import Log

HIDDEN = frozenset({"token", "refresh_token", "authorization", "secret", "password", "device_id", "receipt"})
LAG_EVERY_S = 0.25
_STATM = Path("/proc/self/statm")

Event = MutableMapping[str, Any]


# Logs.
def configure_logging(config: Log, *, dev: bool, stream: TextIO | None = None) -> None:
    """Write structlog's events and those of libraries to standard error (or ``stream``), in one form.

    Libraries (uvicorn, redis and so on) are heard from ``warning`` on. May be called again; the
    last call counts, but for loggers that have already written in production form, which are
    cached.
    """
    out = stream or sys.stderr
    console = config.format == "console" or (config.format == "auto" and dev)
    level = logging.getLevelNamesMapping()[config.level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
        # Never the form with local variables: they hold tokens and texts of players.
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, *_render(console, out, text=console)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out) if console else structlog.BytesLoggerFactory(out.buffer),
        cache_logger_on_first_use=not console,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_render(console, out, text=True),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))


def hide_secrets(_logger: Any, _method: str, event: Event) -> Event:
    """Blank the fields that hold secrets, should one slip in."""
    for name in HIDDEN & event.keys():
        event[name] = "***"
    return event


def _render(console: bool, out: TextIO, *, text: bool) -> list[Any]:
    if console:
        return [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)]
    dumps: Callable[..., Any] = _json_text if text else _json
    return [structlog.processors.JSONRenderer(serializer=dumps)]


def _json(event: Mapping[str, Any], **_: Any) -> bytes:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)


def _json_text(event: Mapping[str, Any], **_: Any) -> str:
    return _json(event).decode()


# Metrics.
class MetersCollector(Collector):
    """Shows ``Meters`` to Prometheus."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def collect(self) -> Iterator[Metric]:
        """All metrics, with their values now."""
        meters = self._meters
        yield from _gateway(meters)
        yield from _kept_out(meters)
        yield from _actors(meters)
        yield from _commits(meters)
        yield from _around(meters)
        yield from _process()


def registry_of(meters: Meters) -> CollectorRegistry:
    """A registry of our own, so that two nodes in one process (tests) do not share numbers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(MetersCollector(meters))
    return registry


async def loop_lag(
    clock: Clock,
    meters: Meters,
    observe: Callable[[float], None] = lambda _lag_s: None,
    *,
    every_s: float = LAG_EVERY_S,
) -> None:
    """Measure for ever how late the event loop is, and tell ``observe``; to be run in a task of its own."""
    while True:
        due = clock.monotonic() + every_s
        await clock.sleep(every_s)
        meters.loop_lag_s = max(0.0, clock.monotonic() - due)
        meters.loop_lag.observe(meters.loop_lag_s)
        observe(meters.loop_lag_s)


def _gateway(meters: Meters) -> Iterator[Metric]:
    yield _gauge("connections", "Open connections of players.", meters.connections)
    yield _counter("connections_opened", "Connections accepted.", meters.connections_opened)
    yield _counts("messages_in", "Messages received, by type.", "type", meters.messages_in)
    yield _counter("messages_out", "Messages sent to sessions.", meters.messages_out)
    yield _counter("inbound_bytes", "Bytes of messages received.", meters.inbound_bytes)
    yield _counter("outbound_bytes", "Bytes written to sockets.", meters.outbound_bytes)
    yield _counter("writes", "Writes to sockets.", meters.writes)
    yield _counts("refusals", "Error replies, by code.", "code", meters.refusals)
    yield _gauge("tls_expires_at_seconds", "When the certificate expires; 0: no TLS.", meters.tls_expires_at_s)
    yield _counts("closes", "Connections closed by the server, by code.", "code", meters.closes)


def _kept_out(meters: Meters) -> Iterator[Metric]:
    yield _counts("refused_connections", "Connections not taken, by reason.", "reason", meters.refused_connections)
    yield _counts("limited", "Requests past a rate, by whose.", "rate", meters.limited)
    yield _gauge("shedding_level", "What is turned away for the loop's lag: 0 nothing, 4 all.", meters.shedding_level)
    yield _counts("shed", "What was turned away for the loop's lag.", "what", meters.shed)
    yield _gauge("sessions_behind", "Sessions with bytes that the kernel has not taken.", meters.sessions_behind)
    yield _gauge("outbound_waiting_bytes", "What these bytes are together.", meters.outbound_waiting_bytes)
    yield _counter("ephemeral_left_out", "Events that slow readers did not get.", meters.ephemeral_left_out)
    yield _counts("slow_readers", "Readers closed with 4001, by the bound passed.", "bound", meters.slow_readers)


def _actors(meters: Meters) -> Iterator[Metric]:
    yield _spread("mailbox_wait_seconds", "Time from arrival in a mailbox to the turn.", meters.mailbox_wait)
    yield _spreads("turn_seconds", "Time that a turn took, by kind of actor.", "kind", meters.turns)
    yield _counts("actors_active", "Actors that the node holds, by kind.", "kind", meters.active, now=True)
    yield _counts("activations", "Actors activated, by kind.", "kind", meters.activated)
    yield _counts("passivations", "Actors passivated, by kind.", "kind", meters.passivated)
    yield _gauge("actors_quarantined", "Actors set aside until an operator has looked.", meters.quarantined)


def _commits(meters: Meters) -> Iterator[Metric]:
    yield _spread("commit_actors", "Actors in one commit.", meters.commit_size)
    yield _spread("commit_seconds", "Time that a commit took.", meters.commit_seconds)
    yield _counts("commit_outcomes", "Actors committed, by outcome.", "outcome", meters.commit_outcomes)
    yield _counter("deliveries", "Events given to sessions.", meters.deliveries)


def _around(meters: Meters) -> Iterator[Metric]:
    yield _counter("bus_published", "Messages sent to other nodes.", meters.bus_published)
    yield _counter("bus_received", "Messages received from other nodes.", meters.bus_received)
    yield _counter("bus_dropped", "Messages to other nodes that could not be sent.", meters.bus_dropped)
    yield _spread("loop_lag_seconds", "How late the event loop ran a timer.", meters.loop_lag)
    yield _gauge("loop_lag_now_seconds", "How late it was the last time.", meters.loop_lag_s)
    yield _gauge("store_up", "1 while the database answers.", int(meters.store_up))


def _process() -> Iterator[Metric]:
    """Under the names that every Prometheus client gives them. Its own collector would also count the open files, one
    by one: some milliseconds of the loop with thousands of connections."""
    yield CounterMetricFamily("process_cpu_seconds", "Processor time, user and system.", value=time.process_time())
    memory = resident_bytes()
    if memory is not None:
        yield GaugeMetricFamily("process_resident_memory_bytes", "Memory in use.", value=memory)


def resident_bytes() -> int | None:
    """Memory of this process (proc(5), statm); None where there is no /proc."""
    try:
        return int(_STATM.read_bytes().split()[1]) * getpagesize()
    except OSError:
        return None


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"guildhall_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"guildhall_{name}", text, value=value)


def _counts(name: str, text: str, label: str, counts: Counts, *, now: bool = False) -> Metric:
    family = (GaugeMetricFamily if now else CounterMetricFamily)(f"guildhall_{name}", text, labels=[label])
    for value, number in counts.items():
        family.add_metric([value], number)
    return family


def _spread(name: str, text: str, spread: Spread) -> Metric:
    return HistogramMetricFamily(f"guildhall_{name}", text, buckets=_buckets(spread), sum_value=spread.total)


def _spreads(name: str, text: str, label: str, spreads: Spreads) -> Metric:
    family = HistogramMetricFamily(f"guildhall_{name}", text, labels=[label])
    for value, spread in spreads.items():
        family.add_metric([value], buckets=_buckets(spread), sum_value=spread.total)
    return family


def _buckets(spread: Spread) -> list[tuple[str, float]]:
    """Prometheus counts from below: each bucket holds all the smaller ones."""
    summed: list[tuple[str, float]] = []
    so_far = 0
    for bound, count in zip((*spread.bounds, "+Inf"), spread.counts, strict=True):
        so_far += count
        summed.append((str(bound), so_far))
    return summed


__all__ = [
    "Counts",
    "Meters",
    "MetersCollector",
    "Spread",
    "Spreads",
    "configure_logging",
    "loop_lag",
    "registry_of",
]
