"""What waits in an actor's mailbox: an ask, a tell or a due timer, each knowing how to run and whom to answer."""

from typing import Any, ClassVar

from msgspec import Struct

from actors.runtime.actor import Actor
from actors.runtime.answer import Answer, Deliver
from actors.runtime.context import Caller
from actors.runtime.draft import Ran
from protocol import GuildhallError, Request, Tell

CAPACITY = 1024  # messages in one mailbox; about 0.1 s of turns, past that refusing beats queueing


class Moves(Struct, kw_only=True, eq=False):
    """How a message was sent on because its actor was not where it was looked for."""

    tries: int = 0
    """How often."""
    owner: str | None = None
    """The node that the actor's row names, where that was asked. It opens the actor, wherever it would be placed:
    nobody else can before its lease ends."""


class Envelope(Moves, eq=False):
    """A message on its way to an actor. ``finish`` answers it once; later answers are dropped."""

    noted: ClassVar[bool] = False
    """Whether it is saved that the actor has had it, also where the turn refused."""

    address: str
    deliver: Deliver | None
    """Who waits for the answer; None once it is given."""
    since: float
    """Monotonic seconds at which it was sent, or sent on, by this node."""
    deadline: float
    """Monotonic seconds after which the sender no longer waits."""

    @property
    def source(self) -> str:
        """Whom it counts for where senders share a mailbox: a player or another actor; empty for the actor itself."""
        return ""

    def run(self, actor: Actor, now_ms: int) -> Ran | None:
        """Run the turn; None when it has been run and committed before."""
        raise NotImplementedError

    def finish(self, answer: Answer) -> None:
        """Answer the sender."""
        deliver, self.deliver = self.deliver, None
        if deliver is not None:
            deliver(answer)

    @property
    def finished(self) -> bool:
        """Whether the sender has its answer."""
        return self.deliver is None


class Asked(Envelope, eq=False):
    """A client's request, or one of the server's own parts."""

    request: Request[Any]
    caller: Caller
    lifted: str | None = None
    """Why the actor was quarantined until this came."""

    @property
    def source(self) -> str:
        return self.caller.player

    def run(self, actor: Actor, now_ms: int) -> Ran | None:
        return actor.ask(self.request, self.caller, now_ms, self.lifted)

    def finish(self, answer: Answer) -> None:
        deliver, self.deliver = self.deliver, None
        if deliver is not None:
            answer.re = self.request.id
            deliver(answer)


class Told(Envelope, eq=False):
    """A tell of another actor, ``number`` in its sender's outbox."""

    noted: ClassVar[bool] = True

    tell: Tell
    sender: str
    number: int
    refused: type[GuildhallError] | None = None
    """Set when a unique key undid the first run."""

    @property
    def source(self) -> str:
        return self.sender

    def run(self, actor: Actor, now_ms: int) -> Ran | None:
        return actor.hear(self.tell, self.sender, self.number, now_ms, self.refused)


class Returned(Envelope, eq=False):
    """What an async function of the room has brought back for the actor that called it. It goes to no other node, and
    nobody waits for its answer."""

    tell: Tell

    def run(self, actor: Actor, now_ms: int) -> Ran | None:
        return actor.take(self.tell, now_ms)


class Fired(Envelope, eq=False):
    """A timer of the actor itself that is due. With ``failed`` it is set aside for that reason instead of run."""

    noted: ClassVar[bool] = True

    name: str
    due_ms: int
    failed: str | None = None

    def run(self, actor: Actor, now_ms: int) -> Ran | None:
        if self.failed is not None:
            return actor.set_timer_aside(self.name, self.due_ms, self.failed)
        return actor.fire(self.name, self.due_ms, now_ms)
