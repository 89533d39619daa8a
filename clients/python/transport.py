"""What the client needs of a connection: so little that sockets can be swapped for something else."""

from typing import Protocol

from protocol import Wire


class Ear(Protocol):
    """Who listens to a link."""

    def heard(self, payload: bytes) -> None:
        """One whole message has arrived. Nothing comes before the dial has returned its link."""
        ...

    def lost(self, code: int, reason: str) -> None:
        """The link is gone; called once, also after ``close`` and ``abort``. 1006: without a close frame."""
        ...


class Link(Protocol):
    """An open connection that carries whole messages, in order, until it is lost."""

    def send(self, payload: bytes) -> None:
        """Send one message; nothing happens on a link that is closing or gone."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send what waits and say goodbye; the link is gone soon after, with or without the other side's answer."""
        ...

    def abort(self) -> None:
        """Cut it at once; harmless on a link that is gone."""
        ...

    async def wait_gone(self) -> None:
        """Return when the link is gone."""
        ...


class Dial(Protocol):
    """Opens links to one server. No state: it may be shared by any number of players."""

    async def __call__(self, wire: Wire, ear: Ear) -> Link:
        """Open a link that speaks ``wire``. A cancelled call leaves nothing open.

        Raises:
            OSError: the server was not reached, or did not agree to talk.
        """
        ...
