"""The judge of histories: it finds nothing in a good one, and in a broken one the promise that was broken, no other."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.check import Rule, Verdict, check, main
from loadtest.checking.effects import EFFECTS
from loadtest.history import AnyRecord, Asked, BadHistory, Final, Heard, read_history, write_history
from tests.loadtest.spoils import SPOILS
from tests.loadtest.steps import something_happens
from tests.loadtest.world import EPOCH, ROOM, World, changed, evening
from tests.loadtest.wrongs import WRONGS, loses_a_coin, loses_an_acknowledged_line

History = list[AnyRecord]


def rules(history: History) -> set[str]:
    """The rules that were broken."""
    return set(check(history).found)


def broken(misbehave: Callable[[World], None]) -> Verdict:
    """An evening on which something went wrong before the end."""
    world = evening()
    misbehave(world)
    return check(world.end())


# Good histories.
def test_a_good_evening_gives_no_finding_and_every_rule_has_looked() -> None:
    world = evening()
    ann = world.devices[0]
    world.ask(ann, {"t": "chat.send", "channel": "room:raid", "text": "other words"}, "a1-4")
    world.refuse(ann, "a1-4", "request.id_reused")

    verdict = check(world.end())

    assert verdict.good, str(verdict)
    assert set(verdict.judged) == set(Rule)
    assert verdict.unjudged == {}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 120))
def test_whatever_happens_a_server_that_keeps_its_promises_is_found_good(seed: int, steps: int) -> None:
    random, world = Random(seed), World()
    for _ in range(steps):
        something_happens(world, random)

    verdict = check(world.end())

    assert verdict.good, str(verdict)


def test_nothing_at_all_is_good() -> None:
    assert check([]).good


def test_a_final_that_nobody_knows_is_nobodys_business() -> None:
    assert check([*evening().end(), Final(1, "weather", {"sun": True})]).good


# Broken ones.
@pytest.mark.parametrize(("rule", "misbehave"), WRONGS, ids=[wrong.__name__ for _, wrong in WRONGS])
def test_what_a_server_does_wrong_is_found_by_its_rule_and_no_other(
    rule: Rule, misbehave: Callable[[World], None]
) -> None:
    verdict = broken(misbehave)

    assert set(verdict.found) == {rule}, str(verdict)
    assert all(finding.says and finding.rule == rule for finding in verdict.findings)


def test_a_finding_names_who_where_what_and_the_records_that_show_it(tmp_path: Path) -> None:
    world = evening()
    loses_an_acknowledged_line(world)
    write_history(tmp_path / "h", world.end())

    [finding] = check(read_history(tmp_path / "h")).findings

    lines = (tmp_path / "h").read_bytes().splitlines()
    asked, answered, log = (msgspec.json.decode(lines[number - 1]) for number in finding.records)
    assert (finding.player, finding.topic, finding.op) == ("ann", ROOM, asked["op"])
    assert asked["message"]["text"] == "lost"
    assert answered["reply"]["t"] == "chat.sent"
    assert log["value"]["topic"] == ROOM


@pytest.mark.parametrize("name", SPOILS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_spoiled_record_is_found_in_any_history(name: str, seed: int) -> None:
    rule, spoil = SPOILS[name]
    random, world = Random(seed), World()
    for _ in range(60):
        something_happens(world, random)
    history = world.end()
    if spoil(history, random):
        assert rules(history) == {rule}, str(check(history))


# What must not be taken for a broken promise.
def test_a_client_session_that_drops_what_it_has_heard_before_may_join_again() -> None:
    """The reply to a second join may say an older place than was heard: the replay is dropped by the client, or is
    recorded; both are good."""
    for recorded in (False, True):
        world = evening()
        ann, pad = world.devices[0], world.devices[3]
        op = world.ask(ann, {"t": "chat.join", "channel": "room:raid"})
        seq = len(world.logs[ROOM])
        world.say(pad, "meanwhile")
        joined = {"t": "chat.joined", "channel": "room:raid", "epoch": EPOCH, "seq": seq, "recent": [], "members": 2}
        world.answer(ann, op, joined)
        if recorded:
            world.hear(ann, world.logs[ROOM][-1])
        world.say(pad, "afterwards")

        assert rules(world.end()) == set()


def test_a_join_with_a_cursor_hears_what_was_missed() -> None:
    world = evening()
    tab = world.sign_in("bo", "tab")
    log = world.logs[ROOM]
    op = world.ask(tab, {"t": "chat.join", "channel": "room:raid", "after": [EPOCH, len(log) - 2]})
    joined = {"t": "chat.joined", "channel": "room:raid", "epoch": EPOCH, "seq": len(log), "recent": [], "members": 2}
    world.answer(tab, op, joined)
    world.hear(tab, log[-2])
    world.hear(tab, log[-1])
    history = world.end()

    assert rules(history) == set()
    history.remove(next(r for r in history if isinstance(r, Heard) and r.session == "tab" and r.event is log[-2].event))
    assert rules(history) == {Rule.ORDER}


def test_a_topic_that_was_synced_starts_over() -> None:
    world = evening()
    bo = world.devices[1]
    log = world.logs[ROOM]
    op = world.ask(bo, {"t": "topic.sync", "topic": ROOM, "after": len(log) - 1})
    synced = {"t": "topic.synced", "topic": ROOM, "epoch": EPOCH, "seq": len(log), "status": "resumed"}
    world.answer(bo, op, synced)
    world.hear(bo, log[-1])
    world.say(bo, "on")

    assert rules(world.end()) == set()


def test_another_epoch_is_another_topic() -> None:
    """After a restored backup clients are reset, and the old seqs mean other events."""
    world = evening()
    history = world.end()
    [at] = [n for n, r in enumerate(history) if isinstance(r, Final) and r.what == "topic" and r.value.topic == ROOM]
    final: Any = history[at]
    history[at] = changed(final, value=changed(final.value, epoch="e2", events=[], seq=0))
    lines = [n for n, r in enumerate(history) if isinstance(r, Asked) and r.message["t"] == "chat.send"]

    found = check(history).found

    assert Rule.ORDER not in found
    assert Rule.SAME not in found
    assert found[Rule.ACKNOWLEDGED] < len(lines)


def test_numbers_that_one_wire_writes_as_texts_are_the_same() -> None:
    world = evening()
    ann = world.devices[0]
    op = world.gift(ann, "bo", 4)
    request = {"t": "wallet.give", "to": "bo", "currency": "gold", "amount": "4"}
    world.ask(ann, request, op)
    world.answer(ann, op, {"t": "wallet.given", "to": "bo", "currency": "gold", "amount": "4"})

    assert rules(world.end()) == set()


def test_a_line_that_staff_has_removed_is_the_same_line() -> None:
    world = evening()
    log = world.logs[ROOM]
    empty = {**log[0].event, "text": "", "deleted": True}
    log[0] = changed(log[0], event=empty)
    world.publish(ROOM, {"t": "chat.message_deleted", "deleted": 1})

    assert rules(world.end()) == set()


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_KINDS = sorted({*EFFECTS, "guild.join", "wallet.give", "leaderboard.submit", "inbox.deliver"})
_FIELDS = st.sampled_from(["channel", "guild", "player", "text", "board", "score", "to", "amount", "after", "upto"])


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted({*EFFECTS, "guild.join", "wallet.give", "leaderboard.submit", "inbox.deliver"}))
    | _JUNK,
    fields=st.dictionaries(_FIELDS, _JUNK),
    refused=st.booleans(),
)
def test_what_a_hostile_client_sends_is_no_trouble_to_the_judge(
    kind: Any, fields: dict[str, Any], refused: bool
) -> None:
    world = evening()
    ann = world.devices[0]
    op = world.ask(ann, {**fields, "t": kind})
    if refused:
        world.refuse(ann, op, "protocol.invalid")

    assert rules(world.end()) == set()


def test_what_has_no_log_is_not_judged_and_says_so() -> None:
    history = [r for r in evening().end() if not (isinstance(r, Final) and "topic" in r.what)]

    verdict = check(history)

    assert verdict.good
    assert any("chat.send" in what for what in verdict.unjudged)


# As a command.
def test_the_command_says_good_or_not_and_its_exit_code_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    write_history(good, evening().end())
    world = evening()
    loses_a_coin(world)
    write_history(bad, world.end())

    assert main([str(good)]) == 0
    assert "GOOD" in capsys.readouterr().out
    assert main([str(bad)]) == 1
    told = capsys.readouterr().out
    assert "[value]" in told
    assert "player=ann" in told
    assert main([str(bad), "--json"]) == 1
    [finding] = msgspec.json.decode(capsys.readouterr().out)["findings"]
    assert (finding["rule"], finding["player"]) == ("value", "ann")
    assert main([str(tmp_path / "none.jsonl")]) == 2


def test_a_history_on_disk_is_the_history_that_was_written(tmp_path: Path) -> None:
    history = evening().end()
    write_history(tmp_path / "h", history)

    again = list(read_history(tmp_path / "h"))

    assert [type(record) for record in again] == [type(record) for record in history]
    assert msgspec.to_builtins(again) == msgspec.to_builtins(history)


def test_a_last_line_that_was_cut_by_a_kill_is_left_out_and_any_other_is_refused(tmp_path: Path) -> None:
    history = evening().history[:3]
    write_history(tmp_path / "h", history)
    whole = (tmp_path / "h").read_bytes()

    (tmp_path / "h").write_bytes(whole[:-9])
    assert len(list(read_history(tmp_path / "h"))) == 2

    (tmp_path / "h").write_bytes(whole.replace(b'"r":"welcomed"', b'"r":"guessed"', 1))
    with pytest.raises(BadHistory, match="line 1"):
        list(read_history(tmp_path / "h"))


def test_the_last_line_is_missed_also_where_only_lines_are_known_of_a_topic() -> None:
    """As the load tester reads conversations over the wire: lines without what caused them, nothing else."""
    world = evening()
    world.say(world.devices[0], "the last words")
    history = [*world.history, *(_as_read(final) for final in world.finals())]
    assert rules(history) == set()
    last = world.logs[ROOM][-1].event

    history.remove(next(r for r in history if isinstance(r, Heard) and r.player == "bo" and r.event is last))

    assert rules(history) == {Rule.ORDER}


def _as_read(final: Final) -> Final:
    if final.what != "topic" or final.value.topic != ROOM:
        return final
    lines = [logged for logged in final.value.events if logged.event["t"] == "chat.message"]
    read = changed(final.value, events=lines, seq=lines[-1].seq, caused=False, whole=False)
    return Final(final.at, final.what, read)
