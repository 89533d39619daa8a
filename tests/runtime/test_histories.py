"""Whole histories by seed: nodes die, pause and come, stores and buses fail, and the promises hold at the end.

Every op is asked until it is answered for certain. Then counters count each op once, purses have neither made nor lost
a coin, and every reader has every event of its topic once and in order.
"""

from random import Random
from typing import Any

import pytest

from protocol import Request
from tests.runtime.rooms import ALL, TOPIC, Add, Get, Join, Look, Order, Pay, Say
from tests.support.cluster import LEASE_S, Cluster, Heard, Member, Phone

STEPS = 60
KEYS = ("a", "b", "c")


class History:
    """One run of a cluster under faults."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.random = Random(seed)
        self.asked: dict[str, Request[Any]] = {}
        """Every op so far, by id; each is another player's, so that no window forgets it."""
        self.pending: dict[str, Heard] = {}
        self.nodes: list[Member] = []
        self.phones: dict[str, list[Phone]] = {}
        self.paused: list[Member] = []

    async def start(self) -> None:
        """Bring up a node with two readers."""
        member = await self.cluster.start(f"n{len(self.cluster.members)}")
        self.nodes.append(member)
        phones = self.phones[member.name] = [Phone(f"{member.name}-{n}") for n in range(2)]
        for phone in phones:
            member.ask(Join(id="j"), phone.player, phone)

    async def step(self) -> None:
        """Something is asked, and something may go wrong."""
        random, member = self.random, self.random.choice(self.nodes)
        op, key, other = f"x{len(self.asked)}x", random.choice(KEYS), random.choice(KEYS)
        requests: list[Request[Any]] = [
            Add(id=op, counter=key),
            Pay(id=op, purse=key, to=f"purse:{other}", amount=random.randrange(9), parts=random.choice((1, 1, 3))),
            Say(id=op, text=op, times=random.choice((1, 1, 4))),
            Order(id=op, purse=key, via=other),
        ]
        self.asked[op] = random.choice(requests)
        self.pending[op] = member.ask(self.asked[op], op)
        self.again()
        await self.fault(member)
        await self.cluster.clock.advance(random.choice((0, 0, 0.01, 0.3, 2, 7)))

    def again(self, impatience: float = 0.02) -> None:
        """Ask what was refused for now, or by chance what still waits, on any node."""
        for op, heard in list(self.pending.items()):
            if heard.code == "ok":
                del self.pending[op]
            elif heard.code != "waiting" or self.random.random() < impatience:
                assert heard.code in ("waiting", "unavailable", "actor.busy", "actor.moved", "internal"), heard.code
                self.pending[op] = self.random.choice(self.nodes).ask(self.asked[op], op)

    async def fault(self, member: Member) -> None:
        random = self.random
        match random.randrange(14):
            case 0:
                member.store.lose_next("commit", applied=random.random() < 0.5)
            case 1:
                member.store.lose_next(random.choice(("claim", "renew", "read_events")), applied=random.random() < 0.5)
            case 2:
                member.store.down = not member.store.down
            case 3:
                member.bus.fate = lambda _channel, _payload: random.choice((0, 1, 1, 1, 2))
            case 4:
                member.bus.cut = not member.bus.cut
            case 5:
                member.node.host.give_up(f"counter:{random.choice(KEYS)}")
            case 6 if member not in self.paused:
                self.paused.append(member)
                self.cluster.pause(member)
            case 7 if self.paused:
                self.cluster.resume(self.paused.pop())
            case 8 if len(self.nodes) > 1:
                self.nodes.remove(member)
                self.cluster.crash(member)
                await self.start()

    async def ask(self, member: Member, request: Request[Any]) -> Any:
        """The reply to a request; whoever remembers a dead owner needs a second to find the present one."""
        heard = member.ask(request, "end")
        await self.cluster.clock.advance(3)
        return heard.reply

    async def heal(self) -> None:
        """Everything works again, until everything is answered."""
        for member in self.nodes:
            member.store.down = False
            member.store._lost.clear()
            member.bus.fate = lambda _channel, _payload: 1
            self.cluster.resume(member)
        for _ in range(40):
            await self.cluster.clock.advance(LEASE_S / 2)
            self.again(impatience=1)  # whom it was asked of may be dead
            if not self.pending:
                break
        assert {op: heard.code for op, heard in self.pending.items()} == {}
        await self.cluster.clock.advance(30)


@pytest.mark.parametrize("seed", range(12))
async def test_every_history_keeps_the_promises(seed: int) -> None:
    async with Cluster(ALL).running() as cluster:
        history = History(cluster, seed)
        for _ in range(3):
            await history.start()
        for _ in range(STEPS):
            await history.step()
        await history.heal()

        member = history.nodes[0]
        asked = history.asked.values()
        for key in KEYS:
            counted = sum(isinstance(r, Add) and r.counter == key for r in asked)
            assert (await history.ask(member, Get(id="end", counter=key))).value == counted
        coins = [(await history.ask(member, Look(id="end", purse=key))).left for key in KEYS]
        assert sum(coins) == sum(isinstance(r, Order) for r in asked)
        assert cluster.store._db.execute("SELECT COUNT(*) FROM outbox").fetchone() == (0,)
        said = sum(r.times for r in asked if isinstance(r, Say))
        for node in history.nodes:
            for phone in history.phones[node.name]:
                seqs = phone.seqs(TOPIC)
                if phone.topics:
                    assert seqs == list(range(said + 1 - len(seqs), said + 1))
