"""A campaign: an announcement on its way into the inboxes of an audience, a page of players at a time.

A page is found outside of turns. The turn that hears of it tells every player of the page and moves the mark behind
them, in one commit: a crash repeats no page and leaves none out. A timer finds what a crash has stopped.
"""

from typing import Any

from msgspec import Struct

from actors.broadcasts.messages import Audience
from actors.broadcasts.rules import page_of
from actors.runtime import Reach
from protocol import Tell

PAGE = 100  # players in one commit: their notices hold the loop for some 3 ms, before it and after
AHEAD = 500  # tells that may be under way: receivers are loaded no faster than they take them
AHEAD_PAUSE_S = 0.1  # between two looks at how many are under way
WATCH_S = 10.0  # without a page after which the next one is looked for again


class Campaign(Struct, frozen=True):
    """How far it has come."""

    after: str = ""
    """The last player who was told."""
    sent: int = 0


class PageCall(Tell, tag="announcement.page_call", frozen=True, kw_only=True):
    """Find the players after ``after``."""

    sender: str
    announcement: str
    audience: Audience
    after: str


class PageFound(Tell, tag="announcement.page_found", frozen=True, kw_only=True):
    """(player, locale) of those after ``after``; ``last``: there are no more behind them."""

    announcement: str
    after: str
    players: list[tuple[str, str]]
    last: bool


class CampaignDue(Tell, tag="announcement.campaign_due", frozen=True, kw_only=True):
    """No page has come for a while."""

    announcement: str


async def find_page(call: PageCall, reach: Reach) -> PageFound | None:
    """The next page, once few enough tells are under way; None, for the timer to try again, where that takes long."""
    until = reach.clock.monotonic() + WATCH_S
    while await _under_way(reach, call.sender) > AHEAD:
        if reach.clock.monotonic() > until:
            return None
        await reach.clock.sleep(AHEAD_PAUSE_S)
    rows: list[tuple[Any, ...]] = await reach.store.select(*page_of(call.audience, call.after, PAGE))
    players = [(player, locale) for player, locale in rows]
    return PageFound(announcement=call.announcement, after=call.after, players=players, last=len(players) < PAGE)


async def _under_way(reach: Reach, sender: str) -> int:
    ((count,),) = await reach.store.select("SELECT COUNT(*) FROM outbox WHERE actor = ? AND failed IS NULL", (sender,))
    return int(count)
