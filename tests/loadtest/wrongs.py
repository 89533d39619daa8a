"""What a server can do wrong: each breaks one promise of an evening, and no other."""

from collections.abc import Callable
from typing import Any

from loadtest.checking import Rule
from loadtest.history import Committed, Heard, LedgerRow, Welcomed
from tests.loadtest.world import ROOM, World, changed, sent


def loses_an_acknowledged_line(world: World) -> None:
    ann = world.devices[0]
    op = world.ask(ann, {"t": "chat.send", "channel": "room:raid", "text": "lost"})
    world.answer(ann, op, {"t": "chat.sent", "channel": "room:raid", "seq": len(world.logs[ROOM]) + 1, "at": 5})


def loses_the_first_line_of_a_room(world: World) -> None:
    ann = world.devices[0]
    op = world.ask(ann, {"t": "chat.send", "channel": "room:new", "text": "lost"})
    world.answer(ann, op, {"t": "chat.sent", "channel": "room:new", "seq": 1, "at": 5})


def says_other_words(world: World) -> None:
    ann = world.devices[0]
    op = world.ask(ann, {"t": "chat.send", "channel": "room:raid", "text": "yes"})
    world.answer(ann, op, sent(world.line(ann, op, "no")))


def acknowledges_a_join_that_was_none(world: World) -> None:
    cy = world.devices[2]
    op = world.ask(cy, {"t": "guild.join", "guild": "g1"})
    world.answer(cy, op, {"t": "guild.joined", "guild": "g1", "name": "g1"})


def acknowledges_a_promotion_that_was_none(world: World) -> None:
    ann = world.devices[0]
    op = world.ask(ann, {"t": "guild.promote", "guild": "g1", "player": "bo"})
    world.answer(ann, op, {"t": "guild.promoted", "guild": "g1", "player": "bo", "role": "officer"})


def says_a_line_twice(world: World) -> None:
    ann = world.devices[0]
    op = world.say(ann, "echo")
    world.line(ann, op, "echo")


def says_an_unacknowledged_line_twice(world: World) -> None:
    ann = world.devices[0]
    op = world.ask(ann, {"t": "chat.send", "channel": "room:raid", "text": "echo"})
    world.line(ann, op, "echo")
    world.line(ann, op, "echo")


def lets_a_player_in_twice(world: World) -> None:
    bo = world.devices[1]
    world.leave(bo)
    world.enter(bo, "g1")
    world.let_go("bo", "g1", "kicked", "ann")
    world._let_in("bo", "g1")


def says_what_nobody_said(world: World) -> None:
    world.line(world.devices[0], "zz-9", "a ghost")


def says_what_was_refused(world: World) -> None:
    cy = world.devices[2]
    op = world.say(cy, "may I?")
    world.line(cy, op, "may I?")


def founds_a_guild_that_nobody_wanted(world: World) -> None:
    world.publish("guild:g9", {"t": "guild.founded", "name": "g9", "mode": "open"})


def puts_a_player_out_who_did_not_leave(world: World) -> None:
    world.let_go("ann", "g1", "left", "ann")


def hears_on_after_a_kick(world: World) -> None:
    bo = world.devices[1]
    world.kick(world.devices[0], "bo")
    bo.places["guild:g1"] = len(world.logs["guild:g1"])
    op = world.ask(world.devices[0], {"t": "guild.set_motd", "guild": "g1", "motd": "he is gone"})
    world.publish("guild:g1", {"t": "guild.motd_changed", "motd": "he is gone", "by": "ann"}, "ann", op)
    world.answer(world.devices[0], op, {"t": "guild.motd_set", "guild": "g1"})


def resumes_off_by_one(world: World) -> None:
    bo = world.devices[1]
    world.lose(bo)
    world.say(world.devices[0], "missed")
    world.say(world.devices[0], "heard")
    world.connect(bo)
    replayed = [n for n, r in enumerate(world.history) if isinstance(r, Heard) and r.event.get("text") == "missed"]
    missed = replayed[-1]
    del world.history[missed]


def client_skips_what_it_has_not_heard(world: World) -> None:
    bo = world.devices[1]
    world.lose(bo)
    world.say(world.devices[0], "skipped")
    bo.places[ROOM] += 1
    world.connect(bo)


def resets_without_a_reason(world: World) -> None:
    bo = world.devices[1]
    world.lose(bo)
    world.connect(bo)
    at = max(n for n, r in enumerate(world.history) if isinstance(r, Welcomed))
    record: Any = world.history[at]
    standing = {**record.welcome["topics"][ROOM], "status": "reset"}
    topics = {**record.welcome["topics"], ROOM: standing}
    world.history[at] = changed(record, welcome={**record.welcome, "topics": topics})


def resumes_in_another_epoch(world: World) -> None:
    bo = world.devices[1]
    world.lose(bo)
    world.connect(bo)
    at = max(n for n, r in enumerate(world.history) if isinstance(r, Welcomed))
    record: Any = world.history[at]
    cursors = {**record.resume["cursors"], ROOM: ["e0", 3]}
    world.history[at] = changed(record, resume={**record.resume, "cursors": cursors})


def shows_what_a_crash_takes_back(world: World) -> None:
    ann = world.devices[0]
    op = world.ask(ann, {"t": "chat.send", "channel": "room:raid", "text": "too early"})
    world.line(ann, op, "too early")
    world.logs[ROOM].pop()
    gone = (ROOM, len(world.logs[ROOM]) + 1)
    world.history = [r for r in world.history if not (isinstance(r, Committed) and gone in r.events)]


def shows_before_it_commits(world: World) -> None:
    world.say(world.devices[0], "too early")
    at = max(n for n, r in enumerate(world.history) if isinstance(r, Committed))
    world.history[at], world.history[at + 1] = world.history[at + 1], world.history[at]


def acknowledges_before_it_commits(world: World) -> None:
    world.members["room:inn"] = {"ann"}
    world.say(world.devices[0], "too early", "room:inn")
    world.history[-2], world.history[-1] = world.history[-1], world.history[-2]


def acknowledges_the_wrong_place(world: World) -> None:
    ann = world.devices[0]
    op = world.ask(ann, {"t": "chat.send", "channel": "room:raid", "text": "where?"})
    logged = world.line(ann, op, "where?")
    world.answer(ann, op, {**sent(logged), "seq": logged.seq - 1})


def answers_a_repeat_differently(world: World) -> None:
    ann = world.devices[0]
    op = world.say(ann, "again")
    last: Any = world.history[-1]
    world.ask(ann, {"t": "chat.send", "channel": "room:raid", "text": "again"}, op)
    world.answer(ann, op, {**last.reply, "at": last.reply["at"] + 1})


def refuses_a_repeat(world: World) -> None:
    ann = world.devices[0]
    op = world.say(ann, "again")
    world.ask(ann, {"t": "chat.send", "channel": "room:raid", "text": "again"}, op)
    world.refuse(ann, op, "chat.not_member")


def answers_what_was_not_asked(world: World) -> None:
    world.answer(world.devices[0], "zz-1", {"t": "chat.left", "channel": "room:raid"})


def answers_with_another_kind(world: World) -> None:
    ann = world.devices[0]
    op = world.ask(ann, {"t": "guild.accept", "guild": "g1", "player": "zoe"})
    world.answer(ann, op, {"t": "guild.declined", "guild": "g1", "player": "zoe"})


def runs_another_body(world: World) -> None:
    ann, pad = world.devices[0], world.devices[3]
    op = world.say(ann, "first")
    last: Any = world.history[-1]
    world.ask(pad, {"t": "chat.send", "channel": "room:raid", "text": "second"}, op)
    world.answer(pad, op, last.reply)


def refuses_another_body_for_another_reason(world: World) -> None:
    ann, pad = world.devices[0], world.devices[3]
    op = world.say(ann, "first")
    world.ask(pad, {"t": "chat.send", "channel": "room:inn", "text": "second"}, op)
    world.refuse(pad, op, "chat.not_member")


def calls_a_new_id_reused(world: World) -> None:
    ann = world.devices[0]
    world.refuse(ann, world.ask(ann, {"t": "guild.leave"}), "request.id_reused")


def loses_a_coin(world: World) -> None:
    world.balances["ann"]["gold"] -= 1


def loses_a_credit(world: World) -> None:
    world.gift(world.devices[0], "bo", 7)
    row = world.ledger.pop()
    world.balances[row.owner]["gold"] -= row.amount


def credits_twice(world: World) -> None:
    world.gift(world.devices[0], "bo", 7)
    world.move(world.ledger[-1])


def credits_the_wrong_player(world: World) -> None:
    op = world.gift(world.devices[0], "bo", 7)
    row = world.ledger.pop()
    world.balances["bo"]["gold"] -= 7
    world.move(LedgerRow("cy", "gold", 7, "gift", row.pair, "ann", op))


def gives_for_nothing(world: World) -> None:
    ann = world.devices[0]
    op = world.ask(ann, {"t": "wallet.give", "to": "bo", "currency": "gold", "amount": 3})
    world.answer(ann, op, {"t": "wallet.given", "to": "bo", "currency": "gold", "amount": 3})


def makes_money(world: World) -> None:
    world.move(LedgerRow("ann", "gold", 1_000, "magic"))


def takes_a_gift_that_nobody_made(world: World) -> None:
    for owner, amount in (("ann", -1), ("bo", 1)):
        world.move(LedgerRow(owner, "gold", amount, "gift", "ann/zz-1", "ann", "zz-1"))


def takes_for_a_refused_gift(world: World) -> None:
    ann = world.devices[0]
    op = world.gift(ann, "bo", 8, answered=False)
    world.refuse(ann, op, "wallet.receiver_closed")


def lends_money(world: World) -> None:
    for owner, amount in (("cy", -500), ("bo", 500)):
        pair = "cy/lent"
        world.move(LedgerRow(owner, "gold", amount, "gift", pair, "cy", "lent"))
    world.ask(world.devices[2], {"t": "wallet.give", "to": "bo", "currency": "gold", "amount": 500}, "lent")


def grants_nothing(world: World) -> None:
    ann = world.devices[0]
    op = world.ask(ann, {"t": "wallet.grant", "player": "bo", "currency": "gold", "amount": 3})
    world.answer(ann, op, {"t": "wallet.granted", "player": "bo", "currency": "gold", "amount": 3})


def grants_twice(world: World) -> None:
    world.grant("bo", 3)
    world.move(world.ledger[-1])


def tells_of_a_coin_that_was_none(world: World) -> None:
    changed = {"t": "wallet.changed", "currency": "gold", "delta": 1, "balance": 1, "reason": "granted"}
    world.publish("player:ann", changed)


def forgets_a_seat(world: World) -> None:
    world.seats["bo"] = None


def forgets_a_member(world: World) -> None:
    world.rosters["g1"].remove("bo")


def seats_a_player_twice(world: World) -> None:
    world.rosters["g2"] = ["bo"]


def lets_a_zombie_commit(world: World) -> None:
    world.take_over("guild:g1")
    world.commit("guild:g1")
    world.history.append(Committed(1, "n1", "guild:g1", 1, world._versions["guild:g1"] + 1))


def commits_a_version_twice(world: World) -> None:
    world.commit("guild:g1")
    world.history.append(world.history[-1])


def commits_from_two_nodes_under_one_fence(world: World) -> None:
    world.commit("guild:g1")
    last: Any = world.history[-1]
    world.history[-1] = changed(last, node="n7")


def skips_a_version(world: World) -> None:
    world._versions["guild:g1"] += 1
    world.commit("guild:g1")


def ranks_what_was_not_submitted(world: World) -> None:
    world.scores["ann"] = (11, world.tick())


def ranks_a_worse_score(world: World) -> None:
    world.submit(world.devices[2], 99)
    world.scores["cy"] = (98, world.tick())


def ranks_a_stranger(world: World) -> None:
    world.scores["zoe"] = (1, world.tick())


def ranks_nobody(world: World) -> None:
    del world.scores["bo"]


def ranks_the_later_first(world: World) -> None:
    ann, bo = world.scores["ann"], world.scores["bo"]
    world.scores["ann"], world.scores["bo"] = (ann[0], bo[1]), (bo[0], ann[1])


def announces_twice(world: World) -> None:
    world.cry("party")


def announces_what_nobody_made(world: World) -> None:
    world.cry("fire")


def never_announces(world: World) -> None:
    world.announce("silence")
    world.logs["announce"].pop()
    world.history = [
        r
        for r in world.history
        if not (isinstance(r, Heard) and r.event.get("announcement") == "silence")
        and not (isinstance(r, Committed) and ("announce", 2) in r.events)
    ]


def announces_to_one_who_is_not_meant(world: World) -> None:
    data = {"announcement": "quiet"}
    notice = {"t": "inbox.notice", "kind": "announcement", "title": "", "body": "quiet", "data": data}
    world.publish("player:bo", notice)


def never_sends_to_an_audience(world: World) -> None:
    staff = world.devices[0]
    op = world.ask(staff, {"t": "announcement.make", "text": {"en": "x"}, "audience": {"players": ["bo"]}})
    world.answer(staff, op, {"t": "announcement.made", "announcement": "x", "state": "sending", "at": 1})


def notifies_twice(world: World) -> None:
    world.publish("player:bo", {"t": "inbox.notice", "kind": "gift", "title": "a shield", "body": ""})


def notifies_the_wrong_player(world: World) -> None:
    world.publish("player:cy", {"t": "inbox.notice", "kind": "gift", "title": "a shield", "body": ""})


def forgets_a_notice(world: World) -> None:
    staff = world.devices[0]
    request = {"t": "inbox.deliver", "player": "bo", "notice": "k", "kind": "gift", "title": "a sword", "body": ""}
    op = world.ask(staff, request)
    world.answer(staff, op, {"t": "inbox.delivered", "seq": len(world.logs["player:bo"]) + 1, "at": 1})


def follows_the_inbox_of_another(world: World) -> None:
    ann = world.devices[0]
    world.lose(ann)
    ann.places["player:bo"] = len(world.logs["player:bo"])
    world.connect(ann)


WRONGS: list[tuple[Rule, Callable[[World], None]]] = [
    (Rule.ACKNOWLEDGED, loses_an_acknowledged_line),
    (Rule.ACKNOWLEDGED, loses_the_first_line_of_a_room),
    (Rule.ACKNOWLEDGED, says_other_words),
    (Rule.ACKNOWLEDGED, acknowledges_a_join_that_was_none),
    (Rule.ACKNOWLEDGED, acknowledges_a_promotion_that_was_none),
    (Rule.ONCE, says_a_line_twice),
    (Rule.ONCE, says_an_unacknowledged_line_twice),
    (Rule.ONCE, lets_a_player_in_twice),
    (Rule.ASKED, says_what_nobody_said),
    (Rule.ASKED, says_what_was_refused),
    (Rule.ASKED, founds_a_guild_that_nobody_wanted),
    (Rule.ASKED, puts_a_player_out_who_did_not_leave),
    (Rule.ORDER, hears_on_after_a_kick),
    (Rule.ORDER, resumes_off_by_one),
    (Rule.ORDER, client_skips_what_it_has_not_heard),
    (Rule.ORDER, resets_without_a_reason),
    (Rule.ORDER, resumes_in_another_epoch),
    (Rule.COMMITTED, shows_what_a_crash_takes_back),
    (Rule.COMMITTED, shows_before_it_commits),
    (Rule.COMMITTED, acknowledges_before_it_commits),
    (Rule.LINES, acknowledges_the_wrong_place),
    (Rule.REPLIES, answers_a_repeat_differently),
    (Rule.REPLIES, refuses_a_repeat),
    (Rule.REPLIES, answers_what_was_not_asked),
    (Rule.REPLIES, answers_with_another_kind),
    (Rule.REUSE, runs_another_body),
    (Rule.REUSE, refuses_another_body_for_another_reason),
    (Rule.REUSE, calls_a_new_id_reused),
    (Rule.VALUE, loses_a_coin),
    (Rule.VALUE, loses_a_credit),
    (Rule.VALUE, credits_twice),
    (Rule.VALUE, credits_the_wrong_player),
    (Rule.VALUE, gives_for_nothing),
    (Rule.VALUE, makes_money),
    (Rule.VALUE, takes_a_gift_that_nobody_made),
    (Rule.VALUE, takes_for_a_refused_gift),
    (Rule.VALUE, lends_money),
    (Rule.VALUE, grants_nothing),
    (Rule.VALUE, grants_twice),
    (Rule.VALUE, tells_of_a_coin_that_was_none),
    (Rule.MEMBERSHIP, forgets_a_seat),
    (Rule.MEMBERSHIP, forgets_a_member),
    (Rule.MEMBERSHIP, seats_a_player_twice),
    (Rule.OWNERSHIP, lets_a_zombie_commit),
    (Rule.OWNERSHIP, commits_a_version_twice),
    (Rule.OWNERSHIP, commits_from_two_nodes_under_one_fence),
    (Rule.OWNERSHIP, skips_a_version),
    (Rule.BOARDS, ranks_what_was_not_submitted),
    (Rule.BOARDS, ranks_a_worse_score),
    (Rule.BOARDS, ranks_a_stranger),
    (Rule.BOARDS, ranks_nobody),
    (Rule.BOARDS, ranks_the_later_first),
    (Rule.INBOX, announces_twice),
    (Rule.INBOX, announces_what_nobody_made),
    (Rule.INBOX, never_announces),
    (Rule.INBOX, announces_to_one_who_is_not_meant),
    (Rule.INBOX, never_sends_to_an_audience),
    (Rule.INBOX, notifies_twice),
    (Rule.INBOX, notifies_the_wrong_player),
    (Rule.INBOX, forgets_a_notice),
    (Rule.INBOX, follows_the_inbox_of_another),
]
