"""The client's side of a session over many connections, without I/O: it is told what happens and says what to do.

    OFFLINE --connect()--> CONNECTING --socket_opened()--> RESUMING --welcome--> ONLINE
       ^                       |                              |                    |
       +---- the connection is lost: full jitter, then CONNECTING again -----------+
                               close code 4500 to 4999, or a refused hello --> BLOCKED

The shell opens and closes sockets, passes on what it reads, calls ``tick`` when ``deadline`` has come, and after each
call does what ``take`` returns, in order. After a CloseSocket it tells nothing more of that socket. ``now`` is
monotonic seconds. Messages are plain dicts, for a client skips what it does not know.
"""

from collections.abc import Mapping
from enum import Enum
from math import inf
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from protocol.closing import CloseCode, may_reconnect
from protocol.codec import MAX_BYTES, Wire
from protocol.cursors import Cursors, Fields, TooManyTopics, TopicMoved
from protocol.outputs import (
    Blocked,
    CloseSocket,
    Disconnected,
    Happened,
    OpenSocket,
    Output,
    Replied,
    Send,
    TooLong,
    TooManyPending,
    Welcomed,
)

PENDING_LIMIT = 64  # requests without an answer; the application hears of the next one that it is too many
CONNECT_S = 10.0  # for the socket to open, and again for the welcome
REPLY_S = 15.0  # after which a request without an answer is sent again, with its id
SYNC_S = 5.0  # after which a hole that does not fill is asked for again
PING_SHARE = 0.8  # of the heartbeat may pass in silence on our side
BACKOFF_S = 0.5  # bound of the first pause; doubles with each failure
BACKOFF_CAP_S = 30.0
UNHEARD_LIMIT = 8  # failures in a row, after which a server that closes for want of a hello is believed
STABLE_S = 10.0  # online for so long, the next failure is a first one again


class Dice(Protocol):
    """Randomness, as random.Random and random.SystemRandom have it."""

    def random(self) -> float:
        """At least 0, below 1."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """``k`` random bits."""
        ...


class Format(Protocol):
    """Makes and reads messages of one wire format."""

    def encode(self, message: Fields, /) -> bytes:
        """The bytes of a message."""
        ...

    def decode(self, payload: bytes, /) -> Any:
        """What the bytes say.

        Raises:
            ValueError, RecursionError: nothing.
        """
        ...


class ClientStatus(Enum):
    """Where the session stands."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    RESUMING = "resuming"
    ONLINE = "online"
    BLOCKED = "blocked"


_RESUMING, _ONLINE = ClientStatus.RESUMING, ClientStatus.ONLINE  # looking into an enum costs more than what is asked


class Pending(Struct):
    """A request until its answer has come."""

    payload: bytes
    tries: int = 0
    paused: bool = False
    """Whether the server asked to wait until ``due``; else ``due`` is when the answer counts as lost."""
    due: float = 0.0


class ClientSession:
    """One player on one device. Request ids are ``prefix`` and a counter: a prefix must never be used twice."""

    def __init__(
        self,
        wire: Wire,
        dice: Dice,
        token: str,
        *,
        client: Mapping[str, str] | None = None,
        prefix: str | None = None,
        format: Format | None = None,  # noqa: A002 - the wire's, unless somebody wants to read along
    ) -> None:
        self.wire = wire
        self.status = ClientStatus.OFFLINE
        self.cursors = Cursors()
        self.pending: dict[str, Pending] = {}
        self.alarm = inf
        """Monotonic seconds; ``deadline`` is not before. It costs nothing, and is too early where what it was set for
        has been answered: a ``tick`` then finds nothing to do, and moves it."""
        messages = format or (msgspec.msgpack if wire.binary else msgspec.json)
        self._encode = messages.encode
        self._decode = messages.decode
        self._dice = dice
        self._token = token
        self._client = dict(client or {})
        self._prefix = prefix or f"{dice.getrandbits(48):012x}"
        self._count = 0
        self._outputs: list[Output] = []
        self._session = ""
        self._hello = ""
        self._syncs: dict[str, str] = {}
        self._failures = 0
        self._due = inf
        self._since = self._sent = self._heard = 0.0
        self._heartbeat_s = 25.0
        self._max_bytes = MAX_BYTES
        self._block: Blocked | None = None

    def take(self) -> list[Output]:
        """What is to be done since the last call, in order."""
        outputs, self._outputs = self._outputs, []
        return outputs

    # The application's wishes.
    def connect(self, now: float) -> None:
        """Go online and stay so. Nothing happens while a new token is needed."""
        needs_token = self._block is not None and self._block.code == CloseCode.NOT_AUTHENTICATED
        if self.status is ClientStatus.OFFLINE or (self.status is ClientStatus.BLOCKED and not needs_token):
            self._open(now)
        self.alarm = self.deadline

    def set_token(self, token: str, now: float) -> None:
        """Use ``token`` from the next hello on; goes online again where the old one was what kept it out."""
        changed, self._token = token != self._token, token
        if changed and self._block and self._block.code == CloseCode.NOT_AUTHENTICATED:
            self._open(now)
        self.alarm = self.deadline

    def disconnect(self) -> None:
        """Go offline until ``connect``. Pending requests and cursors are kept."""
        if self.status in _HAS_SOCKET:
            self._outputs.append(CloseSocket(1000))
        if self.status is not ClientStatus.BLOCKED:
            self._enter_offline(inf)
        self.alarm = self.deadline

    def request(self, t: str, fields: Mapping[str, Any], now: float) -> str:
        """Send a request as soon as possible and until it is answered, over all reconnects; returns its id.

        Raises:
            TooManyPending: ``PENDING_LIMIT`` are waiting.
            TooLong: the server would not read it.
        """
        if len(self.pending) >= PENDING_LIMIT:
            raise TooManyPending(t)
        op = self._next_id()
        payload = self._encode({"t": t, "id": op, **fields})
        if len(payload) > self._max_bytes:
            raise TooLong(f"{t} takes {len(payload)} bytes of {self._max_bytes}")
        self.pending[op] = pending = Pending(payload)
        if self.status is _ONLINE:
            self._send_pending(pending, now)
        return op

    def cancel(self, op: str) -> None:
        """Wait no longer for this request's answer; whether it has had its effect is not known."""
        self.pending.pop(op, None)

    def follow(self, topic: str, epoch: str, seq: int, now: float) -> None:
        """The application knows ``topic`` up to ``[epoch, seq]``. Replies that say so are taken note of by themselves.

        Raises:
            TooManyTopics: FOLLOW_LIMIT topics are followed.
        """
        track = self.cursors.follow(topic, epoch, seq)
        self._outputs.extend(map(Happened, track.settle(now)))
        self.alarm = self.deadline

    def unfollow(self, topic: str) -> None:
        """Forget the place in ``topic``, after leaving it."""
        self.cursors.unfollow(topic)

    # What the shell tells.
    def socket_opened(self, now: float) -> None:
        """The connection stands: say hello."""
        if self.status is not ClientStatus.CONNECTING:
            return
        self.status = ClientStatus.RESUMING
        self._due = now + CONNECT_S
        self._hello = self._next_id()
        hello: Fields = {"t": "hello", "id": self._hello, "token": self._token, "client": self._client}
        if self._session:
            hello["resume"] = {"session": self._session, "cursors": self.cursors.for_hello()}
        self._send(self._encode(hello), now)
        self.alarm = self.deadline

    def socket_closed(self, code: int, reason: str, now: float) -> None:
        """The connection is gone, or could not be opened (code 1006)."""
        if self.status in _HAS_SOCKET:
            self._lost(code, reason, now)
            self.alarm = self.deadline

    def received(self, payload: bytes, now: float) -> None:
        """One WebSocket message came. What cannot be understood is skipped."""
        self._heard = now
        try:
            message = self._decode(payload)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict):
            return
        if self.status is _ONLINE:
            self._take_message(message, now)
        elif self.status is _RESUMING and message.get("re") in {self._hello, None, ""}:
            self._hello_answered(message, now)
            self.alarm = self.deadline

    @property
    def deadline(self) -> float:
        """Monotonic seconds at which ``tick`` has something to do; infinity: never."""
        if self.status is not ClientStatus.ONLINE:
            return self._due
        due = min(self._sent + PING_SHARE * self._heartbeat_s, self._heard + 2 * self._heartbeat_s)
        for pending in self.pending.values():
            due = min(due, pending.due)
        for _, track in self.cursors.holes():
            due = min(due, (track.asked or 0.0) + SYNC_S)
        return due

    def tick(self, now: float) -> None:
        """Do what is due: open again, give up waiting, ping, send again."""
        if self.status is ClientStatus.ONLINE:
            self._tick_online(now)
        elif now >= self._due:
            if self.status is ClientStatus.OFFLINE:
                self._open(now)
            else:
                self._drop(CloseCode.HEARTBEAT_MISSED, "no answer in time", now)
        self.alarm = self.deadline

    # Connections.
    def _open(self, now: float) -> None:
        self._block = None
        self.status = ClientStatus.CONNECTING
        self._due = now + CONNECT_S
        self._outputs.append(OpenSocket())

    def _enter_offline(self, due: float) -> None:
        self.status = ClientStatus.OFFLINE
        self._block = None
        self._due = due
        self._syncs.clear()
        self.cursors.disconnected()

    def _drop(self, code: int, reason: str, now: float, pause_s: float | None = None) -> None:
        self._outputs.append(CloseSocket(int(code), reason))
        self._lost(code, reason, now, pause_s)

    def _lost(self, code: int, reason: str, now: float, pause_s: float | None = None) -> None:
        if self.status is ClientStatus.ONLINE and now - self._since >= STABLE_S:
            self._failures = 0
        unheard = self._hello_was_unheard(code)
        self._enter_offline(inf)
        if not (may_reconnect(code) or unheard):
            self._blocked(code, reason)
            return
        if pause_s is None and code == CloseCode.DRAINING:
            pause_s = _retry_after(_as_json(reason))
        delay = self._pause(pause_s, self._failures)
        self._failures += 1
        self._due = now + delay
        self._outputs.append(Disconnected(int(code), reason, delay))

    def _hello_was_unheard(self, code: int) -> bool:
        """Whether the server closed because no hello came, as in a tunnel: of one that it refuses it says so first."""
        early = self.status is not ClientStatus.ONLINE and code == CloseCode.NOT_AUTHENTICATED
        return early and self._failures < UNHEARD_LIMIT

    def _blocked(self, code: int, reason: str) -> None:
        self.status = ClientStatus.BLOCKED
        self._block = Blocked(int(code), reason)
        self._outputs.append(self._block)

    def _pause(self, asked_s: float | None, failures: int) -> float:
        """Seconds to wait: what the server asked for and a little, else full jitter under a doubling bound."""
        if asked_s is not None:
            return asked_s + self._dice.random() * BACKOFF_S
        return self._dice.random() * min(BACKOFF_CAP_S, BACKOFF_S * 2.0 ** min(failures, 16))

    def _hello_answered(self, message: Fields, now: float) -> None:
        if message.get("t") == "welcome":
            self._welcomed(message, now)
        elif message.get("t") == "error":
            reason = str(message.get("code", ""))
            if message.get("retry") in {"now", "later"}:
                self._drop(1000, reason, now, _retry_after(message))
            else:
                self._outputs.append(CloseSocket(1000))
                self._enter_offline(inf)
                self._blocked(CloseCode.NOT_AUTHENTICATED, reason)

    def _welcomed(self, welcome: Fields, now: float) -> None:
        self.status = ClientStatus.ONLINE
        self._since = now
        self._session = str(welcome.get("session", ""))
        self._heartbeat_s = welcome.get("heartbeat_ms", 25_000) / 1000
        self._max_bytes = (welcome.get("limits") or {}).get("message_bytes", MAX_BYTES)
        self._outputs.append(Welcomed(welcome))
        self._outputs.extend(self.cursors.welcomed(welcome.get("topics") or {}, now))
        for pending in self.pending.values():
            if not pending.paused or pending.due <= now:
                self._send_pending(pending, now)

    # Online.
    def _take_message(self, message: Fields, now: float) -> None:
        re = message.get("re")
        if message.get("t") == "ping":
            self._send(self._encode({"t": "pong", "re": message.get("id", "")}), now)
        elif isinstance(re, str):
            self._take_reply(re, message, now)
        elif message.get("t") != "error":
            self._take_event(message, now)

    def _take_reply(self, re: str, reply: Fields, now: float) -> None:
        if self._syncs and (topic := self._syncs.pop(re, None)) is not None:
            self._take_sync(topic, reply, now)
            self.alarm = self.deadline
        elif (pending := self.pending.get(re)) is not None:
            if reply.get("t") == "error" and reply.get("retry") in {"now", "later"}:
                self._try_again(pending, reply, now)
                self.alarm = self.deadline
                return
            del self.pending[re]
            if "epoch" in reply:
                self._follow_reply(reply, now)
            self._outputs.append(Replied(re, reply))

    def _try_again(self, pending: Pending, error: Fields, now: float) -> None:
        """Obey the error's rule; a second ``now`` in a row waits too, so that nobody spins."""
        pending.tries += 1
        if error["retry"] == "now" and pending.tries == 1:
            self._send_pending(pending, now)
            return
        pending.paused = True
        pending.due = now + self._pause(_retry_after(error), pending.tries)

    def _follow_reply(self, reply: Fields, now: float) -> None:
        """Take note of a reply that says where a topic stands, such as ``chat.joined``."""
        epoch, seq = reply.get("epoch"), reply.get("seq")
        topic = reply.get("topic") or (f"chat:{reply['channel']}" if "channel" in reply else None)
        if topic and isinstance(epoch, str) and epoch and isinstance(seq, int):
            try:
                self.follow(topic, epoch, seq, now)
            except TooManyTopics:
                self._outputs.append(TopicMoved(topic, "gone"))

    def _take_event(self, event: Fields, now: float) -> None:
        topic, seq = event.get("topic"), event.get("seq")
        track = self.cursors.find(topic) if isinstance(topic, str) else None
        if track is None or not isinstance(seq, int):
            self._outputs.append(Happened(event))
            return
        if track.follows(seq):
            self._outputs.append(Happened(event))
            return
        self._outputs.extend(map(Happened, track.take(seq, event, now)))
        if track.has_hole and track.asked is None:
            self._sync(str(topic), track.seq, now)
            track.asked = now
        self.alarm = self.deadline

    # Holes.
    def _sync(self, topic: str, after: int, now: float) -> None:
        op = self._next_id()
        self._syncs = {old: name for old, name in self._syncs.items() if name != topic} | {op: topic}
        self._send(self._encode({"t": "topic.sync", "id": op, "topic": topic, "after": after}), now)

    def _take_sync(self, topic: str, reply: Fields, now: float) -> None:
        if reply.get("t") == "error":
            if reply.get("retry") in {"now", "later"}:
                return  # asked again by the tick
            reply = {"status": "gone"}
        moved = self.cursors.stands(topic, reply, now)
        if moved.status != "resumed":
            self._outputs.append(moved)
        track = self.cursors.find(topic)
        if track is not None:
            self._outputs.extend(map(Happened, track.settle(now)))

    # Time.
    def _tick_online(self, now: float) -> None:
        if now >= self._heard + 2 * self._heartbeat_s:
            self._drop(CloseCode.HEARTBEAT_MISSED, "nothing was heard", now)
            return
        for pending in self.pending.values():
            if now >= pending.due:
                self._send_pending(pending, now)
        for topic, track in self.cursors.holes():
            if now >= (track.asked or 0.0) + SYNC_S:
                track.asked = now
                self._sync(topic, track.seq, now)
        if now >= self._sent + PING_SHARE * self._heartbeat_s:
            self._send(self._encode({"t": "ping", "id": self._next_id()}), now)

    def _send_pending(self, pending: Pending, now: float) -> None:
        pending.paused = False
        pending.due = due = now + REPLY_S
        if due < self.alarm:  # noqa: PLR1730 - min() costs more, and this is done for each request
            self.alarm = due
        self._send(pending.payload, now)

    def _send(self, payload: bytes, now: float) -> None:
        self._sent = now
        self._outputs.append(Send(payload))

    def _next_id(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count}"


_HAS_SOCKET = frozenset({ClientStatus.CONNECTING, ClientStatus.RESUMING, ClientStatus.ONLINE})


def _as_json(reason: str) -> Fields:
    try:
        parsed = msgspec.json.decode(reason.encode())
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _retry_after(fields: Fields) -> float | None:
    """Seconds of ``retry_after_ms``, None where the server gave none."""
    after_ms = fields.get("retry_after_ms")
    return after_ms / 1000 if isinstance(after_ms, int) and after_ms >= 0 else None
