"""Leaderboards: define, look at, and the scores that the game's backend submits or staff takes away."""

from secrets import token_hex
from typing import Annotated, Any, Literal

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body, QueryParameter
from msgspec import Meta, Struct

from actors.leaderboards import (
    BoardCheck,
    BoardChecked,
    BoardDefine,
    BoardDefined,
    BoardEnded,
    BoardEntries,
    BoardFrozen,
    BoardNotFound,
    BoardShow,
    Definition,
    LeaderboardEntries,
    PeriodNotFound,
    ScoreNotFound,
    ScoreOutOfBounds,
    ScorePost,
    ScorePosted,
    ScoreRemove,
    ScoreRemoved,
    TooManyBoards,
)
from actors.schedule import Repeat, ScheduleInvalid, ScheduleNever, ZoneUnknown
from actors.staff import shown
from protocol import INT64_MAX, INT64_MIN, Id, Invalid, Reply, settled
from server.staff.access import Endpoints
from server.staff.changes import PRIVATE, Changes
from server.staff.desk import Desk
from server.staff.inputs import Asked, Board, Limit, Owner

Number = Annotated[int | str, Meta(description="A 64-bit integer, as a number or, beyond 2^53, as decimal digits.")]
Period = Annotated[str | None, QueryParameter(min_length=1, max_length=32, description="Not given: the present one.")]
Start = Annotated[int, QueryParameter(ge=0, le=10_000_000, description="Entries to pass over.")]


# What is sent.
class RepeatOrder(Repeat, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As cron has it, in a time zone."""

    def repeat(self) -> Repeat:
        """As it is kept."""
        return Repeat(cron=self.cron, time_zone=self.time_zone)


class BoardOrder(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A board, whole: what is not said gets its default."""

    title: Annotated[str, Meta(max_length=100, description="For people.")] = ""
    operator: Annotated[
        Literal["best", "last", "sum"],
        Meta(description="What a new score does: the better one stays, the newer one stays, or they are added."),
    ] = "best"
    order: Annotated[Literal["desc", "asc"], Meta(description="`desc`: the highest score has rank 1.")] = "desc"
    min_score: Number = INT64_MIN
    max_score: Number = INT64_MAX
    open: Annotated[bool, Meta(description="Whether clients may submit; else only this API.")] = True
    frozen: Annotated[bool, Meta(description="Whether nobody may submit for now.")] = False
    ends_at: Annotated[
        Annotated[int, Meta(ge=0, le=2**53)] | None,
        Meta(description="From then on nothing is taken; milliseconds since the Unix epoch."),
    ] = None
    reset: Annotated[RepeatOrder | None, Meta(description="When a new period begins; not given: never.")] = None

    def definition(self) -> Definition:
        """Raises Invalid: a bound is no 64-bit number."""
        return Definition(
            title=self.title,
            operator=self.operator,
            order=self.order,
            min_score=int64(self.min_score),
            max_score=int64(self.max_score),
            open=self.open,
            frozen=self.frozen,
            ends_at=self.ends_at,
            reset=self.reset.repeat() if self.reset else None,
        )


class ScoreOrder(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A score that the game's backend vouches for."""

    owner: Id
    score: Number
    subscore: Number = 0
    data: Annotated[dict[str, Any] | None, Meta(description="The game's own; at most 1 KiB.")] = None


class BoardList(Struct, frozen=True):
    """Every board there is."""

    boards: list[str]


def leaderboard_routes(at: Endpoints, desk: Desk, changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/leaderboards``."""

    @at.show("/v1/leaderboards", "leaderboards.read")
    async def list_boards() -> BoardList:
        """List the boards."""
        rows = await desk.select("SELECT board FROM leaderboard_boards ORDER BY board")
        return BoardList([board for (board,) in rows])

    @at.show("/v1/leaderboards/{board:str}", "leaderboards.read", BoardNotFound)
    async def show(board: Board) -> Response[BoardDefined]:
        """Show how a board is defined, and which period it is in."""
        return _shown(await desk.ask(BoardShow(id=token_hex(12), board=board)))

    @at.change(
        "PUT",
        "/v1/leaderboards/{board:str}",
        "leaderboards.write",
        ScheduleInvalid,
        ScheduleNever,
        ZoneUnknown,
        TooManyBoards,
    )
    async def define(board: Board, data: Annotated[BoardOrder, Body()], request: Asked) -> Response[BoardDefined]:
        """Define a board, or define it anew. With another operator, order or reset its scores begin anew."""
        definition = settled(settled(data).definition())
        return await changes.run(
            request, lambda id_, by: BoardDefine(id=id_, board=board, definition=definition, by=by)
        )

    @at.show("/v1/leaderboards/{board:str}/entries", "leaderboards.read", BoardNotFound, PeriodNotFound)
    async def entries(
        board: Board, period: Period = None, start: Start = 0, limit: Limit = 50
    ) -> Response[LeaderboardEntries]:
        """Show entries from the top, of the present period or an older one."""
        return _shown(
            await desk.ask(BoardEntries(id=token_hex(12), board=board, period=period, start=start, limit=limit))
        )

    @at.show("/v1/leaderboards/{board:str}/check", "leaderboards.read", BoardNotFound)
    async def check(board: Board) -> Response[BoardChecked]:
        """Compare the rank index with the database."""
        return _shown(await desk.ask(BoardCheck(id=token_hex(12), board=board)))

    @at.change(
        "POST",
        "/v1/leaderboards/{board:str}/scores",
        "scores.write",
        BoardNotFound,
        BoardFrozen,
        BoardEnded,
        ScoreOutOfBounds,
    )
    async def post(board: Board, data: Annotated[ScoreOrder, Body()], request: Asked) -> Response[ScorePosted]:
        """Submit a score of a player, also where the board is closed to clients."""
        order = settled(data)
        score, subscore = int64(order.score), int64(order.subscore)
        return await changes.run(
            request,
            lambda id_, by: ScorePost(
                id=id_, owner=order.owner, board=board, score=score, subscore=subscore, data=order.data, by=by
            ),
        )

    @at.change(
        "DELETE", "/v1/leaderboards/{board:str}/scores/{owner:str}", "scores.write", BoardNotFound, ScoreNotFound
    )
    async def remove(board: Board, owner: Owner, request: Asked) -> Response[ScoreRemoved]:
        """Take a player's score of the present period away."""
        return await changes.run(request, lambda id_, by: ScoreRemove(id=id_, owner=owner, board=board, by=by))

    return [list_boards, show, define, entries, check, post, remove]


def int64(number: int | str) -> int:
    """A ``Number`` as an integer.

    Raises:
        Invalid: it is not one, or not of 64 bits.
    """
    if isinstance(number, str):
        digits = number.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 19):
            raise Invalid("not a 64-bit integer")
        number = int(number)
    if not INT64_MIN <= number <= INT64_MAX:
        raise Invalid("not a 64-bit integer")
    return number


def _shown(reply: Reply) -> Response[Any]:
    """A reply's fields as on the wire: 64-bit numbers are decimal strings."""
    return Response(shown(reply), media_type="application/json", headers=PRIVATE)
