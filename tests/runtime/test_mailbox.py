"""The mailbox: bounded, in order, fair; what finds it full is refused and has happened in no part."""

import asyncio

from actors.runtime import Caller, NodeOptions
from actors.runtime.host import TURNS_PER_ROUND, HostOptions
from tests.runtime.rooms import ALL, Add, Get
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member

BOUND = 10


async def test_messages_are_run_in_the_order_in_which_they_came(north: Member) -> None:
    asks = [north.ask(Add(id=f"{n}")) for n in range(500)]
    await settle()

    assert [ask.reply.value for ask in asks] == list(range(1, 501))


async def test_what_comes_while_an_actor_is_loaded_waits_for_it_in_order(north: Member) -> None:
    with north.store.holding("claim") as hold:
        asks = [north.ask(Add(id=f"{n}")) for n in range(10)]
        await hold.reached.wait()
    await settle()

    assert [ask.reply.value for ask in asks] == list(range(1, 11))
    assert north.store.calls.count("claim") == 1


async def test_a_full_mailbox_refuses_at_once_and_loses_nothing_that_it_has_taken() -> None:
    async with Cluster(ALL, NodeOptions(host=HostOptions(mailbox=BOUND))).running() as cluster:
        north = await cluster.start("north")
        asks = [north.ask(Add(id=f"{n}"), f"p{n}") for n in range(BOUND + 5)]

        assert [ask.code for ask in asks] == ["waiting"] * BOUND + ["actor.busy"] * 5
        busy = asks[-1].answer
        assert busy is not None
        assert busy.error is not None
        assert (busy.error.retry, busy.error.retry_after_ms) == ("later", 250)

        await settle()
        assert [ask.code for ask in asks[:BOUND]] == ["ok"] * BOUND
        assert (await north.said(Add(id=f"{BOUND}"), f"p{BOUND}")).value == BOUND + 1  # the refused id had no effect


async def test_a_crowded_actor_does_not_make_another_wait_for_all_of_it(north: Member) -> None:
    order: list[str] = []
    for counter in ("a", "b"):
        await north.said(Get(id="0", counter=counter))
    for n in range(TURNS_PER_ROUND * 4):
        north.node.router.ask(Get(id=f"{n}"), _caller(), lambda _answer: order.append("a"))
    north.node.router.ask(Get(id="1", counter="b"), _caller(), lambda _answer: order.append("b"))
    await settle()

    assert order.index("b") == TURNS_PER_ROUND


async def test_a_round_ends_between_two_actors_so_that_what_one_says_goes_out_in_one_piece(
    cluster: Cluster, north: Member
) -> None:
    order = await _order_of_a_round(cluster, north, messages=5)

    assert order == [*"aaaaa", "the others", "b"]


async def test_an_actor_whose_mail_takes_too_long_lets_the_others_in_between(cluster: Cluster, north: Member) -> None:
    order = await _order_of_a_round(cluster, north, messages=20)

    assert order.index("the others") == 7


async def _order_of_a_round(cluster: Cluster, north: Member, messages: int) -> list[str]:
    """What is heard of ``a`` with so many messages that take 1.5 ms each, of ``b`` with one, and of the loop's other
    callbacks."""
    order: list[str] = []
    for counter in ("a", "b"):
        await north.said(Get(id="0", counter=counter))

    def heard(_answer: object) -> None:
        order.append("a")
        cluster.clock.spend(0.0015)

    for n in range(messages):
        north.node.router.ask(Get(id=f"{n}"), _caller(), heard)
    north.node.router.ask(Get(id="1", counter="b"), _caller(), lambda _answer: order.append("b"))
    asyncio.get_running_loop().call_soon(order.append, "the others")
    await settle()
    return order


async def test_a_receiver_of_answers_that_raises_does_not_stop_the_other_actors(north: Member) -> None:
    """The round it broke was once the last one of the node."""
    for counter in ("a", "b"):
        await north.said(Get(id="0", counter=counter))

    def broken(_answer: object) -> None:
        raise RuntimeError("a mistake in a session")

    north.node.router.ask(Get(id="1"), _caller(), broken)
    heard = north.ask(Get(id="2", counter="b"))
    _expect_one_error_of_the_loop()
    await settle()

    assert heard.code == "ok"
    assert (await north.said(Get(id="3"))).value == 0


async def test_a_sender_whose_time_is_up_is_told_so_and_its_message_is_not_run(cluster: Cluster, north: Member) -> None:
    with north.store.holding("claim") as hold:
        late = north.ask(Add(id="1"))
        await hold.reached.wait()
        await cluster.clock.advance(16)
        assert late.code == "unavailable"
        on_time = north.ask(Get(id="2"))
    await settle()

    assert on_time.reply.value == 0


def _caller() -> Caller:
    return Caller("ann")


def _expect_one_error_of_the_loop() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
