"""Rule BOARDS: final places are what the submitted scores make of the board, of equals the earlier first."""

from collections import defaultdict

from loadtest.checking.findings import Findings, Rule
from loadtest.checking.likeness import int64
from loadtest.checking.story import Op, Story
from loadtest.history import BoardEntry, FinalBoard

MANY = 4096  # sums that scores without an answer can make; past that a sum is not judged
Pair = tuple[int, int]
"""Score and subscore."""


class _Submitted:
    """A score of one owner for one board."""

    __slots__ = ("done", "op", "pair", "period")

    def __init__(self, op: Op) -> None:
        self.op = op
        self.pair: Pair = (int64(op.message.get("score")), int64(op.message.get("subscore")))
        success = op.success
        self.done = success[0] if success else None
        """Record of the acknowledgement; None: it may have been taken or not, at any time."""
        self.period = success[1].get("period") if success else None


def judge_boards(story: Story, findings: Findings) -> None:
    """Judge each period of each board that the history ends with."""
    if not story.boards:
        return
    submitted: dict[tuple[str, str], list[_Submitted]] = defaultdict(list)
    for kind, owner in (("leaderboard.submit", ""), ("leaderboard.score_post", "owner")):
        for op in story.of_kind(kind):
            if op.success or not op.refusal:
                submitted[op.text("board"), op.text(owner) if owner else op.player].append(_Submitted(op))
    removed = {(op.text("board"), op.text("owner")) for op in story.of_kind("leaderboard.score_remove")}
    for number, board in story.boards:
        _judge_places(findings, number, board, submitted)
        owners = {entry.owner: entry for entry in board.entries}
        for (name, owner), scores in submitted.items():
            in_period = [s for s in scores if s.period in {None, board.period}]
            if name == board.board and in_period and (name, owner) not in removed:
                findings.judged(Rule.BOARDS)
                _judge_owner(findings, number, board, owner, owners.get(owner), in_period)
        for owner, entry in owners.items():
            if (board.board, owner) not in submitted:
                findings.add(
                    Rule.BOARDS, "a place for which nobody has submitted", player=owner, topic=_name(board),
                    seen=entry, records=(number,),
                )  # fmt: skip


def _judge_owner(
    findings: Findings,
    number: int,
    board: FinalBoard,
    owner: str,
    entry: BoardEntry | None,
    scores: list[_Submitted],
) -> None:
    done = [s for s in scores if s.done is not None]
    records = tuple(record for s in scores[-4:] for record in s.op.records)
    if entry is None:
        if done:
            findings.add(
                Rule.BOARDS, "an acknowledged score has no place", player=owner, topic=_name(board),
                op=done[-1].op.op, expected=done[-1].pair, records=(*records, number),
            )  # fmt: skip
        return
    allowed = _standings(board, scores)
    if allowed is None:
        findings.unjudged("sums with too many scores without an answer")
    elif (entry.score, entry.subscore) not in allowed:
        findings.add(
            Rule.BOARDS, f"the standing is not the {board.operator} of what was submitted", player=owner,
            topic=_name(board), expected=f"one of {sorted(allowed)[:5]}", seen=entry, records=(*records, number),
        )  # fmt: skip


def _standings(board: FinalBoard, scores: list[_Submitted]) -> set[Pair] | None:
    """Where the owner may stand; None: too many possibilities."""
    done = [s for s in scores if s.done is not None]
    maybe = [s.pair for s in scores if s.done is None]
    if board.operator == "sum":
        return _sums(done, maybe)
    if board.operator == "last":
        newest = max((s.op.first_asked for s in done), default=0)  # what was done before it was sent is overwritten
        return {s.pair for s in done if s.done is None or s.done >= newest} | set(maybe)
    if not done:
        return set(maybe)
    best = min((s.pair for s in done), key=lambda pair: _place(board, pair))
    return {best} | {pair for pair in maybe if _place(board, pair) < _place(board, best)}


def _sums(done: list[_Submitted], maybe: list[Pair]) -> set[Pair] | None:
    sums = {(sum(s.pair[0] for s in done), sum(s.pair[1] for s in done))}
    for score, subscore in maybe:
        sums |= {(a + score, b + subscore) for a, b in sums}
        if len(sums) > MANY:
            return None
    return sums


def _judge_places(
    findings: Findings, number: int, board: FinalBoard, submitted: dict[tuple[str, str], list[_Submitted]]
) -> None:
    """Ranks count from 1, owners are there once, the better stands above, of equals the earlier."""
    findings.judged(Rule.BOARDS, len(board.entries))
    seen: set[str] = set()
    above: BoardEntry | None = None
    for rank, entry in enumerate(board.entries, start=1):
        says = ""
        if entry.rank != rank:
            says = f"rank {rank} is called {entry.rank}"
        elif entry.owner in seen:
            says = "an owner has two places"
        elif above is not None:
            says = _out_of_order(board, above, entry, submitted)
        if says:
            findings.add(
                Rule.BOARDS, says, player=entry.owner, topic=_name(board), expected=f"after {above}" if above else "",
                seen=entry, records=(number,),
            )  # fmt: skip
        seen.add(entry.owner)
        above = entry


def _out_of_order(
    board: FinalBoard, above: BoardEntry, entry: BoardEntry, submitted: dict[tuple[str, str], list[_Submitted]]
) -> str:
    pair = (entry.score, entry.subscore)
    upper, lower = _place(board, (above.score, above.subscore)), _place(board, pair)
    if upper > lower:
        return "a better one stands below"
    if upper < lower:
        return ""
    if above.at > entry.at:
        return "of equals the later stands above"
    if board.operator == "best":
        first = [s.done for s in submitted.get((board.board, entry.owner), ()) if s.pair == pair and s.done]
        later = [s.op.first_asked for s in submitted.get((board.board, above.owner), ()) if s.pair == pair]
        if first and later and min(first) < min(later):
            return "of equals the one that was acknowledged before the other was sent stands below"
    return ""


def _place(board: FinalBoard, pair: Pair) -> Pair:
    """The lower, the better."""
    return pair if board.order == "asc" else (-pair[0], -pair[1])


def _name(board: FinalBoard) -> str:
    return f"leaderboard:{board.board}/{board.period}"
