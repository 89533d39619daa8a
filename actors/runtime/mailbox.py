"""What waits in an actor's mailbox: an ask, a tell or a due timer, each knowing how to run and whom to answer."""

from collections.abc import Callable
from typing import Any

from actors.runtime.actor import Actor
from actors.runtime.context import Caller, Follow, Unfollow
from actors.runtime.draft import Ran
from actors.runtime.tickets import Ticket
from protocol import GuildhallError, Reply, Request, Tell

CAPACITY = 1024  # messages in one mailbox; about 0.1 s of turns, past that refusing beats queueing


class Answer:
    """What became of a message: a reply (or ticket) or an error, and what the asking session follows from now on."""

    __slots__ = ("error", "follows", "reply")

    def __init__(
        self,
        reply: Reply | Ticket | None = None,
        error: GuildhallError | None = None,
        follows: list[Follow | Unfollow] | None = None,
    ) -> None:
        self.reply = reply
        self.error = error
        self.follows = follows


Deliver = Callable[[Answer], None]
"""Called once, on the loop, when the answer is safe to be seen."""


class Envelope:
    """A message on its way to an actor. ``finish`` answers it once; later answers are dropped."""

    __slots__ = ("_deliver", "address", "deadline", "owner", "since", "tries")

    def __init__(self, address: str, deliver: Deliver, deadline: float) -> None:
        self.address = address
        self.deadline = deadline
        """Monotonic seconds after which the sender no longer waits."""
        self.since = 0.0
        """Monotonic seconds at which it came into the mailbox."""
        self.tries = 0
        """How often it was sent on because the actor had moved."""
        self.owner: str | None = None
        """The node that the actor's row names, where that was asked. It opens the actor, wherever it would be placed:
        nobody else can before its lease ends."""
        self._deliver: Deliver | None = deliver

    @property
    def source(self) -> str:
        """Whom it counts for where senders share a mailbox: a player or another actor; empty for the actor itself."""
        return ""

    def run(self, actor: Actor, now_ms: int) -> Ran | None:
        """Run the turn; None when it has been run and committed before."""
        raise NotImplementedError

    def finish(self, answer: Answer) -> None:
        """Answer the sender."""
        deliver, self._deliver = self._deliver, None
        if deliver is not None:
            deliver(answer)

    @property
    def finished(self) -> bool:
        """Whether the sender has its answer."""
        return self._deliver is None


class Asked(Envelope):
    """A client's request, or one of the server's own parts."""

    __slots__ = ("caller", "lifted", "request")

    def __init__(self, address: str, request: Request[Any], caller: Caller, deliver: Deliver, deadline: float) -> None:
        self.address = address  # not by super(): one is made for every request
        self.deadline = deadline
        self.since = 0.0
        self.tries = 0
        self.owner = None
        self._deliver = deliver
        self.request = request
        self.caller = caller
        self.lifted: str | None = None
        """Why the actor was quarantined until this came."""

    @property
    def source(self) -> str:
        return self.caller.player

    def run(self, actor: Actor, now_ms: int) -> Ran | None:
        return actor.ask(self.request, self.caller, now_ms, self.lifted)


class Told(Envelope):
    """A tell of another actor, ``number`` in its sender's outbox."""

    __slots__ = ("number", "refused", "sender", "tell")

    def __init__(self, address: str, tell: Tell, sender: str, number: int, deliver: Deliver, deadline: float) -> None:
        super().__init__(address, deliver, deadline)
        self.tell = tell
        self.sender = sender
        self.number = number
        self.refused: type[GuildhallError] | None = None
        """Set when a unique key undid the first run."""

    @property
    def source(self) -> str:
        return self.sender

    def run(self, actor: Actor, now_ms: int) -> Ran | None:
        return actor.hear(self.tell, self.sender, self.number, now_ms, self.refused)


class Returned(Envelope):
    """What an async function of the room has brought back for the actor that called it. It goes to no other node."""

    __slots__ = ("tell",)

    def __init__(self, address: str, tell: Tell, deadline: float) -> None:
        super().__init__(address, _nobody, deadline)
        self.tell = tell

    def run(self, actor: Actor, now_ms: int) -> Ran | None:
        return actor.take(self.tell, now_ms)


def _nobody(_answer: Answer) -> None:
    """Nobody waits for it."""


class Fired(Envelope):
    """A timer of the actor itself that is due. With ``failed`` it is set aside for that reason instead of run."""

    __slots__ = ("due_ms", "failed", "name")

    def __init__(
        self, address: str, name: str, due_ms: int, deliver: Deliver, deadline: float, failed: str | None = None
    ) -> None:
        super().__init__(address, deliver, deadline)
        self.name = name
        self.due_ms = due_ms
        self.failed = failed

    def run(self, actor: Actor, now_ms: int) -> Ran | None:
        if self.failed is not None:
            return actor.set_timer_aside(self.name, self.due_ms, self.failed)
        return actor.fire(self.name, self.due_ms, now_ms)
