"""Where a client stands in each durable topic: order restored, doubles dropped, holes found.

An event is handed on when everything before it has been; one that comes after a hole waits until the hole is filled
(PROTOCOL.md, Session 4). Pure data: who asks the server, and when, is the client session's business.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

FOLLOW_LIMIT = 256  # topics; as many as a hello may name
HELD_LIMIT = 256  # events of one topic that wait for a hole; later ones are asked for again

Fields = dict[str, Any]
"""A message as a client sees it: keys that it does not know are nobody's business."""


class TopicMoved(Struct, frozen=True):
    """A topic's standing as the server told it: ``resumed``, ``reset`` (reload its state) or ``gone``."""

    topic: str
    status: str
    epoch: str = ""
    seq: int = 0


class TooManyTopics(Exception):
    """``FOLLOW_LIMIT`` topics are followed already."""


class Track:
    """One topic: everything up to ``seq`` has been handed on; ``newest`` is known to exist."""

    __slots__ = ("asked", "epoch", "held", "newest", "seq")

    def __init__(self, epoch: str, seq: int) -> None:
        self.epoch = epoch
        self.seq = seq
        self.newest = seq
        self.held: dict[int, Fields] = {}
        self.asked: float | None = None
        """When the server was last asked to fill the hole, or last did fill some of it."""

    @property
    def has_hole(self) -> bool:
        """Whether something is known to be missing."""
        return self.newest > self.seq

    def follows(self, seq: int) -> bool:
        """Take the event if it is the next one and nothing is missing, as it nearly always is; else ``take`` it."""
        if seq != self.seq + 1 or self.newest > self.seq:
            return False
        self.seq = self.newest = seq
        return True

    def take(self, seq: int, event: Fields, now: float) -> list[Fields]:
        """What can be handed on now that this event has come, in order; nothing for one that was seen before."""
        self.newest = max(self.newest, seq)
        if seq <= self.seq:
            return []
        if seq > self.seq + 1:
            if len(self.held) < HELD_LIMIT:
                self.held[seq] = event
            return []
        self.seq = seq
        return [event, *self.settle(now)]

    def move(self, seq: int) -> None:
        """Everything up to ``seq`` is known in another way."""
        self.seq = max(self.seq, seq)
        self.newest = max(self.newest, seq)
        self.held = {n: event for n, event in self.held.items() if n > self.seq}

    def settle(self, now: float) -> list[Fields]:
        """What waited and now follows without a hole."""
        ready = []
        while event := self.held.pop(self.seq + 1, None):
            self.seq += 1
            ready.append(event)
        if self.asked is not None:
            self.asked = now if self.has_hole else None
        return ready


class Cursors:
    """The topics that a client follows."""

    def __init__(self) -> None:
        self._tracks: dict[str, Track] = {}

    def follow(self, topic: str, epoch: str, seq: int) -> Track:
        """What the application knows of ``topic`` is as of ``[epoch, seq]``; never moves back in one epoch.

        Raises:
            TooManyTopics: nothing is changed.
        """
        track = self._tracks.get(topic)
        if track is None and len(self._tracks) >= FOLLOW_LIMIT:
            raise TooManyTopics(topic)
        if track is None or track.epoch != epoch:
            track = self._tracks[topic] = Track(epoch, seq)
        track.move(seq)
        return track

    def unfollow(self, topic: str) -> None:
        """Forget where ``topic`` stood; no error if it was not followed."""
        self._tracks.pop(topic, None)

    def find(self, topic: str) -> Track | None:
        """The track of ``topic``, None if it is not followed."""
        return self._tracks.get(topic)

    def holes(self) -> list[tuple[str, Track]]:
        """Topics in which something is missing."""
        return [(topic, track) for topic, track in self._tracks.items() if track.newest > track.seq]

    def for_hello(self) -> dict[str, tuple[str, int]]:
        """The cursors as a hello names them."""
        return {topic: (track.epoch, track.seq) for topic, track in self._tracks.items()}

    def disconnected(self) -> None:
        """What waited for a hole comes again after the resume, or not at all."""
        for track in self._tracks.values():
            track.held.clear()
            track.newest = track.seq
            track.asked = None

    def welcomed(self, topics: Mapping[str, Fields], now: float) -> list[TopicMoved]:
        """Take every topic's standing from a welcome; one that was followed and is not named is gone."""
        moved = [self.stands(topic, standing, now) for topic, standing in topics.items()]
        for topic in self._tracks.keys() - topics.keys():
            del self._tracks[topic]
            moved.append(TopicMoved(topic, "gone"))
        return moved

    def stands(self, topic: str, standing: Fields, now: float) -> TopicMoved:
        """Take one topic's standing (PROTOCOL.md, Session 2); what a resumed one has missed follows by itself."""
        status, epoch, seq = standing.get("status", "gone"), standing.get("epoch", ""), standing.get("seq", 0)
        track = self._tracks.get(topic)
        if status == "gone":
            self.unfollow(topic)
        elif track is not None and track.epoch == epoch and status == "resumed":
            track.newest = max(track.newest, seq)
            track.asked = now if track.has_hole else None
        elif track is not None:
            status = "reset"
            held = track.held if track.epoch == epoch else {}
            track = self._tracks[topic] = Track(epoch, seq)
            track.held = {n: event for n, event in held.items() if n > seq}
            track.newest = max(seq, *track.held, seq)
        elif len(self._tracks) < FOLLOW_LIMIT:
            self._tracks[topic] = Track(epoch, seq)
        return TopicMoved(topic, status, epoch, seq)
