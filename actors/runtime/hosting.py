"""What an activation needs around it: the contract between it and the host of its node."""

from typing import Protocol, TypeVar

from actors.runtime.answer import Deliver
from actors.runtime.draft import Ran
from actors.runtime.mailbox import Envelope
from actors.runtime.observer import Observer
from actors.runtime.tickets import Ticket

A = TypeVar("A", contravariant=True)  # noqa: PLC0105 - it reads better without _contra


class Hosting(Protocol[A]):
    """What an activation asks of its host."""

    observe: Observer

    def monotonic(self) -> float: ...
    def trace(self) -> str:
        """A new trace id."""
        ...

    def ready(self, activation: A) -> None:
        """Run its mailbox soon."""
        ...

    def wake(self, activation: A) -> None:
        """Put it into the next commit."""
        ...

    def release(self, address: str, ran: Ran) -> None:
        """Let events, tells, calls and session commands go: they are safe."""
        ...

    def redeem(self, ticket: Ticket, deliver: Deliver) -> None:
        """Answer a kept ticket."""
        ...

    def reload(self, activation: A) -> None:
        """Load the last commit again."""
        ...

    def left(self, activation: A, waiting: list[Envelope], why: str) -> None:
        """It is gone; ``waiting`` has to be sent on to whoever owns the actor now."""
        ...
