"""Small rooms that reach beyond memory: kept tickets, fetches, calls, replicated rows, a topic with a name of its own.

What their async parts find, and when, is in the hands of the test: see ``Shop``.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from msgspec import Struct

from actors.runtime import Context, Feature, Reach
from actors.runtime.tickets import FetchTicket
from protocol import CloseCode, Cursor, Event, GuildhallError, Reply, Request, Tell
from storage import Migration, Upsert
from tests.support.cluster import Member


# Errands: what a turn cannot know by itself.
class Bought(Reply, tag="errand.bought", frozen=True, kw_only=True):
    """``looked``: by whom and as whose how-manieth look the price was found, so that two redemptions differ."""

    total: int
    looked: str


class Buy(Request[Bought], tag="errand.buy", frozen=True, kw_only=True):
    """Changes the state, and is answered with what only the shop knows."""

    errand: str = "a"
    count: int = 1


class Priced(Request[Bought], tag="errand.priced", frozen=True, kw_only=True):
    """Changes nothing."""

    errand: str = "a"


class Sent(Reply, tag="errand.sent", frozen=True, kw_only=True):
    brought: list[str]


class Send(Request[Sent], tag="errand.send", frozen=True, kw_only=True):
    """Have somebody go for each of ``things``."""

    errand: str = "a"
    things: list[str]


class Seen(Request[Sent], tag="errand.seen", frozen=True, kw_only=True):
    errand: str = "a"


class Stamp(Request[Bought], tag="errand.stamp", frozen=True, kw_only=True):
    errand: str = "a"


class Go(Tell, tag="errand.go", frozen=True, kw_only=True):
    thing: str


class Brought(Tell, tag="errand.brought", frozen=True, kw_only=True):
    thing: str


class Closed(GuildhallError):
    """The shop is closed."""

    code = "errand.closed"


class BuyTicket(FetchTicket, frozen=True, kw_only=True):
    kept: ClassVar[bool] = True
    total: int


class PriceTicket(FetchTicket, frozen=True, kw_only=True):
    total: int


class Errand(Struct):
    total: int = 0
    brought: list[str] = []


class Shop:
    """The room's part of a node."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.looks = 0
        self.runs = False
        self.open = asyncio.Event()
        """While it is not set, whoever comes waits."""
        self.open.set()
        self.error: Exception | None = None
        """What whoever comes runs into."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.runs = True
        try:
            yield
        finally:
            self.runs = False

    async def look(self) -> str:
        """Wait for the shop to open, and look."""
        self.looks += 1
        number = self.looks
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return f"{self.reach.membership.node}:{number}"


errand = Feature(name="errand", actor="errand", state=Errand)
errand.serves(Shop)


def shop(member: Member) -> Shop:
    """The shop of a node."""
    found = member.node.reach.service(errand)
    assert isinstance(found, Shop)
    return found


@errand.handles(Buy, key="errand")
def buy(_ctx: Context, mine: Errand, msg: Buy) -> BuyTicket:
    if msg.count > 100:
        raise Closed("not so many")
    mine.total += msg.count
    return BuyTicket(total=mine.total)


@errand.fetches(BuyTicket)
async def bought(ticket: BuyTicket, reach: Reach) -> Bought:
    return Bought(total=ticket.total, looked=await reach.service(errand).look())


@errand.handles(Priced, key="errand", writes=False)
def priced(_ctx: Context, mine: Errand, _msg: Priced) -> PriceTicket:
    return PriceTicket(total=mine.total)


@errand.fetches(PriceTicket)
async def price(ticket: PriceTicket, reach: Reach) -> Bought:
    return Bought(total=ticket.total, looked=await reach.service(errand).look())


@errand.handles(Send, key="errand")
def send(ctx: Context, mine: Errand, msg: Send) -> Sent:
    mine.total += 1
    for thing in msg.things:
        ctx.call(Go(thing=thing))
    return Sent(brought=list(mine.brought))


@errand.calls(Go)
async def go(call: Go, reach: Reach) -> Brought | None:
    await reach.service(errand).look()
    return Brought(thing=call.thing) if call.thing != "nothing" else None


@errand.hears(Brought)
def brought(_ctx: Context, mine: Errand, msg: Brought) -> None:
    if msg.thing == "mistake":
        raise RuntimeError("a mistake in the room")
    mine.brought.append(msg.thing)


@errand.handles(Seen, key="errand", writes=False)
def seen(_ctx: Context, mine: Errand, _msg: Seen) -> Sent:
    return Sent(brought=list(mine.brought))


@errand.handles(Stamp, key="errand", writes=False)
def stamp(ctx: Context, _mine: Errand, _msg: Stamp) -> Bought:
    return Bought(total=ctx.stamp(), looked="")


# Rules that every node knows.
class Ruled(Reply, tag="rule.ruled", frozen=True, kw_only=True):
    rules: dict[str, int]
    everywhere: bool = False


class SetRule(Request[Ruled], tag="rule.set", frozen=True, kw_only=True):
    name: str
    value: int
    spread: bool = True


class Rules(Request[Ruled], tag="rule.rules", frozen=True, kw_only=True):
    """What the node of actor ``book`` knows."""

    book: str


class Spread(Tell, tag="rule.spread", frozen=True, kw_only=True):
    pass


class Book(Struct):
    pass


def rules_of(rows: Sequence[tuple[Any, ...]]) -> dict[str, int]:
    return dict(rows)


rules = Feature(
    name="rules",
    actor="rules",
    state=Book,
    migrations=(Migration(1, "CREATE TABLE rules (name VARCHAR(32) NOT NULL PRIMARY KEY, value BIGINT NOT NULL)"),),
)
rules.replicates("SELECT name, value FROM rules ORDER BY name", rules_of)


@rules.handles(SetRule, address=lambda _request, _caller: "rules:all", writes=False)
def set_rule(ctx: Context, _book: Book, msg: SetRule) -> Ruled:
    ctx.keep(Upsert("rules", {"name": msg.name, "value": msg.value}, ("name",)))
    if msg.spread:
        ctx.call(Spread())
    return Ruled(rules=ctx.replica(rules))


@rules.calls(Spread)
async def spread(_call: Spread, reach: Reach) -> None:
    await reach.replicas.spread("rules")


# News: a topic with a name of its own, told to each in its own language.
NEWS = "news"


class News(Event, tag="news.news", frozen=True, kw_only=True):
    text: str


class Withdrawn(Event, tag="news.withdrawn", frozen=True, kw_only=True):
    pass


class Printed(Event, tag="news.printed", frozen=True, kw_only=True):
    """In the log; never sent as it is."""

    texts: dict[str, str]
    until_ms: int = 2**53


class Told(Reply, tag="news.told", frozen=True, kw_only=True):
    seq: int = 0


class Print(Request[Told], tag="news.print", frozen=True, kw_only=True):
    """``ends``: whose subscription ends with it."""

    texts: dict[str, str]
    until_ms: int = 2**53
    press: str = "main"
    ends: str | None = None


class Take(Request[Told], tag="news.take", frozen=True, kw_only=True):
    """Follow the news."""

    after: Cursor | None = None


class Withdraw(Request[Told], tag="news.withdraw", frozen=True, kw_only=True):
    seq: int


BANNED = "eve"  # may not follow the news


class Press(Struct):
    pass


news = Feature(name="news", actor="press", state=Press, keep_events=500)
news.publishes(News, Withdrawn)


@news.readable(NEWS)
def may_read(_mine: Press, player: str, _actor: str) -> bool:
    return player != BANNED


@news.publishes_as(NEWS, "press:main", Printed)
def render(event: Event, locale: str, now_ms: int) -> Event:
    if not isinstance(event, Printed):
        return event
    if event.until_ms <= now_ms:
        return Withdrawn(topic=event.topic, seq=event.seq, at=event.at)
    return News(topic=event.topic, seq=event.seq, at=event.at, text=event.texts.get(locale, event.texts["en"]))


@news.handles(Print, key="press", writes=False)
def print_it(ctx: Context, _mine: Press, msg: Print) -> Told:
    return Told(seq=ctx.publish(NEWS, Printed(texts=msg.texts, until_ms=msg.until_ms), ends=msg.ends))


@news.handles(Take, address=lambda _request, _caller: "press:main", writes=False)
def take(ctx: Context, _mine: Press, msg: Take) -> Told:
    ctx.follow(NEWS, after=msg.after)
    return Told(seq=ctx.position(NEWS).seq)


@news.handles(Withdraw, address=lambda _request, _caller: "press:main", writes=False)
def withdraw(ctx: Context, _mine: Press, msg: Withdraw) -> Told:
    ctx.redact(NEWS, msg.seq, Withdrawn(at=ctx.now_ms))
    return Told(seq=ctx.publish(NEWS, Withdrawn()))


# A warden, who commands sessions.
class Obeyed(Reply, tag="warden.obeyed", frozen=True, kw_only=True):
    pass


class Close(Request[Obeyed], tag="warden.close", frozen=True, kw_only=True):
    player: str


class Mute(Request[Obeyed], tag="warden.mute", frozen=True, kw_only=True):
    player: str
    until_ms: int


class Warden(Struct):
    count: int = 0


warden = Feature(name="warden", actor="warden", state=Warden)


@warden.handles(Close, address=lambda _request, _caller: "warden:w")
def close(ctx: Context, mine: Warden, msg: Close) -> Obeyed:
    mine.count += 1
    ctx.close_player(msg.player, CloseCode.BANNED, "banned")
    return Obeyed()


@warden.handles(Mute, address=lambda _request, _caller: "warden:w")
def mute(ctx: Context, mine: Warden, msg: Mute) -> Obeyed:
    mine.count += 1
    ctx.mute_player(msg.player, msg.until_ms)
    return Obeyed()


ROOMS = (errand, rules, news, warden)


def owner_of(address: str, *members: Member) -> tuple[Member, Member]:
    """The node on which an actor is, and the other one."""
    owner, other = sorted(members, key=lambda member: address not in member.node.host.activations)
    assert address in owner.node.host.activations
    return owner, other
