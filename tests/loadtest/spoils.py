"""Ways to spoil one record of any history, so that one rule is broken and no other.

Each changes the history in place, and returns whether there was something to spoil.
"""

from collections.abc import Callable
from itertools import pairwise
from random import Random

from msgspec import structs

from loadtest.checking import Rule
from loadtest.history import Answered, AnyRecord, Committed, Final, Heard, Lost, TopicLog, Welcomed
from tests.loadtest.world import changed, pick

History = list[AnyRecord]
Spoil = Callable[[History, Random], bool]


def _is_one_of_a_row(record: AnyRecord) -> bool:
    """Whether it is of a topic that nobody begins anew: a guild is watched again and again, and then known anew."""
    return isinstance(record, Heard) and not record.event["topic"].startswith("guild:")


def _surely_followed(history: History) -> set[tuple[str, str]]:
    """Devices that are there in the end: what another one has missed last, nobody can know."""
    live: set[tuple[str, str]] = set()
    for record in history:
        if isinstance(record, Welcomed):
            live.add((record.player, record.session))
        elif isinstance(record, Lost):
            live.discard((record.player, record.session))
    return live


def _spoil_heard(change: Callable[[History, int, Heard], None]) -> Spoil:
    def spoil(history: History, random: Random) -> bool:
        sure = _surely_followed(history)
        picked = pick(history, random, lambda r: _is_one_of_a_row(r) and (r.player, r.session) in sure)
        if picked is not None:
            change(history, picked.at, picked.record)
        return picked is not None

    return spoil


def _drop(history: History, at: int, _record: Heard) -> None:
    del history[at]


def _double(history: History, at: int, record: Heard) -> None:
    history.insert(at + 1, record)


def _change(history: History, at: int, record: Heard) -> None:
    history[at] = changed(record, event={**record.event, "at": record.event["at"] + 1})


def _swap(history: History, random: Random) -> bool:
    """The earlier of two comes after the later, on one connection."""
    by_place: dict[tuple[str, str, str], list[int]] = {}
    for n, record in enumerate(history):
        if isinstance(record, Heard) and _is_one_of_a_row(record):
            by_place.setdefault((record.player, record.session, record.event["topic"]), []).append(n)
    pairs = [
        (one, other)
        for places in by_place.values()
        for one, other in pairwise(places)
        if not any(isinstance(record, Welcomed) for record in history[one:other])
    ]
    if not pairs:
        return False
    one, other = random.choice(pairs)
    history.insert(other, history.pop(one))
    return True


def _edit_log(history: History, random: Random, edit: Callable[[TopicLog, Random], TopicLog | None]) -> bool:
    picked = pick(history, random, lambda r: isinstance(r, Final) and r.what == "topic" and bool(r.value.events))
    if picked is None:
        return False
    value = edit(picked.record.value, random)
    if value is not None:
        history[picked.at] = changed(picked.record, value=value)
    return value is not None


def _punch_a_hole(log: TopicLog, random: Random) -> TopicLog | None:
    if not log.topic.startswith("chat:"):
        return None  # where the lost event was a member's, rosters differ too
    at = random.randrange(len(log.events))
    return structs.replace(log, events=[e for n, e in enumerate(log.events) if n != at])


def _keep_one_twice(log: TopicLog, random: Random) -> TopicLog | None:
    return structs.replace(log, events=[*log.events, random.choice(log.events)])


def _stale_commit(history: History, random: Random) -> bool:
    commits = [n for n, record in enumerate(history) if isinstance(record, Committed)]
    later = {n: record for n in commits if isinstance(record := history[n], Committed) and record.fence > 1}
    if not later:
        return False
    at = random.choice(list(later))
    stale = changed(later[at], fence=later[at].fence - 1, version=later[at].version + 1, events=[])
    history.insert(at + 1, stale)
    return True


def _another_reply(history: History, random: Random) -> bool:
    picked = pick(history, random, lambda r: isinstance(r, Answered) and r.reply["t"] == "chat.sent")
    if picked is None:
        return False
    other = {**picked.record.reply, "at": picked.record.reply["at"] + 1}
    history.insert(picked.at + 1, changed(picked.record, reply=other))
    return True


def _off_by_one(history: History, random: Random) -> bool:
    picked = pick(history, random, lambda r: isinstance(r, Final) and r.what == "balances" and bool(r.value))
    if picked is None:
        return False
    balances = {owner: dict(held) for owner, held in picked.record.value.items()}
    balances[random.choice(sorted(balances))]["gold"] += random.choice([-1, 1])
    history[picked.at] = changed(picked.record, value=balances)
    return True


def _ghost_commit(history: History, random: Random) -> bool:
    """An event that only one device hears: it was taken back."""
    last: dict[tuple[str, str, str], tuple[int, Heard]] = {}
    for n, record in enumerate(history):
        if isinstance(record, Heard) and record.event["topic"].startswith("chat:"):
            last[record.player, record.session, record.event["topic"]] = n, record
    ends = {r.value.topic: r.value.seq for r in history if isinstance(r, Final) and r.what == "topic"}
    at_end = [(n, heard) for n, heard in last.values() if ends[heard.event["topic"]] == heard.event["seq"]]
    if not at_end:
        return False
    at, heard = random.choice(at_end)
    history.insert(at + 1, changed(heard, event={**heard.event, "seq": heard.event["seq"] + 1, "text": "a ghost"}))
    return True


def _log_with(edit: Callable[[TopicLog, Random], TopicLog | None]) -> Spoil:
    return lambda history, random: _edit_log(history, random, edit)


SPOILS: dict[str, tuple[Rule, Spoil]] = {
    "drop": (Rule.ORDER, _spoil_heard(_drop)),
    "double": (Rule.ORDER, _spoil_heard(_double)),
    "swap": (Rule.ORDER, _swap),
    "change": (Rule.SAME, _spoil_heard(_change)),
    "ghost": (Rule.COMMITTED, _ghost_commit),
    "hole": (Rule.LOG, _log_with(_punch_a_hole)),
    "twice": (Rule.LOG, _log_with(_keep_one_twice)),
    "stale": (Rule.OWNERSHIP, _stale_commit),
    "reply": (Rule.REPLIES, _another_reply),
    "balance": (Rule.VALUE, _off_by_one),
}
