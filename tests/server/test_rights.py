"""Who may ask what: every request of the catalogue, from an outsider up to the leader, with other people's ids in it.

A new request fails here until it has its line. Where nobody has to be refused, its line says so: ``ANYBODY`` for what
is about the caller alone. Operators do not ask over this wire at all (tests/server/test_staff_access.py), and who was
banned by one has no session (tests/rooms/test_moderation.py).
"""

from typing import Any

import pytest

from protocol import Wire
from tests.fuzz.house import Guest, House, Said, house
from tests.fuzz.shapes import REQUESTS, full

ROLES = ("out", "banned", "member", "officer", "leader")
PLAYERS = (*ROLES, "dee", "app", "inv")
ANYBODY = ("ok",) * 5

_OFFICERS = ("guild.not_member", "guild.not_member", "guild.not_permitted", "ok")
_LEADER = ("guild.not_member", "guild.not_member", "guild.not_permitted", "guild.not_permitted", "ok")
_MEMBERS = ("guild.not_member", "guild.not_member", "ok", "ok", "ok")
_CHAT = ("chat.not_member", "chat.not_member", "ok", "ok", "ok")
_NO_BOARD = ("leaderboard.not_found",) * 5

RIGHTS: dict[str, tuple[Said, tuple[str, ...]]] = {
    "announce.read": ({}, ANYBODY),
    "chat.channels": ({}, ANYBODY),
    "chat.history": ({}, _CHAT),
    "chat.join": ({}, _CHAT),
    "chat.leave": ({}, ANYBODY),  # the own part in it: where there is none, nothing happens
    "chat.read": ({}, ANYBODY),  # the own mark
    "chat.send": ({}, _CHAT),
    "chat.typing": ({}, _CHAT),
    # An officer has done it when the leader comes.
    "guild.accept": ({"player": "app"}, (*_OFFICERS, "guild.no_application")),
    "guild.apply": ({}, ("ok", "guild.banned", *("guild.already_member",) * 3)),
    "guild.ban": ({}, (*_OFFICERS, "ok")),
    "guild.create": ({"name": "Lions"}, (*("guild.name_taken",) * 2, *("guild.already_member",) * 3)),
    "guild.decline": ({"player": "app"}, (*_OFFICERS, "guild.no_application")),
    "guild.demote": ({"player": "officer"}, _LEADER),
    "guild.disband": ({}, _LEADER),
    "guild.edit": ({}, _LEADER),
    "guild.find": ({"name": "Lions"}, ANYBODY),
    "guild.get": ({}, ANYBODY),
    "guild.invite": ({"player": "nobody"}, (*_OFFICERS, "ok")),
    "guild.invites": ({}, ANYBODY),
    "guild.join": ({}, ("guild.needs_request", "guild.banned", *("guild.already_member",) * 3)),
    "guild.kick": ({}, (*_OFFICERS, "guild.no_such_member")),
    "guild.leave": ({}, _MEMBERS),
    "guild.promote": ({}, _LEADER),
    "guild.reject_invite": ({}, ("guild.no_invite",) * 5),  # only who was invited
    "guild.revoke_invite": ({"player": "inv"}, (*_OFFICERS, "guild.no_invite")),
    "guild.set_motd": ({}, (*_OFFICERS, "ok")),
    "guild.set_permissions": ({}, _LEADER),
    "guild.transfer": ({}, _LEADER),
    "guild.unban": ({"player": "banned"}, (*_OFFICERS, "guild.not_banned")),
    "guild.watch": ({}, _MEMBERS),
    "guild.withdraw": ({}, ("guild.no_application",) * 5),  # only who applied
    "hello": ({}, ("protocol.invalid",) * 5),  # once a connection
    "inbox.list": ({}, ANYBODY),
    "inbox.read": ({"upto": 0}, ANYBODY),
    "leaderboard.around": ({}, _NO_BOARD),  # boards are open to everybody
    "leaderboard.list": ({}, _NO_BOARD),
    "leaderboard.periods": ({}, _NO_BOARD),
    "leaderboard.submit": ({}, _NO_BOARD),
    "leaderboard.top": ({}, _NO_BOARD),
    "leaderboard.unwatch": ({}, ANYBODY),
    "leaderboard.watch": ({}, _NO_BOARD),
    "ping": ({}, ANYBODY),
    "player.get": ({}, ANYBODY),
    "player.look": ({}, ANYBODY),  # the name, which everybody sees
    "player.rename": ({"name": "Somebody"}, ANYBODY),
    "topic.sync": ({"topic": "player:dee"}, ("topic.not_readable",) * 5),
    "wallet.get": ({}, ANYBODY),
    "wallet.give": ({}, ("wallet.currency_not_found",) * 5),  # gives what is the caller's (tests/rooms/test_wallet.py)
}
"""By tag: what to ask beside the guild and a member of it, and how each role is answered, one after the other."""

FOREIGN = ("dm:dee:leader", "dm:app:dee")
SPOOFS = {"caller": "dee", "from": "dee", "owner": "dee", "by": "dee", "session": "s", "op": "x", "actor": "player:dee"}
WRITTEN_TO = frozenset({"guild.apply"})
"""What an outsider asks that others see: that is what it is for."""


async def settled(home: House) -> tuple[dict[str, Guest], str]:
    """Everybody online; a guild that takes applications, with one of each sort."""
    guests = {name: await home.guest(name, (Wire.JSON, Wire.MSGPACK)[n % 2]) for n, name in enumerate(PLAYERS)}
    leader = guests["leader"]
    guild = (await leader.ask({"t": "guild.create", "name": "Lions", "mode": "open"}))["guild"]
    guild = guild["id"] if isinstance(guild, dict) else guild
    for name in ("member", "officer", "banned", "dee"):
        await well(guests[name], t="guild.join", guild=guild)
    await well(leader, t="guild.promote", guild=guild, player="officer")
    await well(leader, t="guild.ban", guild=guild, player="banned")
    await well(leader, t="guild.edit", guild=guild, mode="request")
    await well(leader, t="guild.invite", guild=guild, player="inv")
    await well(guests["app"], t="guild.apply", guild=guild)
    await well(leader, t="chat.send", channel="dm:dee:leader", text="between us")
    return guests, guild


async def well(guest: Guest, **fields: Any) -> Said:
    reply = await guest.ask(fields)
    assert "code" not in reply, (fields, reply)
    return reply


async def what_they_see(guests: dict[str, Guest], guild: str) -> list[Said]:
    """What others have of their own, and the guild as its leader sees it."""
    own = ("player.get", "inbox.list", "wallet.get", "chat.channels", "guild.invites")
    seen = [await guests[name].ask({"t": t}) for name in ("dee", "leader", "inv") for t in own]
    seen.append(await guests["leader"].ask({"t": "guild.watch", "guild": guild}))
    channels = (f"guild:{guild}", FOREIGN[0])
    seen += [await guests["leader"].ask({"t": "chat.history", "channel": channel}) for channel in channels]
    return [{key: value for key, value in said.items() if key not in {"re", "now"}} for said in seen]


def asked(tag: str, guild: str, **more: Any) -> Said:
    """A request about the guild and a member of it."""
    fields = full(REQUESTS[tag])
    fields.pop("id")
    for name in ("after", "before"):
        if tag != "topic.sync":
            fields.pop(name, None)
    known = {"guild": guild, "player": "dee", "to": "dee", "channel": f"guild:{guild}", **RIGHTS[tag][0], **more}
    return {**fields, **{name: value for name, value in known.items() if name in fields}}


def test_every_request_has_its_line() -> None:
    assert RIGHTS.keys() == REQUESTS.keys()


@pytest.mark.parametrize("tag", RIGHTS)
async def test_a_request_is_answered_by_the_callers_right(tag: str) -> None:
    async with house() as home:
        guests, guild = await settled(home)
        before = await what_they_see(guests, guild)
        for channel in (f"guild:{guild}", *FOREIGN):
            fields = {**asked(tag, guild, channel=channel), **SPOOFS, "t": tag}
            fields.pop("op")
            answer = await guests["out"].ask(fields)
            if "channel" in full(REQUESTS[tag]) and "ok" not in RIGHTS[tag][1][:1]:
                assert answer["t"] == "error", channel
        if tag not in WRITTEN_TO:
            assert await what_they_see(guests, guild) == before

        codes = [(await guests[role].ask(asked(tag, guild))).get("code", "ok") for role in ROLES]

        assert codes == list(RIGHTS[tag][1])


@pytest.mark.parametrize("topic", ["player:dee", "guild:GUILD", "chat:guild:GUILD", "chat:dm:dee:leader"])
async def test_no_topic_of_others_can_be_followed(topic: str) -> None:
    async with house() as home:
        guests, guild = await settled(home)
        topic = topic.replace("GUILD", guild)
        dee, leader = guests["dee"], guests["leader"]
        refused = await guests["out"].ask({"t": "topic.sync", "topic": topic, "after": 0})
        assert refused["code"] == "topic.not_readable"
        again = await home.guest("out", resume={"session": "s", "cursors": {topic: ["e1", 0]}})
        for channel in (f"guild:{guild}", "dm:dee:leader"):
            await well(dee, t="chat.join", channel=channel)
        await well(dee, t="guild.watch", guild=guild)
        dee.heard()

        for channel in (f"guild:{guild}", "dm:dee:leader"):
            await well(leader, t="chat.send", channel=channel, text="secret")
        await well(leader, t="guild.promote", guild=guild, player="dee")

        assert topic in {said.get("topic") for said in dee.heard()}
        assert topic not in {said.get("topic") for said in [*guests["out"].heard(), *again.heard()]}
