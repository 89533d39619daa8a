"""Bugs to be planted, one at a time: each must make some seed red, or the simulation is blind where it matters.

Nothing of the product knows of them: each is the product with one function replaced, for as long as the block lasts.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from actors.runtime.activation import Activation
from actors.runtime.context import Follow
from actors.runtime.draft import Draft, Ran
from actors.runtime.relay import Relay
from actors.runtime.stream import Reader
from actors.runtime.topics import Hub
from storage import ActorWrite, Outcome, Snapshot, commits
from storage.commits import ActorRow


def _publish_before_commit() -> AbstractContextManager[Any]:
    """Events are shown when their turn has run, not when it is safe."""
    settle = Activation._settle

    def settle_at_once(self: Activation, envelope: Any, result: Any) -> None:
        if isinstance(result, Ran) and result.events:
            early = Ran(None)
            early.events = result.events
            self._host.release(self.address, early)
            result.events = []
        settle(self, envelope, result)

    return mock.patch.object(Activation, "_settle", settle_at_once)


def _no_fence_check() -> AbstractContextManager[Any]:
    """A write is applied whoever owns the actor by now."""

    def judge(write: ActorWrite, row: ActorRow | None) -> Outcome | None:
        if row is None:
            return Outcome.FENCED
        return Outcome.DONE if commits.only_releases(write) else None

    return mock.patch.object(commits, "judge", judge)


def _window_not_saved() -> AbstractContextManager[Any]:
    """What an op was answered is known in memory only."""
    collect = Draft.collect

    def forgetful(self: Draft, digest: Any, *, release: bool) -> ActorWrite:
        write = collect(self, digest, release=release)
        write.ops = []
        return write

    return mock.patch.object(Draft, "collect", forgetful)


def _relay_forgets() -> AbstractContextManager[Any]:
    """Tells that a dead owner has left in the outbox are not delivered by the next one, but put away."""

    def restore(self: Relay, snapshot: Snapshot) -> None:
        self.forget(snapshot.actor)
        activation = self._host.find(snapshot.actor)
        if activation is not None and activation.actor is not None and snapshot.outbox:
            activation.actor.draft.delivered([row.number for row in snapshot.outbox])
            self._host.wake(activation)

    return mock.patch.object(Relay, "restore", restore)


def _resume_off_by_one() -> AbstractContextManager[Any]:
    """A reader that comes back gets what comes after the event that follows its cursor."""
    follow = Hub.follow

    def skip_one(self: Hub, reader: Reader, where: Follow) -> None:
        if where.durable and where.after < where.seq:
            where = Follow(where.topic, where.epoch, where.seq, where.after + 1, durable=True)
        follow(self, reader, where)

    return mock.patch.object(Hub, "follow", skip_one)


def _timer_fires_twice() -> AbstractContextManager[Any]:
    """A timer that has fired stays in the table: the next owner of its actor fires it again."""

    def drop_timer(self: Draft, name: str) -> None:
        del self.timers[name]
        write = self._write
        write.timers = [timer for timer in write.timers if timer.name != name]

    return mock.patch.object(Draft, "drop_timer", drop_timer)


def _rows_out_of_order() -> AbstractContextManager[Any]:
    """A transaction locks its rows as they come."""

    def as_they_come(actors: Iterable[str]) -> list[str]:
        return list(actors)

    return mock.patch.object(commits, "lock_order", as_they_come)


BUGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "publish-before-commit": _publish_before_commit,
    "no-fence-check": _no_fence_check,
    "window-not-saved": _window_not_saved,
    "relay-forgets": _relay_forgets,
    "resume-off-by-one": _resume_off_by_one,
    "timer-fires-twice": _timer_fires_twice,
    "rows-out-of-order": _rows_out_of_order,
}


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Have the bug in the product within the block; None: no bug."""
    if name is None:
        yield
        return
    with BUGS[name]():
        yield
