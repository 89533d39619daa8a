"""How far a session has told its player of announcements: what the player's mark is moved to when it ends."""

from storage import Position


class AnnouncementMark:
    """``(epoch, seq)`` is the player's mark, as far as the session knows."""

    __slots__ = ("_heard_at", "epoch", "seq")

    def __init__(self) -> None:
        self.epoch = ""
        self.seq = 0
        self._heard_at = 0

    def heard(self, newest: int) -> None:
        """The client has said something while announcements stood at ``newest``."""
        self._heard_at = newest

    def welcomed(self) -> None:
        """What follows the welcome has been told to nobody who has said anything since."""
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
