"""What a message's sender gets: a reply, a ticket or an error."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from actors.runtime.context import Follow, Unfollow
from actors.runtime.tickets import Ticket
from protocol import GuildhallError, Reply


class Answer(Struct, eq=False):
    """What became of a message: a reply, a ticket or an error, and what the asking session follows from now on."""

    reply: Reply | None = None
    error: GuildhallError | None = None
    follows: Sequence[Follow | Unfollow] = ()
    ticket: Ticket | None = None
    """Handed out in the place of a reply."""
    re: str = ""
    """Id of the request that was asked; set when its sender is told."""


Deliver = Callable[[Answer], None]
"""Called once, on the loop, when the answer is safe to be seen."""


def nobody(_answer: Answer) -> None:
    """Nobody waits for it."""
