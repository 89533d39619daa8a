"""Set aside: staff has tells and timers that kept failing tried once more, or gives them up, and actors that are
quarantined loaded again at once.

Owns nothing; its turns are run by the actor whose row it is, of whatever kind. So a change is fenced like all else that
the actor writes, and one commit with its row in ``audit``. What was set aside, and what trying again means:
``actors.runtime.aside``.

The audit says what it was: to whom, of which type, since when and why. What a tell said is neither shown nor written
down: it may be what a player has written. What it was to move stands in its sender's own records (``wallet_ledger``).
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from actors.runtime import EVERY_KIND, Context, Feature, GiveUp, Lifting, TryAgain, type_of
from actors.staff import By, audit
from protocol import GuildhallError, Reply, Request
from storage import TellRow, TimerRow

Address = Annotated[str, Meta(max_length=160)]
Ending = Literal["requeued", "dropped"]


class TellNotSetAside(GuildhallError):
    """The actor has no tell of this number that was set aside: there was none, or it was requeued or dropped."""

    code = "tell.not_found"


class TimerNotSetAside(GuildhallError):
    """The actor has no timer of this name that was set aside: there was none, or it was requeued, dropped, set anew."""

    code = "timer.not_found"


class NotQuarantined(GuildhallError):
    """The actor is not quarantined now: it was never, or it has been tried again since."""

    code = "actor.not_quarantined"


class ActorRetried(Reply, tag="set_aside.actor_retried", frozen=True, kw_only=True):
    """It was loaded, and has run this one turn. ``reason``: why it was quarantined until then."""

    actor: str
    reason: str


class ActorRetry(Lifting, Request[ActorRetried], tag="set_aside.actor_retry", frozen=True, kw_only=True):
    """Have a quarantined actor loaded now, and what it is asked from now on run."""

    actor: Address
    by: By


class TellSettled(Reply, tag="set_aside.tell_settled", frozen=True, kw_only=True):
    """``number``: as it was; a tell that was requeued has a new one."""

    actor: str
    number: int
    ending: Ending


class TellSettle(Request[TellSettled], tag="set_aside.tell_settle", frozen=True, kw_only=True):
    """Have the actor tell once more what was set aside, or forget it."""

    actor: Address
    number: int
    ending: Ending
    by: By


class TimerSettled(Reply, tag="set_aside.timer_settled", frozen=True, kw_only=True):
    actor: str
    timer: str
    ending: Ending


class TimerSettle(Request[TimerSettled], tag="set_aside.timer_settle", frozen=True, kw_only=True):
    """Have the actor's timer fire once more, now, or forget it."""

    actor: Address
    timer: Annotated[str, Meta(max_length=64)]
    ending: Ending
    by: By


class NoSlice(Struct):
    """Nothing is kept."""


set_aside = Feature(name="set_aside", actor=EVERY_KIND, state=NoSlice)


@set_aside.handles(ActorRetry, address=lambda msg, _caller: msg.actor, writes=False, internal=True)
def retry(ctx: Context, _none: NoSlice, msg: ActorRetry) -> ActorRetried:
    """Write it down: that this turn runs is what was asked for.

    Raises:
        NotQuarantined: it has not ended a quarantine.
    """
    if ctx.lifted is None:
        raise NotQuarantined(f"{ctx.actor} is not quarantined")
    reply = ActorRetried(actor=ctx.actor, reason=ctx.lifted)
    audit(ctx, msg.by, "actor.retried", ctx.actor, before={"reason": ctx.lifted}, after=None, reply=reply)
    return reply


@set_aside.handles(TellSettle, address=lambda msg, _caller: msg.actor, writes=False, internal=True)
def settle_tell(ctx: Context, _none: NoSlice, msg: TellSettle) -> TellSettled:
    """Tell it anew, or forget it.

    Raises:
        TellNotSetAside: there is none.
    """
    row = ctx.aside(msg.number)
    if not isinstance(row, TellRow):
        raise TellNotSetAside(f"{ctx.actor} has no tell {msg.number} that was set aside")
    _settle(ctx, row, msg.ending)
    reply = TellSettled(actor=ctx.actor, number=row.number, ending=msg.ending)
    before = {"number": row.number, "to": row.to, "type": type_of(row.body), "at": row.at_ms, "reason": row.failed}
    audit(ctx, msg.by, f"tell.{msg.ending}", ctx.actor, before=before, after=None, reply=reply)
    return reply


@set_aside.handles(TimerSettle, address=lambda msg, _caller: msg.actor, writes=False, internal=True)
def settle_timer(ctx: Context, _none: NoSlice, msg: TimerSettle) -> TimerSettled:
    """Fire it once more, late, or forget it.

    Raises:
        TimerNotSetAside: there is none.
    """
    row = ctx.aside(msg.timer)
    if not isinstance(row, TimerRow):
        raise TimerNotSetAside(f"{ctx.actor} has no timer {msg.timer!r} that was set aside")
    _settle(ctx, row, msg.ending)
    reply = TimerSettled(actor=ctx.actor, timer=row.name, ending=msg.ending)
    before = {"timer": row.name, "type": type_of(row.body), "due": row.due_ms, "reason": row.failed}
    audit(ctx, msg.by, f"timer.{msg.ending}", ctx.actor, before=before, after=None, reply=reply)
    return reply


def _settle(ctx: Context, row: TellRow | TimerRow, ending: Ending) -> None:
    ctx.settle(TryAgain(row) if ending == "requeued" else GiveUp(row))
