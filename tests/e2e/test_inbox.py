"""The inbox of a player on two nodes, as outside clients see it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.nodes import NodeProcess, two_nodes
from tests.support.wire import PATIENCE_S, Frame, Outside, outside

SENDS = 50  # by each of two senders
BO = "player:bo"


@pytest.fixture
def cluster(tmp_path: Path, mysql_url: str, redis_url: str) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    with two_nodes(tmp_path, mysql_url, redis_url, "--limits", "off") as nodes:
        yield nodes


def notices(client: Outside) -> list[Frame]:
    """Every notice that came, in the order in which they came."""
    return [event for event in client.events if event["t"] == "inbox.notice"]


def kinds(found: list[Frame]) -> list[str]:
    return [notice["kind"] for notice in found]


async def everything(client: Outside) -> list[Frame]:
    """All pages of the inbox, oldest first."""
    found: list[Frame] = []
    more: Frame = {}
    while True:
        page = await client.ask("inbox.list", limit=7, **more)
        assert page["t"] == "inbox.page", page
        found[:0] = page["notices"]
        if not page["more"]:
            return found
        more = {"before": found[0]["seq"]}


async def guild_of(leader: Outside, name: str) -> str:
    made = await leader.ask("guild.create", name=name)
    assert made["t"] == "guild.created", made
    return str(made["guild"])


async def ups_and_downs(leader: Outside, guild: str) -> None:
    """What a leader does to bo in a day; four notices."""
    for verb in ("promote", "demote", "kick", "invite"):
        done = await leader.ask(f"guild.{verb}", guild=guild, player="bo")
        assert done["t"] != "error", done


UPS_AND_DOWNS = ["guild.promoted", "guild.demoted", "guild.kicked", "guild.invited"]


async def unread_at_sign_in(url: str, count: int) -> None:
    """Sign in as bo, again and again, until the welcome says that ``count`` notices wait: until all that was sent to
    one who is away has arrived."""
    async with asyncio.timeout(PATIENCE_S):
        found = -1
        while found < count:
            async with outside(url, "bo") as bo:
                found = bo.welcome["state"]["mail"]["unread"]
    assert found == count


async def test_who_was_away_finds_the_notices_at_the_next_sign_in_once(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann:
        guild = await guild_of(ann, "Night Watch")
        async with outside(two.url, "bo") as bo:
            assert bo.welcome["state"]["mail"] == {"unread": 0, "read": 0}
            await bo.ask("guild.join", guild=guild)
        await ups_and_downs(ann, guild)
    await unread_at_sign_in(one.url, 4)
    async with outside(two.url, "bo", wire="msgpack") as bo:
        page = await bo.ask("inbox.list", limit=10)
        assert (kinds(page["notices"]), page["unread"], page["more"]) == (UPS_AND_DOWNS, 4, False)
        last = page["notices"][-1]
        assert last["topic"] == BO
        assert last["data"] == {"guild": guild, "name": "Night Watch", "by": "ann"}
        assert (last["title"], last["body"]) == ("Invitation to Night Watch", "ann invites you to join the guild.")
        assert last["expires_at"] > last["at"]
        assert (await bo.ask("inbox.read", upto=page["notices"][1]["seq"]))["unread"] == 2
        assert (await bo.ask("inbox.read", upto=last["seq"])) | {"re": ""} == {
            "t": "inbox.marked",
            "re": "",
            "unread": 0,
        }
        assert notices(bo) == []
    async with outside(one.url, "bo") as bo:
        assert bo.welcome["state"]["mail"] == {"unread": 0, "read": last["seq"]}
        assert kinds(await everything(bo)) == UPS_AND_DOWNS
        assert notices(bo) == []


async def test_who_resumes_is_sent_what_was_missed_and_no_notice_twice(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann:
        guild = await guild_of(ann, "Night Watch")
        async with outside(two.url, "bo") as bo:
            await bo.ask("guild.join", guild=guild)
            await ann.ask("guild.promote", guild=guild, player="bo")
            await bo.until(lambda _: len(notices(bo)) == 1)
            status = bo.welcome["topics"][BO]
            cursor = [status["epoch"], notices(bo)[0]["seq"]]
            session = bo.welcome["session"]
        await ann.ask("guild.demote", guild=guild, player="bo")
        await ann.ask("guild.kick", guild=guild, player="bo")
        await unread_at_sign_in(two.url, 3)
        resume = {"session": session, "cursors": {BO: cursor}}
        async with outside(one.url, "bo", resume=resume) as bo:
            assert bo.welcome["topics"][BO]["status"] == "resumed"
            await ann.ask("guild.invite", guild=guild, player="bo")
            await bo.until(lambda _: len(notices(bo)) == 3)
            assert kinds(notices(bo)) == UPS_AND_DOWNS[1:]
            assert await everything(bo) == [*(await everything(bo))[:1], *notices(bo)]
            own = [event["seq"] for event in bo.events if event.get("topic") == BO]
            assert own == list(range(cursor[1] + 1, cursor[1] + 1 + len(own)))


async def test_a_mark_set_on_one_device_reaches_the_other(cluster: tuple[NodeProcess, NodeProcess]) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann, outside(one.url, "bo") as phone, outside(two.url, "bo") as tablet:
        guild = await guild_of(ann, "Night Watch")
        await ann.ask("guild.invite", guild=guild, player="bo")
        for device in (phone, tablet):
            await device.until(lambda _, device=device: len(notices(device)) == 1)  # type: ignore[misc]
        [notice] = notices(phone)

        await phone.ask("inbox.read", upto=notice["seq"])
        seen = (await tablet.until(lambda events: events[-1]["t"] == "inbox.seen"))[-1]

        assert (seen["topic"], seen["upto"], seen["unread"]) == (BO, notice["seq"], 0)


async def _invite(leader: Outside, guild: str) -> list[Any]:
    """Invite bo ``SENDS`` times over, taking each back, since one that stands is not sent again; what tells them
    apart."""
    sent = []
    for _ in range(SENDS):
        invited = await leader.ask("guild.invite", guild=guild, player="bo")
        assert invited["t"] == "guild.invite_sent", invited
        sent.append(invited["expires_at"])
        assert (await leader.ask("guild.revoke_invite", guild=guild, player="bo"))["t"] == "guild.invite_revoked"
    return sent


async def test_a_hundred_sends_from_two_nodes_have_one_order_and_come_once_each(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with (
        outside(one.url, "ann") as ann,
        outside(two.url, "cy", wire="msgpack") as cy,
        outside(one.url, "bo") as phone,
        outside(two.url, "bo", wire="msgpack") as tablet,
    ):
        guilds = [await guild_of(ann, "Night Watch"), await guild_of(cy, "Day Watch")]
        async with asyncio.TaskGroup() as sending:
            tasks = [sending.create_task(_invite(who, guild)) for who, guild in zip((ann, cy), guilds, strict=True)]
        for device in (phone, tablet):
            await device.until(lambda _, device=device: len(notices(device)) == 2 * SENDS)  # type: ignore[misc]

        assert notices(phone) == notices(tablet)
        seqs = [notice["seq"] for notice in notices(phone)]
        assert seqs == sorted(set(seqs))
        for guild, task in zip(guilds, tasks, strict=True):
            assert [n["expires_at"] for n in notices(phone) if n["data"]["guild"] == guild] == task.result()
        assert await everything(phone) == notices(phone)
        assert (await tablet.ask("inbox.list"))["unread"] == 2 * SENDS


async def test_bad_input_gets_a_stable_code_and_changes_nothing(cluster: tuple[NodeProcess, NodeProcess]) -> None:
    one, _ = cluster
    async with outside(one.url, "eve") as eve:
        lists: list[Frame] = [{"limit": 0}, {"limit": 101}, {"limit": "ten"}, {"limit": 5, "before": -1}]
        marks: list[Frame] = [{}, {"upto": -1}, {"upto": 2**60}, {"upto": 1.5}]
        for t, cases in (("inbox.list", lists), ("inbox.read", marks)):
            for bad in cases:
                assert (await eve.ask(t, **bad))["code"] == "protocol.invalid"
        refused = await eve.ask("inbox.read", upto=1_000)
        assert (refused["code"], refused["retry"]) == ("inbox.read_ahead", "never")
        forged = await eve.ask("inbox.deliver", player="eve", notice="n", kind="staff.gift", title="Gems")
        assert forged["code"] == "protocol.invalid"
        page = await eve.ask("inbox.list")
        assert (page["notices"], page["unread"], page["more"]) == ([], 0, False)
        assert notices(eve) == []
