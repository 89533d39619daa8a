"""Leaderboards: who is best, in periods that end by a calendar (PROTOCOL.md, Leaderboards).

    leaderboard.submit -> player's actor (scores.py): decides by its own score and the board's definition
                       -> commit: slice, op, row of leaderboard_entries
                       -> rank index (index.py, keeper.py) -> rank -> reply
    definition, resets, watchers: the board's actor (board.py)

The truth is in the database; the index can be lost at any time and is filled again from it.
"""

from actors.leaderboards.board import boards, show
from actors.leaderboards.definition import Boards, Definition, Table, boards_of
from actors.leaderboards.errors import (
    BoardEnded,
    BoardFrozen,
    BoardNotFound,
    PeriodNotFound,
    ScoreNotFound,
    ScoreOutOfBounds,
    TooManyBoards,
)
from actors.leaderboards.messages import LeaderboardEntries, LeaderboardPast
from actors.leaderboards.requests import (
    BoardCheck,
    BoardChecked,
    BoardDefine,
    BoardDefined,
    BoardEntries,
    BoardShow,
)
from actors.leaderboards.rows import compare
from actors.leaderboards.scores import ScorePost, ScorePosted, ScoreRemove, ScoreRemoved, scores

__all__ = [
    "BoardCheck",
    "BoardChecked",
    "BoardDefine",
    "BoardDefined",
    "BoardEnded",
    "BoardEntries",
    "BoardFrozen",
    "BoardNotFound",
    "BoardShow",
    "Boards",
    "Definition",
    "LeaderboardEntries",
    "LeaderboardPast",
    "PeriodNotFound",
    "ScoreNotFound",
    "ScoreOutOfBounds",
    "ScorePost",
    "ScorePosted",
    "ScoreRemove",
    "ScoreRemoved",
    "Table",
    "TooManyBoards",
    "boards",
    "boards_of",
    "compare",
    "scores",
    "show",
]
