"""The question that the runtime itself asks of an actor: may this player follow that topic, and where does it stand?"""

from typing import Any

from protocol import GuildhallError, Reply, Request


class TopicOpened(Reply, tag="runtime.topic_opened", frozen=True, kw_only=True):
    """Where the topic stands; ``floor`` is the oldest event kept. ``state``: what the rooms say at sign-in."""

    epoch: str
    seq: int
    floor: int
    state: dict[str, Any] | None = None


class TopicOpen(Request[TopicOpened], tag="runtime.topic_open", frozen=True, kw_only=True):
    """May the caller follow ``topic``? Asked at resume and at a sync, never by a client itself."""

    topic: str
    greet: bool = False
    """Also ask the actor's rooms for their greetings."""


class NotReadable(GuildhallError):
    """There is no such topic, or the player may not follow it."""

    code = "topic.not_readable"
