"""What a connection passes on its way in: a proxy's header, admission, TLS. On both loops: nodes run on uvloop."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from actors.runtime import SystemClock
from actors.runtime.meters import Meters
from server.acceptor import Acceptor, Arrival, Entrance
from server.forwarded import LONGEST_BYTES, Proxies
from server.tls import Certificate
from tests.support.certificates import Pair
from tests.support.proxy_headers import GOOD

PATIENCE_S = 10.0
ME = Proxies(["127.0.0.1"])
PROXIED = Entrance(proxies=ME)

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on a loop of the sort."""

    def to_its_end(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(coroutine, PATIENCE_S))

    return to_its_end


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


@pytest.fixture
def certificate(pair: Pair) -> Certificate:
    return Certificate(str(pair.cert), str(pair.key), SystemClock(), Meters())


class Hall:
    """Where guests come in, and what became of them."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.heard = b""
        self.changed = asyncio.Event()
        self.asked: list[str] = []
        self.lost: list[Any] = []

    def guest(self, arrival: Arrival) -> asyncio.Protocol:
        return Guest(self, arrival)

    def admit(self, address: str) -> bool:
        self.asked.append(address)
        return True

    def forget(self, guest: Any) -> None:
        self.lost.append(guest)
        self.changed.set()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something has become true of this place."""
        while not true():
            await self.changed.wait()
            self.changed.clear()


class Guest(asyncio.Protocol):
    """One who was let in; says what it heard."""

    def __init__(self, hall: Hall, arrival: Arrival) -> None:
        self.hall, self.arrival = hall, arrival
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.hall.arrivals.append(self.arrival)
        self.hall.changed.set()

    def data_received(self, data: bytes) -> None:
        self.hall.heard += data
        self.hall.changed.set()
        self.transport.write(data)


@asynccontextmanager
async def door(hall: Hall, entrance: Entrance) -> AsyncIterator[Acceptor]:
    async with Acceptor("127.0.0.1", 0, hall.guest, entrance).running() as acceptor:
        yield acceptor


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the other side ends the connection without a word."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


# A proxy's header.
@pytest.mark.parametrize("header", GOOD)
def test_a_header_is_taken_and_all_that_follows_is_the_clients(run: Run, header: bytes) -> None:
    async def scenario() -> None:
        hall = Hall()
        async with door(hall, PROXIED) as acceptor:
            _, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
            writer.write(header + b"hello")
            await hall.until(lambda: hall.heard == b"hello")
            assert hall.arrivals == [Arrival(GOOD[header] or "127.0.0.1", admitted=False)]
            writer.transport.abort()

    run(scenario())


@pytest.mark.parametrize("header", [header for header in GOOD if len(header) < 200])
def test_a_header_may_come_byte_by_byte(run: Run, header: bytes) -> None:
    async def scenario() -> None:
        hall = Hall()
        async with door(hall, PROXIED) as acceptor:
            _, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
            for n in range(len(header)):
                writer.write(header[n : n + 1])
                await asyncio.sleep(0)
            writer.write(b"hello")
            await hall.until(lambda: hall.heard == b"hello")
            assert hall.arrivals == [Arrival(GOOD[header] or "127.0.0.1", admitted=False)]
            writer.transport.abort()

    run(scenario())


def test_a_trusted_proxy_that_sends_something_else_is_cut_and_named(run: Run) -> None:
    async def scenario() -> None:
        hall = Hall()
        async with door(hall, PROXIED) as acceptor:
            reader, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
            writer.write(b"GET /ws HTTP/1.1\r\n")
            assert await ended(reader)
            writer.close()
        assert hall.arrivals == []

    with capture_logs() as logged:
        run(scenario())
    assert [(line["event"], line["proxy"]) for line in logged] == [("gateway.bad_proxy_header", "127.0.0.1")]


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xff" + bytes(2000)])
def test_a_header_that_does_not_end_in_time_is_cut(run: Run, monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    assert len(begun) < LONGEST_BYTES
    monkeypatch.setattr("server.acceptor.ENTRY_S", 0.05)

    async def scenario() -> None:
        hall = Hall()
        async with door(hall, PROXIED) as acceptor:
            reader, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
            writer.write(begun)
            assert await ended(reader)
            writer.close()
        assert hall.arrivals == []

    run(scenario())


def test_a_check_that_only_opens_the_port_is_no_reason_for_a_warning(run: Run) -> None:
    async def scenario() -> None:
        async with door(Hall(), PROXIED) as acceptor:
            reader, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
            writer.write_eof()
            assert await ended(reader)
            writer.close()

    with capture_logs() as logged:
        run(scenario())
    assert [line["log_level"] for line in logged] == ["debug"]


def test_of_others_no_header_is_taken(run: Run) -> None:
    header = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n"

    async def scenario() -> None:
        for entrance in (Entrance(proxies=Proxies(["10.0.0.0/8"])), Entrance()):
            hall = Hall()
            async with door(hall, entrance) as acceptor:
                _, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
                writer.write(header)
                await hall.until(lambda hall=hall: hall.heard == header)  # type: ignore[misc]
                assert hall.arrivals == [Arrival("127.0.0.1", admitted=False)]
                writer.transport.abort()

    run(scenario())


# TLS.
async def over_tls(port: int, client: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")


def test_who_comes_by_tls_is_admitted_first_and_heard(run: Run, pair: Pair, certificate: Certificate) -> None:
    async def scenario() -> None:
        hall = Hall()
        entrance = Entrance(tls=certificate, admit=hall.admit, lost=hall.forget)
        async with door(hall, entrance) as acceptor:
            reader, writer = await over_tls(acceptor.port, pair.believed())
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert hall.arrivals == [Arrival("127.0.0.1", admitted=True)]
            assert (hall.asked, hall.lost) == (["127.0.0.1"], [])
            writer.transport.abort()

    run(scenario())


@pytest.mark.parametrize("header", [b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n", *[h for h in GOOD if GOOD[h]]])
def test_a_header_comes_before_tls(run: Run, pair: Pair, certificate: Certificate, header: bytes) -> None:
    async def scenario() -> None:
        hall = Hall()
        entrance = Entrance(tls=certificate, proxies=ME, admit=hall.admit)
        async with door(hall, entrance) as acceptor:
            plain = socket.create_connection(("127.0.0.1", acceptor.port), PATIENCE_S)
            plain.sendall(header)
            plain.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=plain, ssl=pair.believed(), server_hostname="localhost")
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert hall.asked == [hall.arrivals[0].address] == [GOOD[header]]
            writer.transport.abort()

    run(scenario())


def test_who_is_not_admitted_costs_no_handshake(run: Run, pair: Pair, certificate: Certificate) -> None:
    async def scenario() -> None:
        hall = Hall()
        entrance = Entrance(tls=certificate, admit=lambda _: False, lost=hall.forget)
        async with door(hall, entrance) as acceptor:
            with pytest.raises(ConnectionError):
                await over_tls(acceptor.port, pair.believed())
        assert (hall.arrivals, hall.lost) == ([], [])

    run(scenario())


@pytest.mark.parametrize(
    "begun", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["who says nothing", "who begins a handshake and goes on no more"]
)
def test_a_handshake_has_a_time_and_gives_back_what_it_took(
    run: Run, certificate: Certificate, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr("server.acceptor.ENTRY_S", 0.05)

    async def scenario() -> None:
        hall = Hall()
        async with door(hall, Entrance(tls=certificate, lost=hall.forget)) as acceptor:
            reader, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
            writer.write(begun)
            assert await ended(reader)
            await hall.until(lambda: len(hall.lost) == 1)
            assert hall.arrivals == []
            writer.close()

    run(scenario())


@pytest.mark.parametrize("said", [b"GET /ws HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x01\xff", b"\0" * 70_000])
def test_who_speaks_no_tls_is_cut_and_gives_back_what_it_took(run: Run, certificate: Certificate, said: bytes) -> None:
    async def scenario() -> None:
        hall = Hall()
        async with door(hall, Entrance(tls=certificate, lost=hall.forget)) as acceptor:
            _, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
            writer.write(said)
            await hall.until(lambda: len(hall.lost) == 1)
            assert hall.arrivals == []
            writer.transport.abort()

    run(scenario())


def test_who_is_still_at_the_door_when_it_closes_does_not_delay_it(run: Run, certificate: Certificate) -> None:
    async def scenario() -> None:
        for entrance in (Entrance(tls=certificate), PROXIED):
            hall = Hall()
            async with door(hall, entrance) as acceptor:
                reader, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
                while not acceptor.entering:  # noqa: ASYNC110 - only looking tells
                    await asyncio.sleep(0)
                began = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - began < 1.0
            assert await ended(reader)
            assert hall.arrivals == []
            writer.close()

    run(scenario())


def test_a_new_certificate_is_for_new_handshakes_and_cuts_nobody(
    run: Run, pair: Pair, certificate: Certificate
) -> None:
    first = pair.believed()
    pair.write("second")
    second = pair.believed()

    async def scenario() -> None:
        async with door(Hall(), Entrance(tls=certificate)) as acceptor:
            reader, writer = await over_tls(acceptor.port, first)
            await asyncio.to_thread(certificate.reload)
            with pytest.raises(ssl.SSLError):
                await over_tls(acceptor.port, first)
            _, later = await over_tls(acceptor.port, second)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            for end in (writer, later):
                end.transport.abort()

    run(scenario())


def test_a_slow_reader_is_told_of_as_early_as_without_tls(run: Run, pair: Pair, certificate: Certificate) -> None:
    async def scenario() -> None:
        guests: list[Guest] = []
        hall = Hall()

        def guest(arrival: Arrival) -> Guest:
            guests.append(Guest(hall, arrival))
            return guests[-1]

        async with Acceptor("127.0.0.1", 0, guest, Entrance(tls=certificate)).running() as acceptor:
            _, writer = await over_tls(acceptor.port, pair.believed())
            await hall.until(lambda: bool(hall.arrivals))
            while acceptor.entering:  # noqa: ASYNC110 - only looking tells
                await asyncio.sleep(0)
            assert guests[0].transport.get_write_buffer_limits()[1] == 65_536
            writer.transport.abort()

    run(scenario())
