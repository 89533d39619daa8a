"""Announcements' pure rules: languages, audiences as rows of the database, and where a player goes on."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors.broadcasts import Audience, Live, first_to_show
from actors.broadcasts.rules import LIVE_ROWS, in_language, live_of, page_of
from actors.player import app_order
from server.features import FEATURES
from storage import Insert, Upsert
from tests.support.cluster import Cluster
from tests.support.memory_store import MemoryStore

ALL = {"en": "en", "pt-BR": "pt-BR", "pt": "pt", "zh-Hant-TW": "zh-Hant-TW", "zh": "zh", "de-AT": "de-AT"}


# Languages.
@pytest.mark.parametrize(
    ("texts", "locale", "told"),
    [
        (ALL, "pt-BR", "pt-BR"),
        (ALL, "pt-br", "pt-BR"),
        (ALL, "pt_BR", "pt-BR"),
        (ALL, "pt-PT", "pt"),
        (ALL, "pt-BR-x-old", "pt-BR"),
        (ALL, "zh-Hant-TW", "zh-Hant-TW"),
        (ALL, "zh-Hant-HK", "zh"),
        (ALL, "zh-TW", "zh"),
        (ALL, "de", "de-AT"),
        (ALL, "de-CH", "de-AT"),
        (ALL, "fr-FR", "en"),
        (ALL, "", "en"),
        (ALL, "english", "en"),
        (ALL, "-", "en"),
        (ALL, "x" * 35, "en"),
        ({"fr": "fr", "de": "de"}, "es", "fr"),
        ({"en-GB": "en-GB", "fr": "fr"}, "es", "en-GB"),
        ({"tr": "tr"}, "", "tr"),
        ({"EN": "EN", "fr": "fr"}, "es", "EN"),
    ],
)
def test_who_has_no_text_of_its_own_gets_the_nearest(texts: dict[str, str], locale: str, told: str) -> None:
    assert in_language(texts, locale) == told


# Where a player goes on.
NOW = 1_000
LATER, OVER = NOW + 1, NOW


@pytest.mark.parametrize(
    ("standing", "seen", "after"),
    [
        ([], 0, 10),
        ([], 7, 10),
        ([], 12, 12),
        ([(4, LATER)], 0, 3),
        ([(4, LATER)], 3, 3),
        ([(4, LATER)], 4, 4),
        ([(4, LATER), (8, LATER)], 0, 3),
        ([(4, LATER), (8, LATER)], 5, 5),
        ([(8, LATER), (4, LATER)], 0, 3),
        ([(4, OVER), (8, LATER)], 0, 7),
        ([(4, OVER)], 0, 10),
        ([(1, LATER)], 0, 0),
        ([(10, LATER)], 0, 9),
        ([(10, LATER)], 10, 10),
    ],
)
def test_a_player_is_told_from_its_mark_but_nothing_from_before_the_oldest_that_stands(
    standing: list[tuple[int, int]], seen: int, after: int
) -> None:
    live = Live("e1", 10, tuple(standing))

    assert first_to_show(live, epoch="e1", seen=seen, now_ms=NOW) == after


def test_what_a_node_has_read_of_another_history_shows_everything_that_was_not_seen() -> None:
    assert first_to_show(Live("", 0, ()), epoch="e1", seen=0, now_ms=NOW) == 0
    assert first_to_show(Live("e0", 9, ((9, LATER),)), epoch="e1", seen=3, now_ms=NOW) == 3


# Rows.
@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    """A database with the tables of all rooms."""
    async with Cluster(FEATURES).running() as cluster:
        yield cluster.store


def announcement(one: str, state: str, seq: int) -> Insert:
    numbers = dict.fromkeys(("made_ms", "at_ms", "sent", "reached", "readers"), 0)
    return Insert(
        "announcements", {"id": one, "state": state, "seq": seq, "expires_ms": 100 + seq, "body": b"", **numbers}
    )


async def test_a_node_reads_where_the_topic_stands_and_what_stands_in_it(store: MemoryStore) -> None:
    assert live_of(await store.select(LIVE_ROWS)) == Live("", 0, ())
    topic = {"topic": "announce", "epoch": "e1", "seq": 9, "floor": 1}
    columns = [name for _, name, *_ in await store.select("SELECT * FROM pragma_table_info('topics')")]
    await store.edit([Insert("topics", {c: topic.get(c, "broadcasts:all") for c in columns})])
    assert live_of(await store.select(LIVE_ROWS)) == Live("e1", 9, ())
    states = ["live", "scheduled", "sending", "live", "cancelled", "over", "sent"]
    await store.edit([announcement(f"{n}", state, n + 1) for n, state in enumerate(states)])

    live = live_of(await store.select(LIVE_ROWS))
    assert (live.epoch, live.seq, sorted(live.standing)) == ("e1", 9, [(1, 101), (4, 104)])


PLAYERS: dict[str, dict[str, Any]] = {
    "ann": {"platform": "ios", "app": "1.4.2", "locale": "tr-TR", "guild": "g1"},
    "bo": {"platform": "ios", "app": "1.10.0", "locale": "en-US", "guild": "g1"},
    "cy": {"platform": "android", "app": "2.0", "locale": "tr_TR", "guild": "g2"},
    "di": {"platform": "android", "app": "dev build", "locale": "tr"},
    "ed": {"platform": "web", "app": "1.4.99", "locale": "TRK"},
    "fay": {"platform": "IOS", "app": "1.5", "locale": "pt-br", "guild": "G1"},
    "gil": {},
}


@pytest.fixture
async def players(store: MemoryStore) -> MemoryStore:
    rows = [
        {"player": player, "name": player, "name_key": player, "app_order": app_order(row.get("app", "")), **row}
        for player, row in PLAYERS.items()
    ]
    await store.edit([Upsert("players", row, ("player",)) for row in rows])
    return store


@pytest.mark.parametrize(
    ("audience", "found"),
    [
        (Audience(), "ann bo cy di ed fay gil"),
        (Audience(platforms=["ios"]), "ann bo"),
        (Audience(platforms=["ios", "web"]), "ann bo ed"),
        (Audience(platforms=["beos"]), ""),
        (Audience(app_min="1.5"), "bo cy fay"),
        (Audience(app_max="1.5"), "ann ed fay"),
        (Audience(app_min="1.4", app_max="1.4.99"), "ann ed"),
        (Audience(app_min="1.4.2", app_max="1.4.2"), "ann"),
        (Audience(app_min="2", app_max="1"), ""),
        (Audience(locales=["tr"]), "ann cy di"),
        (Audience(locales=["tr-TR"]), "ann cy"),
        (Audience(locales=["en", "pt-BR"]), "bo fay"),
        (Audience(guild="g1"), "ann bo"),
        (Audience(players=["bo", "gil", "nobody"]), "bo gil"),
        (Audience(platforms=["ios"], locales=["tr"], guild="g1", app_max="1.9", players=["ann", "bo"]), "ann"),
    ],
    ids=repr,
)
async def test_an_audience_is_those_who_meet_all_that_it_names(
    players: MemoryStore, audience: Audience, found: str
) -> None:
    rows = await players.select(*page_of(audience, "", 100))

    assert [player for player, _ in rows] == found.split()
    assert all(locale == PLAYERS[player].get("locale", "") for player, locale in rows)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
async def test_pages_follow_one_another_and_leave_nobody_out(players: MemoryStore, size: int) -> None:
    after, found = "", []
    while True:
        rows = await players.select(*page_of(Audience(), after, size))
        found += [player for player, _ in rows]
        if len(rows) < size:
            break
        after = found[-1]

    assert found == list(PLAYERS)
