"""HTTP of a worker: all of it at the port that the workers share, and its own health at a port of its own.

Who asks at the shared port gets any worker, so health and metrics there are those of all: the one that was asked asks
the others at their own ports. A probe and a scrape configuration made for a single node go on to work.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import msgspec
from litestar import Response, get
from litestar.types import ControllerRouterHandler
from msgspec import structs
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from server.config import Http
from server.http import PRIVATE, HttpDoor, HttpParts, Readiness, healthz_route, running_health_http, running_http
from server.workers.place import Worker

PATIENCE_S = 1.0  # for the answer of another worker of this machine; probes wait for three seconds
ANSWER_BYTES = 4_194_304  # metrics of a worker take some 30 KiB
UP = b"guildhall_worker_up"
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask for what listens everywhere
SAMPLE = re.compile(rb"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{?)", re.MULTILINE)

Answers = Mapping[int, bytes | None]
"""What each worker has answered, by number; None: nothing in time."""


@asynccontextmanager
async def running_worker_http(
    config: Http, parts: HttpParts, door: HttpDoor, worker: Worker
) -> AsyncIterator[Callable[[], None]]:
    """Serve at both ports while this is open; yields what ends serving at the shared one before.

    Raises:
        OSError: an address cannot be bound.
    """
    neighbours = Neighbours(config.host, parts, worker)
    shared = structs.replace(parts, operator_routes=neighbours.routes())
    up, leaving = asyncio.Event(), asyncio.Event()

    async def share() -> None:
        async with running_http(config, shared, door):
            up.set()
            await leaving.wait()

    async with running_health_http(config, worker.own_port, parts), asyncio.TaskGroup() as tasks:
        tasks.create_task(share(), name="shared-http")
        await up.wait()
        try:
            yield leaving.set
        finally:
            leaving.set()


class Neighbours:
    """Health and metrics of all workers, asked at any of them."""

    def __init__(self, host: str, parts: HttpParts, worker: Worker) -> None:
        self._host = ANYWHERE.get(host, host.strip("[]"))
        self._parts = parts
        self._worker = worker

    def routes(self) -> list[ControllerRouterHandler]:
        """In the place of a single node's."""

        @get("/readyz")
        async def readyz() -> Response[Readiness]:
            """Whether this machine should get traffic: 200 while any worker should. Notes name the others."""
            found = readiness({**await self._ask("/readyz"), self._worker.number: self._own_readiness()})
            return Response(found, status_code=200 if found.ready else 503, headers=PRIVATE)

        @get("/metrics", include_in_schema=False)
        async def metrics() -> Response[bytes]:
            """Numbers for Prometheus, those of each worker with its number as a label."""
            own = generate_latest(self._parts.registry)
            text = merged({**await self._ask("/metrics"), self._worker.number: own})
            return Response(text, media_type=CONTENT_TYPE_LATEST, headers=PRIVATE)

        return [healthz_route(), readyz, metrics]

    def _own_readiness(self) -> bytes:
        reasons = self._parts.ready()
        return msgspec.json.encode(Readiness(not reasons, reasons, self._parts.notes()))

    async def _ask(self, path: str) -> Answers:
        ports = self._worker.own_ports
        async with asyncio.TaskGroup() as tasks:
            asked = {
                number: tasks.create_task(fetch(self._host, port, path), name="ask-worker")
                for number, port in enumerate(ports)
                if number != self._worker.number
            }
        return {number: task.result() for number, task in asked.items()}


async def fetch(host: str, port: int, path: str) -> bytes | None:
    """The body of a small answer, whatever its status; None if none comes in time."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(host, port, limit=ANSWER_BYTES)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    return body if head.startswith(b"HTTP/1.") else None


def readiness(answers: Answers) -> Readiness:
    """Of all workers together. New connections go only to those that listen, so one that is ready is enough."""
    ready = False
    reasons: list[str] = []
    notes: list[str] = []
    for number, answer in sorted(answers.items()):
        try:
            said = msgspec.json.decode(answer or b"", type=Readiness)
        except msgspec.DecodeError:
            said = Readiness(ready=False, reasons=["it does not answer"], notes=[])
        ready = ready or said.ready
        reasons += [f"worker {number}: {reason}" for reason in said.reasons]
        notes += [f"worker {number}: {note}" for note in said.notes]
    return Readiness(ready, [], [*reasons, *notes]) if ready else Readiness(ready, reasons, notes)


def merged(answers: Answers) -> bytes:
    """One page in Prometheus's text form: the samples of each metric stand together, as the form demands, each with
    the label ``worker``."""
    metrics: dict[bytes, list[bytes]] = {}
    for number, page in sorted(answers.items()):
        label = b'worker="%d"' % number
        for name, head, samples in _metrics(page or b""):
            metrics.setdefault(name, [head]).append(_labelled(samples, label))
    ups = b"".join(b'%s{worker="%d"} %d\n' % (UP, n, answer is not None) for n, answer in sorted(answers.items()))
    head = b"# HELP %s 1 while the worker answers.\n# TYPE %s gauge\n" % (UP, UP)
    return b"".join([head, ups, *(part for parts in metrics.values() for part in parts)])


def _metrics(page: bytes) -> Iterable[tuple[bytes, bytes, bytes]]:
    """(name, HELP and TYPE lines, samples) of each metric."""
    for part in re.split(rb"^(?=# HELP )", page, flags=re.MULTILINE):
        help_line, _, rest = part.partition(b"\n")
        type_line, _, samples = rest.partition(b"\n")
        if type_line.startswith(b"# TYPE "):
            yield help_line.split(b" ", 3)[2], help_line + b"\n" + type_line + b"\n", samples


def _labelled(samples: bytes, label: bytes) -> bytes:
    return SAMPLE.sub(lambda m: m[1] + b"{" + label + (b"," if m[2] else b"}"), samples)
