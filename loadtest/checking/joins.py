"""Founding, joining and leaving, which take two actors: rules ACKNOWLEDGED, ONCE and ASKED.

Their events have no request as their cause: the guild decides when it hears the player's tell. So they are counted.
"""

from collections import Counter, defaultdict

from loadtest.checking.findings import Findings, Rule
from loadtest.checking.story import Log, Op, Story

Tie = tuple[str, str]
"""Player and guild."""
Acknowledged = dict[Tie, list[Op]]


def judge_joins(story: Story, findings: Findings) -> None:
    """Count what happened against what was asked for and acknowledged."""
    joined, left = _count(story, "guild.member_joined"), _count(story, "guild.member_left")
    acknowledged, allowed, anywhere = _joins(story)
    _judge_acknowledged(story, findings, "join", acknowledged, joined)
    _judge_asked(story, findings, joined, allowed, anywhere)
    _judge_leaves(story, findings, joined, left)
    _judge_founding(story, findings)


def _count(story: Story, kind: str, reason: str = "") -> Counter[Tie]:
    """How often it is in the guilds' logs."""
    return Counter(
        (logged.event["player"], topic.removeprefix("guild:"))
        for topic, log in story.logs.items()
        if topic.startswith("guild:") and log.caused
        for logged in log.events.values()
        if logged.event.get("t") == kind and (not reason or logged.event.get("reason") == reason)
    )


def _joins(story: Story) -> tuple[Acknowledged, Counter[Tie], Counter[str]]:
    """Acknowledged ones; how many there may be; and, by player, how many guilds were perhaps founded: which, nobody
    was told."""
    acknowledged: Acknowledged = defaultdict(list)
    allowed: Counter[Tie] = Counter()
    anywhere: Counter[str] = Counter()
    for op in story.of_kind("guild.join"):
        tie = (op.player, op.text("guild"))
        allowed[tie] += 1
        if op.success:
            acknowledged[tie].append(op)
    for op in story.of_kind("guild.create"):
        if op.success is None:
            anywhere[op.player] += 1
            continue
        tie = (op.player, op.success[1]["guild"])
        allowed[tie] += 1
        acknowledged[tie].append(op)
    for op in story.of_kind("guild.accept"):
        allowed[op.text("player"), op.text("guild")] += 1
    return acknowledged, allowed, anywhere


def _judge_acknowledged(
    story: Story, findings: Findings, what: str, acknowledged: Acknowledged, happened: Counter[Tie]
) -> None:
    for tie, ops in acknowledged.items():
        log = _whole_log(story, tie[1])
        if log is None:
            findings.unjudged(f"acknowledged {what}: no whole log of the guild", len(ops))
            continue
        findings.judged(Rule.ACKNOWLEDGED, len(ops))
        if happened[tie] < len(ops):
            findings.add(
                Rule.ACKNOWLEDGED, f"a {what} was acknowledged and has no effect", player=tie[0], topic=log.topic,
                op=ops[-1].op, expected=f"{len(ops)} in the guild's log", seen=happened[tie],
                records=(*ops[-1].records, log.number),
            )  # fmt: skip


def _judge_asked(
    story: Story, findings: Findings, joined: Counter[Tie], allowed: Counter[Tie], anywhere: Counter[str]
) -> None:
    for tie, times in joined.items():
        findings.judged(Rule.ASKED)
        spare = max(times - allowed[tie], 0)
        covered = min(spare, anywhere[tie[0]])
        anywhere[tie[0]] -= covered
        if spare > covered:
            findings.add(
                Rule.ONCE if allowed[tie] else Rule.ASKED, "a player joined more often than was asked for",
                player=tie[0], topic=f"guild:{tie[1]}", expected=f"{allowed[tie]} times", seen=f"{times} times",
                records=(story.logs[f"guild:{tie[1]}"].number,),
            )  # fmt: skip


def _judge_leaves(story: Story, findings: Findings, joined: Counter[Tie], left: Counter[Tie]) -> None:
    """Of an acknowledged leave a kick that crossed it will do. A guild may also let go whose seat was not free by then:
    who was taken in, and never took the seat."""
    acknowledged: Acknowledged = defaultdict(list)
    asked: Counter[str] = Counter()
    for op in story.of_kind("guild.leave"):
        asked[op.player] += 1
        if op.success:
            acknowledged[op.player, op.success[1]["guild"]].append(op)
    _judge_acknowledged(story, findings, "leave", acknowledged, left)
    taken_in: Counter[str] = Counter()
    for (player, _), times in joined.items():
        taken_in[player] += times
    wished: Counter[str] = Counter()
    for (player, _), times in _count(story, "guild.member_left", "left").items():
        wished[player] += times
    for player, times in wished.items():
        log = story.logs.get(f"player:{player}")
        if log is None or not log.complete:
            continue
        changes = [e.event for e in log.events.values() if e.event.get("t") == "guild.seat_changed"]
        seated = sum(bool(change.get("guild")) for change in changes)
        allowed = asked[player] + taken_in[player] - seated
        if times > allowed:
            findings.add(
                Rule.ONCE if asked[player] else Rule.ASKED, "a player left more often than was asked for",
                player=player, expected=f"{allowed} times", seen=f"{times} times", records=(log.number,),
            )  # fmt: skip


def _judge_founding(story: Story, findings: Findings) -> None:
    """No guild is founded twice, and none without a request."""
    creates = list(story.of_kind("guild.create"))
    known = {op.success[1]["guild"] for op in creates if op.success}
    waiting = sum(1 for op in creates if op.success is None)
    for topic, log in story.logs.items():
        founded = [logged for logged in log.events.values() if logged.event.get("t") == "guild.founded"]
        if not founded or not log.caused:
            continue
        findings.judged(Rule.ASKED)
        if len(founded) > 1:
            findings.add(
                Rule.ONCE, "a guild was founded twice", topic=topic, seen=[logged.seq for logged in founded],
                records=(log.number,),
            )  # fmt: skip
        waiting -= topic.removeprefix("guild:") not in known
        if waiting < 0:
            waiting = 0
            findings.add(
                Rule.ASKED, "a guild that nobody has founded", topic=topic, seen=founded[0].event,
                records=(log.number,),
            )  # fmt: skip


def _whole_log(story: Story, guild: str) -> Log | None:
    log = story.find_log(f"guild:{guild}")
    return log if log is not None and log.complete and log.caused else None
