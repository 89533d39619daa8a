"""Rule VALUE: currency and items are neither created nor destroyed, and gifts are debit and credit, once each.

Items count as currencies: a sword is one of ``item:sword``.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

from msgspec import Struct

from loadtest.checking.findings import Findings, Rule
from loadtest.checking.likeness import int64
from loadtest.checking.story import Message, Op, OpRef, Story
from loadtest.history import LedgerRow

SOURCES = frozenset({"opening"})
"""Kinds of rows that make value without a request of this history: what was there before it began."""
CHANGED = "wallet.changed"


class Transfer(Struct, frozen=True):
    """A request that moves value to a receiver, and its fields by their names: from the player who asks, or (a grant)
    from nowhere, for staff may make value."""

    request: str
    receiver: str = "to"
    amount: str = "amount"
    currency: str = "currency"

    def of(self, message: Message) -> tuple[str, str, int]:
        """(receiver, currency, amount)."""
        return str(message.get(self.receiver)), str(message.get(self.currency)), int64(message.get(self.amount))


TRANSFERS: Mapping[str, Transfer] = {t.request: t for t in (Transfer("wallet.give"),)}
GRANTS: Mapping[str, Transfer] = {g.request: g for g in (Transfer("wallet.grant", receiver="player"),)}
Numbered = tuple[int, LedgerRow]


def judge_value(story: Story, findings: Findings) -> None:
    """Compare ledgers with balances, with each other, and with the requests."""
    if "ledger" not in story.final_records:
        waiting = sum(1 for kind in (*TRANSFERS, *GRANTS) for _ in story.of_kind(kind))
        if waiting:
            findings.unjudged("gifts and grants: no final ledger", waiting)
        return
    pairs: dict[str, list[Numbered]] = defaultdict(list)
    by_op: dict[OpRef, dict[int, Numbered]] = defaultdict(dict)
    for place, (number, row) in enumerate(story.ledger):
        if row.pair:
            pairs[row.pair].append((number, row))
        if row.op:
            by_op[row.player, row.op][place] = number, row
    _judge_balances(story, findings)
    _judge_pairs(pairs, findings)
    _judge_sources(story, findings)
    _judge_events(story, findings)
    for kind, grant in GRANTS.items():
        for op in story.of_kind(kind):
            _judge_grant(findings, op, grant, list(by_op.get((op.player, op.op), {}).values()))
    for kind, transfer in TRANSFERS.items():
        for op in story.of_kind(kind):
            own = list(by_op.get((op.player, op.op), {}).values())
            others = [each for pair in {row.pair for _, row in own if row.pair} for each in pairs[pair]]
            _judge_transfer(findings, op, transfer, own + [each for each in others if each not in own])


def _judge_balances(story: Story, findings: Findings) -> None:
    sums: Counter[tuple[str, str]] = Counter()
    for number, row in story.ledger:
        findings.judged(Rule.VALUE)
        account = (row.owner, row.currency)
        sums[account] += row.amount
        if row.amount < 0 and sums[account] < 0:
            findings.add(
                Rule.VALUE, "a balance was negative", player=row.owner, op=row.op, expected="0 or more",
                seen=f"{sums[account]} {row.currency} after {row}", records=(number,),
            )  # fmt: skip
    if story.balances is None:
        findings.unjudged("ledger rows: no final balances", len(story.ledger))
        return
    record = story.final_records["balances"]
    named = {(owner, currency) for owner, held in story.balances.items() for currency in held}
    for owner, currency in sorted(named | sums.keys()):
        balance = story.balances.get(owner, {}).get(currency, 0)
        if balance != sums[owner, currency]:
            findings.add(
                Rule.VALUE, f"the balance in {currency} is not the sum of the ledger", player=owner,
                expected=sums[owner, currency], seen=balance, records=(record,),
            )  # fmt: skip


def _judge_pairs(pairs: Mapping[str, list[Numbered]], findings: Findings) -> None:
    """Rows of a pair cancel out: a debit, and its credit to the other or back to the owner."""
    for pair, rows in pairs.items():
        taken = [row for _, row in rows if row.amount < 0]
        given = [row for _, row in rows if row.amount > 0]
        whole = len(taken) == len(given) == 1 and taken[0].amount == -given[0].amount
        if not whole or taken[0].currency != given[0].currency:
            findings.add(
                Rule.VALUE, f"transfer {pair} is not one debit and one credit of the same", op=rows[0][1].op,
                player=rows[0][1].owner, seen=[(r.owner, r.amount, r.currency) for _, r in rows],
                records=tuple({number for number, _ in rows}),
            )  # fmt: skip


def _judge_sources(story: Story, findings: Findings) -> None:
    for number, row in story.ledger:
        if row.kind in SOURCES and not row.pair:
            continue
        cause = story.ops.get((row.player, row.op)) if row.op else None
        needs_cause = row.op or not row.pair or row.amount < 0  # a credit has its debit
        if needs_cause and (cause is None or not cause.asked):
            findings.add(
                Rule.VALUE, "a movement of value that nobody asked for", player=row.owner, op=row.op, seen=row,
                records=(number,),
            )  # fmt: skip


def _judge_events(story: Story, findings: Findings) -> None:
    """What a player is told of the wallet is the ledger, row for row."""
    rows: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for _, row in story.ledger:
        rows[row.owner].append((row.currency, row.amount))
    for topic, log in story.logs.items():
        owner = topic.removeprefix("player:")
        if topic == owner or not log.complete or CHANGED not in log.kinds:
            continue
        events = [e.event for e in log.in_order() if e.event.get("t") == CHANGED]
        told = [(event["currency"], int64(event["delta"])) for event in events]
        findings.judged(Rule.VALUE, len(told))
        entered = rows[owner][-len(told) :] if rows[owner][: -len(told)] == _openings(story, owner) else rows[owner]
        if told != entered:
            findings.add(
                Rule.VALUE, "the events of a wallet are not its ledger", player=owner, topic=topic, expected=entered,
                seen=told, records=(log.number,),
            )  # fmt: skip


def _openings(story: Story, owner: str) -> list[tuple[str, int]]:
    return [(row.currency, row.amount) for _, row in story.ledger if row.owner == owner and row.kind in SOURCES]


def _judge_grant(findings: Findings, op: Op, grant: Transfer, rows: list[Numbered]) -> None:
    """An acknowledged one was entered once, as it was asked; a refused one not at all."""
    entered = [(row.owner, row.currency, row.amount) for _, row in rows]
    asked = [grant.of(body) for body in op.bodies()]
    says = ""
    if len(entered) > 1:
        says = "a grant was entered more than once"
    elif not entered:
        says = "an acknowledged grant was never entered" if op.success else ""
    elif op.refusal and not op.success:
        says = "a refused grant was entered"
    elif entered[0] not in asked:
        says = "another grant than the one asked for"
    if says:
        findings.add(
            Rule.VALUE, says, player=op.player, op=op.op, expected=asked, seen=entered,
            records=(*op.records, *sorted({number for number, _ in rows})),
        )  # fmt: skip


def _judge_transfer(findings: Findings, op: Op, transfer: Transfer, rows: list[Numbered]) -> None:
    """An acknowledged one was debited and credited once, as it was asked; a refused one not at all, or it came back;
    any other one once or not at all. ``rows`` are those of the op and of its pairs."""
    asked = [transfer.of(body) for body in op.bodies() if body.get("t") == transfer.request]
    debits = [row for _, row in rows if row.amount < 0 and row.owner == op.player]
    credit = next((row for _, row in rows if row.amount > 0), None)
    says = ""
    if len(debits) > 1:
        says = "a transfer was debited more than once"
    elif not debits:
        says = "an acknowledged transfer was never debited" if op.success else ""
    elif credit is not None and credit.owner == op.player:
        says = "an acknowledged transfer was taken back" if op.success else ""
    elif op.refusal and not op.success:
        says = "a refused transfer was debited"
    elif not any(_is_as_asked(debits[0], credit, each) for each in asked):
        says = "another transfer than the one asked for"
    if says:
        findings.add(
            Rule.VALUE, says, player=op.player, op=op.op, expected=asked,
            seen=[(row.owner, row.amount, row.currency) for _, row in rows],
            records=(*op.records, *sorted({number for number, _ in rows})),
        )  # fmt: skip


def _is_as_asked(debit: LedgerRow, credit: LedgerRow | None, asked: tuple[str, str, int]) -> bool:
    receiver, currency, amount = asked
    return (debit.currency, debit.amount) == (currency, -amount) and credit is not None and credit.owner == receiver
