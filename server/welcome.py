"""From ``hello`` to ``welcome``: who is it, which topics go on, from where.

hello -> token -> player's actor (SessionOpen), which says where the own topic stands -> every other resumed one, and
announcements where this node does not know their place (TopicOpen) -> welcome -> events
"""

from collections.abc import Callable
from functools import partial
from secrets import token_urlsafe
from typing import Any

import structlog
from msgspec import Struct, structs, to_builtins

from actors.broadcasts import TOPIC as ANNOUNCE
from actors.broadcasts import Live, announced, broadcasts, first_to_show
from actors.player import SessionOpen, SessionOpened
from actors.runtime import Answer, Caller, Clock, Feature, Follow, SessionRef, TopicOpened
from actors.runtime.router import Router
from actors.runtime.topics import Hub
from actors.standing import AccountBanned
from protocol import (
    CloseCode,
    ConfigVersion,
    Cursor,
    GuildhallError,
    Hello,
    Limits,
    NotAuthenticated,
    RateLimited,
    TokenExpired,
    TopicStatus,
    Unavailable,
    Welcome,
)
from server.auth import Identity, Tokens
from server.node_limits import NodeLimits
from server.session import Session

log = structlog.get_logger()
SESSION_BYTES, GENERATION_BYTES = 12, 9  # random, of the ids; three make four characters, so one text can be cut in two
SESSION_CHARS = SESSION_BYTES * 4 // 3
KEPT_FOR_SURE = 5_000  # newest announcements that the log has surely kept; who is further behind starts from its mark


class WelcomeOptions(Struct, frozen=True):
    """What every client is told."""

    heartbeat_ms: int
    limits: Limits
    config: ConfigVersion = ConfigVersion(version="0")
    replay: int = 1_000
    """Missed events of one topic that are replayed at most; further behind is ``reset``."""


class Welcomer:
    """Signs sessions in; one for a gateway."""

    def __init__(  # noqa: PLR0913 - made in one place, all by name
        self,
        *,
        node: str,
        router: Router,
        hub: Hub,
        replica: Callable[[Feature[Any]], Any],
        tokens: Tokens,
        clock: Clock,
        limits: NodeLimits,
        options: WelcomeOptions,
    ) -> None:
        self.node = node
        self.router = router
        self.hub = hub
        self.replica = replica
        self.clock = clock
        self.options = options
        self._tokens = tokens
        self._limits = limits
        self.on_signed_in: Callable[[Session, SessionRef], None] = lambda _session, _ref: None

    def __call__(self, session: Session, hello: Hello) -> None:
        """Begin the sign-in of ``session``; it ends with the welcome, or with an error and a close."""
        try:
            identity = self._identity(session, hello)
        except NotAuthenticated as error:
            self._turn_away(session, hello, error, CloseCode.NOT_AUTHENTICATED)
        except RateLimited as error:
            self._turn_away(session, hello, error, CloseCode.RATE_ABUSED)
        except Unavailable as error:
            self._turn_away(session, hello, error, CloseCode.INTERNAL)
        else:
            _Opening(self, session, hello, identity).start()

    def _identity(self, session: Session, hello: Hello) -> Identity:
        """Who it is, if this is the time to sign in; what costs least is looked at first.

        Raises:
            NotAuthenticated, RateLimited, Unavailable: it is not.
        """
        limits = self._limits
        if not limits.enforced:
            return self._tokens.verify(hello.token)
        now = self.clock.monotonic()
        limits.shedder.shed_hello(resumes=hello.resume is not None)
        limits.sign_in.knock(now, session.address)
        try:
            identity = self._tokens.verify(hello.token)
        except TokenExpired:
            raise  # it was a good one
        except NotAuthenticated:
            limits.sign_in.failed(now, session.address)
            raise
        limits.players.sign_in(identity.player, now)
        return identity

    def told_limits(self) -> Limits:
        """What a client is told of limits, as they stand now."""
        return structs.replace(self.options.limits, requests_per_s=self._limits.effective.session.requests.per_s)

    def _turn_away(self, session: Session, hello: Hello, error: GuildhallError, code: CloseCode) -> None:
        session.refuse(error, hello.id)
        session.close(code, error.code)


class _Opening:
    """One sign-in under way."""

    def __init__(self, welcomer: Welcomer, session: Session, hello: Hello, identity: Identity) -> None:
        self._welcomer = welcomer
        self._session = session
        self._hello = hello
        self._identity = identity
        ids = token_urlsafe(SESSION_BYTES + GENERATION_BYTES)
        self._ref = SessionRef(ids[:SESSION_CHARS], welcomer.node, ids[SESSION_CHARS:])
        self._waiting = 0
        self._statuses: dict[str, TopicStatus] = {}
        self._follows: list[Follow] = []
        self._held: list[Follow] = []
        self._state: dict[str, Any] = {}
        self._failed = False

    def start(self) -> None:
        resume = self._hello.resume
        player = self._identity.player
        request = SessionOpen(
            id=self._ref.generation,
            player=player,
            name_hint=self._identity.name or "",
            session=self._ref,
            resumes=resume.session if resume else "",
            client=self._hello.client,
            hello_ms=self._welcomer.clock.now_ms(),
        )
        self._welcomer.router.ask(request, Caller(player, "", self._ref), self._opened)

    def _opened(self, answer: Answer) -> None:
        if answer.error is not None:
            self._fail(answer.error)
            return
        opened = answer.reply
        assert isinstance(opened, SessionOpened)
        self._ref = SessionRef(opened.session, self._ref.node, self._ref.generation)
        session = self._session
        caller = Caller(self._identity.player, opened.name, self._ref, opened.muted_until_ms)
        session.signed_in(caller, self._hello.client.locale)
        self._welcomer.on_signed_in(session, self._ref)
        if not session.open:
            return  # it went away meanwhile; signing in has registered it, and closing has undone that
        self._open_topics(opened.inbox)

    def _open_topics(self, inbox: TopicOpened | None) -> None:
        """Find out where each topic stands: most sign-ins know by now, and are welcomed at once."""
        own = f"player:{self._identity.player}"
        resume = self._hello.resume
        cursors: dict[str, Cursor | None] = {own: None, ANNOUNCE: None, **(resume.cursors if resume else {})}
        known = {own: inbox, ANNOUNCE: self._announcements(cursors[ANNOUNCE])}
        unknown = [topic for topic in cursors if known.get(topic) is None]
        self._waiting = len(unknown)
        for topic, opened in known.items():
            if opened is not None:
                self._take(topic, cursors[topic], opened)
        if not unknown:
            self._welcome()
        for topic in unknown:
            self._session.open_topic(topic, partial(self._topic_opened, topic, cursors[topic]), greet=topic == own)

    def _announcements(self, cursor: Cursor | None) -> TopicOpened | None:
        """Where announcements stand, if this node can tell by itself; then it has been noted, and no actor that all
        sign-ins of a cluster would ask has to be asked."""
        here = self._welcomer.hub.place(ANNOUNCE)
        if here is None or (cursor is not None and (cursor[0] != here.epoch or cursor[1] > here.seq)):
            return None
        return TopicOpened(epoch=here.epoch, seq=here.seq, floor=max(1, here.seq - KEPT_FOR_SURE))

    def _topic_opened(self, topic: str, cursor: Cursor | None, answer: Answer) -> None:
        self._waiting -= 1
        if isinstance(answer.reply, TopicOpened):
            self._take(topic, cursor, answer.reply)
        elif answer.error is not None and answer.error.retry == "never":
            self._statuses[topic] = TopicStatus(status="gone")
        elif not self._failed:
            assert answer.error is not None
            self._fail(answer.error)
        if self._waiting == 0:
            if not self._failed:
                self._welcome()
            for follow in self._held:
                self._welcomer.hub.let_go(follow)

    def _take(self, topic: str, cursor: Cursor | None, opened: TopicOpened) -> None:
        after = opened.seq
        status = "reset"
        if cursor is not None and cursor[0] == opened.epoch:
            missed = opened.seq - cursor[1]
            if 0 <= missed <= self._welcomer.options.replay and cursor[1] >= opened.floor - 1:
                status, after = "resumed", cursor[1]
        self._statuses[topic] = TopicStatus(epoch=opened.epoch, seq=opened.seq, status=status)
        follow = Follow(topic, opened.epoch, opened.seq, after, durable=True)
        self._follows.append(follow)
        if self._waiting:  # else the welcome comes in this same turn of the loop
            self._welcomer.hub.hold(follow)
            self._held.append(follow)
        if opened.state is not None:
            self._state = opened.state

    def _place_announcements(self) -> None:
        """Where the client goes on with announcements that says nothing of them: from the player's own mark, but not
        before the oldest that still stands. What it misses follows the welcome, like anything that is resumed."""
        status = self._statuses[ANNOUNCE]
        kept = to_builtins(self._state[announced.name])
        seen = kept["seen"] if kept["epoch"] == status.epoch else 0
        if status.status == "reset":
            live: Live = self._welcomer.replica(broadcasts)
            after = first_to_show(live, epoch=status.epoch, seen=seen, now_ms=self._welcomer.clock.now_ms())
            if after < status.seq:
                self._statuses[ANNOUNCE] = structs.replace(status, seq=after)
                self._follows = [structs.replace(f, after=after) if f.topic == ANNOUNCE else f for f in self._follows]
        mark = self._session.announced
        mark.epoch, mark.seq = status.epoch, seen

    def _welcome(self) -> None:
        session, options = self._session, self._welcomer.options
        if self._statuses[ANNOUNCE].status != "gone":
            self._place_announcements()
        welcome = Welcome(
            session=self._ref.session,
            player=self._identity.player,
            now=self._welcomer.clock.now_ms(),
            heartbeat_ms=options.heartbeat_ms,
            topics=self._statuses,
            limits=self._welcomer.told_limits(),
            config=options.config,
            state=self._state,
        )
        if not session.open:
            return
        early = session.machine.opened(welcome)
        session.deliver_and_follow(self._hello.id, welcome, self._follows)
        session.go_online(early)

    def _fail(self, error: GuildhallError) -> None:
        self._failed = True
        # While the store is away every client tries again and again: that outage has its own line.
        say = log.warning if error.retry == "never" else log.debug
        say("session.sign_in_failed", player=self._identity.player, code=error.code, reason=str(error))
        never = CloseCode.BANNED if error.code == AccountBanned.code else CloseCode.NOT_AUTHENTICATED
        self._session.refuse(error, self._hello.id)
        self._session.close(never if error.retry == "never" else CloseCode.INTERNAL, error.code)
