"""Turns that have run and wait for their commit, in order, and which of them a unique key has refused."""

from msgspec import Struct

from actors.runtime.draft import Ran
from actors.runtime.mailbox import Envelope
from protocol import Defect, GuildhallError, TooOld
from storage import Taken


class Done(Struct, eq=False):
    """A turn that has run and waits for its commit; ``result`` is None for a tell that was heard before."""

    envelope: Envelope
    result: Ran | GuildhallError | None


def find_offender(taken: Taken, flight: list[Done]) -> tuple[Done | None, GuildhallError]:
    """The turn whose record or event clashed, and what it is answered."""
    records = events = 0
    for done in flight:
        if not isinstance(done.result, Ran):
            continue
        if taken.record is not None and records <= taken.record < records + len(done.result.records):
            keep = done.result.records[taken.record - records]
            return done, keep.taken()
        durable = sum(event.body is not None for event in done.result.events)
        if taken.event is not None and events <= taken.event < events + durable:
            return done, TooOld("this id was used before, longer ago than replies are kept")
        records += len(done.result.records)
        events += durable
    return None, Defect()
