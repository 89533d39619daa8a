"""The contract of ``storage.ranks.Ranks``, on every index there is."""

from collections.abc import AsyncIterator

import pytest

from storage import Around, Incomplete, Of, Page, Placed, Ranked, Ranks, Standing, Top
from storage.ranks import PAGE_LIMIT, PUT_LIMIT
from tests.conformance.ranked import HIGHEST, LOWEST, fill, opened, owners, standing

INT64 = (-(1 << 63), (1 << 63) - 1)


@pytest.fixture(params=["local", "redis"])
async def ranks(request: pytest.FixtureRequest) -> AsyncIterator[Ranks]:
    url = "local:" if request.param == "local" else request.getfixturevalue("redis_url")
    async with opened(url) as index:
        yield index


# The order.
async def test_the_highest_score_is_first(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing("low", 1), standing("high", 3), standing("middle", 2)])

    assert owners(await ranks.read(HIGHEST, Top(0, 10))) == [(1, "high"), (2, "middle"), (3, "low")]


async def test_the_lowest_score_is_first_where_the_table_says_so(ranks: Ranks) -> None:
    await fill(ranks, LOWEST, [standing("low", 1), standing("high", 3), standing("middle", 2)])

    assert owners(await ranks.read(LOWEST, Top(0, 10))) == [(1, "low"), (2, "middle"), (3, "high")]


async def test_the_subscore_decides_between_equal_scores_in_the_same_direction(ranks: Ranks) -> None:
    standings = [standing("less", 5, subscore=1), standing("more", 5, subscore=2), standing("first", 6)]
    await fill(ranks, HIGHEST, standings)
    await fill(ranks, LOWEST, standings)

    assert owners(await ranks.read(HIGHEST, Top(0, 10))) == [(1, "first"), (2, "more"), (3, "less")]
    assert owners(await ranks.read(LOWEST, Top(0, 10))) == [(1, "less"), (2, "more"), (3, "first")]


async def test_of_equals_the_earlier_is_higher_in_both_directions_and_then_the_id_that_sorts_first(
    ranks: Ranks,
) -> None:
    standings = [
        standing("late", 5, at_us=1_790_000_000_000_001),
        standing("early", 5, at_us=1_790_000_000_000_000),
        standing("ab", 5, at_us=1_790_000_000_000_002),
        standing("a", 5, at_us=1_790_000_000_000_002),
        standing("B", 5, at_us=1_790_000_000_000_002),
    ]
    for table in (HIGHEST, LOWEST):
        await fill(ranks, table, standings)
        page = await ranks.read(table, Top(0, 10))
        assert owners(page) == [(1, "early"), (2, "late"), (3, "B"), (4, "a"), (5, "ab")]


async def test_every_int64_has_its_place_also_where_a_double_cannot_tell_two_apart(ranks: Ranks) -> None:
    scores = [INT64[0], INT64[0] + 1, -(1 << 53) - 1, -(1 << 53), -1, 0, 1, 1 << 53, (1 << 53) + 1, *range(*INT64)[-3:]]
    scores.append(INT64[1])
    standings = [standing(f"o{n}", score, subscore=score) for n, score in enumerate(scores)]
    for table in (HIGHEST, LOWEST):
        await fill(ranks, table, standings)
        page = await ranks.read(table, Top(0, 100))
        found = [entry.standing.score for entry in page.entries]
        assert found == sorted(scores, reverse=not table.lowest_first)


async def test_a_standing_comes_back_as_it_was_put(ranks: Ranks) -> None:
    put = Standing("0Az_.~-" + "x" * 57, "Gökyüzü \0 🎲", -7, INT64[0], INT64[1], INT64[1])
    await fill(ranks, HIGHEST, [put])

    assert await ranks.read(HIGHEST, Top(0, 10)) == Page(1, [Ranked(1, put)])
    assert await ranks.read(HIGHEST, Of([put.owner])) == Page(1, [Ranked(1, put)])


# Putting.
async def test_a_put_tells_the_rank_after_it_and_before(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing("a", 10), standing("b", 20)])

    assert await ranks.put(HIGHEST, [standing("c", 15)]) == [Placed(rank=2, was=0)]
    assert await ranks.put(HIGHEST, [standing("c", 25, count=2)]) == [Placed(rank=1, was=2)]
    assert await ranks.put(HIGHEST, [standing("c", 5, count=3)]) == [Placed(rank=3, was=1)]


async def test_several_standings_are_placed_one_after_the_other(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST)

    placed = await ranks.put(HIGHEST, [standing("a", 1), standing("b", 2), standing("a", 3, count=2)])

    assert placed == [Placed(1, 0), Placed(1, 0), Placed(1, 2)]


async def test_the_higher_count_wins_whichever_comes_first(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing("a", 10), standing("b", 30, count=2)])

    assert await ranks.put(HIGHEST, [standing("b", 1)]) == [Placed(1, 1)]
    assert await ranks.put(HIGHEST, [standing("b", 1, count=2)]) == [Placed(1, 1)]
    assert await ranks.put(HIGHEST, [standing("b", 1, count=3)]) == [Placed(2, 1)]


async def test_counts_are_told_apart_where_a_double_cannot(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing("a", 10), standing("b", 1, count=1 << 53)])

    assert await ranks.put(HIGHEST, [standing("b", 20, count=(1 << 53) + 1)]) == [Placed(1, 2)]


async def test_a_new_name_alone_keeps_the_rank(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing("a", 10)])

    assert await ranks.put(HIGHEST, [Standing("a", "new", 10, 0, 0, 2)]) == [Placed(1, 1)]
    assert (await ranks.read(HIGHEST, Top(0, 1))).entries[0].standing.name == "new"


async def test_who_is_removed_is_not_ranked_and_an_older_put_does_not_bring_them_back(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing("a", 10), standing("b", 20)])

    assert await ranks.put(HIGHEST, [standing("b", 20, count=3, removed=True)]) == [Placed(rank=0, was=1)]
    assert await ranks.put(HIGHEST, [standing("b", 20, count=2)]) == [Placed(0, 0)]
    assert await ranks.read(HIGHEST, Top(0, 10)) == Page(1, [Ranked(1, standing("a", 10))])
    assert (await ranks.read(HIGHEST, Of(["b"]))).entries == []

    assert await ranks.put(HIGHEST, [standing("b", 20, count=4)]) == [Placed(1, 0)]
    assert owners(await ranks.read(HIGHEST, Top(0, 10))) == [(1, "b"), (2, "a")]


async def test_who_was_never_there_can_be_removed(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST)

    assert await ranks.put(HIGHEST, [standing("a", 10, count=2, removed=True)]) == [Placed(0, 0)]
    assert await ranks.put(HIGHEST, [standing("a", 10)]) == [Placed(0, 0)]
    assert await ranks.read(HIGHEST, Top(0, 10)) == Page(0, [])


async def test_a_put_of_nothing_places_nothing(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST)

    assert await ranks.put(HIGHEST, []) == []


async def test_a_put_as_large_as_it_may_be_is_placed_whole(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST)

    placed = await ranks.put(HIGHEST, [standing(f"o{n}", n) for n in range(PUT_LIMIT)])

    assert placed == [Placed(1, 0)] * PUT_LIMIT
    assert (await ranks.read(HIGHEST, Top(0, 1))).size == PUT_LIMIT


async def test_a_larger_put_is_refused(ranks: Ranks) -> None:
    with pytest.raises(ValueError, match="1001 standings"):
        await ranks.put(HIGHEST, [standing(f"o{n}", n) for n in range(PUT_LIMIT + 1)])


# Reading.
async def test_pages_of_the_top_follow_each_other_to_the_end(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing(f"o{n}", -n) for n in range(5)])

    assert owners(await ranks.read(HIGHEST, Top(0, 2))) == [(1, "o0"), (2, "o1")]
    assert owners(await ranks.read(HIGHEST, Top(2, 2))) == [(3, "o2"), (4, "o3")]
    assert owners(await ranks.read(HIGHEST, Top(4, 2))) == [(5, "o4")]
    assert await ranks.read(HIGHEST, Top(6, 2)) == Page(5, [])


@pytest.mark.parametrize(
    ("place", "limit", "first", "last"),
    [
        (10, 5, 8, 12),  # in the middle
        (10, 4, 8, 11),  # of an even window, one more above than below
        (1, 5, 1, 5),  # shifted at the upper end
        (2, 5, 1, 5),
        (20, 5, 16, 20),  # and at the lower
        (19, 5, 16, 20),
        (7, 1, 7, 7),
        (7, 20, 1, 20),
        (7, 100, 1, 20),  # more than there are
    ],
)
async def test_around_an_owner_is_a_window_that_is_full_where_the_table_has_enough(
    ranks: Ranks, place: int, limit: int, first: int, last: int
) -> None:
    await fill(ranks, HIGHEST, [standing(f"o{n}", -n) for n in range(1, 21)])

    page = await ranks.read(HIGHEST, Around(f"o{place}", limit))

    assert page.size == 20
    assert owners(page) == [(n, f"o{n}") for n in range(first, last + 1)]


async def test_around_an_owner_without_a_rank_is_nothing(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1), standing("b", 2, removed=True)])

    assert await ranks.read(HIGHEST, Around("nobody", 5)) == Page(1, [])
    assert await ranks.read(HIGHEST, Around("b", 5)) == Page(1, [])


async def test_of_some_owners_those_who_are_ranked_come_once_in_rank_order(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1), standing("b", 2), standing("c", 3), standing("d", 4, removed=True)])

    page = await ranks.read(HIGHEST, Of(["a", "nobody", "c", "d", "a"]))

    assert page.size == 3
    assert owners(page) == [(1, "c"), (3, "a")]
    assert await ranks.read(HIGHEST, Of([])) == Page(3, [])


async def test_the_largest_questions_are_answered(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing(f"o{n}", -n) for n in range(PAGE_LIMIT)])

    for what in (Top(0, PAGE_LIMIT), Around("o5", PAGE_LIMIT), Of([f"o{n}" for n in range(PAGE_LIMIT)])):
        assert len((await ranks.read(HIGHEST, what)).entries) == PAGE_LIMIT


@pytest.mark.parametrize(
    "what",
    [Top(-1, 1), Top(0, 0), Top(0, PAGE_LIMIT + 1), Around("a", 0), Around("a", PAGE_LIMIT + 1), Of(["a"] * 1001)],
    ids=str,
)
async def test_what_is_no_page_is_refused(ranks: Ranks, what: Top | Around | Of) -> None:
    with pytest.raises(ValueError, match="no such page"):
        await ranks.read(HIGHEST, what)


# Filling.
async def test_a_table_that_nobody_has_filled_is_incomplete(ranks: Ranks) -> None:
    for what in (Top(0, 1), Around("a", 1), Of(["a"])):
        with pytest.raises(Incomplete):
            await ranks.read(HIGHEST, what)
    assert await ranks.through(HIGHEST) is None
    assert not await ranks.advance(HIGHEST, 1, 2)


async def test_a_put_into_an_incomplete_table_says_so_but_counts(ranks: Ranks) -> None:
    token = await ranks.begin(HIGHEST)
    with pytest.raises(Incomplete):
        await ranks.put(HIGHEST, [standing("a", 30, count=2)])
    await ranks.put(HIGHEST, [standing("a", 1), standing("b", 20)], filling=True)
    assert await ranks.finish(HIGHEST, token, 7)

    assert owners(await ranks.read(HIGHEST, Top(0, 9))) == [(1, "a"), (2, "b")]
    assert await ranks.through(HIGHEST) == 7


async def test_an_empty_table_can_be_complete(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, through_us=7)

    assert await ranks.read(HIGHEST, Top(0, 9)) == Page(0, [])
    assert await ranks.through(HIGHEST) == 7


async def test_while_a_table_is_filled_it_is_incomplete(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1)])
    await ranks.begin(HIGHEST)

    with pytest.raises(Incomplete):
        await ranks.read(HIGHEST, Top(0, 1))
    assert await ranks.through(HIGHEST) is None


async def test_of_two_fills_only_the_later_can_be_finished(ranks: Ranks) -> None:
    first = await ranks.begin(HIGHEST)
    await ranks.put(HIGHEST, [standing("a", 1)], filling=True)
    second = await ranks.begin(HIGHEST)

    assert not await ranks.finish(HIGHEST, first, 5)
    assert await ranks.through(HIGHEST) is None
    assert await ranks.finish(HIGHEST, second, 6)
    assert await ranks.read(HIGHEST, Top(0, 9)) == Page(0, [])


async def test_finishing_twice_is_finishing_once(ranks: Ranks) -> None:
    token = await ranks.begin(HIGHEST)
    assert await ranks.finish(HIGHEST, token, 5)
    assert await ranks.advance(HIGHEST, 5, 9)

    assert await ranks.finish(HIGHEST, token, 5)
    assert await ranks.through(HIGHEST) == 9


async def test_a_fill_that_was_dropped_cannot_be_finished(ranks: Ranks) -> None:
    token = await ranks.begin(HIGHEST)
    await ranks.drop(HIGHEST)

    assert not await ranks.finish(HIGHEST, token, 5)


# The watermark.
async def test_the_watermark_moves_only_from_where_it_is(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, through_us=5)

    assert not await ranks.advance(HIGHEST, 4, 8)
    assert await ranks.through(HIGHEST) == 5
    assert await ranks.advance(HIGHEST, 5, 8)
    assert await ranks.advance(HIGHEST, 5, 8), "asked again, after a lost answer"
    assert await ranks.through(HIGHEST) == 8
    assert not await ranks.advance(HIGHEST, 5, 9)


async def test_a_watermark_in_microseconds_is_kept_exactly(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, through_us=1_790_000_000_123_457)

    assert await ranks.through(HIGHEST) == 1_790_000_000_123_457
    assert await ranks.advance(HIGHEST, 1_790_000_000_123_457, INT64[1])
    assert await ranks.through(HIGHEST) == INT64[1]


# Tables.
async def test_a_dropped_table_is_forgotten(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1)])

    await ranks.drop(HIGHEST)

    with pytest.raises(Incomplete):
        await ranks.read(HIGHEST, Top(0, 9))
    await ranks.drop(HIGHEST)


async def test_tables_do_not_touch_each_other(ranks: Ranks) -> None:
    await fill(ranks, HIGHEST, [standing("a", 1)])
    await fill(ranks, LOWEST, [standing("a", 2), standing("b", 1)])

    await ranks.drop(HIGHEST)

    assert owners(await ranks.read(LOWEST, Top(0, 9))) == [(1, "b"), (2, "a")]
