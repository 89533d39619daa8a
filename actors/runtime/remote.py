"""Messages that came from another node: where they are answered, and told that their actor is not here."""

from actors.runtime.answer import Answer
from actors.runtime.frames import AnswerFrame, encode, node_channel, to_refusal
from actors.runtime.mailbox import Asked, Envelope, Fired, Told
from protocol import Moved
from storage import Bus


class ReplyTo:
    """Sends what became of a frame back to where it came from."""

    __slots__ = ("_bus", "_node", "_number")

    def __init__(self, bus: Bus, node: str, number: int) -> None:
        self._bus = bus
        self._node = node
        self._number = number

    def __call__(self, answer: Answer) -> None:
        frame = AnswerFrame(self._number, follows=list(answer.follows))
        if isinstance(answer.error, Moved):
            frame.moved = True
        elif answer.error is not None:
            frame.refusal = to_refusal(answer.error)
        elif answer.ticket is not None:
            frame.ticket = encode(answer.ticket)
        elif answer.reply is not None:
            frame.reply = encode(answer.reply)
        self._bus.publish(node_channel(self._node), encode(frame))

    def moved(self, owner: str | None, *, sure: bool) -> None:
        """Say that the actor is not here."""
        frame = AnswerFrame(self._number, moved=True, owner=owner, sure=sure)
        self._bus.publish(node_channel(self._node), encode(frame))


class Remote(Envelope, eq=False):
    """A message that came from another node: when its actor is not here, that node is told, and looks on."""

    def move(self, owner: str | None, *, sure: bool = False) -> None:
        """Send it back."""
        deliver, self.deliver = self.deliver, None
        if isinstance(deliver, ReplyTo):
            deliver.moved(owner, sure=sure)


class RemoteAsked(Remote, Asked, eq=False):
    pass


class RemoteTold(Remote, Told, eq=False):
    pass


class RemoteFired(Remote, Fired, eq=False):
    pass
