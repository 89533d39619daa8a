"""The client as an application uses it: awaitable calls and a stream of events over one ClientSession.

async with Client.connect("ws://127.0.0.1:7350/ws", token="dev:ann") as me:
    await me.join("room:lobby")
    await me.say("room:lobby", "hello")
    async for line in me.events("chat.message"):
        print(line["from"]["name"], line["text"])
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import Any, Literal, Self

from msgspec import Struct

from clients.python.errors import NotConnected, OutcomeUnknown, Refused, SessionEnded
from clients.python.events import EVENT_LIMIT, GONE, OFFLINE, ONLINE, RESET, Event, EventQueue
from clients.python.shell import Shell
from clients.python.transport import Dial
from clients.python.websocket import WebSocketDial
from protocol import (
    Blocked,
    ClientSession,
    CloseCode,
    Dice,
    Disconnected,
    Happened,
    Output,
    Replied,
    TopicMoved,
    Welcomed,
    Wire,
)

Reply = dict[str, Any]
WireName = Literal["json", "msgpack"]
TokenSource = Callable[[], Awaitable[str]]
"""Gives a good token, at the start and each time that the server finds the last one too old.

An OSError, or the old token again, says that there is none: the session ends.
"""

_WIRES: dict[WireName, Wire] = {"json": Wire.JSON, "msgpack": Wire.MSGPACK}


class ClientOptions(Struct, frozen=True, kw_only=True):
    """What a client may be told to do otherwise."""

    within_s: float = 30.0
    """For the first welcome, and for the answer to a request, over all reconnects."""
    event_limit: int = EVENT_LIMIT
    """Events that may wait for ``events()``; what happens to more is said in ``EventQueue``."""
    dial: Dial | None = None
    """Opens the connections; a WebSocketDial by default."""
    dice: Dice | None = None
    """Pauses and request ids; the system's randomness by default."""


class Client:
    """One player, online until its block ends: it reconnects, resumes and repeats what is not answered by itself.

    Any task of the loop that made it may call it. Every request has its effect once, however often it is sent.
    """

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        *,
        token: str | TokenSource,
        wire: WireName = "msgpack",
        client_info: Mapping[str, str] | None = None,
        options: ClientOptions | None = None,
    ) -> AsyncIterator[Self]:
        """Sign in, and stay so until the block ends.

        ``client_info`` is what the hello says of this client: ``app``, ``platform``, ``sdk``, ``locale``.

        Raises:
            SessionEnded: the server refused the token, or this client.
            NotConnected: there was no welcome in time.
        """
        options = options or ClientOptions()
        dial = options.dial or WebSocketDial(url)
        session = ClientSession(
            _WIRES[wire],
            options.dice or SystemRandom(),
            token if isinstance(token, str) else await token(),
            client={"sdk": "python/0.1", **(client_info or {})},
        )
        source = None if isinstance(token, str) else token
        failed: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            client = cls(session, dial, tasks, source, options)
            try:
                await client._start()
                yield client
            except Exception as error:  # noqa: BLE001 - kept from the TaskGroup, which would put it into a group
                failed = error
            finally:
                client._stop()
        if failed is not None:
            raise failed

    def __init__(
        self,
        session: ClientSession,
        dial: Dial,
        tasks: asyncio.TaskGroup,
        source: TokenSource | None,
        options: ClientOptions,
    ) -> None:
        self.welcome: Reply = {}
        """The server's last welcome."""
        self._shell = Shell(session, dial, tasks, self._hear)
        self._tasks = tasks
        self._source = source
        self._options = options
        self._events = EventQueue(options.event_limit)
        self._answers: dict[str, asyncio.Future[Reply]] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended: Exception | None = None
        self._last_failure = "no answer"

    @property
    def player(self) -> str:
        """The id under which the server knows this player."""
        return str(self.welcome["player"])

    @property
    def online(self) -> bool:
        """Whether the session stands at this moment; calls need not ask."""
        return self._shell.session.status.value == "online"

    # Calls.
    async def request(self, t: str, /, **fields: Any) -> Reply:
        """Ask the server: ``await me.request("guild.find", name="Owls")``. Returns the reply.

        Raises:
            Refused: the answer is no.
            OutcomeUnknown: no answer within ``ClientOptions.within_s``.
            SessionEnded: the session is over.
            TooManyPending, TooLong: the request was not taken.
        """
        return await self.ask(t, fields)

    async def ask(self, t: str, fields: Mapping[str, Any], *, within_s: float | None = None) -> Reply:
        """``request`` with a time of its own, in seconds. If the caller is cancelled, the request is sent no more."""
        if self._ended is not None:
            raise self._ended
        op = self._shell.request(t, fields)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._answers[op] = answer
        return await self._await(op, answer, within_s)

    async def outcome(self, unknown: OutcomeUnknown, *, within_s: float | None = None) -> Reply:
        """Wait on for the answer; raises as ``request`` does."""
        return await self._await(unknown.op, unknown.answer, within_s)

    def forget(self, unknown: OutcomeUnknown) -> None:
        """Send the request no more. Whether it has had its effect stays unknown."""
        self._give_up(unknown.op)

    async def join(self, channel: str) -> Reply:
        """Become a member of ``room:NAME``, or listen to ``guild:ID``, ``dm:A:B``, ``world:N``: ``chat.joined``."""
        return await self.request("chat.join", channel=channel)

    async def say(self, channel: str, text: str, **data: Any) -> Reply:
        """Say a line; ``data`` is the game's own. The ``chat.sent`` tells that it is safe."""
        return await self.request("chat.send", channel=channel, text=text, **({"data": data} if data else {}))

    async def leave(self, channel: str) -> Reply:
        """Listen to ``channel`` no more."""
        reply = await self.request("chat.leave", channel=channel)
        self._shell.session.unfollow(f"chat:{channel}")
        return reply

    async def history(self, channel: str, *, before: int | None = None, limit: int = 50) -> list[Event]:
        """The newest lines before the ``seq`` given, oldest first."""
        at = {} if before is None else {"before": before}
        reply = await self.request("chat.history", channel=channel, limit=limit, **at)
        return list(reply["messages"])

    async def watch_guild(self, guild: str) -> Reply:
        """The own guild, whole, and from then on its events: ``guild.watched``."""
        return await self.request("guild.watch", guild=guild)

    async def events(self, *kinds: str) -> AsyncIterator[Event]:
        """What happens, in order, for one reader at a time. With ``kinds`` all others are passed over.

        The client's own are among them: ``client.online``; ``client.offline`` with ``code``, ``reason``,
        ``retry_in_s``; ``client.reset`` with ``topic``: reload what is shown of it, something was missed;
        ``client.gone`` with ``topic``: there is nothing more to hear of it.

        Raises:
            SessionEnded: the server has ended the session for good, after everything before has been given.
        """
        while True:
            try:
                event = await self._events.get()
            except _Left:
                return
            if not kinds or event["t"] in kinds:
                yield event

    def set_token(self, token: str) -> None:
        """Use ``token`` from the next hello on; a session that ended with 4501 begins again with it."""
        self._ended = None
        self._events.resume()
        self._shell.set_token(token)

    # Life.
    async def _start(self) -> None:
        self._shell.connect()
        try:
            async with asyncio.timeout(self._options.within_s):
                await self._ready
        except TimeoutError:
            raise NotConnected(f"no welcome within {self._options.within_s:g} s: {self._last_failure}") from None

    def _stop(self) -> None:
        self._shell.stop()
        self._fail_all(NotConnected("the client was closed"))
        self._events.end(_Left())

    async def _await(self, op: str, answer: asyncio.Future[Reply], within_s: float | None) -> Reply:
        try:
            async with asyncio.timeout(self._options.within_s if within_s is None else within_s):
                return await asyncio.shield(answer)
        except TimeoutError:
            raise OutcomeUnknown(op, answer) from None
        except asyncio.CancelledError:
            self._give_up(op)
            raise

    def _give_up(self, op: str) -> None:
        self._shell.session.cancel(op)
        answer = self._answers.pop(op, None)
        if answer is not None:
            answer.cancel()

    def _fail_all(self, error: Exception) -> None:
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            _fail(answer, error)

    # What the shell tells.
    def _hear(self, output: Output) -> None:
        match output:
            case Happened(event):
                self._events.put(event)
            case Replied(op, reply):
                self._replied(op, reply)
            case TopicMoved(topic, "reset", epoch, seq):
                self._events.mark({"t": RESET, "topic": topic, "epoch": epoch, "seq": seq})
            case TopicMoved(topic, "gone"):
                self._events.mark({"t": GONE, "topic": topic})
            case Welcomed(welcome):
                self.welcome = welcome
                self._events.mark({"t": ONLINE, "session": welcome.get("session", "")})
                if not self._ready.done():
                    self._ready.set_result(None)
            case Disconnected(code, reason, retry_in_s):
                self._last_failure = f"{code} {reason}".strip()
                self._events.mark({"t": OFFLINE, "code": code, "reason": reason, "retry_in_s": retry_in_s})
            case Blocked(code, reason):
                self._blocked(code, reason)
            case _:
                pass  # a topic that goes on as it was

    def _replied(self, op: str, reply: Reply) -> None:
        answer = self._answers.pop(op, None)
        if answer is None:
            return
        if reply.get("t") == "error":
            _fail(answer, Refused(reply))
        elif not answer.done():
            answer.set_result(reply)

    def _blocked(self, code: int, reason: str) -> None:
        if self._source is not None and code == CloseCode.NOT_AUTHENTICATED and self._ready.done():
            self._tasks.create_task(self._renew(self._source, SessionEnded(code, reason)), name="new-token")
        else:
            self._end(SessionEnded(code, reason))

    def _end(self, ended: SessionEnded) -> None:
        self._ended = ended
        self._fail_all(ended)
        self._events.end(ended)
        if not self._ready.done():
            self._ready.set_exception(ended)

    async def _renew(self, source: TokenSource, ended: SessionEnded) -> None:
        """Go on with a new token; with the old one again, or none, it is the end."""
        try:
            self._shell.set_token(await source())
        except OSError:
            self._end(ended)
            return
        if self._shell.session.status.value == "blocked":
            self._end(ended)


class _Left(Exception):
    """The client's block has ended."""


def _fail(answer: asyncio.Future[Reply], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # seen: nobody may be waiting any more
