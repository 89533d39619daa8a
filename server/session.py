"""One signed-in session on its connection: requests in, replies and events out, one write a turn of the loop.

Connection -> ``message`` -> ServerSession (decode, order) -> limits -> Router -> ... -> ``_deliver`` -> pieces
Hub -> ``push`` -> pieces;  at the end of the loop's turn: pieces, then replies, in one write
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, cast

import structlog
from msgspec import Struct, structs

from actors.broadcasts import TOPIC as ANNOUNCE
from actors.broadcasts import AnnounceNote
from actors.runtime import Answer, Caller, Follow, NotReadable, Ticket, TopicOpen, Unfollow
from actors.runtime.meters import Meters
from actors.runtime.router import Router
from actors.runtime.topics import Hub
from protocol import Answer as AtOnce
from protocol import (
    Close,
    CloseCode,
    ErrorReply,
    GuildhallError,
    Hello,
    Moved,
    Pong,
    Reply,
    Request,
    ServerSession,
    SessionState,
    TopicSync,
    TopicSynced,
    Wire,
    closing,
    refusal,
    tag_of,
)
from server.announcement_mark import AnnouncementMark
from server.connection import Connection
from server.framing import frame
from server.limits import RateLimits, Unlimited
from server.outbound import Outbound
from server.outbound_total import OutboundTotal

log = structlog.get_logger()
ABNORMAL = 1006  # a connection that ended without a close frame (RFC 6455, section 7.1.5)
TOPICS = 258  # that one session may follow: 256 of its own choice, the inbox and announcements
TOPIC = re.compile(r"(?=.{1,160}\Z)[A-Za-z0-9_.~-]+(:[A-Za-z0-9_.~-]+)*")  # ids with colons; no actor has more


class TooManyTopics(GuildhallError):
    """A session may follow a bounded number of topics."""

    code = "topic.too_many"


class SessionOptions(Struct, frozen=True):
    """Bounds of a session."""

    outbound_total: OutboundTotal
    """What waits for all sessions of the node."""
    outbound_bytes: int = 1_048_576
    """Bytes that may wait for a slow reader: half of it for ephemeral events, past all of it 4001."""
    log_requests: bool = False
    """Write a line for each request's end; for log level debug."""


class SignsIn(Protocol):
    """Signs a session in; see server/welcome.py."""

    def __call__(self, session: "Session", hello: Hello) -> None: ...


class Session:
    """A connection's life from the upgrade on: a ``Peer`` of the connection, a ``Reader`` of the hub."""

    __slots__ = (
        "_asked",
        "_connection",
        "_hub",
        "_limits",
        "_loop",
        "_meters",
        "_monotonic",
        "_on_closed",
        "_options",
        "_outbound",
        "_router",
        "_sign_in",
        "_timer",
        "announced",
        "caller",
        "locale",
        "machine",
        "player",
        "push",
        "topics",
        "wire",
    )

    def __init__(  # noqa: PLR0913 - made in one place, all by name
        self,
        *,
        connection: Connection,
        machine: ServerSession,
        router: Router,
        hub: Hub,
        limits: RateLimits | Unlimited,
        meters: Meters,
        options: SessionOptions,
        monotonic: Callable[[], float],
        sign_in: SignsIn,
        on_closed: Callable[["Session"], None],
    ) -> None:
        self.wire: Wire = machine.wire
        self.player = ""
        """The player's id; empty until signed in."""
        self.locale = ""
        """What the client said of its language; empty until signed in."""
        self.topics: set[str] = set()
        self.announced = AnnouncementMark()
        self.caller: Caller | None = None
        self.machine = machine
        self._connection = connection
        self._router = router
        self._hub = hub
        self._limits = limits
        self._meters = meters
        self._options = options
        self._monotonic = monotonic
        self._sign_in = sign_in
        self._on_closed = on_closed
        self._outbound = Outbound(
            connection,
            meters,
            options.outbound_bytes,
            total=options.outbound_total,
            at_flush=hub.at_flush,
            too_slow=self._too_slow,
        )
        self.push = self._outbound.push
        """Takes whole frames from the hub (Reader)."""
        self._asked = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._watch()

    # In (Peer).
    def message(self, payload: bytes, *, binary: bool) -> None:
        """One message of the client."""
        now = self._monotonic()
        self.announced.heard()
        self._meters.inbound_bytes += len(payload)
        received = self.machine.receive(payload, now) if binary is self.wire.binary else self.machine.misframed(now)
        if type(received) is AtOnce:  # isinstance() asks a struct's metaclass, and takes four times as long
            if self._may_be_answered(received.reply, now):
                self.say(received.reply)
        elif type(received) is Close:
            self.close(received.code, received.reason)
        elif received is not None:
            self._request(received, now)

    def heard(self) -> None:
        """A frame of the client that ends no message: it is alive, and such frames are counted as requests are."""
        now = self._monotonic()
        self.machine.heard(now)
        self._count(now)

    def _note_announced(self, *, sure: bool) -> None:
        """Have the player's mark moved to what this session was told of announcements."""
        told = self._hub.given(self, ANNOUNCE) if ANNOUNCE in self.topics else None
        if self.caller is None or not self.announced.move(told, sure=sure):
            return
        self._asked += 1
        mark = self.announced
        request = AnnounceNote(id=f"o{self._asked}", player=self.player, epoch=mark.epoch, seq=mark.seq)
        self._router.ask(request, self.caller, _unheard)

    def lost(self, code: int) -> None:
        """The connection is gone."""
        self._note_announced(sure=code != ABNORMAL)
        self.machine.closed()
        if self._timer is not None:
            self._timer.cancel()
        self._meters.closes.add(str(code))
        self._hub.leave(self)
        self._on_closed(self)

    def _may_be_answered(self, reply: Reply, now: float) -> bool:
        """Whether to say what the machine has answered by itself; that is counted as requests are."""
        if not isinstance(reply, Pong):
            self._count(now)
            return True
        try:
            self._limits.allow(now, "ping")
        except GuildhallError as limited:
            self._refuse_limited(limited, reply.re)
            return False
        return True

    def _count(self, now: float) -> None:
        """Take what is no request from the session's rates; past them it is not refused, but it may be abuse."""
        try:
            self._limits.allow(now, "frame")
        except GuildhallError:
            self._end_abuse()

    def _refuse_limited(self, limited: GuildhallError, re: str) -> None:
        self.refuse(limited, re)
        self._end_abuse()

    def _end_abuse(self) -> None:
        if self._limits.abused:
            self.close(CloseCode.RATE_ABUSED, "too many requests after being told to slow down")

    def _request(self, request: Request[Any], now: float) -> None:
        tag = self.machine.tags[type(request)]
        self._meters.messages_in.add(tag)
        try:
            self._limits.allow(now, tag)
        except GuildhallError as limited:
            self._refuse_limited(limited, request.id)
            if isinstance(request, Hello):
                self.close(CloseCode.RATE_ABUSED, "too much before the hello")
            return
        kind = type(request)
        if kind is Hello:
            self._sign_in(self, cast("Hello", request))
        elif kind is TopicSync:
            self._sync(cast("TopicSync", request))
        else:
            assert self.caller is not None
            deliver = partial(self._deliver_and_log, request, now) if self._options.log_requests else self._deliver
            self._router.ask(request, self.caller, deliver)

    def go_online(self, early: list[Request[Any]]) -> None:
        """The welcome is on its way: mind the heartbeat, and run what came before it."""
        if self._timer is not None:
            self._timer.cancel()
        self._watch()
        self.announced.welcomed(self._hub.progress(ANNOUNCE))
        now = self._monotonic()
        for request in early:
            self._request(request, now)

    # Out.
    def _deliver(self, answer: Answer) -> None:
        """The answer to a request: safe to be seen. What it follows starts right after it."""
        re, reply = answer.re, answer.reply
        if answer.error is not None:
            self.refuse(answer.error, re)
        elif answer.ticket is not None:
            self._redeem(re, answer.ticket, answer.follows)
        elif answer.follows:
            self.deliver_and_follow(re, reply, answer.follows)
        elif reply is not None:
            self._outbound.answer(self._framed(reply, re))

    def _redeem(self, re: str, ticket: Ticket, follows: Sequence[Follow | Unfollow]) -> None:
        """Have a ticket answered from storage; what is followed then is held from now on, so nothing falls between."""
        held = [follow for follow in follows if isinstance(follow, Follow)]
        for follow in held:
            self._hub.hold(follow)

        def redeemed(answer: Answer) -> None:
            answer.re, answer.follows = re, follows if answer.error is None else ()
            self._deliver(answer)
            for follow in held:
                self._hub.let_go(follow)

        self._router.redeem(ticket, redeemed)

    def _deliver_and_log(self, request: Request[Any], started: float, answer: Answer) -> None:
        log.debug(
            "request.done",
            type=tag_of(request),
            op=request.id,
            player=self.player,
            outcome=answer.error.code if answer.error else "ok",
            took_ms=round((self._monotonic() - started) * 1000, 2),
        )
        self._deliver(answer)

    def deliver_and_follow(self, re: str, reply: Reply | None, follows: Sequence[Follow | Unfollow]) -> None:
        """Send a reply, then what each topic has after it; nothing of the topics comes before the reply."""
        if len(self.topics) + len(follows) > TOPICS and self._too_many(follows):
            self.refuse(TooManyTopics(f"at most {TOPICS} topics a session"), re)
            return
        if reply is not None:
            self._outbound.answer(self._framed(reply, re), before_events=True)
        for follow in follows:
            if not self.open:
                return
            if isinstance(follow, Follow):
                self._hub.follow(self, follow)
            else:
                self._hub.unfollow(self, follow.topic)

    def _too_many(self, follows: Sequence[Follow | Unfollow]) -> bool:
        """Whether they are more topics than one session may follow, with those that it follows already."""
        return len(self.topics | {follow.topic for follow in follows if isinstance(follow, Follow)}) > TOPICS

    @property
    def behind(self) -> bool:
        """Whether a replay should wait until the client has read more (Reader)."""
        return self._outbound.behind

    def reply(self, reply: Reply, re: str) -> None:
        """Send the reply to request ``re`` at the end of the loop's turn, after this turn's events."""
        self._outbound.answer(self._framed(reply, re))

    def say(self, message: Reply) -> None:
        """Send a reply that is complete."""
        self.reply(message, message.re)

    def refuse(self, error: GuildhallError, re: str) -> None:
        """Send the error reply for ``error``."""
        self._meters.refusals.add(error.code)
        if isinstance(error, Moved):
            log.warning("session.moved_reply", re=re)
        self.say(refusal(error, re, self.new_trace()))

    def new_trace(self) -> str:
        """A trace id for an error reply."""
        return self._router.trace()

    def _framed(self, reply: Reply, re: str) -> bytes:
        if type(reply) is ErrorReply and not reply.trace:
            reply = structs.replace(reply, trace=self.new_trace())  # one that was kept beside its op
        return frame(self.wire, reply if reply.re == re else stamped(reply, re), self._connection.window_bits)

    @property
    def limits(self) -> RateLimits | Unlimited:
        """What it may ask for."""
        return self._limits

    @property
    def address(self) -> str:
        """Where it comes from."""
        return self._connection.address

    # Closing.
    def _too_slow(self, waiting: int) -> None:
        """Cut the reader, but not now: a stream may be going through its readers."""
        log.info("session.too_slow", player=self.player, waiting_bytes=waiting)
        self._loop.call_soon(self.close, CloseCode.SLOW_CONSUMER, "too slow; resume")

    @property
    def open(self) -> bool:
        """Whether the connection can still carry messages."""
        return self._connection.open

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Send what waits, then a close frame."""
        self._outbound.flush()
        self._note_announced(sure=False)
        self.machine.closed()
        self._hub.leave(self)
        self._connection.close(int(code), closing(code, reason).reason)

    def rename(self, name: str) -> None:
        """The player has a new display name."""
        if self.caller is not None:
            self.caller = structs.replace(self.caller, name=name)

    def mute(self, until_ms: int) -> None:
        """The player may not chat until then."""
        if self.caller is not None:
            self.caller = structs.replace(self.caller, muted_until_ms=until_ms)

    def signed_in(self, caller: Caller, locale: str) -> None:
        """From now on requests are this player's."""
        self.player = caller.player
        self.caller = caller
        self.locale = locale

    def _watch(self) -> None:
        """Look at the deadline when it comes; hearing something only moves it on."""
        now = self._monotonic()
        expired = self.machine.expired(now)
        if expired is not None:
            self.close(expired.code, expired.reason)
        if self.machine.state is SessionState.CLOSED:
            self._timer = None
            return
        self._timer = self._loop.call_later(max(self.machine.deadline - now, 0.01), self._watch)

    # A client that saw a hole.
    def _sync(self, request: TopicSync) -> None:
        if request.topic not in self.topics:
            self.refuse(NotReadable(f"this session does not follow {request.topic!r}"), request.id)
            return
        self.open_topic(request.topic, partial(self._synced, request))

    def open_topic(self, topic: str, deliver: Callable[[Answer], None], *, greet: bool = False) -> None:
        """Ask a topic's actor whether this player may follow it, and where it stands."""
        assert self.caller is not None
        if TOPIC.fullmatch(topic) is None or not self._router.has_topic(topic):
            deliver(Answer(error=NotReadable("no topic has such a name")))
            return
        self._asked += 1
        request = TopicOpen(id=f"o{self._asked}", topic=topic, greet=greet)
        self._router.ask(request, self.caller, deliver, self._router.actor_of(topic))

    def _synced(self, request: TopicSync, answer: Answer) -> None:
        if answer.error is not None:
            self.refuse(answer.error, request.id)
            return
        opened: Any = answer.reply
        reachable = opened.floor - 1 <= request.after <= opened.seq
        synced = TopicSynced(
            topic=request.topic,
            epoch=opened.epoch,
            seq=opened.seq,
            status="resumed" if reachable else "reset",
        )
        after = request.after if reachable else opened.seq
        follow = Follow(request.topic, opened.epoch, opened.seq, after, durable=True)
        self._hub.hold(follow)
        self._hub.unfollow(self, request.topic)
        self.deliver_and_follow(request.id, synced, [follow])
        self._hub.let_go(follow)


def _unheard(_answer: Answer) -> None:
    """The mark is moved with the next session's end."""


def stamped(reply: Reply, re: str) -> Reply:
    """``reply`` with the id that it answers: in place where it is new, in a copy where it is another request's too."""
    if not reply.re:
        structs.force_setattr(reply, "re", re)
    elif reply.re != re:
        reply = structs.replace(reply, re=re)
    return reply
