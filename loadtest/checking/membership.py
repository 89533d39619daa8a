"""Rule MEMBERSHIP: seats, rosters and both kinds of logs tell one story."""

from loadtest.checking.findings import Findings, Rule
from loadtest.checking.story import Log, Story


def judge_membership(story: Story, findings: Findings) -> None:
    """Compare everything that says who is a member of what."""
    rosters = {
        topic.removeprefix("guild:"): _fold_guild(log, findings)
        for topic, log in story.logs.items()
        if topic.startswith("guild:") and log.complete and log.caused
    }
    seats = {
        topic.removeprefix("player:"): _fold_player(log, findings)
        for topic, log in story.logs.items()
        if topic.startswith("player:") and log.complete and log.caused
    }
    _judge_finals(story, findings, rosters, seats)
    _judge_agreement(story, findings)


def _fold_guild(log: Log, findings: Findings) -> set[str]:
    """The roster that the guild's events make."""
    members: set[str] = set()
    for logged in log.in_order():
        kind, player = logged.event.get("t"), logged.event.get("player", "")
        if kind not in {"guild.member_joined", "guild.member_left"}:
            continue
        findings.judged(Rule.MEMBERSHIP)
        joins = kind == "guild.member_joined"
        if joins == (player in members):
            findings.add(
                Rule.MEMBERSHIP, "joined twice" if joins else "left without being a member", player=player,
                topic=log.topic, seen=logged.event, records=(log.number,),
            )  # fmt: skip
        (members.add if joins else members.discard)(player)
    return members


def _fold_player(log: Log, findings: Findings) -> str | None:
    """The seat that the player's events make."""
    seat: str | None = None
    for logged in log.in_order():
        event = logged.event
        if event.get("t") != "guild.seat_changed":
            continue
        findings.judged(Rule.MEMBERSHIP)
        if event.get("left") != seat:
            findings.add(
                Rule.MEMBERSHIP, "the seat changed from what it was not", player=log.topic.removeprefix("player:"),
                topic=log.topic, expected=f"left {seat}", seen=event, records=(log.number,),
            )  # fmt: skip
        seat = event.get("guild")
    return seat


def _judge_finals(story: Story, findings: Findings, rosters: dict[str, set[str]], seats: dict[str, str | None]) -> None:
    for guild, members in (story.rosters or {}).items():
        told = rosters.get(guild)
        if told is not None and told != set(members):
            findings.add(
                Rule.MEMBERSHIP, "the roster is not what the guild's events say", topic=f"guild:{guild}",
                expected=sorted(told), seen=sorted(members), records=(story.final_records["rosters"],),
            )  # fmt: skip
    for player, seat in (story.seats or {}).items():
        if player in seats and seats[player] != seat:
            findings.add(
                Rule.MEMBERSHIP, "the seat is not what the player's events say", player=player,
                expected=seats[player], seen=seat, records=(story.final_records["seats"],),
            )  # fmt: skip


def _judge_agreement(story: Story, findings: Findings) -> None:
    if story.seats is None or story.rosters is None:
        return
    findings.judged(Rule.MEMBERSHIP, len(story.seats))
    records = (story.final_records["seats"], story.final_records["rosters"])
    found: dict[str, list[str]] = {}
    for guild, members in story.rosters.items():
        for player in members:
            found.setdefault(player, []).append(guild)
    for player in sorted(found.keys() | story.seats.keys()):
        guilds, seat = found.get(player, []), story.seats.get(player)
        if guilds != ([seat] if seat is not None else []):
            findings.add(
                Rule.MEMBERSHIP, "the player's seat and the rosters differ", player=player,
                expected=f"a place on the roster of {seat}" if seat else "no place on a roster",
                seen=f"on the rosters of {guilds}", records=records,
            )  # fmt: skip
