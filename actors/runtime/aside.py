"""What was set aside: tells that their receivers could not run, and timers that their own actor could not.

It stays in its table with the reason, on a shard that no search meets, until staff has it tried again or gives it up.
Both are effects of a turn of the actor that owns the row: fenced, and one commit with all else that the turn does.

- **A tell that is tried again is told anew**, under the next number, in the commit that removes the old row: no crash
  loses or doubles it. Under its old number a receiver that has heard a later tell of the pair would take it for a
  repeat. So it comes after all that was told before it was tried again. The old one has had no effect: every try was
  answered that its turn failed. A copy that the bus still carries is dropped where a later tell of the pair was heard;
  before that it is run, within the router's deadline of some seconds, and fails as the others did.
- **A timer that is tried again is due now**: it fires late, once. Whatever is still under way for the old due time
  finds nothing.

A whole actor is quarantined where its state cannot be loaded or turn after turn fails. That ends by itself after a
while, or with a request that is ``Lifting``.
"""

import msgspec
from msgspec import MsgspecError, Struct

from storage import TellRow, TimerRow

Aside = TellRow | TimerRow
"""A row that was set aside."""


class TryAgain(Struct, frozen=True):
    """Effect: tell it, or fire it, once more."""

    row: Aside


class GiveUp(Struct, frozen=True):
    """Effect: it goes, and what it should have done is never done."""

    row: Aside


Settling = TryAgain | GiveUp


class Lifting:
    """Mixed into a request: where its actor is quarantined, that ends, and it is the first that runs on the actor as
    the store has it (``Context.lifted``). Where that cannot be loaded either it is quarantined anew, and this refused.
    """

    __slots__ = ()


def type_of(body: bytes) -> str:
    """The tag of a tell as it is kept, known to this release or not; empty where it is none at all."""
    try:
        return str(msgspec.msgpack.decode(body)["t"])
    except (MsgspecError, KeyError, TypeError):
        return ""
