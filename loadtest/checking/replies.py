"""One request id, one reply: rules REPLIES and REUSE.

A refusal has changed nothing and is not kept: the same id may be refused differently later, or succeed. From the first
success on it is that reply, for ever, or ``request.too_old`` where the window has moved on.
"""

from collections.abc import Mapping

from loadtest.checking.effects import EFFECTS, agreeing
from loadtest.checking.findings import Findings, Rule
from loadtest.checking.likeness import same
from loadtest.checking.story import NOT_RUN, Message, Op, Story, kind_of

READS = frozenset({
    "chat.channels", "chat.history", "chat.join", "chat.typing", "guild.find", "guild.get", "guild.invites",
    "guild.watch", "hello", "inbox.list", "leaderboard.around", "leaderboard.list", "leaderboard.periods",
    "leaderboard.top", "leaderboard.unwatch", "leaderboard.watch", "ping", "player.get", "player.look", "topic.sync",
    "wallet.get",
})  # fmt: skip
"""Requests that keep nothing: asked again, they tell what is true then."""
VOLATILE: Mapping[str, frozenset[str]] = {
    "chat.marked": frozenset({"seq"}),
    "inbox.marked": frozenset({"unread"}),
    "leaderboard.submitted": frozenset({"rank"}),
}
"""By reply: fields that say how things stand when it is sent."""
REPLY_OF: Mapping[str, str] = {effect.request: effect.reply for effect in EFFECTS.values()} | {
    "chat.leave": "chat.left", "chat.read": "chat.marked", "guild.accept": "guild.accepted",
    "guild.create": "guild.created", "guild.join": "guild.joined", "guild.leave": "guild.left",
    "leaderboard.submit": "leaderboard.submitted", "wallet.give": "wallet.given", "wallet.grant": "wallet.granted",
}  # fmt: skip
"""By request: its reply. Of requests that are not named here any reply will do."""
_UNASKED = frozenset({"pong", "welcome"})
"""Replies whose requests a client session sends by itself, and a writer need not record."""
_ECHOED = ("channel", "guild", "player", "board")
"""Fields that a reply repeats from its request."""


def judge_replies(story: Story, findings: Findings) -> None:
    """Compare all answers to each request id."""
    for op in story.ops.values():
        if not op.answered or not op.op:
            continue  # an error may have no id, where none could be read
        findings.judged(Rule.REPLIES)
        if not op.asked and op.answered[0][2].get("t") in _UNASKED:
            continue
        if not op.asked:
            findings.add(
                Rule.REPLIES, "an answer to what was never asked", player=op.player, op=op.op, seen=op.answered[0][2],
                records=(op.answered[0][0],),
            )  # fmt: skip
            continue
        bodies = op.bodies() if len(op.asked) > 1 else [op.message]
        if len(bodies) > 1:
            findings.judged(Rule.REUSE)
            if _is_reused_well(story, findings, op):
                _judge_same(findings, op)
            continue
        _judge_not_reused(findings, op)
        expected = REPLY_OF.get(op.kind)
        success = op.success
        if success is not None and expected is not None and success[1].get("t") != expected:
            findings.add(
                Rule.REPLIES, f"{op.kind} was answered by another kind of reply", player=op.player, op=op.op,
                expected=expected, seen=success[1], records=op.records,
            )  # fmt: skip
        elif len(op.answered) > 1 and op.kind not in READS:
            _judge_same(findings, op)


def _judge_same(findings: Findings, op: Op) -> None:
    success = op.success
    if success is None:
        return
    number, first = success
    for at, _, reply in op.answered:
        if at == number or _is_same(first, reply) or (at < number and reply.get("t") == "error"):
            continue
        if reply.get("t") == "error" and (reply.get("retry") != "never" or reply.get("code") in NOT_RUN):
            continue
        findings.add(
            Rule.REPLIES, "another reply to the same request", player=op.player, op=op.op, expected=first, seen=reply,
            records=(op.first_asked, number, at),
        )  # fmt: skip
        return


def _is_same(one: Message, other: Message) -> bool:
    if one == other:
        return True
    if one.get("t") != other.get("t"):
        return False
    if one.get("t") == "leaderboard.submitted" and not (one.get("improved") and other.get("improved")):
        return True  # what changed nothing is not kept; asked again, it tells how things stand
    volatile = VOLATILE.get(str(one.get("t")), frozenset())
    return all(same(one.get(name), other.get(name), name) for name in (one.keys() | other.keys()) - volatile)


# Another body.
def _judge_not_reused(findings: Findings, op: Op) -> None:
    for at, _, reply in op.answered:
        if reply.get("t") == "error" and reply.get("code") == "request.id_reused":
            findings.add(
                Rule.REUSE, "refused as reused, and had one body only", player=op.player, op=op.op, seen=reply,
                records=(op.first_asked, at),
            )  # fmt: skip
            return


def _is_reused_well(story: Story, findings: Findings, op: Op) -> bool:
    """Whether at most one of the bodies was run, and the others were refused as reused."""
    success = op.success
    if success is None:
        return True
    run = agreeing(story, op) or op.bodies()
    for at, session, reply in op.answered:
        if reply.get("t") != "error":
            sent = _sent(op, session, at)
            run = [body for body in run if body in sent and _may_answer(reply, body)]
            if not run:
                findings.add(
                    Rule.REUSE, "two bodies under one id were run, or one got the reply of the other",
                    player=op.player, op=op.op, expected="request.id_reused for all but one", seen=reply,
                    records=(*_askings(op), success[0], at),
                )  # fmt: skip
                return False
    for at, session, reply in op.answered:
        late = max((number for number, where, _ in op.asked if where == session and number < at), default=0)
        if late > success[0] and reply.get("retry") == "never" and reply.get("code") not in NOT_RUN:
            findings.add(
                Rule.REUSE, "another body under a used id was run and refused", player=op.player, op=op.op,
                expected="request.id_reused", seen=reply, records=(*_askings(op), at),
            )  # fmt: skip
            return False
    return True


def _sent(op: Op, session: str, before: int) -> list[Message]:
    return [message for number, where, message in op.asked if where == session and number < before]


def _askings(op: Op) -> tuple[int, ...]:
    return tuple(number for number, _, _ in op.asked[:4])


def _may_answer(reply: Message, body: Message) -> bool:
    expected = REPLY_OF.get(kind_of(body))
    if expected is not None and reply.get("t") != expected:
        return False
    return all(reply[name] == body[name] for name in _ECHOED if _is_text(reply, name) and _is_text(body, name))


def _is_text(message: Message, name: str) -> bool:
    return isinstance(message.get(name), str)
