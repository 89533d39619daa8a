"""Carries tells between rooms as unluckily as the runtime may, from a seed: any order among pairs of actors, tells
delivered again, commits that come late, crashes that take everything back to the last commit.

What holds is what the runtime promises: tells of one actor to another arrive in order, and each has its effect once.
"""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from msgspec import Struct

from actors.runtime import Blueprint, Feature
from actors.runtime.draft import Ran
from protocol import GuildhallError, Reply, Request
from storage import (
    OPS_PER_PLAYER,
    ActorWrite,
    Delete,
    Insert,
    OpRow,
    Position,
    SliceRow,
    Snapshot,
    TellRow,
    TimerRow,
    Upsert,
)
from tests.support.room import Room


class Disk(Struct):
    """What is committed of one actor."""

    version: int = 0
    told: int = 0
    slices: dict[str, SliceRow] = {}
    ops: dict[tuple[str, int], OpRow] = {}
    topics: dict[str, Position] = {}
    outbox: dict[int, TellRow] = {}
    heard: dict[str, int] = {}
    timers: dict[str, TimerRow] = {}


class PostOffice:
    """Actors by address, with a disk each. ``unique`` names the unique column of each table that rooms write to."""

    def __init__(
        self, features: Mapping[str, Sequence[Feature[Any]]], seed: int, unique: Mapping[str, str] | None = None
    ) -> None:
        self.random = Random(seed)
        self.tables: dict[str, dict[Any, Mapping[str, Any]]] = {table: {} for table in unique or {}}
        self.answers: dict[tuple[str, str], Reply] = {}
        """Replies that left, by player and op."""
        self._features = features
        self._addresses = Blueprint({f.name: f for kind in features.values() for f in kind}.values()).addresses
        self._unique = unique or {}
        self._disks: dict[str, Disk] = {}
        self._rooms: dict[str, Room] = {}
        self._held: dict[str, list[tuple[tuple[str, str], Reply]]] = {}
        """Replies that wait for their actor's commit."""

    def room(self, actor: str) -> Room:
        """The actor, loaded from its disk where it is not in memory."""
        if actor not in self._rooms:
            disk = self._disks.setdefault(actor, Disk())
            snapshot = Snapshot(
                actor=actor,
                fence=1,
                version=disk.version,
                told=disk.told,
                slices=dict(disk.slices),
                ops=list(disk.ops.values()),
                topics=dict(disk.topics),
                heard=dict(disk.heard),
                timers=list(disk.timers.values()),
            )
            room = self._rooms[actor] = Room(self._features[actor.partition(":")[0]], actor=actor, snapshot=snapshot)
            room.actor.context.random = Random(self.random.random())
        return self._rooms[actor]

    def actors(self, kind: str) -> Iterator[tuple[str, Room]]:
        """Every actor of ``kind`` that there ever was, by key."""
        for actor in list(self._disks):
            if actor.startswith(f"{kind}:"):
                yield actor.partition(":")[2], self.room(actor)

    def ops(self, actor: str) -> list[OpRow]:
        """The ops of an actor that are kept."""
        return list(self._disks[actor].ops.values())

    def ask(self, request: Request[Any], caller: str) -> bool:
        """Run a client's request; False when it was refused."""
        actor = self._addresses[type(request)](request, caller)
        try:
            reply = self.room(actor).ask(request, caller=caller)
        except GuildhallError:
            return False
        if isinstance(reply, Reply):
            self._held.setdefault(actor, []).append(((caller, request.id), reply))
        self._maybe_commit(actor)
        return True

    def step(self) -> bool:
        """Deliver one tell; False when none is waiting."""
        heads: dict[tuple[str, str], int] = {}
        for sender, disk in self._disks.items():
            for number in sorted(disk.outbox, reverse=True):
                heads[sender, disk.outbox[number].to] = number
        if not heads:
            return False
        (sender, receiver), number = self.random.choice(list(heads.items()))
        self._deliver(sender, receiver, self._disks[sender].outbox[number])
        return True

    def settle(self) -> None:
        """Deliver and commit everything that is under way."""
        while True:
            for actor in list(self._rooms):
                self.commit(actor)
            if not self.step():
                return

    def crash(self, actor: str) -> None:
        """Take the actor back to its last commit."""
        self._rooms.pop(actor, None)
        self._held.pop(actor, None)

    def crash_one(self) -> None:
        """Crash an actor by chance."""
        if self._rooms:
            self.crash(self.random.choice(list(self._rooms)))

    def commit(self, actor: str) -> bool:
        """Save what the actor's turns have changed; False where a unique key is taken, and all of it is undone."""
        room, disk = self.room(actor), self._disks[actor]
        write = room.commit()
        for record in write.records:
            if isinstance(record, Insert) and record.values[self._unique[record.table]] in self.tables[record.table]:
                self.crash(actor)
                return False
        self._apply(write, disk)
        for ref, reply in self._held.pop(actor, []):
            self.answers.setdefault(ref, reply)
        return True

    def _deliver(self, sender: str, receiver: str, row: TellRow) -> None:
        ran = self._hear(sender, receiver, row, None)
        if ran is not None and ran.records and not self.commit(receiver):
            self._hear(sender, receiver, row, ran.records[0].taken)
        self._maybe_commit(receiver)
        noted = self._disks[receiver].heard.get(sender, 0) >= row.number
        if noted and self.random.random() < 0.7:  # else the word that it was heard is lost, and it is sent again
            del self._disks[sender].outbox[row.number]

    def _hear(self, sender: str, receiver: str, row: TellRow, refused: type[GuildhallError] | None) -> Ran | None:
        room = self.room(receiver)
        ran = room.hear(room.decode_tell(row.body), sender=sender, number=row.number, refused=refused)
        if ran is not None:
            answers = [((ref.player, ref.op), reply) for ref, reply in ran.answers]
            self._held.setdefault(receiver, []).extend(answers)
        return ran

    def _maybe_commit(self, actor: str) -> None:
        if self.random.random() < 0.6:
            self.commit(actor)

    def _apply(self, write: ActorWrite, disk: Disk) -> None:
        disk.version, disk.told = write.version + 1, write.told
        disk.slices.update(write.slices)
        disk.ops.update({(op.player, op.count % OPS_PER_PLAYER): op for op in write.ops})
        disk.topics.update(write.topics)
        disk.outbox.update({row.number: row for row in write.outbox})
        disk.heard.update(write.heard)
        for name in write.cancelled:
            disk.timers.pop(name, None)
        disk.timers.update({timer.name: timer for timer in write.timers})
        for record in write.records:
            if isinstance(record, Upsert):
                continue  # what is found by such a row is no business of agreement
            table, column = self.tables[record.table], self._unique[record.table]
            if isinstance(record, Insert):
                table[record.values[column]] = record.values
                continue
            assert isinstance(record, Delete)
            row = table.get(record.where[column])
            if row is not None and row.items() >= record.where.items():
                del table[record.where[column]]
