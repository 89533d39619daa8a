"""The activations of this node: claims them in batches, runs their mailboxes, puts idle ones away."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Protocol

import structlog
from msgspec import Struct

from actors.runtime.activation import Activation, State
from actors.runtime.actor import Actor, Tools
from actors.runtime.answer import Answer, Deliver
from actors.runtime.backoff import Backoff
from actors.runtime.blueprint import Blueprint, Kind
from actors.runtime.clock import Clock
from actors.runtime.commit import Committer
from actors.runtime.draft import Ran
from actors.runtime.held import Held
from actors.runtime.mailbox import Envelope
from actors.runtime.observer import Activated, Dropped, Observer, Passivated, StoreLost
from actors.runtime.slices import NewerSchema
from actors.runtime.tickets import Ticket
from protocol import Unavailable
from storage import ActorWrite, CommitResult, Snapshot, Store, StoreDown

log = structlog.get_logger()
TURNS_PER_ROUND = 64  # of one actor before the next one's; keeps a hot actor from making others wait
ROUND_S = 0.004  # then the loop looks at its sockets again
LATEST_S = 0.008  # for an actor in whose midst a round would end: what it says goes to each reader in one write
CLAIMS = 256  # actors in one claim
OPENED_AT_ONCE = 32  # of them; some 3 ms, then others are heard
SWEEP_S = 1.0  # between two looks at deadlines and idle actors
WAVE = 256  # actors handed over at the same time; one commit's worth
PATIENCE_S = 0.5  # for an actor whose tells are under way, or whose caller waits for a later answer
LAPSED = "lease lost"
NEWER_S = 30.0  # an actor that a newer release has written is not claimed again so soon; a row each time costs
NEWER_KEPT = 100_000  # such actors that are remembered; about 20 MB


class Outlet(Protocol):
    """Where the host's results go: the node's hub, relay, sessions and router."""

    def released(self, address: str, ran: Ran) -> None:
        """Events, tells, calls and commands that are safe to be seen."""
        ...

    def redeem(self, ticket: Ticket, deliver: Deliver) -> None:
        """Answer a kept ticket."""
        ...

    def opened(self, snapshot: Snapshot) -> None:
        """The actor was loaded here; its outbox may hold tells of an earlier owner."""
        ...

    def left(self, address: str, waiting: list[Envelope], owner: str | None) -> None:
        """The actor is not here (any more); ``owner`` where it is known."""
        ...

    def owing(self, address: str) -> None:
        """The actor has left while tells of it were under way: its next owner should look after them now."""
        ...

    def is_home(self, address: str) -> bool:
        """Whether the actor has to stay here however idle it is: it knows live sessions, and would forget them."""
        ...


class HostOptions(Struct, frozen=True):
    """Bounds of a host."""

    idle_s: float = 300.0
    """Seconds without a message after which an actor is passivated."""
    mailbox: int = 1024
    """Messages that may wait for one actor."""


class Host:
    """Runs actors; ``find`` and ``open`` are how the router reaches them."""

    def __init__(  # noqa: PLR0913 - the node's composition, all by name
        self,
        *,
        node: str,
        store: Store,
        blueprint: Blueprint,
        committer: Committer,
        tools: Tools,
        clock: Clock,
        random: Random,
        outlet: Outlet,
        serving: Callable[[], bool],
        others: Callable[[], Sequence[str]],
        observe: Observer,
        options: HostOptions,
    ) -> None:
        self.observe = observe
        self.monotonic = clock.monotonic
        self._node = node
        self._store = store
        self._blueprint = blueprint
        self._committer = committer
        self._tools = tools
        self._clock = clock
        self._random = random
        self._outlet = outlet
        self._serving = serving
        self._others = others
        self._newer: dict[str, float] = {}
        """Actors that only a newer release can read, and until when (monotonic) that is not tried again."""
        self._options = options
        self._backoff = Backoff(random)
        self._activations = Held()
        self._owing: set[str] = set()
        """Actors that were dropped while tells of them were under way."""
        self._loading: dict[str, Activation] = {}
        self._loading_bell = asyncio.Event()
        self._ready: deque[Activation] = deque()
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.find = self._activations.get
        self.release = outlet.released
        self.redeem = outlet.redeem

    # For the router.
    def open(self, address: str) -> Activation:
        """The activation of an actor, loading it first where need be."""
        activation = self._activations.get(address)
        if activation is None:
            activation = self._activations[address] = Activation(address, self, self._options.mailbox)
            self.reload(activation)
        return activation

    def give_up(self, address: str) -> None:
        """Passivate an actor now, if nobody waits for it: its place is elsewhere."""
        activation = self._activations.get(address)
        if activation is not None:
            activation.leave()

    def drop_all(self) -> None:
        """End every activation without saving: the lease has run out, others may own them."""
        log.warning("actors.dropped", why=LAPSED, actors=len(self._activations))
        for activation in list(self._activations.values()):
            if activation.unheard:
                self._owing.add(activation.address)
            activation.drop(LAPSED)

    @property
    def activations(self) -> Held:
        """By address; not to be changed."""
        return self._activations

    # For activations (Hosting).
    def trace(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    def ready(self, activation: Activation) -> None:
        activation.queued = True
        self._ready.append(activation)
        if not self._scheduled:
            self._scheduled = True
            self._running_loop().call_soon(self._round)

    def wake(self, activation: Activation) -> None:
        self._committer.wake(activation)

    def reload(self, activation: Activation) -> None:
        self._loading[activation.address] = activation
        self._loading_bell.set()

    def left(self, activation: Activation, waiting: list[Envelope], why: str) -> None:
        address = activation.address
        if self._activations.get(address) is activation:
            del self._activations[address]
        self._loading.pop(address, None)
        self.observe(Passivated(address) if why == "passivated" else Dropped(address))
        if why not in ("passivated", LAPSED):  # of thousands at once, one line tells more
            log.info("actor.dropped", actor=address, why=why, waiting=len(waiting))
        self._outlet.left(address, waiting, None)

    # Running.
    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Claim, run and sweep until the context is left."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._claim(), name="host-claims"),
                tasks.create_task(self._sweep(), name="host-sweep"),
            ]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()

    async def hand_over(self, within_s: float, *, spare: str = "") -> bool:
        """Give every actor up but those of kind ``spare``, a wave at a time, so that each is silent for one commit;
        False if some are still here after ``within_s`` seconds."""
        began = self._clock.monotonic()
        while (now := self._clock.monotonic()) < began + within_s:
            going = [a for a in self._activations.values() if not spare or not a.address.startswith(f"{spare}:")]
            if not going:
                return True
            wave = self._wave(going, patient=now < began + PATIENCE_S)
            while any(activation.leaving for activation in wave) and self._clock.monotonic() < began + within_s:
                await self._clock.sleep(0.005)
            for activation in wave:
                if activation.state is State.GONE and activation.unheard:
                    self._outlet.owing(activation.address)
            if not wave:
                await self._clock.sleep(0.01)
        return False

    def _wave(self, going: list[Activation], *, patient: bool) -> list[Activation]:
        """Those that begin to leave now."""
        wave: list[Activation] = []
        for activation in going:
            if activation.quarantined is not None:
                activation.drop("draining")
            elif activation.hand_over(patient=patient):
                wave.append(activation)
                if len(wave) == WAVE:
                    break
        return wave

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _round(self) -> None:
        """Run what is ready, each actor a bounded number of turns, for a bounded time."""
        ready = self._ready
        if not self._serving():
            self._refuse_all()
            return
        now_ms = self._clock.now_ms()
        clock = self.monotonic()
        until, latest = clock + ROUND_S, clock + LATEST_S
        try:
            for _ in range(len(ready)):
                activation = ready.popleft()
                clock = activation.run(TURNS_PER_ROUND, now_ms, clock, latest)
                if activation.queued:
                    ready.append(activation)
                if clock > until:
                    break
        finally:  # whatever a receiver of answers has raised: the other actors run on
            self._scheduled = bool(ready)
            if ready:
                self._running_loop().call_soon(self._round)

    def _refuse_all(self) -> None:
        """The lease is over, as after a long pause of the process: not even a read is answered."""
        self._scheduled = False
        while self._ready:
            activation = self._ready.popleft()
            activation.queued = False
            activation.drop(LAPSED)

    async def _claim(self) -> None:
        tries = 0
        while True:
            if not self._loading:
                self._loading_bell.clear()
                await self._loading_bell.wait()
            batch = self._not_newer(dict(list(self._loading.items())[:CLAIMS]))
            if not batch:
                continue
            try:
                answers = await self._store.claim(self._node, list(batch))
            except StoreDown as error:
                if tries == 0:
                    log.warning("claim.failed", reason=str(error), actors=len(batch))
                    self.observe(StoreLost("claim"))
                await self._clock.sleep(self._backoff.pause(tries))
                tries += 1
                continue
            tries = 0
            for n, answer in enumerate(answers, start=1):
                if n % OPENED_AT_ONCE == 0:
                    await self._clock.sleep(0)
                activation = batch[answer.actor]
                if self._loading.get(answer.actor) is not activation:
                    continue  # dropped while it was being claimed
                del self._loading[answer.actor]
                if isinstance(answer, Snapshot):
                    self._open(activation, answer)
                else:
                    self._send_on(activation, answer.node)

    def _open(self, activation: Activation, snapshot: Snapshot) -> None:
        kind: Kind | None = self._blueprint.kind_of(snapshot.actor)
        assert kind is not None, "the router opens only kinds that the blueprint has"
        try:
            actor = Actor(kind, snapshot, self._tools)
        except NewerSchema as newer:
            log.warning("actor.left_to_newer", actor=snapshot.actor, reason=str(newer))
            if len(self._newer) >= NEWER_KEPT:
                self._newer.clear()
            self._newer[snapshot.actor] = self._clock.monotonic() + NEWER_S
            self._committer.wake(_GiveBack(snapshot, lambda: self._leave_to_newer(activation)))
            return
        except Exception as error:  # noqa: BLE001 - whatever a room's upgrade meets costs this actor, not the node
            reason = f"cannot be loaded: {error}"
            activation.quarantine(reason)
            return
        self.observe(Activated(snapshot.actor, snapshot.fence))
        activation.opened(actor)
        self._outlet.opened(snapshot)

    # What a newer release has written.
    def _not_newer(self, batch: dict[str, Activation]) -> dict[str, Activation]:
        """What is worth a claim; the rest is sent on at once."""
        now = self._clock.monotonic()
        for address in [a for a in batch if a in self._newer]:
            if self._newer[address] > now:
                del self._loading[address]
                self._leave_to_newer(batch.pop(address))
            else:
                del self._newer[address]
        return batch

    def _leave_to_newer(self, activation: Activation) -> None:
        """Send what waits to another node, by chance: which of them runs a newer release is not known here."""
        if self._activations.get(activation.address) is not activation:
            return
        others = self._others()
        if others:
            self._send_on(activation, self._random.choice(others))
            return
        del self._activations[activation.address]
        activation.state = State.GONE
        refuse(activation.take_mail(), f"{activation.address} is for a newer release, and no such node is here")

    def _send_on(self, activation: Activation, node: str) -> None:
        del self._activations[activation.address]
        activation.state = State.GONE
        self._outlet.left(activation.address, activation.take_mail(), node)

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_S)
            while self._owing and self._serving():
                self._outlet.owing(self._owing.pop())
            now = self._clock.monotonic()
            idle_since = now - self._options.idle_s
            for n, activation in enumerate(list(self._activations.values())):
                if activation.quarantined is not None:
                    if activation.quarantined_until < now:
                        activation.drop("quarantine is over")
                elif not activation.idle:
                    activation.expire(now)
                elif activation.used < idle_since and not self._outlet.is_home(activation.address):
                    activation.leave()
                if n % 1000 == 999:
                    await self._clock.sleep(0)


def refuse(waiting: list[Envelope], why: str) -> None:
    """Answer all of them that this node cannot help; the same id finds out later."""
    for envelope in waiting:
        envelope.finish(Answer(error=Unavailable(why, retry_after_ms=1_000)))


class _GiveBack:
    """The write that gives an actor's row up as it was found (``Committable``)."""

    def __init__(self, found: Snapshot, done: Callable[[], None]) -> None:
        self.address = found.actor
        self._write: ActorWrite | None = ActorWrite(
            actor=found.actor, fence=found.fence, version=found.version, told=found.told, release=True
        )
        self._done = done

    def collect(self) -> ActorWrite | None:
        write, self._write = self._write, None
        return write

    def committed(self, _result: CommitResult) -> None:
        """Given up, or taken by somebody else before: either way it is not here."""
        self._done()
