"""Small rooms that show one thing of the runtime each."""

from msgspec import Struct

from actors.runtime import (
    CALLER,
    EVERY_KIND,
    Context,
    Deferred,
    EventTicket,
    Feature,
    GiveUp,
    Lifting,
    OpRef,
    TryAgain,
)
from protocol import Cursor, Event, GuildhallError, Reply, Request, Tell
from storage import EventRange, Insert, Migration


# A counter: state, refusals, defects, timers, unique names.
class Counted(Reply, tag="counter.counted", frozen=True, kw_only=True):
    value: int


class Add(Request[Counted], tag="counter.add", frozen=True, kw_only=True):
    counter: str = "a"
    by: int = 1


class Get(Request[Counted], tag="counter.get", frozen=True, kw_only=True):
    counter: str = "a"


class Refuse(Request[Counted], tag="counter.refuse", frozen=True, kw_only=True):
    """``after``: only after it has changed something, which is a defect."""

    counter: str = "a"
    after: bool = False


class Peek(Request[Counted], tag="counter.peek", frozen=True, kw_only=True):
    """Declared as a read; changes its slice all the same if told to."""

    counter: str = "a"
    meddle: bool = False


class Break(Request[Counted], tag="counter.break", frozen=True, kw_only=True):
    counter: str = "a"


class Mend(Lifting, Request[Counted], tag="counter.mend", frozen=True, kw_only=True):
    """End a quarantine."""

    counter: str = "a"


class Take(Request[Counted], tag="counter.take", frozen=True, kw_only=True):
    """Take a name that nobody else may have."""

    counter: str = "a"
    name: str


class Spoil(Request[Counted], tag="counter.spoil", frozen=True, kw_only=True):
    """Write a row that the database refuses."""

    counter: str = "a"


class Swell(Request[Counted], tag="counter.swell", frozen=True, kw_only=True):
    """Put a number into the state that no encoding can hold."""

    counter: str = "a"


class Wind(Request[Counted], tag="counter.wind", frozen=True, kw_only=True):
    """Set a timer, or with ``in_s`` None cancel it. ``then``: what it does when it rings."""

    counter: str = "a"
    name: str = "alarm"
    in_s: float | None
    then: str = "count"


class Rang(Tell, tag="counter.rang", frozen=True, kw_only=True):
    then: str


class Full(GuildhallError):
    """The counter counts no further."""

    code = "counter.full"


class NameTaken(GuildhallError):
    """Somebody has the name."""

    code = "counter.name_taken"


class Count(Struct):
    value: int = 0
    rings: list[int] = []


counter = Feature(
    name="counter",
    actor="counter",
    state=Count,
    migrations=(Migration(1, "CREATE TABLE names (name VARCHAR(32) NOT NULL PRIMARY KEY)"),),
)


@counter.handles(Add, key="counter")
def add(_ctx: Context, count: Count, msg: Add) -> Counted:
    count.value += msg.by
    return Counted(value=count.value)


@counter.handles(Mend, key="counter", writes=False)
def mend(ctx: Context, count: Count, _msg: Mend) -> Counted:
    if ctx.lifted is None:
        raise Full("it was well")
    return Counted(value=count.value)


@counter.handles(Get, key="counter", writes=False)
def get(_ctx: Context, count: Count, _msg: Get) -> Counted:
    return Counted(value=count.value)


@counter.handles(Refuse, key="counter")
def refuse(_ctx: Context, count: Count, msg: Refuse) -> Counted:
    if msg.after:
        count.value += 1
    raise Full(f"full at {count.value}")


@counter.handles(Peek, key="counter", writes=False)
def peek(_ctx: Context, count: Count, msg: Peek) -> Counted:
    count.value += msg.meddle
    return Counted(value=count.value)


@counter.handles(Break, key="counter")
def break_it(_ctx: Context, count: Count, _msg: Break) -> Counted:
    count.value += 1_000
    raise RuntimeError("a mistake in the room")


@counter.handles(Take, key="counter")
def take(ctx: Context, count: Count, msg: Take) -> Counted:
    count.value += 1
    ctx.keep(Insert("names", {"name": msg.name}), taken=NameTaken)
    return Counted(value=count.value)


@counter.handles(Spoil, key="counter")
def spoil(ctx: Context, count: Count, _msg: Spoil) -> Counted:
    count.value += 1
    ctx.keep(Insert("no_such_table", {"name": "x"}), taken=NameTaken)
    return Counted(value=count.value)


@counter.handles(Swell, key="counter")
def swell(_ctx: Context, count: Count, _msg: Swell) -> Counted:
    count.value += 1 << 70
    return Counted(value=0)


@counter.handles(Wind, key="counter")
def wind(ctx: Context, count: Count, msg: Wind) -> Counted:
    if msg.in_s is None:
        ctx.cancel(msg.name)
    else:
        ctx.after(msg.in_s, msg.name, Rang(then=msg.then))
    return Counted(value=count.value)


@counter.hears(Rang)
def ring(ctx: Context, count: Count, msg: Rang) -> None:
    if msg.then == "refuse":
        raise Full("no ringing here")
    if msg.then == "break":
        raise RuntimeError("a mistake in the room")
    if msg.then == "again":
        ctx.after(5, "alarm", Rang(then="count"))
    count.rings.append(ctx.now_ms)


# A talk: a durable topic, who may hear it, and its log.
class Said(Event, tag="talk.said", frozen=True, kw_only=True):
    text: str


class Gone(Event, tag="talk.gone", frozen=True, kw_only=True):
    player: str


class Done(Reply, tag="talk.done", frozen=True, kw_only=True):
    seq: int = 0


class Lines(Reply, tag="talk.lines", frozen=True, kw_only=True):
    texts: list[str]


class Join(Request[Done], tag="talk.join", frozen=True, kw_only=True):
    """``look``: with the log so far, which is read from storage before the reply."""

    talk: str = "t"
    after: Cursor | None = None
    look: bool = False


class Leave(Request[Done], tag="talk.leave", frozen=True, kw_only=True):
    talk: str = "t"


class Say(Request[Done], tag="talk.say", frozen=True, kw_only=True):
    talk: str = "t"
    text: str = ""
    times: int = 1


class Whisper(Request[Done], tag="talk.whisper", frozen=True, kw_only=True):
    """An ephemeral event."""

    talk: str = "t"
    text: str = ""


class Kick(Request[Done], tag="talk.kick", frozen=True, kw_only=True):
    talk: str = "t"
    player: str


class Read(Request[Lines], tag="talk.read", frozen=True, kw_only=True):
    talk: str = "t"


class LogTicket(EventTicket, frozen=True, kw_only=True):
    pass


class Talk(Struct):
    pass


talk = Feature(name="talk", actor="talk", state=Talk, keep_events=400)
talk.publishes(Said, Gone)
TOPIC = "talk:t"


@talk.readable("")
def may_read(_talk: Talk, _player: str, _actor: str) -> bool:
    return True


@talk.handles(Join, key="talk", writes=False)
def join(ctx: Context, _talk: Talk, msg: Join) -> Done | LogTicket:
    ctx.follow(ctx.actor, after=msg.after)
    if msg.look:
        return LogTicket(span=EventRange(topic=ctx.actor))
    return Done(seq=ctx.position(ctx.actor).seq)


@talk.handles(Leave, key="talk", writes=False)
def leave(ctx: Context, _talk: Talk, _msg: Leave) -> Done:
    ctx.unfollow(ctx.actor)
    return Done()


@talk.handles(Say, key="talk", writes=False)
def say(ctx: Context, _talk: Talk, msg: Say) -> Done:
    return Done(seq=max(ctx.publish(ctx.actor, Said(text=msg.text)) for _ in range(msg.times)))


@talk.handles(Whisper, key="talk", writes=False)
def whisper(ctx: Context, _talk: Talk, msg: Whisper) -> Done:
    ctx.publish(ctx.actor, Said(text=msg.text), ephemeral=True)
    return Done()


@talk.handles(Kick, key="talk", writes=False)
def kick(ctx: Context, _talk: Talk, msg: Kick) -> Done:
    return Done(seq=ctx.publish(ctx.actor, Gone(player=msg.player), ends=msg.player))


@talk.handles(Read, key="talk", writes=False)
def read(ctx: Context, _talk: Talk, _msg: Read) -> LogTicket:
    return LogTicket(span=EventRange(topic=ctx.actor))


@talk.answers(LogTicket)
def lines(_ticket: LogTicket, events: list[Event]) -> Lines:
    return Lines(texts=[event.text for event in events if isinstance(event, Said)])


# A purse: what one actor gives, another gets, exactly once; and an op that is answered later.
class Paid(Reply, tag="purse.paid", frozen=True, kw_only=True):
    left: int


class Pay(Request[Paid], tag="purse.pay", frozen=True, kw_only=True):
    """``to`` is an address. ``parts`` tells it in several pieces."""

    purse: str = "a"
    to: str = "purse:b"
    amount: int = 1
    parts: int = 1
    kind: str = "coins"


class Look(Request[Paid], tag="purse.look", frozen=True, kw_only=True):
    purse: str = "a"


class Order(Request[Paid], tag="purse.order", frozen=True, kw_only=True):
    """Answered when the purse ``via`` has said yes."""

    purse: str = "a"
    via: str = "b"


class Got(Tell, tag="purse.got", frozen=True, kw_only=True):
    amount: int
    kind: str


class Asked(Tell, tag="purse.asked", frozen=True, kw_only=True):
    ref: OpRef


class Agreed(Tell, tag="purse.agreed", frozen=True, kw_only=True):
    ref: OpRef


class Purse(Struct):
    coins: int = 0
    got: list[int] = []
    refused: list[str] = []


purse = Feature(name="purse", actor="purse", state=Purse)


@purse.handles(Pay, key="purse")
def pay(ctx: Context, mine: Purse, msg: Pay) -> Paid:
    for part in range(msg.parts):
        mine.coins -= msg.amount + part
        ctx.tell(msg.to, Got(amount=msg.amount + part, kind=msg.kind))
    return Paid(left=mine.coins)


@purse.handles(Look, key="purse", writes=False)
def look(_ctx: Context, mine: Purse, _msg: Look) -> Paid:
    return Paid(left=mine.coins)


@purse.hears(Got)
def got(ctx: Context, mine: Purse, msg: Got) -> None:
    if msg.kind == "poison":
        raise RuntimeError("a mistake in the room")
    if msg.kind == "refused":
        raise Full("no room")
    if msg.kind.startswith("named "):
        if ctx.refused is not None and not msg.kind.endswith("stubborn"):
            mine.refused.append(ctx.refused.code)
            return
        ctx.keep(Insert("names", {"name": msg.kind}), taken=NameTaken)
    mine.coins += msg.amount
    mine.got.append(msg.amount)


@purse.handles(Order, key="purse")
def order(ctx: Context, _mine: Purse, msg: Order) -> Deferred:
    ctx.tell(f"purse:{msg.via}", Asked(ref=ctx.op_ref))
    return ctx.later()


@purse.hears(Asked)
def asked(ctx: Context, _mine: Purse, msg: Asked) -> None:
    ctx.tell(ctx.sender, Agreed(ref=msg.ref))


@purse.hears(Agreed)
def agreed(ctx: Context, mine: Purse, msg: Agreed) -> None:
    mine.coins += 1
    ctx.answer(msg.ref, Paid(left=mine.coins))


# A player, whose actor lives where its session is.
class Home(Reply, tag="home.found", frozen=True, kw_only=True):
    visits: int


class Visit(Request[Home], tag="home.visit", frozen=True, kw_only=True):
    pass


class Call(Request[Home], tag="home.call", frozen=True, kw_only=True):
    """Somebody asks another player's actor."""

    player: str


class Visits(Struct):
    count: int = 0


home = Feature(name="home", actor="player", state=Visits)


@home.handles(Visit, key=CALLER)
def visit(_ctx: Context, here: Visits, _msg: Visit) -> Home:
    here.count += 1
    return Home(visits=here.count)


@home.handles(Call, key="player", writes=False)
def call(_ctx: Context, here: Visits, _msg: Call) -> Home:
    return Home(visits=here.count)


# Of every kind of actor: what was set aside is tried again or given up.
class Settled(Reply, tag="aside.settled", frozen=True, kw_only=True):
    pass


class Settle(Request[Settled], tag="aside.settle", frozen=True, kw_only=True):
    """``key``: the number of a tell, or the name of a timer."""

    actor: str = "purse:a"
    key: int | str = 1
    again: bool = True


class NotAside(GuildhallError):
    """Nothing of that key was set aside."""

    code = "aside.not_found"


class Nothing(Struct):
    pass


aside = Feature(name="aside", actor=EVERY_KIND, state=Nothing)


@aside.handles(Settle, address=lambda msg, _caller: msg.actor, writes=False, internal=True)
def settle(ctx: Context, _nothing: Nothing, msg: Settle) -> Settled:
    row = ctx.aside(msg.key)
    if row is None:
        raise NotAside(f"{msg.key} of {ctx.actor}")
    ctx.settle(TryAgain(row) if msg.again else GiveUp(row))
    return Settled()


ALL = (counter, talk, purse, home, aside)
