"""How far a session has told its player of announcements: what the player's mark is moved to when it ends."""

from typing import Protocol

from storage import Position


class Progress(Protocol):
    """A topic, as far as its readers have it: ``seq`` is the newest event that was sent to them."""

    @property
    def seq(self) -> int: ...


class _Nowhere:
    seq = 0


_NOWHERE = _Nowhere()


class AnnouncementMark:
    """``(epoch, seq)`` is the player's mark, as far as the session knows."""

    __slots__ = ("_announcements", "_heard_at", "epoch", "seq")

    def __init__(self) -> None:
        self.epoch = ""
        self.seq = 0
        self._announcements: Progress = _NOWHERE
        self._heard_at = 0

    def heard(self) -> None:
        """The client has said something."""
        self._heard_at = self._announcements.seq

    def welcomed(self, announcements: Progress | None) -> None:
        """The session follows ``announcements`` from here on, if it may. What follows the welcome has been told to
        nobody who has said anything since."""
        self._announcements = announcements or _NOWHERE
        self._heard_at = 0

    def move(self, told: Position | None, *, sure: bool) -> bool:
        """Move it to what was ``told``; False where it stands there, or further.

        Of a connection that broke (not ``sure``) nobody knows what still came through: only that it lived when the
        client last said something. Better shown again than never.
        """
        if told is None:
            return False
        seq = told.seq if sure else min(told.seq, self._heard_at)
        if self.epoch == told.epoch and seq <= self.seq:
            return False
        self.epoch, self.seq = told.epoch, seq
        return True
