"""Limits that staff changes while nodes run: checked, once, on every node, for live sessions, until they are reset."""

from random import Random
from typing import Any

import pytest

from actors.runtime.meters import Meters
from protocol.errors import RateLimited
from server.config import Limits
from server.features import FEATURES
from server.limits import Rate, RateLimits
from server.node_limits import NodeLimits
from tests.server.staff_kit import Office, code_of, office
from tests.support.cluster import Cluster

PATH = "/v1/limits"
TIGHT = {"session": {"requests": {"per_s": 1, "burst": 2}}}
NOW = 5_000.0


@pytest.fixture
def limits() -> NodeLimits:
    """Of a node where nothing was set."""
    return NodeLimits(Limits(), Meters(), Random(1))


async def put(place: Office, body: Any, *, op: str = "") -> Any:
    """Set limits; the answer."""
    return await place.ask("PUT", PATH, await place.key("limits.write"), op=op, json=body)


async def shown(place: Office) -> Any:
    """What the node says of its limits."""
    return (await place.ask("GET", PATH, await place.key("limits.read"))).json()


def passed(limits: RateLimits) -> int:
    """Requests that pass at once."""
    for n in range(1_000):
        try:
            limits.allow(NOW, "player.get")
        except RateLimited:
            return n
    return 1_000


async def test_what_is_set_holds_over_what_is_configured_and_is_written_down() -> None:
    async with office() as place:
        answer = await put(place, TIGHT)
        now = await shown(place)
        [entry] = await place.audit()

    assert (answer.status_code, answer.json()) == (200, {"order": TIGHT})
    assert now["order"] == TIGHT
    assert now["effective"]["session"]["requests"] == {"per_s": 1.0, "burst": 2}
    assert now["configured"]["session"]["requests"] == {"per_s": 30, "burst": 90}
    assert now["effective"]["admission"] == now["configured"]["admission"]
    assert (entry["action"], entry["target"]) == ("limits.set", "limits:all")
    assert (entry["before"], entry["after"]) == ({}, TIGHT)


async def test_live_sessions_go_by_it_at_their_next_message() -> None:
    async with office() as place:
        session = RateLimits(place.limits.session)
        await put(place, TIGHT)

    assert passed(session) == 2


async def test_every_section_reaches_what_it_is_for() -> None:
    order = {
        "session": {"kinds": {"chat.send": {"per_s": 1, "burst": 1}}, "abuse_refusals": 7},
        "player": {"requests": {"per_s": 2, "burst": 2}},
        "sign_in": {"failures_per_address": {"per_s": 3, "burst": 3}},
        "admission": {"connections": 4},
        "shedding": {"connections_s": 0.01, "expensive": ["guild.find"]},
    }
    async with office() as place:
        assert (await put(place, order)).status_code == 200
        limits = place.limits

    assert limits.session.settings.abuse_refusals == 7
    assert limits.session.kinds["chat.send"][0] == Rate(per_s=1, burst=1)
    assert limits.session.kinds["guild.create"][0] == Rate(per_s=0.1, burst=1), "as configured"
    assert limits.players.settings.requests == Rate(per_s=2, burst=2)
    assert limits.sign_in._failures_of_address.rate == Rate(per_s=3, burst=3)
    assert limits.admission.limits.connections == 4
    assert limits.shedder._settings.connections_s == 0.01
    assert limits.shedder._settings.expensive == ["guild.find"]


async def test_an_order_is_whole_and_takes_the_place_of_the_one_before() -> None:
    async with office() as place:
        await put(place, TIGHT)
        await put(place, {"admission": {"connections": 4}})
        now = await shown(place)

    assert now["order"] == {"admission": {"connections": 4}}
    assert now["effective"]["session"] == now["configured"]["session"]


async def test_reset_goes_back_to_what_is_configured() -> None:
    async with office() as place:
        await put(place, TIGHT)
        answer = await place.ask("DELETE", PATH, await place.key("limits.write"))
        now = await shown(place)
        newest = (await place.audit())[0]

    assert answer.json() == {"order": {}}
    assert now["effective"] == now["configured"]
    assert (newest["before"], newest["after"]) == (TIGHT, {})


async def test_the_same_again_changes_nothing_also_after_another() -> None:
    async with office() as place:
        key = await place.key("admin")
        first = await place.ask("PUT", PATH, key, op="op-1", json=TIGHT)
        await place.ask("DELETE", PATH, key)
        again = await place.ask("PUT", PATH, key, op="op-1", json=TIGHT)
        now = await shown(place)

    assert again.content == first.content
    assert now["order"] == {}


BAD: dict[str, tuple[Any, str]] = {
    "zero": ({"session": {"requests": {"per_s": 0, "burst": 1}}}, "per_s"),
    "negative": ({"admission": {"connections": -1}}, "connections"),
    "half a rate": ({"session": {"requests": {"per_s": 1}}}, "burst"),
    "text": ({"player": {"requests": "many"}}, "requests"),
    "not a number": ({"shedding": {"calm_s": "NaN"}}, "calm_s"),
    "an unknown section": ({"sessions": {}}, "sessions"),
    "an unknown setting": ({"session": {"request": {"per_s": 1, "burst": 1}}}, "request"),
    "a request that is none": ({"session": {"kinds": {"chat.sned": {"per_s": 1, "burst": 1}}}}, "chat.sned"),
    "an expensive one that is none": ({"shedding": {"expensive": ["chat.sned"]}}, "chat.sned"),
    "thresholds that fall": ({"shedding": {"connections_s": 5}}, "connections_s"),
    "a threshold out of bounds": ({"shedding": {"requests_s": 61}}, "requests_s"),
    "no object": ([], ""),
}


@pytest.mark.parametrize("what", BAD)
async def test_what_makes_no_sense_is_refused_and_says_where(what: str) -> None:
    body, named = BAD[what]
    async with office() as place:
        await put(place, TIGHT)
        answer = await put(place, body)
        now = await shown(place)

    assert code_of(answer) == (400, "protocol.invalid")
    assert named in answer.json()["detail"]
    assert now["order"] == TIGHT


# Nodes.
async def test_every_node_goes_by_it_before_the_answer_and_so_does_one_that_starts_later() -> None:
    async with Cluster(FEATURES).running() as cluster:
        north = Office(cluster, await cluster.start("north"))
        south = Office(cluster, await cluster.start("south"))
        session = RateLimits(south.limits.session)
        assert (await put(north, TIGHT)).status_code == 200
        assert south.limits.order == TIGHT
        assert passed(session) == 2

        east = Office(cluster, await cluster.start("east"))
        assert east.limits.order == TIGHT


async def test_it_outlives_every_node() -> None:
    async with Cluster(FEATURES).running() as cluster:
        north = await cluster.start("north")
        await put(Office(cluster, north), TIGHT)
        cluster.crash(north)
        await cluster.pass_lease()
        south = Office(cluster, await cluster.start("south"))

        assert south.limits.order == TIGHT


def test_an_order_of_a_newer_release_holds_as_far_as_this_one_knows_it(limits: NodeLimits) -> None:
    limits.apply({"session": {"requests": {"per_s": 1, "burst": 2}, "new": 1}, "weather": {"rain": 1}})
    assert limits.effective.session.requests == Rate(per_s=1, burst=2)


def test_an_order_that_is_not_understood_changes_nothing(limits: NodeLimits) -> None:
    limits.apply(TIGHT)
    limits.apply({"session": {"requests": "a new form"}})
    assert limits.effective.session.requests == Rate(per_s=1, burst=2)
