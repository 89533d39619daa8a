"""The history put in order for the rules: requests with their answers, and what is true in the end."""

from collections.abc import Iterator
from typing import Any

from loadtest.checking.findings import Findings, Rule
from loadtest.history import Answered, Asked, Audience, Final, FinalBoard, LedgerRow, Logged, TopicLog, value_of

Message = dict[str, Any]
OpRef = tuple[str, str]
"""Player and op."""
NOT_RUN = frozenset({"request.too_old", "request.id_reused"})
"""Refusals that say nothing of what the op did when it was run."""


def kind_of(message: Message) -> str:
    """The type of a message, whatever a client may have sent there."""
    kind = message.get("t")
    return kind if isinstance(kind, str) else ""


class Op:
    """One request id of a player: every time that it was sent, and every answer."""

    __slots__ = ("answered", "asked", "op", "player")

    def __init__(self, player: str, op: str) -> None:
        self.player = player
        self.op = op
        self.asked: list[tuple[int, str, Message]] = []
        """(record, session, message)."""
        self.answered: list[tuple[int, str, Message]] = []
        """(record, session, reply)."""

    @property
    def message(self) -> Message:
        """What was sent first; empty where nothing was."""
        return self.asked[0][2] if self.asked else {}

    @property
    def kind(self) -> str:
        """The type of what was sent first."""
        return kind_of(self.message)

    def text(self, name: str) -> str:
        """A field of what was sent first; empty where it has none such, for clients may send what they like."""
        value = self.message.get(name)
        return value if isinstance(value, str) else ""

    @property
    def first_asked(self) -> int:
        """Record of the first time that it was sent."""
        return self.asked[0][0]

    @property
    def success(self) -> tuple[int, Message] | None:
        """The first answer that is no error: (record, reply)."""
        for number, _, reply in self.answered:
            if reply.get("t") != "error":
                return number, reply
        return None

    @property
    def refusal(self) -> tuple[int, Message] | None:
        """The first answer that says that it was run and refused for good: (record, error)."""
        for number, _, reply in self.answered:
            if reply.get("t") == "error" and reply.get("retry") == "never" and reply.get("code") not in NOT_RUN:
                return number, reply
        return None

    @property
    def records(self) -> tuple[int, ...]:
        """Where it shows: first sent, first answered with success or refused."""
        answer = self.success or self.refusal
        asked = (self.first_asked,) if self.asked else ()
        return (*asked, answer[0]) if answer else asked

    def bodies(self) -> list[Message]:
        """The different messages that were sent under the id."""
        first = self.message
        bodies = [first] if self.asked else []
        for _, _, message in self.asked[1:]:
            if message is not first and message not in bodies:
                bodies.append(message)
        return bodies


class Log:
    """A topic as it is kept in the end."""

    def __init__(self, number: int, kept: TopicLog) -> None:
        self.number = number
        """Its record."""
        self.topic = kept.topic
        self.epoch = kept.epoch
        self.seq = kept.seq
        self.floor = kept.floor
        self.caused = kept.caused
        self.whole = kept.whole
        self.events: dict[int, Logged] = {}
        self.doubled: list[Logged] = []
        for logged in kept.events:
            if logged.seq in self.events:
                self.doubled.append(logged)
            self.events.setdefault(logged.seq, logged)
        self.holes = set(range(kept.floor, kept.seq + 1)) - self.events.keys() if kept.whole else set()
        self.beyond = [logged for logged in self.events.values() if logged.seq > kept.seq]
        self.kinds = {str(logged.event.get("t")) for logged in self.events.values()}

    @property
    def complete(self) -> bool:
        """Whether everything that was ever published is there."""
        return self.whole and self.floor <= 1 and not self.holes

    def in_order(self) -> Iterator[Logged]:
        """Its events, the oldest first."""
        return (self.events[seq] for seq in sorted(self.events))

    def may_hold(self, seq: int) -> bool:
        """Whether nothing of ``seq`` is known: it was cut, or is in a hole that has a finding of its own."""
        return seq < self.floor or seq in self.holes


def cause_of(log: Log, logged: Logged) -> OpRef | None:
    """The request in whose turn an event was published; None: it is not known, or was none."""
    if log.caused:
        return (logged.player, logged.op) if logged.player and logged.op else None
    if logged.event.get("t") == "chat.message":
        return str(logged.event["from"]["id"]), str(logged.event["op"])
    return None


class Story:
    """Everything that more than one rule looks at."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.ops: dict[OpRef, Op] = {}
        self.logs: dict[str, Log] = {}
        self.caused: dict[OpRef, list[tuple[Log, Logged]]] = {}
        """Events of the final logs by the request that they come from."""
        self.ledger: list[tuple[int, LedgerRow]] = []
        self.balances: dict[str, dict[str, int]] | None = None
        self.seats: dict[str, str | None] | None = None
        self.rosters: dict[str, list[str]] | None = None
        self.boards: list[tuple[int, FinalBoard]] = []
        self.audiences: dict[str, list[str]] = {}
        self.all_topics = False
        self.settled = False
        self.first_welcomed: dict[str, int] = {}
        """Record of each player's first sign-in."""
        self.final_records: dict[str, int] = {}
        """Newest record of each ``what``."""

    # Taking in.
    def asked(self, number: int, record: Asked) -> None:
        """A request has left."""
        self._op(record.player, record.op).asked.append((number, record.session, record.message))

    def answered(self, number: int, record: Answered) -> None:
        """An answer has come."""
        self._op(record.player, record.op).answered.append((number, record.session, record.reply))

    def final(self, number: int, record: Final) -> None:
        """Something is true in the end."""
        self.final_records[record.what] = number
        value = value_of(record)
        match record.what:
            case "topic":
                self._log(Log(number, value))
            case "ledger":
                self.ledger.extend((number, row) for row in value)
            case "balances":
                self.balances = {**(self.balances or {}), **value}
            case "seats":
                self.seats = {**(self.seats or {}), **value}
            case "rosters":
                self.rosters = {**(self.rosters or {}), **value}
            case "board":
                self.boards.append((number, value))
            case "audience":
                assert isinstance(value, Audience)
                self.audiences[value.announcement] = value.players
            case "all_topics":
                self.all_topics = value
            case "settled":
                self.settled = value
            case _:
                pass

    # Looking at it.
    def of_kind(self, kind: str) -> Iterator[Op]:
        """Requests of a type, in the order in which they were first sent."""
        return (op for op in self.ops.values() if op.asked and op.kind == kind)

    def find_log(self, topic: str) -> Log | None:
        """The log of a topic, None where it is not known; an empty one where it is known that there is none."""
        log = self.logs.get(topic)
        if log is None and self.all_topics:
            return Log(self.final_records["all_topics"], TopicLog(topic, "", 0, []))
        return log

    def judge_logs(self) -> None:
        """Rule LOG: what is kept has no hole and no double."""
        for log in self.logs.values():
            self.findings.judged(Rule.LOG, len(log.events))
            evidence: dict[str, Any] = {"topic": log.topic, "records": (log.number,)}
            for seq in sorted(log.holes):
                self.findings.add(
                    Rule.LOG, "the log has a hole", expected=f"event {seq} of {log.floor} to {log.seq}", **evidence
                )
            for logged in log.doubled:
                self.findings.add(Rule.LOG, f"the log has {logged.seq} twice", seen=logged.event, **evidence)
            for logged in log.beyond:
                self.findings.add(
                    Rule.LOG, "an event lies beyond the log's end", expected=f"none after {log.seq}",
                    seen=logged.event, **evidence,
                )  # fmt: skip

    def _op(self, player: str, op: str) -> Op:
        found = self.ops.get((player, op))
        if found is None:
            found = self.ops[player, op] = Op(player, op)
        return found

    def _log(self, log: Log) -> None:
        self.logs[log.topic] = log
        for logged in log.events.values():
            cause = cause_of(log, logged)
            if cause is not None:
                self.caused.setdefault(cause, []).append((log, logged))
