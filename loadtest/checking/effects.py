"""What each request does, by its type, and whether it has been done: rules ACKNOWLEDGED, ONCE, ASKED and LINES.

``EFFECTS`` is the table to extend for a new request whose effect is an event of a durable topic, published in the
request's own turn. What takes two actors (a guild's seats, gifts) has modules of its own.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from loadtest.checking.findings import Findings, Rule
from loadtest.checking.likeness import same
from loadtest.checking.story import Log, Message, Op, Story, kind_of
from loadtest.history import Logged
from protocol import clean

Topic = Callable[[str, Message], str]
"""From the player and the request."""
Agrees = Callable[[str, Message, Message], bool]
"""Whether an event is what the player's request asked for: player, request, event."""


class Effect(Struct, frozen=True):
    """What a request does: one ``event`` on ``topic``."""

    request: str
    reply: str
    event: str
    topic: Topic
    agrees: Agrees
    always: bool = True
    """Whether it happens each time; else a request that changes nothing has no effect."""
    alone: bool = True
    """Whether the event comes from requests of this table alone."""


def _guild(_player: str, request: Message) -> str:
    return f"guild:{request.get('guild')}"


def _own(player: str, _request: Message) -> str:
    return f"player:{player}"


def _channel(_player: str, request: Message) -> str:
    return f"chat:{request.get('channel')}"


def _fields(*names: str, **values: Any) -> Agrees:
    """The event has the request's ``names`` and these ``values``."""

    def agree(_player: str, request: Message, event: Message) -> bool:
        asked = all(same(_cleaned(request.get(name)), event.get(name), name) for name in names)
        return asked and all(same(event.get(name), value) for name, value in values.items())

    return agree


def _line(player: str, request: Message, event: Message) -> bool:
    if event["from"]["id"] != player or event["op"] != request.get("id"):
        return False
    if event.get("deleted"):
        return True
    return bool(event["text"] == _cleaned(request.get("text"))) and same(request.get("data"), event.get("data"))


def _is_caller(player: str, _request: Message, event: Message) -> bool:
    return bool(event["player"] == player)


def _saved(_player: str, request: Message, event: Message) -> bool:
    given = [name for name in ("tag", "mode", "description") if request.get(name) is not None]
    return all(same(_cleaned(request[name]), event.get(name)) for name in given)


def _permitted(_player: str, request: Message, event: Message) -> bool:
    asked, got = request.get("permissions", ()), event["permissions"]
    return bool(request.get("role") == event["role"]) and set(asked) == set(got)


def _cleaned(value: Any) -> Any:
    return clean(value) if isinstance(value, str) else value


_ON_PLAYER = _fields("player")

EFFECTS: Mapping[str, Effect] = {
    effect.request: effect
    for effect in (
        Effect("chat.send", "chat.sent", "chat.message", _channel, _line),
        Effect("player.rename", "player.named", "player.renamed", _own, _fields(), always=False),
        Effect("inbox.read", "inbox.marked", "inbox.seen", _own, _fields("upto"), always=False),
        Effect("guild.promote", "guild.promoted", "guild.role_changed", _guild, _fields("player", role="officer")),
        Effect("guild.demote", "guild.demoted", "guild.role_changed", _guild, _fields("player", role="member")),
        Effect("guild.transfer", "guild.transferred", "guild.leader_changed", _guild, _ON_PLAYER, alone=False),
        Effect("guild.kick", "guild.kicked", "guild.member_left", _guild, _fields("player", reason="kicked"),
               alone=False),
        Effect("guild.ban", "guild.ban_set", "guild.player_banned", _guild, _ON_PLAYER, always=False),
        Effect("guild.unban", "guild.unbanned", "guild.player_unbanned", _guild, _ON_PLAYER),
        Effect("guild.invite", "guild.invite_sent", "guild.invite_opened", _guild, _ON_PLAYER),
        Effect("guild.revoke_invite", "guild.invite_revoked", "guild.invite_closed", _guild, _ON_PLAYER, alone=False),
        Effect("guild.reject_invite", "guild.invite_rejected", "guild.invite_gone", _own, _fields("guild"),
               alone=False),
        Effect("guild.apply", "guild.application_sent", "guild.applied", _guild, _is_caller),
        Effect("guild.withdraw", "guild.application_withdrawn", "guild.application_closed", _guild, _is_caller,
               alone=False),
        Effect("guild.decline", "guild.declined", "guild.application_closed", _guild, _ON_PLAYER, alone=False),
        Effect("guild.set_motd", "guild.motd_set", "guild.motd_changed", _guild, _fields("motd")),
        Effect("guild.edit", "guild.settings_saved", "guild.edited", _guild, _saved),
        Effect("guild.set_permissions", "guild.permissions_set", "guild.permissions_changed", _guild, _permitted),
        Effect("guild.disband", "guild.dissolved", "guild.disbanded", _guild, lambda *_: True, alone=False),
    )
}  # fmt: skip

_ALONE: Mapping[str, frozenset[str]] = {
    event: frozenset(effect.request for effect in EFFECTS.values() if effect.event == event)
    for event in {effect.event for effect in EFFECTS.values() if effect.alone}
}
"""By event: the only requests that it comes from."""
_KEPT_CHANNELS = ("room:", "guild:", "dm:", "party:")


def judge_effects(story: Story, findings: Findings) -> None:
    """Follow each request to its effect, and each effect back to its request."""
    for op in story.ops.values():
        for body in op.bodies() if len(op.asked) > 1 else [message for _, _, message in op.asked]:
            effect = EFFECTS.get(kind_of(body))
            if effect is not None:
                _judge_op(story, findings, op, body, effect)
                break
    for log in story.logs.values():
        _judge_causes(story, findings, log)


def agreeing(story: Story, op: Op) -> list[Message]:
    """Those of the op's bodies whose effect there is."""
    return [
        body
        for body in op.bodies()
        if (effect := EFFECTS.get(kind_of(body))) and any(_matches(op, effect, [body], *e) for e in _of(story, op))
    ]


def _of(story: Story, op: Op) -> list[tuple[Log, Logged]]:
    return story.caused.get((op.player, op.op), [])


def _matches(op: Op, effect: Effect, bodies: list[Message], log: Log, logged: Logged) -> bool:
    event = logged.event
    return event.get("t") == effect.event and any(
        body.get("t") == effect.request
        and log.topic == effect.topic(op.player, body)
        and effect.agrees(op.player, body, event)
        for body in bodies
    )


def _judge_op(story: Story, findings: Findings, op: Op, body: Message, effect: Effect) -> None:
    topic = effect.topic(op.player, body)
    if effect.event == "chat.message" and not str(body.get("channel")).startswith(_KEPT_CHANNELS):
        return  # nothing of it is stored
    log = story.find_log(topic)
    done = [(at, logged) for at, logged in _of(story, op) if logged.event.get("t") == effect.event]
    evidence: dict[str, Any] = {"player": op.player, "topic": topic, "op": op.op}
    if len(done) > 1:
        findings.add(
            Rule.ONCE, f"{effect.request} has had its effect {len(done)} times",
            expected=f"one {effect.event}", seen=[(at.topic, logged.seq) for at, logged in done],
            records=(*op.records, *(at.number for at, _ in done)), **evidence,
        )  # fmt: skip
        return
    findings.judged(Rule.ONCE)
    success = op.success
    if success is None:
        return
    if log is None or not (log.caused or effect.event == "chat.message"):
        if not effect.always:
            return
        findings.unjudged(f"acknowledged {effect.request}: no log of its topic that tells causes")
        return
    findings.judged(Rule.ACKNOWLEDGED)
    reply = success[1]
    if done:
        _judge_done(findings, op, effect, done[0], reply, evidence)
    elif effect.always and not _may_be_gone(log, reply):
        findings.add(
            Rule.ACKNOWLEDGED, f"{effect.request} was acknowledged and has no effect", expected=f"one {effect.event}",
            seen=f"reply {reply}", records=(*op.records, log.number), **evidence,
        )  # fmt: skip


def _judge_done(
    findings: Findings, op: Op, effect: Effect, done: tuple[Log, Logged], reply: Message, evidence: dict[str, Any]
) -> None:
    log, logged = done
    records = (*op.records, log.number)
    if not _matches(op, effect, op.bodies(), log, logged):
        findings.add(
            Rule.ACKNOWLEDGED, f"{effect.request} was acknowledged and has another effect", expected=op.message,
            seen=logged.event, records=records, **evidence,
        )  # fmt: skip
    elif effect.event == "chat.message":
        findings.judged(Rule.LINES)
        if (reply.get("seq"), reply.get("at")) != (logged.seq, logged.event.get("at")):
            findings.add(
                Rule.LINES, "a line is not where its acknowledgement says",
                expected=f"seq {reply.get('seq')} at {reply.get('at')}",
                seen=f"seq {logged.seq} at {logged.event.get('at')}", records=records, **evidence,
            )  # fmt: skip


def _may_be_gone(log: Log, reply: Message) -> bool:
    """Whether the effect may have been cut from the log, or lies in a hole that has a finding of its own."""
    seq = reply.get("seq")
    if isinstance(seq, int):
        return log.may_hold(seq)
    return log.floor > 1 or bool(log.holes)


def _judge_causes(story: Story, findings: Findings, log: Log) -> None:
    """Each event that only a request can cause has one, of the right type, that was not refused."""
    places: Counter[tuple[str, str, int]] = Counter()
    for logged in log.in_order():
        event = logged.event
        kind = str(event.get("t"))
        if log.caused and logged.op:
            places[logged.player, logged.op, logged.part] += 1
        requests = _ALONE.get(kind)
        if requests is None or not (log.caused or kind == "chat.message"):
            continue
        findings.judged(Rule.ASKED)
        player, ref = (logged.player, logged.op) if log.caused else (event["from"]["id"], event["op"])
        op = story.ops.get((player, ref))
        says = _why_not(op, requests)
        if says:
            findings.add(
                Rule.ASKED, says, player=player, topic=log.topic, op=ref, expected=f"one of {sorted(requests)}",
                seen=event, records=(*(op.records if op else ()), log.number),
            )  # fmt: skip
    for (player, ref, part), times in places.items():
        if times > 1 and not _is_known(story, player, ref):
            findings.add(
                Rule.ONCE, f"part {part} of an op's effect is there {times} times", player=player, topic=log.topic,
                op=ref, records=(log.number,),
            )  # fmt: skip


def _why_not(op: Op | None, requests: frozenset[str]) -> str:
    if op is None or not any(kind_of(message) in requests for _, _, message in op.asked):
        return "an effect that nobody asked for"
    if op.refusal and not op.success and len(op.bodies()) == 1:
        return "an effect of what was refused"
    return ""


def _is_known(story: Story, player: str, ref: str) -> bool:
    """Whether the op is one of the table, and so has been counted already."""
    op = story.ops.get((player, ref))
    return op is not None and any(kind_of(message) in EFFECTS for _, _, message in op.asked)
