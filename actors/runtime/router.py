"""Takes each message to the node that owns its actor, and the answer back.

On one node: ``ask`` -> mailbox -> turn -> commit -> deliver, nothing awaited. To another node: one bus message each
way, sent again while nothing is heard (the op id makes that safe), taken to the next owner when the actor has moved.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from msgspec import MsgspecError, Struct

from actors.runtime.answer import Answer, Deliver, nobody
from actors.runtime.blueprint import CALLER_PLACED, Blueprint
from actors.runtime.clock import Clock
from actors.runtime.context import Caller, ClosePlayer, Command, MutePlayer, SessionRef
from actors.runtime.directory import Directory
from actors.runtime.frames import (
    NODES_CHANNEL,
    AnswerFrame,
    AskFrame,
    CommandFrame,
    Decoders,
    FireFrame,
    Frame,
    LeasesFrame,
    RemoteRefusal,
    TellFrame,
    decode_frame,
    encode,
    node_channel,
    to_refusal,
)
from actors.runtime.host import Host
from actors.runtime.mailbox import Asked, Envelope, Fired, Returned, Told
from actors.runtime.membership import Change, Membership
from actors.runtime.queries import Queries
from actors.runtime.remote import Remote, RemoteAsked, RemoteFired, RemoteTold, ReplyTo
from actors.runtime.tickets import Ticket
from protocol import Invalid, Request, Tell, Unavailable
from storage import Bus, DueTimer, TimerRow

log = structlog.get_logger()
RESEND_S = 1.0  # without an answer from another node; a lost bus message costs this much
ADDRESS = re.compile(r"(?=.{1,160}\Z)[a-z_]+:[A-Za-z0-9_.~:-]+")  # what fits the store's key and needs no escaping
WAKE = TimerRow("", 0, b"")  # no timer has an empty name: firing it does nothing but load the actor
STOPPED = "this node has stopped; the same id finds out elsewhere"
_CALLERS = f"{CALLER_PLACED}:"
MOVES = 8  # nodes that a message may be sent on to before its sender is told to come back


class RouterOptions(Struct, frozen=True):
    """Patience of a router."""

    deadline_s: float = 15.0
    """Seconds an ask may take; longer than a lease, so that a takeover is waited for rather than reported."""


class _Sent:
    """A message that another node has."""

    __slots__ = ("envelope", "node", "resend_at")

    def __init__(self, envelope: Envelope, node: str, resend_at: float) -> None:
        self.envelope = envelope
        self.node = node
        self.resend_at = resend_at


class Router:
    """``ask`` for requests, ``tell`` and ``fire`` for the relay and the timers."""

    def __init__(  # noqa: PLR0913 - the node's composition, all by name
        self,
        *,
        blueprint: Blueprint,
        host: Host,
        directory: Directory,
        membership: Membership,
        bus: Bus,
        queries: Queries,
        decoders: Decoders,
        clock: Clock,
        options: RouterOptions,
    ) -> None:
        self._blueprint = blueprint
        self._host = host
        self._directory = directory
        self._membership = membership
        self._node = membership.node
        self._bus = bus
        self._queries = queries
        self._decoders = decoders
        self._clock = clock
        self._monotonic = clock.monotonic
        self._patience_s = options.deadline_s
        self._sent: dict[int, _Sent] = {}
        self._number = 0
        self._stopped = False
        self._addresses = blueprint.addresses
        self._command: Callable[[Command], None] = lambda _command: None
        self._has_session: Callable[[str], bool] = lambda _player: False
        membership.on_change(self._nodes_changed)

    def attach_sessions(self, command: Callable[[Command], None], has_session: Callable[[str], bool]) -> None:
        """Have commands for sessions of this node carried out by ``command``; ``has_session`` tells whether a player
        has a live session here. Called once by the gateway."""
        self._command = command
        self._has_session = has_session

    def trace(self) -> str:
        """A new trace id."""
        return self._host.trace()

    def actor_of(self, topic: str) -> str:
        """The actor that publishes ``topic``."""
        return self._blueprint.actor_of(topic)

    def has_topic(self, topic: str) -> bool:
        """Whether actors of that kind have such a topic; no actor is asked, so that nobody can make it be loaded."""
        actor = self._blueprint.actor_of(topic)
        kind = self._blueprint.kind_of(actor)
        return kind is not None and kind.prefix_of(topic, actor) is not None

    def is_home(self, address: str) -> bool:
        """Whether it is a player's actor, and the player has a live session on this node."""
        return address.startswith(_CALLERS) and self._has_session(address[len(_CALLERS) :])

    # From this node.
    def ask(self, request: Request[Any], caller: Caller, deliver: Deliver, address: str = "") -> None:
        """Run ``request`` on its actor, wherever that is; ``deliver`` is called once, after the commit. ``address``
        names another actor than that to which requests of this type go.

        Never raises: what is wrong with the request is delivered as an error.
        """
        address = address or self._addresses[type(request)](request, caller.player)
        now = self._monotonic()
        envelope = Asked(address, deliver, now, now + self._patience_s, request, caller)
        activation = self._host.find(address)
        if activation is not None:
            activation.post(envelope)
        else:
            self.dispatch(envelope)

    def tell(self, address: str, tell: Tell, sender: str, number: int, deliver: Deliver) -> None:
        """Have a tell heard; ``deliver`` is called when its receiver has noted it, or an error says why not."""
        now = self._monotonic()
        self.dispatch(Told(address, deliver, now, now + self._patience_s, tell, sender, number))

    def fire(self, due: DueTimer, deliver: Deliver) -> None:
        """Have an actor's due timer fired, or set aside where it says why it ``failed``."""
        timer, now = due.timer, self._monotonic()
        self.dispatch(Fired(due.actor, deliver, now, now + self._patience_s, timer.name, timer.due_ms, timer.failed))

    def wake(self, address: str) -> None:
        """Have an actor loaded, and its outbox looked after."""
        self.fire(DueTimer(address, WAKE), nobody)  # a look finds it again, should this be lost

    def command(self, command: Command) -> None:
        """Carry out ``command`` on its session, or its player's sessions, wherever they are; lost if their node is."""
        if isinstance(command, ClosePlayer | MutePlayer):
            self._command(command)
            self._bus.publish(NODES_CHANNEL, encode(CommandFrame(command)))  # heard here too: it does no harm
        elif command.to.node == self._node:
            self._command(command)
        else:
            self._bus.publish(node_channel(command.to.node), encode(CommandFrame(command)))

    def announce(self) -> None:
        """Have the other nodes look at the leases now: this node's has changed. A lost word costs them a renewal."""
        self._bus.publish(NODES_CHANNEL, encode(LeasesFrame()))

    def dispatch(self, envelope: Envelope) -> None:
        """Bring a message to its actor's mailbox, here or elsewhere."""
        if self._stopped and not isinstance(envelope, Remote):
            envelope.finish(Answer(error=Unavailable(STOPPED, retry_after_ms=500)))
            return
        address = envelope.address
        if not self._membership.serving:
            envelope.finish(Answer(error=Unavailable("this node has lost its lease", retry_after_ms=1_000)))
            return
        activation = self._host.find(address)
        if activation is not None:
            activation.post(envelope)
            return
        if self._blueprint.kind_of(address) is None or ADDRESS.fullmatch(address) is None:
            envelope.finish(Answer(error=Invalid(f"there are no actors like {address[:160]!r}")))
            return
        node = self._node if envelope.owner == self._node else self._directory.locate(address)
        if node == self._node:
            self._host.open(address).post(envelope)
        else:
            self._send(envelope, node)

    def redirect(self, waiting: list[Envelope], owner: str | None, *, sure: bool = True) -> None:
        """Send on what waited for an actor that is not here (any more); ``sure``: its row names ``owner``."""
        for envelope in waiting:
            if isinstance(envelope, Returned):
                continue  # it was brought back for an activation that is gone; who must not miss it has set a timer
            if owner is not None:
                self._directory.learn(envelope.address, owner)
            envelope.owner = owner if sure else None
            envelope.tries += 1
            envelope.since = self._monotonic()
            if isinstance(envelope, Remote):
                envelope.move(owner, sure=sure)
            elif envelope.tries > MOVES:
                envelope.finish(Answer(error=Unavailable("the actor keeps moving", retry_after_ms=500)))
            else:
                self.dispatch(envelope)

    def redeem(self, ticket: Ticket, deliver: Deliver) -> None:
        """Answer a ticket from storage, then deliver."""
        self._queries.redeem(ticket, deliver)

    # To another node.
    def _send(self, envelope: Envelope, node: str) -> None:
        self._number += 1
        self._sent[self._number] = _Sent(envelope, node, self._clock.monotonic() + RESEND_S)
        self._bus.publish(node_channel(node), encode(self._frame(envelope, self._number, node)))

    def _frame(self, envelope: Envelope, number: int, node: str) -> Frame:
        sure = envelope.owner == node
        if isinstance(envelope, Asked):
            caller = envelope.caller
            ref = caller.session
            session = (ref.session, ref.node, ref.generation) if ref else None
            return AskFrame(
                number,
                self._node,
                envelope.address,
                caller.player,
                caller.name,
                session,
                encode(envelope.request),
                sure,
                caller.muted_until_ms,
            )
        if isinstance(envelope, Told):
            body = encode(envelope.tell)
            return TellFrame(number, self._node, envelope.address, envelope.sender, envelope.number, body, sure)
        assert isinstance(envelope, Fired)
        return FireFrame(number, self._node, envelope.address, envelope.name, envelope.due_ms, sure, envelope.failed)

    def _answered(self, frame: AnswerFrame) -> None:
        sent = self._sent.pop(frame.number, None)
        if sent is None:
            return  # answered before, or given up
        envelope = sent.envelope
        if frame.moved:
            self._directory.forget(envelope.address)
            self.redirect([envelope], frame.owner, sure=frame.sure)
        elif frame.refusal is not None:
            envelope.finish(Answer(error=RemoteRefusal(frame.refusal)))
        elif frame.ticket is not None:
            ticket = self._decoders.ticket.decode(frame.ticket)
            envelope.finish(Answer(None, None, frame.follows, ticket))
        else:
            reply = self._decoders.reply.decode(frame.reply) if frame.reply is not None else None
            self._directory.learn(envelope.address, sent.node)
            envelope.finish(Answer(reply, None, frame.follows))

    def _nodes_changed(self, change: Change) -> None:
        self._directory.forget_nodes(change.gone)
        for number, sent in list(self._sent.items()):
            if sent.node in change.gone:
                del self._sent[number]
                self.dispatch(sent.envelope)

    async def _resend(self) -> None:
        while True:
            await self._clock.sleep(RESEND_S / 4)
            now = self._clock.monotonic()
            live = {row.node for row in self._membership.rows}
            for number, sent in list(self._sent.items()):
                if sent.envelope.deadline <= now:
                    del self._sent[number]
                    late = Unavailable("no answer in time; the same id finds out", retry_after_ms=1_000)
                    sent.envelope.finish(Answer(error=late))
                elif sent.resend_at <= now and sent.node not in live:
                    del self._sent[number]  # it was named after its end had been noticed
                    self._directory.forget(sent.envelope.address)
                    sent.envelope.owner = None
                    self.dispatch(sent.envelope)
                elif sent.resend_at <= now:
                    sent.resend_at = now + RESEND_S
                    self._bus.publish(node_channel(sent.node), encode(self._frame(sent.envelope, number, sent.node)))

    # From another node.
    def _receive(self, payload: bytes) -> None:
        try:
            frame = decode_frame.decode(payload)
        except MsgspecError as error:
            log.error("bus.frame_not_understood", reason=str(error), size=len(payload))
            return
        if isinstance(frame, AnswerFrame):
            self._answered(frame)
        elif isinstance(frame, CommandFrame):
            self._command(frame.command)
        elif isinstance(frame, LeasesFrame):
            self._membership.look()
        else:
            self._serve(frame)

    def _serve(self, frame: AskFrame | TellFrame | FireFrame) -> None:
        try:
            envelope = self._unpack(frame)
        except MsgspecError as error:
            refusal = to_refusal(Unavailable(f"this node does not know the message: {error}"))
            self._bus.publish(node_channel(frame.node), encode(AnswerFrame(frame.number, refusal=refusal)))
            return
        address = frame.address
        activation = self._host.find(address)
        if frame.sure:
            envelope.owner = self._node
        if activation is None:
            left = self._membership.left  # then rows that name this node mean nothing any more
            node = self._node if frame.sure and not left else self._directory.locate(address)
            if node != self._node:
                # A guess is passed on once: two nodes that remember each other would send everybody back and
                # forth. Whoever is sent to itself opens the actor; its row has the last word.
                self._directory.forget(address)
                envelope.move(node, sure=node == frame.node)
                return
            if left:
                envelope.move(None)
                return
        elif isinstance(frame, AskFrame) and address.startswith(_CALLERS) and not self.is_home(address):
            activation.leave()
        self.dispatch(envelope)

    def _unpack(self, frame: AskFrame | TellFrame | FireFrame) -> Remote:
        now = self._monotonic()
        deadline = now + self._patience_s
        reply_to = ReplyTo(self._bus, frame.node, frame.number)
        if isinstance(frame, AskFrame):
            session = SessionRef(*frame.session) if frame.session else None
            caller = Caller(frame.player, frame.name, session, frame.muted_until_ms)
            request = self._decoders.request.decode(frame.body)
            return RemoteAsked(frame.address, reply_to, now, deadline, request, caller)
        if isinstance(frame, TellFrame):
            tell = self._decoders.tell.decode(frame.body)
            return RemoteTold(frame.address, reply_to, now, deadline, tell, frame.sender, frame.sent)
        return RemoteFired(frame.address, reply_to, now, deadline, frame.name, frame.due_ms, frame.failed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hear this node's channel until the context is left."""
        await self._bus.subscribe(node_channel(self._node), self._receive)
        await self._bus.subscribe(NODES_CHANNEL, self._receive)
        async with asyncio.TaskGroup() as tasks:
            resending = tasks.create_task(self._resend(), name="router-resend")
            try:
                yield
            finally:
                self._stop()
                resending.cancel()
                await self._bus.unsubscribe(node_channel(self._node))
                await self._bus.unsubscribe(NODES_CHANNEL)

    def _stop(self) -> None:
        """No answer comes in any more: who waits for one asks another node, with the same id."""
        self._stopped = True
        for sent in self._sent.values():
            sent.envelope.finish(Answer(error=Unavailable(STOPPED, retry_after_ms=500)))
