"""Refusals of leaderboards."""

from protocol import GuildhallError


class BoardNotFound(GuildhallError):
    """There is no such board."""

    code = "leaderboard.not_found"


class PeriodNotFound(GuildhallError):
    """The board has no such period."""

    code = "leaderboard.period_not_found"


class BoardClosed(GuildhallError):
    """The board takes scores from the game's backend only."""

    code = "leaderboard.closed"


class BoardFrozen(GuildhallError):
    """The board takes no scores for now."""

    code = "leaderboard.frozen"


class BoardEnded(GuildhallError):
    """The board has ended; it takes no scores any more."""

    code = "leaderboard.ended"


class ScoreOutOfBounds(GuildhallError):
    """The score is not within the bounds of the board, or the sum would be no 64-bit number."""

    code = "leaderboard.out_of_bounds"


class ScoreNotFound(GuildhallError):
    """The owner has no score in the present period."""

    code = "leaderboard.score_not_found"


class TooManyBoards(GuildhallError):
    """There are as many boards as there may be."""

    code = "leaderboard.too_many"
