"""A simulated player: what a scenario's functions play with."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from math import inf
from random import Random
from typing import Any, Protocol

from clients.python import Event, Refused, Shell
from loadtest.figures import RESUME, SIGN_IN, Meters, State
from loadtest.players.phone import Phone
from loadtest.players.tap import Tap
from loadtest.scenario import Distribution, Scenario
from protocol import Blocked, ClientSession, ClientStatus, Disconnected, Happened, Output, Replied, Welcomed, Wire

Reply = dict[str, Any]
Action = Callable[[], Awaitable[Any]]
_BLOCKED = ClientStatus.BLOCKED  # looking into an enum is slow
AGAIN_S = 5.0  # until a player to whom the game said no, or nothing, tries again, on average


class GaveUp(Exception):
    """No answer within the scenario's patience. The request may have had its effect."""


class Away(Exception):
    """The player was told not to come back."""


class Hall(Protocol):
    """What a player needs of the process that it plays in."""

    scenario: Scenario
    run: str
    meters: Meters
    tasks: asyncio.TaskGroup
    stopped: bool
    """Whether playing is over."""
    refused: dict[str, int]

    def move(self, before: State, after: State) -> None:
        """A player is in another state."""
        ...

    async def sleep_until(self, moment: float) -> None:
        """Return at a moment of the loop's time, or as soon as playing is over."""
        ...


class Player:
    """One player on one device. A scenario calls ``ask`` and ``say``, and takes its time from ``moments``."""

    def __init__(self, hall: Hall, number: int, session: ClientSession, phone: Phone, tap: Tap, random: Random) -> None:
        self.number = number
        self.group = number // hall.scenario.group_of
        """Number of the group that the player belongs to, the same for ``Scenario.group_of`` players."""
        self.place = number % hall.scenario.group_of
        """In the group; 0 leads it."""
        self.run = hall.run
        """In every name that a scenario makes up, so that it meets nothing of another run."""
        self.name = tap.name
        self.random = random
        self.shared: dict[str, Any] = {}
        """The same for everybody of the group."""
        self.memory: dict[str, Any] = {}
        """The player's own, over all sessions."""
        self.sessions = 0
        """Begun so far."""
        self.state = State.WAITING
        self.guild = ""
        """Whose member the player is, as far as was answered."""
        self.session = session
        self._hall = hall
        self._meters = hall.meters
        self._tap = tap
        self._loop = asyncio.get_running_loop()
        self._phone = phone
        self._shell = Shell(session, tap, hall.tasks, self._told, clock=phone.clock)
        self._answers: dict[str, tuple[asyncio.Future[Reply], str, float]] = {}
        self._awaited: dict[str, asyncio.Future[Event]] = {}
        self._online: asyncio.Future[None] = self._loop.create_future()
        self._signed_in = False
        """Whether this session has been welcomed."""
        self._due: float | None = None
        self._rested_at = 0.0
        """When the player's own last pause was over: what was meant before is late by the player's own doing."""
        self._ends_at = inf
        self._lost_at: float | None = None

    # For scenarios.
    async def ask(self, t: str, /, **fields: Any) -> Reply:
        """Send a request, over all reconnects; returns the reply.

        Its latency counts from the moment that was meant for it, if it is the first since ``moments`` gave one.

        Raises:
            Refused: the answer is no.
            GaveUp: there was no answer in time.
            Away: the player was told not to come back.
        """
        return _granted(await self._ask(t, fields, self._take_due()))

    async def say(self, channel: str, text: str = "") -> Reply:
        """Say a line, whose way to each listener is measured. As ``ask``."""
        due = self._take_due()
        fields = {"channel": channel, "text": text or self.line(), "data": self._tap.stamp(due)}
        return _granted(await self._ask("chat.send", fields, due))

    async def event(self, t: str) -> Event:
        """The next event of this type.

        Raises:
            Away: the player was told not to come back.
        """
        waiting = self._awaited.get(t)
        if waiting is None:
            waiting = self._awaited[t] = self._loop.create_future()
        return await asyncio.shield(waiting)

    async def moments(self, every: Distribution, *, lasting: float = inf) -> AsyncIterator[float]:
        """The moments at which to do something, for ``lasting`` seconds or until the session ends.

        They are drawn ahead: one that the server (or the network) keeps the player from comes late, and what is done
        then is measured from when it was meant (no coordinated omission).
        """
        begins = self._loop.time()
        ends = min(begins + lasting, self._ends_at)
        due = begins + every(self.random)
        while due < ends:
            await self._hall.sleep_until(due)
            if self._phone.frozen:
                await self._phone.awake()
                due = self._loop.time()
            if self.over:
                return
            self._due = due
            yield due
            due = max(due + every(self.random), self._rested_at)
        await self._hall.sleep_until(ends)

    async def rest(self, seconds: float) -> None:
        """Do nothing for so long, or until playing is over."""
        await self._hall.sleep_until(min(self._loop.time() + seconds, self._ends_at))
        await self._phone.awake()
        self._rested_at = self._loop.time()

    async def one_of(self, *actions: tuple[float, Action]) -> None:
        """Do one of these, by their weights."""
        ((_, chosen),) = self.random.choices(actions, [weight for weight, _ in actions])
        await chosen()

    def line(self) -> str:
        """Something to say, of the length that people write."""
        words = min(40, 1 + int(self.random.expovariate(0.2)))
        return " ".join(self.random.choice(WORDS) for _ in range(words))

    @property
    def over(self) -> bool:
        """Whether this session should end."""
        return self._hall.stopped or self._loop.time() >= self._ends_at

    # For the process.
    async def live(self, arrives: float) -> None:
        """Come at ``arrives`` (the loop's time), play, and come again as the scenario says."""
        scenario = self._hall.scenario
        while True:
            await self._hall.sleep_until(arrives)
            if self._hall.stopped:
                return
            await self._play(arrives)
            if self.state is State.REFUSED or self._hall.stopped:
                return
            self._leave(State.DONE if scenario.pause_s is None else State.WAITING)
            if scenario.pause_s is None:
                return
            arrives = self._loop.time() + scenario.pause_s(self.random)

    def give_up(self, now: float) -> None:
        """Wait no longer for answers that the scenario's patience has run out for."""
        for op, (answer, _, asked) in list(self._answers.items()):
            if asked + self._hall.scenario.patience_s > now:
                return  # those behind it were asked later
            del self._answers[op]
            self.session.cancel(op)
            self._meters.counts.unanswered += 1
            answer.set_exception(GaveUp(op))
            answer.exception()

    def calm(self) -> None:
        """Playing is over: wait no longer for a first welcome, and let the network do nothing more to the player."""
        self._phone.stop()
        if not self._online.done():
            self._online.set_exception(Away(self.name))
            self._online.exception()

    def fail(self) -> None:
        """The scenario's function has ended with an error."""
        self._leave(State.FAILED)

    def close(self) -> None:
        """Go offline for good."""
        self._phone.stop()
        self._shell.stop()

    # Inside.
    async def _play(self, due: float) -> None:
        self._online = self._loop.create_future()
        self._signed_in = False
        self._due = due
        self._move(State.CONNECTING)
        self._phone.start()
        self._shell.connect()
        length = self._hall.scenario.session_s
        self._ends_at = inf if length is None else self._loop.time() + length(self.random)
        try:
            await self._online
            self.sessions += 1
            while not await self._played():
                await self.rest(AGAIN_S * (0.5 + self.random.random()))
        except Away:
            pass  # counted where it happened

    async def _played(self) -> bool:
        """Play until the session is over. False: the game said no, or nothing, and there is time to try again."""
        try:
            await self._hall.scenario.play(self)
        except (Refused, GaveUp):
            return self.over
        return True

    def _leave(self, state: State) -> None:
        self._phone.stop()
        self._shell.disconnect()
        self._tap.ended()
        self._lost_at = None
        self._move(state)

    def _ask(self, t: str, fields: Mapping[str, Any], due: float) -> asyncio.Future[Reply]:
        if self.session.status is _BLOCKED:
            raise Away(self.name)
        op = self._shell.request(t, fields)
        answer: asyncio.Future[Reply] = self._loop.create_future()
        self._answers[op] = answer, t, due
        self._meters.counts.asked += 1
        return answer

    def _take_due(self) -> float:
        due, self._due = self._due, None
        return time.monotonic() if due is None else due

    def _move(self, state: State) -> None:
        if state is not self.state:
            self._hall.move(self.state, state)
            self.state = state

    def _told(self, output: Output) -> None:
        if isinstance(output, Replied):  # outside of the match, which looks twice at each of these
            self._replied(output.id, output.reply)
            return
        if isinstance(output, Happened):
            self._happened(output.event)
            return
        match output:
            case Welcomed():
                self._welcomed()
            case Disconnected():
                self._lost(output.code)
            case Blocked(code, reason):
                self._blocked(f"{code} {reason}".strip())
            case _:
                pass

    def _happened(self, event: Event) -> None:
        waiting = self._awaited.pop(event.get("t", ""), None) if self._awaited else None
        if waiting is not None and not waiting.done():
            waiting.set_result(event)

    def _replied(self, op: str, reply: Reply) -> None:
        asked = self._answers.pop(op, None)
        if asked is None:
            return
        answer, kind, due = asked
        meters = self._meters
        meters.counts.answered += 1
        meters.took(kind, time.monotonic() - due)
        if reply["t"] == "error":
            meters.counts.refused += 1
        if not answer.done():
            answer.set_result(reply)

    def _welcomed(self) -> None:
        now, meters = time.monotonic(), self._meters
        if self._signed_in:
            meters.counts.resumed += 1
            if self._lost_at is not None:
                meters.took(RESUME, now - self._lost_at)
        else:
            meters.counts.sign_ins += 1
            meters.took(SIGN_IN, now - self._take_due())
            self._signed_in = True
            if not self._online.done():
                self._online.set_result(None)
        self._lost_at = None
        self._move(State.ONLINE)

    def _lost(self, code: int) -> None:
        if self._tap.take_unreached():
            return  # there was no connection; counted as such
        meters = self._meters
        meters.counts.lost += 1
        meters.closes[str(code)] += 1
        if self._lost_at is None:
            self._lost_at = time.monotonic()
        if self._signed_in:
            self._move(State.AWAY)

    def _blocked(self, reason: str) -> None:
        self._move(State.REFUSED)
        self._hall.refused[reason] = self._hall.refused.get(reason, 0) + 1
        waiting: list[asyncio.Future[Any]] = [
            self._online,
            *self._awaited.values(),
            *(answer for answer, _, _ in self._answers.values()),
        ]
        self._answers.clear()
        self._awaited.clear()
        for one in waiting:
            if not one.done():
                one.set_exception(Away(reason))
                one.exception()


def _granted(reply: Reply) -> Reply:
    if reply["t"] == "error":
        raise Refused(reply)
    return reply


WIRES = (Wire.MSGPACK, Wire.JSON)
WORDS = re.findall(
    r"\w+",
    "raid tonight ok gg need healer who is on my way wait thanks lol join guild boss down loot that was close "
    "again tomorrow one more try nice from the left careful there it is ready go sorry brb back",
)
