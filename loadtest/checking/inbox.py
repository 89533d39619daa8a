"""Rule INBOX: announcements and notices come once to each player whom they are for, and to nobody else.

An announcement to everybody is one event of ``announce``; one to an audience, and a notice, is one event of each
player's own topic. That a player who follows a topic hears all of it is the business of rule ORDER.
"""

from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from loadtest.checking.findings import Findings, Rule
from loadtest.checking.order import Hearing
from loadtest.checking.story import Log, Message, Op, Story

TOPIC = "announce"
_FROM_AUDIENCE = "announcement"  # the kind of notice that an announcement to an audience is


def judge_inbox(story: Story, findings: Findings, hearing: Hearing) -> None:
    """Look for each announcement and each notice where it should be, and where it should not."""
    makes = {op.success[1]["announcement"]: op for op in story.of_kind("announcement.make") if op.success}
    unknown = sum(1 for op in story.of_kind("announcement.make") if not op.success and not op.refusal)
    cancelled = {op.text("announcement") for op in story.of_kind("announcement.cancel")}
    if any(op.asked for op in makes.values()) or unknown:
        _judge_unknown(story, findings, hearing, makes, unknown)
    for name, op in makes.items():
        if op.message.get("audience") is None:
            _judge_for_all(story, findings, hearing, name, op, name in cancelled)
        else:
            _judge_audience(story, findings, name, op, name in cancelled)
    _judge_notices(story, findings)


# Announcements.
def _judge_for_all(story: Story, findings: Findings, hearing: Hearing, name: str, op: Op, cancelled: bool) -> None:
    success = op.success
    assert success is not None
    log = story.find_log(TOPIC)
    if log is None:
        findings.unjudged("announcements to everybody: no log of their topic")
        return
    findings.judged(Rule.INBOX)
    told = [e.seq for e in log.events.values() if _announcement_of(e.event) == name]
    evidence: dict[str, Any] = {"topic": TOPIC, "op": op.op, "records": (*op.records, log.number)}
    scheduled = success[1].get("state") == "scheduled"
    if len(told) > 1 or (not told and log.complete and not cancelled and not scheduled):
        findings.add(
            Rule.INBOX,
            f"announcement {name} was told {len(told)} times",
            expected="once",
            seen=f"at {told}",
            **evidence,
        )
    if told and story.settled and not cancelled:
        _judge_listeners(findings, hearing, name, op, success[1].get("expires_at"))


def _judge_listeners(findings: Findings, hearing: Hearing, name: str, op: Op, expires_at: int | None) -> None:
    """Whoever is connected in the end, and was welcomed before it expired, has heard it."""
    heard = hearing.announcements.get(name, {})
    due = {d.player for d in hearing.devices.values() if d.live and (expires_at is None or d.now < expires_at)}
    missed = {player for player in due - heard.keys() if (player, TOPIC) not in hearing.disorderly}
    for player in sorted(missed):
        findings.add(
            Rule.INBOX, f"announcement {name} was never heard", player=player, topic=TOPIC, op=op.op,
            records=op.records,
        )  # fmt: skip


def _judge_audience(story: Story, findings: Findings, name: str, op: Op, cancelled: bool) -> None:
    audience = op.message["audience"]
    listed = story.audiences.get(name)
    if listed is None and set(audience) <= {"players"}:
        listed = audience["players"]
    if listed is None:
        findings.unjudged("announcements to an audience that nobody has listed")
        return
    must = {p for p in listed if story.first_welcomed.get(p, op.first_asked) < op.first_asked}
    state = op.success[1].get("state") if op.success else ""
    due = not cancelled and (state == "live" or (state == "sending" and story.settled))
    if name in story.audiences:
        must = set(listed)
    for player, log in _inboxes(story, must):
        findings.judged(Rule.INBOX)
        got = [e.seq for e in log.events.values() if _announcement_of(e.event) == name]
        needed = player in must and due and log.complete
        if len(got) > (player in listed) or (needed and not got):
            findings.add(
                Rule.INBOX, f"announcement {name} is there {len(got)} times", player=player, topic=log.topic, op=op.op,
                expected="once" if player in must else "at most once" if player in listed else "not at all",
                seen=f"at {got}", records=(*op.records, log.number),
            )  # fmt: skip


def _judge_unknown(story: Story, findings: Findings, hearing: Hearing, makes: dict[str, Op], unknown: int) -> None:
    """No announcement that nobody made; of those without an answer nobody knows the name."""
    names: dict[str, int] = {name: min(by.values()) for name, by in hearing.announcements.items()}
    for log in story.logs.values():
        for logged in log.events.values() if log.topic == TOPIC or log.topic.startswith("player:") else ():
            name = _announcement_of(logged.event)
            if name:
                names.setdefault(name, log.number)
    strange = sorted(names.keys() - makes.keys())
    for name in strange[unknown:]:
        findings.add(
            Rule.INBOX, f"announcement {name} was made by nobody", expected=f"{len(makes)} or {unknown} more",
            records=(names[name],),
        )  # fmt: skip


def _announcement_of(event: Message) -> str:
    """The announcement that an event tells, if it tells one."""
    kind = event.get("t")
    if kind in {"announce.announced", "announce.message"}:
        return str(event["announcement"])
    if kind == "inbox.notice" and event.get("kind") == _FROM_AUDIENCE:
        return str((event.get("data") or {}).get("announcement", ""))
    return ""


def _inboxes(story: Story, also: AbstractSet[str]) -> Iterator[tuple[str, Log]]:
    """The logs of all players' topics; of those in ``also`` even where nothing is in them."""
    known = {topic.removeprefix("player:") for topic in story.logs if topic.startswith("player:")}
    for player in sorted(known | also):
        log = story.find_log(f"player:{player}")
        if log is not None:
            yield player, log


# Notices.
class _Notices:
    """Keys of the notices to one player, by what they say: asked for and acknowledged."""

    def __init__(self) -> None:
        self.asked: dict[bytes, set[str]] = defaultdict(set)
        self.acknowledged: dict[bytes, set[str]] = defaultdict(set)


def _judge_notices(story: Story, findings: Findings) -> None:
    """Notices that were delivered by request are in the inbox once for each key, in the place that was acknowledged."""
    by_player: dict[str, _Notices] = defaultdict(_Notices)
    kinds: set[str] = set()
    for op in story.of_kind("inbox.deliver"):
        if op.refusal and not op.success:
            continue
        message, notices = op.message, by_player[op.text("player")]
        kinds.add(op.text("kind"))
        notices.asked[_content(message)].add(op.text("notice"))
        if op.success:
            notices.acknowledged[_content(message)].add(op.text("notice"))
            _judge_place(story, findings, op, op.success[1])
    if kinds:
        for player, log in _inboxes(story, by_player.keys()):
            _judge_inbox_of(findings, log, player, by_player[player], kinds)


def _judge_inbox_of(findings: Findings, log: Log, player: str, notices: _Notices, kinds: set[str]) -> None:
    there: dict[bytes, list[int]] = defaultdict(list)
    for logged in log.events.values():
        if logged.event.get("t") == "inbox.notice" and logged.event.get("kind") in kinds:
            there[_content(logged.event)].append(logged.seq)
    for content in sorted(there.keys() | notices.acknowledged.keys()):
        findings.judged(Rule.INBOX)
        times = len(there.get(content, ()))
        fewest = len(notices.acknowledged.get(content, ())) if log.complete else 0
        most = len(notices.asked.get(content, ()))
        if not fewest <= times <= most:
            findings.add(
                Rule.INBOX, f"a notice is there {times} times: {content.decode()}", player=player, topic=log.topic,
                expected=f"{fewest} times" if fewest == most else f"{fewest} to {most} times",
                seen=f"at {there.get(content, [])}", records=(log.number,),
            )  # fmt: skip


def _judge_place(story: Story, findings: Findings, op: Op, reply: Message) -> None:
    log = story.find_log(f"player:{op.text('player')}")
    if log is None:
        findings.unjudged("acknowledged inbox.deliver: no log of the player's topic")
        return
    findings.judged(Rule.INBOX)
    logged = log.events.get(reply["seq"])
    if logged is not None and _content(logged.event) == _content(op.message):
        return
    if logged is not None and any(_content(e.event) == _content(op.message) for e in log.events.values()):
        findings.add(
            Rule.INBOX, "a notice is not where its acknowledgement says", player=op.text("player"), topic=log.topic,
            op=op.op, expected=f"at {reply['seq']}", seen=logged.event, records=(*op.records, log.number),
        )  # fmt: skip


def _content(message: Message) -> bytes:
    """What a notice says; ``expires_at`` of the event is ``expires_ms`` of the request."""
    parts = [message.get("kind"), message.get("title"), message.get("body") or "", message.get("data")]
    expires = message.get("expires_at", message.get("expires_ms"))
    return msgspec.json.encode([*parts, expires], order="sorted")
