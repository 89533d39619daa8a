"""Players who stay through faults: they come back to any node, resume, repeat what was not answered, and keep a record.

Written against PROTOCOL.md alone, like ``wire``. A gap, a double or an event out of order fails the test at once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from random import Random
from typing import Any

from websockets.exceptions import WebSocketException

from tests.support.nodes import NodeProcess
from tests.support.wire import Frame, Outside, Witness, outside

ANSWER_S = 3.0  # without an answer, or a pong, the connection is given up
PING_S = 0.5
Line = tuple[int, str]


class Player:
    """One who is always somewhere in the cluster. ``nodes`` are tried in turn, beginning with the first."""

    def __init__(self, name: str, nodes: Sequence[NodeProcess], seed: int, ping_s: float = PING_S) -> None:
        self.name = name
        self._ping_s = ping_s
        self.said: list[tuple[str, int, str]] = []
        """(channel, seq, text) of every line that was acknowledged."""
        self.heard: dict[str, list[Line]] = {}
        """Lines of connections that have ended, by topic."""
        self.past: list[Frame] = []
        """Durable events of connections that have ended, in the order in which they came."""
        self.first: dict[str, int] = {}
        """Seq of each topic at the first join: what came before was not this player's to hear."""
        self.longest_wait_s = 0.0
        """Of all requests, from the first try to the answer."""
        self._nodes = nodes
        self._random = Random(seed)
        self._wire = "msgpack" if seed % 2 else "json"
        self._cursors: dict[str, list[Any]] = {}
        self._session = ""
        self._link: Outside | None = None
        self._linked = asyncio.Event()
        self._numbers = count(1)
        self._prefix = f"{name}-{self._random.getrandbits(32):08x}"

    # What a player does.
    async def ask(self, t: str, **fields: Any) -> Frame:
        """The answer to a request, over as many connections and repeats as it takes; errors only if they are final."""
        number = f"{self._prefix}-{next(self._numbers)}"
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            await self._linked.wait()
            assert self._link is not None
            try:
                reply = await asyncio.wait_for(self._link.ask(t, id=number, **fields), ANSWER_S)
            except (OSError, TimeoutError, WebSocketException):
                await asyncio.sleep(0.02)
                continue
            if reply["t"] != "error" or reply["retry"] == "never":
                self.longest_wait_s = max(self.longest_wait_s, loop.time() - started)
                return reply
            await asyncio.sleep(self._random.uniform(0.02, 0.1))

    async def join(self, *channels: str) -> None:
        """Become a member and listen from now on."""
        for channel in channels:
            joined = await self.ask("chat.join", channel=channel)
            assert joined["t"] == "chat.joined", joined
            topic = f"chat:{channel}"
            self._cursors[topic] = [joined["epoch"], joined["seq"]]
            self.first[topic] = joined["seq"]

    async def say(self, channel: str, text: str) -> None:
        """Say a line, for certain."""
        sent = await self.ask("chat.send", channel=channel, text=text)
        assert sent["t"] == "chat.sent", sent
        self.said.append((channel, sent["seq"], text))

    async def talk(self, stop: asyncio.Event, *channels: str, pause_s: float = 0.03) -> None:
        """Say lines, a channel after the other, until told to stop."""
        for n in count():
            if stop.is_set():
                return
            await self.say(channels[n % len(channels)], f"{self.name} {n}")
            await asyncio.sleep(self._random.uniform(0, 2 * pause_s))

    def lines(self, topic: str) -> list[Line]:
        """What was heard so far."""
        now = self._link.lines(topic) if self._link is not None else []
        return [*self.heard.get(topic, []), *now]

    async def hear(self, topic: str, lines: int) -> None:
        """Wait until so many lines were heard."""
        while len(self.lines(topic)) < lines:
            await self._linked.wait()
            assert self._link is not None
            await self._link.until(lambda _: len(self.lines(topic)) >= lines)
            await asyncio.sleep(0.02)  # where the connection has ended: until it is given up

    @property
    def events(self) -> list[Frame]:
        """Every durable event so far, over all connections."""
        now = self._link.events if self._link is not None else []
        return [*self.past, *(event for event in now if event.get("seq") is not None)]

    async def linked(self) -> None:
        """Wait until there is a connection."""
        await self._linked.wait()

    # Staying connected.
    async def live(self) -> None:
        """Connect, again and again."""
        while True:
            for node in self._nodes:
                try:
                    await self._visit(node)
                except* (OSError, TimeoutError, WebSocketException):
                    pass
                await asyncio.sleep(self._random.uniform(0.02, 0.1))

    def _witness(self, node: NodeProcess, resume: Frame | None) -> Witness | None:
        """Who sees what goes over a connection to ``node``; nobody."""
        return None

    async def _visit(self, node: NodeProcess) -> None:
        resume = {"session": self._session, "cursors": self._cursors} if self._session else None
        async with outside(
            node.url,
            self.name,
            wire=self._wire,
            resume=resume,
            witness=self._witness(node, resume),
            open_timeout=ANSWER_S,
            close_timeout=0.5,
            ping_interval=None,
        ) as link:
            if link.welcome["t"] != "welcome":
                return  # not now
            self._welcomed(link)
            try:
                while True:
                    await asyncio.wait_for(link.ask("ping"), ANSWER_S)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(link.closed(), self._ping_s)  # then the next ping says so
            finally:
                self._linked.clear()
                self._link = None
                self._keep(link)

    def _welcomed(self, link: Outside) -> None:
        for topic, place in link.welcome["topics"].items():
            if topic in self._cursors:
                assert place["status"] == "resumed", f"{self.name} at {self._cursors[topic]} of {topic}: {place}"
            elif place["status"] != "gone":
                self._cursors[topic] = [place["epoch"], place["seq"]]
        self._session = link.welcome["session"]
        self._link = link
        self._linked.set()

    def _keep(self, link: Outside) -> None:
        for event in link.events:
            topic, seq = event.get("topic"), event.get("seq")
            if topic is None or seq is None:
                continue
            cursor = self._cursors[topic]
            assert seq == cursor[1] + 1, f"{self.name} had {cursor[1]} of {topic}, then came {seq}"
            cursor[1] = seq
            self.past.append(event)
        for topic in self.first:
            self.heard.setdefault(topic, []).extend(link.lines(topic))


@asynccontextmanager
async def crowd(
    nodes: Sequence[NodeProcess], names: Sequence[str], *, ping_s: float = PING_S
) -> AsyncIterator[list[Player]]:
    """Players who live until the end of the block; each begins at another node."""
    turned = [[*nodes[n % len(nodes) :], *nodes[: n % len(nodes)]] for n in range(len(names))]
    players = [Player(name, mine, n, ping_s) for n, (name, mine) in enumerate(zip(names, turned, strict=True))]
    async with asyncio.TaskGroup() as tasks:
        lives = [tasks.create_task(player.live(), name=player.name) for player in players]
        yield players
        while left := [life for life in lives if not life.done()]:
            for life in left:
                life.cancel()
            await asyncio.wait(
                left, timeout=1.0
            )  # of Python 3.11, wait_for() may swallow it where a pong comes just then


async def together(*doing: Awaitable[None]) -> None:
    """Wait for all of them; the first failure ends the others."""
    async with asyncio.TaskGroup() as tasks:
        for one in doing:
            tasks.create_task(_await(one))


async def _await(one: Awaitable[None]) -> None:
    await one


async def talk_through(
    players: Sequence[Player], channels: Sequence[str], happens: Callable[[], Awaitable[None]], *, after_s: float = 1.0
) -> None:
    """Have everybody talk before, while and after something ``happens``."""
    stop = asyncio.Event()

    async def direct() -> None:
        await asyncio.sleep(0.5)
        await happens()
        await asyncio.sleep(after_s)
        stop.set()

    turned = [[*channels[n % len(channels) :], *channels[: n % len(channels)]] for n in range(len(players))]
    talks = (player.talk(stop, *mine) for player, mine in zip(players, turned, strict=True))
    await together(direct(), *talks)


async def history(player: Player, channel: str) -> list[Line]:
    """Every line that the server keeps of a channel."""
    lines: list[Line] = []
    page: Frame = {"more": True, "next_seq": 0}
    while page["more"]:
        page = await player.ask("chat.history", channel=channel, after=page["next_seq"], limit=100)
        assert page["t"] == "chat.messages", page
        lines += [(line["seq"], line["text"]) for line in page["messages"]]
    return lines


async def assert_one_history(players: Sequence[Player], channels: Sequence[str]) -> None:
    """Everybody has heard the same lines in the same order, and every acknowledged one is there, once, in its place."""
    for channel in channels:
        topic = f"chat:{channel}"
        kept = await history(players[0], channel)
        for player in players:
            due = [line for line in kept if line[0] > player.first[topic]]
            await _heard(player, topic, due)
        said = [(seq, text) for p in players for where, seq, text in p.said if where == channel]
        assert not set(said) - set(kept), f"acknowledged, but not kept in {channel}"
        doubled = [text for text, times in Counter(text for _, text in kept).items() if times > 1]
        assert not doubled, f"kept more than once in {channel}: {doubled}"


async def _heard(player: Player, topic: str, due: list[Line]) -> None:
    try:
        async with asyncio.timeout(10):
            await player.hear(topic, len(due))
    except TimeoutError:
        missing = set(due) - set(player.lines(topic))
        raise AssertionError(f"{player.name} has not heard {sorted(missing)[:5]} of {topic}") from None
    assert player.lines(topic) == due
