"""What nodes tell at /metrics, as differences: never absurd, whoever is started again, slow or away meanwhile."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.python import Client
from loadtest.outcome import ServerMoment
from loadtest.ports import free_port
from loadtest.running.scrape import Scrape, processes
from tests.loadtest.pages import page, serving
from tests.support.nodes import NodeProcess, node
from tests.support.workers import Workers

BEGAN = 100.0


class Hand:
    """A clock that stands still between looks."""

    def __init__(self) -> None:
        self.at = BEGAN

    def __call__(self) -> float:
        return self.at


async def moments(*answers: str | int | None, apart_s: float = 2.0) -> list[ServerMoment]:
    """What comes of looking at these answers, one after the other."""
    clock = Hand()
    async with serving(*answers) as pages:
        scrape = Scrape([pages.url], began=BEGAN, now=clock, patience_s=0.2)
        for _ in answers:
            await scrape.look()
            clock.at += apart_s
    (figures,) = scrape.figures
    return figures.moments


# Differences.
async def test_what_rises_is_told_for_the_time_between_two_looks() -> None:
    first = page(cpu=10.0, memory=1e8, connections=40, commit_sum=2.0, commit_count=100, lag_now=0.003)
    second = page(cpu=11.0, memory=2e8, connections=50, commit_sum=2.5, commit_count=150, lag_now=0.004)

    assert await moments(first, second) == [
        ServerMoment(at_ms=0, cpu=None, memory_bytes=1e8, commit_ms=None, loop_lag_ms=3.0, sessions=40),
        ServerMoment(at_ms=2000, cpu=0.5, memory_bytes=2e8, commit_ms=10.0, loop_lag_ms=4.0, sessions=50),
    ]


async def test_without_commits_between_two_looks_there_is_no_duration_of_them() -> None:
    same = page(commit_sum=2.0, commit_count=100)

    assert [each.commit_ms for each in await moments(same, same)] == [None, None]


async def test_a_node_that_was_started_again_counts_from_nothing() -> None:
    before = page(cpu=500.0, commit_sum=90.0, commit_count=5_000, lags=[0.002] * 500)
    after = page(cpu=0.6, commit_sum=0.2, commit_count=10, lags=[0.002] * 4)

    moment = (await moments(before, after))[1]

    assert moment.cpu == pytest.approx(0.3)
    assert moment.commit_ms == pytest.approx(20)
    assert moment.loop_lag_ms == pytest.approx(5.0), "at most what the four together leave for one"


async def test_a_new_process_that_has_already_committed_more_than_the_old_one_is_known_by_its_processor_time() -> None:
    before = page(cpu=5.0, commit_sum=0.1, commit_count=10)
    after = page(cpu=1.0, commit_sum=0.4, commit_count=40)

    assert (await moments(before, after))[1].commit_ms == pytest.approx(10)


async def test_a_node_that_is_away_has_moments_without_figures_and_is_compared_with_what_it_said_before() -> None:
    told = await moments(page(cpu=1.0, memory=5e7), 503, "<html>no metrics</html>", page(cpu=4.0, memory=5e7))

    assert told[1:3] == [ServerMoment(at_ms=2000), ServerMoment(at_ms=4000)]
    assert told[3].cpu == pytest.approx(0.5), "3 s of processor time in 6 s"


# The loop's lag.
@pytest.mark.parametrize(
    ("new", "least", "most"),
    [
        ([0.0004, 0.0004, 0.04, 0.0004], 40.0, 41.2),
        ([0.0004, 0.0004, 0.0004, 0.0004], 0.4, 1.0),
        ([0.05, 0.0004, 0.06, 0.0004], 60.0, 100.0),
        ([3.0, 0.0004], 3_000.0, 3_000.4),
    ],
)
async def test_the_longest_lag_between_two_looks_is_told_though_the_last_one_was_short(
    new: list[float], least: float, most: float
) -> None:
    old = [0.5, 0.0004]

    moment = (await moments(page(lags=old), page(lags=[*old, *new])))[1]

    assert moment.loop_lag_ms is not None
    assert least <= moment.loop_lag_ms <= most


# Workers behind one port.
async def test_workers_are_added_together_and_the_latest_loop_is_theirs() -> None:
    first = page(0, cpu=10.0, memory=1e8, connections=40, commit_sum=1.0, commit_count=100, lag_now=0.002)
    first += page(1, cpu=50.0, memory=2e8, connections=50, commit_sum=5.0, commit_count=100, lag_now=0.009)
    second = page(0, cpu=11.0, memory=1e8, connections=41, commit_sum=1.1, commit_count=110, lag_now=0.002)
    second += page(1, cpu=51.0, memory=2e8, connections=52, commit_sum=5.9, commit_count=190, lag_now=0.007)

    moment = (await moments(first, second))[1]

    assert (moment.cpu, moment.memory_bytes, moment.sessions, moment.loop_lag_ms) == (1.0, 3e8, 93, 7.0)
    assert moment.commit_ms == pytest.approx(10.0), "100 commits took a second, whoever made them"


async def test_one_worker_that_was_started_again_spoils_no_sum() -> None:
    first = page(0, cpu=10.0) + page(1, cpu=500.0)
    second = page(0, cpu=11.0) + page(1, cpu=0.2)

    assert (await moments(first, second))[1].cpu == pytest.approx(0.6)


async def test_a_worker_that_was_silent_for_a_while_is_no_peak_when_it_speaks_again() -> None:
    both = page(0, cpu=10.0) + page(1, cpu=500.0)
    one = page(0, cpu=11.0)
    again = page(0, cpu=12.0) + page(1, cpu=502.0)

    assert [each.cpu for each in await moments(both, one, again)] == [None, 0.5, 1.0]


async def test_a_worker_that_nobody_has_heard_before_is_not_counted_from_its_birth() -> None:
    told = await moments(page(0, cpu=10.0), page(0, cpu=11.0) + page(1, cpu=400.0))

    assert told[1].cpu == 0.5


# Nodes that do not answer.
async def test_a_node_that_holds_its_answer_back_delays_no_other() -> None:
    async with serving(None) as slow, serving(page(cpu=1.0)) as quick:
        scrape = Scrape([slow.url, quick.url], began=time.monotonic(), every_s=0.001, patience_s=30.0)
        task = asyncio.ensure_future(scrape.run())
        await quick.until_asked(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert slow.asked == 1
    assert [len(each.moments) >= 4 for each in scrape.figures] == [False, True]


async def test_a_node_that_comes_back_is_asked_again_after_it_gave_no_answer_in_time() -> None:
    async with serving(None, page(memory=7.0)) as pages:
        scrape = Scrape([pages.url], began=time.monotonic(), every_s=0.001, patience_s=0.05)
        task = asyncio.ensure_future(scrape.run())
        await pages.until_asked(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert [each.memory_bytes for each in scrape.figures[0].moments][:2] == [None, 7.0]
    assert scrape.notes() == []


async def test_a_node_that_never_answered_is_named_with_the_reason() -> None:
    async with serving(None) as slow, serving(404) as other, serving("<html>") as web, serving("# a 1\n") as strange:
        nobody = f"http://127.0.0.1:{free_port()}"
        urls = [nobody, slow.url, other.url, web.url, strange.url]
        scrape = Scrape(urls, began=BEGAN, patience_s=0.2)
        assert scrape.notes() == [f"no metrics of {url}: nobody has asked" for url in urls]
        await scrape.look()

    assert scrape.notes() == [
        f"no metrics of {nobody}: All connection attempts failed",
        f"no metrics of {slow.url}: no answer within 0.2 s",
        f"no metrics of {other.url}: Client error '404 no' for url '{other.url}/metrics'",
        f"no metrics of {web.url}: what it answers is no page of metrics",
        f"no metrics of {strange.url}: it answers with none of a node's metrics",
    ]


async def test_the_page_itself_may_be_named() -> None:
    async with serving(page(memory=7.0)) as pages:
        scrape = Scrape([f"{pages.url}/metrics"], began=BEGAN)
        await scrape.look()

    assert scrape.figures[0].moments[0].memory_bytes == 7.0


@pytest.mark.parametrize("broken", ['guildhall_connections{worker="0} 5', "guildhall_connections five", "process_cpu{"])
def test_a_page_that_breaks_off_is_no_page(broken: str) -> None:
    with pytest.raises(ValueError):
        processes(page(cpu=1.0) + f"{broken}\n" + "guildhall_connections{")


# Real ones.
@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node with SQLite."""
    folder = tmp_path_factory.mktemp("scraped")
    with node(folder, "alone", "--store", f"sqlite:///{folder / 'store.db'}") as started:
        yield started


async def test_a_real_node_tells_all_that_is_looked_for(alone: NodeProcess) -> None:
    scrape = Scrape([alone.http], began=time.monotonic())
    await scrape.look()
    async with Client.connect(alone.url, token="dev:ann") as me:
        await me.join("room:scraped")
        await me.say("room:scraped", "hello")
        await scrape.look()

    (figures,) = scrape.figures
    before, after = figures.moments
    assert scrape.notes() == []
    assert (before.sessions, after.sessions) == (0, 1)
    assert after.cpu is not None
    assert 0 < after.cpu < 8
    assert after.memory_bytes is not None
    assert 30e6 < after.memory_bytes < 1e9
    assert after.commit_ms is not None
    assert 0 < after.commit_ms < 5_000
    assert after.loop_lag_ms is not None
    assert 0 <= after.loop_lag_ms < 5_000


async def test_real_workers_are_one_node_with_the_sums_of_all(tmp_path: Path, mysql_url: str, redis_url: str) -> None:
    workers = Workers(tmp_path, mysql_url, redis_url)
    await asyncio.to_thread(workers.start)
    try:
        own = [f"http://127.0.0.1:{workers.http_port + 1 + number}" for number in range(2)]
        scrape = Scrape([workers.http, *own], began=time.monotonic())
        await scrape.look()
        await scrape.look()
        shared, *each = (figures.moments[-1] for figures in scrape.figures)
    finally:
        await asyncio.to_thread(workers.stop)

    assert shared.memory_bytes is not None
    assert shared.memory_bytes == pytest.approx(sum(one.memory_bytes or 0 for one in each), rel=0.05)
    assert shared.memory_bytes > 1.5 * max(one.memory_bytes or 0 for one in each)
    assert shared.cpu is not None
    assert shared.sessions == 0
    assert scrape.notes() == []
