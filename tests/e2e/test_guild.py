"""A guild whose members are on two nodes, as an outside client sees it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import NodeProcess, two_nodes
from tests.support.wire import Outside, outside


@pytest.fixture
def cluster(tmp_path: Path, mysql_url: str, redis_url: str) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    with two_nodes(tmp_path, mysql_url, redis_url, "--limits", "off") as nodes:
        yield nodes


async def _found(leader: Outside, name: str) -> str:
    made = await leader.ask("guild.create", name=name)
    assert made["t"] == "guild.created", made
    return str(made["guild"])


async def test_members_on_both_nodes_talk_and_one_who_is_kicked_hears_no_line_after_it(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann, outside(two.url, "bo", wire="msgpack") as bo:
        guild = await _found(ann, "Night Watch")
        assert (await bo.ask("guild.join", guild=guild))["t"] == "guild.joined"
        channel, topic = f"guild:{guild}", f"chat:guild:{guild}"
        for player in (ann, bo):
            assert (await player.ask("guild.watch", guild=guild))["t"] == "guild.watched"
            assert (await player.ask("chat.join", channel=channel))["t"] == "chat.joined"
        await ann.ask("chat.send", channel=channel, text="welcome")
        await bo.ask("chat.send", channel=channel, text="glad to be here")
        await bo.until(lambda _: len(bo.lines(topic)) == 2)

        kicked = await ann.ask("guild.kick", guild=guild, player="bo")
        assert kicked["t"] == "guild.kicked"
        await ann.ask("chat.send", channel=channel, text="that was needed")
        await bo.until(lambda events: any(e["t"] == "guild.seat_changed" and not e.get("guild") for e in events))
        await bo.until(lambda events: any(e["t"] == "guild.member_left" for e in events))
        refused = await bo.ask("chat.send", channel=channel, text="why?")

        assert refused["code"] == "chat.not_member"
        assert [text for _, text in bo.lines(topic)] == ["welcome", "glad to be here"]
        assert [e["t"] for e in bo.events if e.get("topic") == f"guild:{guild}"][-1] == "guild.member_left"
        assert (await bo.ask("chat.join", channel=channel))["code"] == "chat.not_member"
        assert (await bo.ask("guild.create", name="Day Watch"))["t"] == "guild.created"


async def test_a_name_is_given_once_even_to_two_founders_on_two_nodes(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann, outside(two.url, "bo") as bo:
        await _found(ann, "Dragons")
        refused = await bo.ask("guild.create", name="DRAG0NS")
        assert refused["code"] == "guild.name_taken", refused
        await _found(bo, "Lizards")
        found = await ann.ask("guild.find", name="lizards")
        assert found["t"] == "guild.found"


async def test_what_one_may_not_do_is_refused_with_a_code_and_changes_nothing(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann, outside(two.url, "bo") as bo, outside(two.url, "cy") as cy:
        guild = await _found(ann, "Quiet Place")
        await bo.ask("guild.join", guild=guild)
        before = await ann.ask("guild.get", guild=guild)
        assert (await bo.ask("guild.kick", guild=guild, player="ann"))["code"].startswith("guild.")
        assert (await cy.ask("guild.set_motd", guild=guild, motd="mine"))["code"].startswith("guild.")
        assert (await cy.ask("guild.watch", guild=guild))["code"].startswith("guild.")
        assert (await cy.ask("chat.send", channel=f"guild:{guild}", text="hi"))["code"] == "chat.not_member"
        assert (await bo.ask("guild.join", guild=guild))["code"] == "guild.already_member"
        assert (await cy.ask("guild.join", guild="nowhere"))["code"] == "guild.not_found"
        after = await ann.ask("guild.get", guild=guild)
        assert {**before, "re": ""} == {**after, "re": ""}
