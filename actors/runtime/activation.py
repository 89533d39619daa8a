"""An actor's one life on this node: its mailbox, and what its turns have to wait for before they may be seen.

    loading ──> active ──> leaving ──> releasing ──> gone
       ^          │  defect, taken key       │
       └──────────┴──────────────────────────┘  (reload, run again)         fenced out: gone at once

Turns run ahead of the commit. What came of them waits in ``_open`` until the lane collects it, then in ``_flight``
until the transaction has ended; what only read waits behind what it has seen.
"""

from enum import Enum
from functools import partial

import structlog

from actors.runtime.actor import Actor, Changed
from actors.runtime.answer import Answer, nobody
from actors.runtime.aside import Lifting
from actors.runtime.draft import Ran
from actors.runtime.flight import Done, find_offender
from actors.runtime.hosting import Hosting
from actors.runtime.mailbox import CAPACITY, Asked, Envelope, Fired, Told
from actors.runtime.observer import Isolated, Lifted, SlowTurn, TurnRan
from actors.runtime.refusals import Refusals
from actors.runtime.shares import Shares
from actors.runtime.waiters import Waiters
from protocol import Busy, Defect, GuildhallError, Quarantined, TooOld, Unavailable
from storage import ActorWrite, CommitResult, Outcome, Refused, Taken

log = structlog.get_logger()
OUTBOX = 10_000  # tells that may wait for their receivers; past that the actor is asked nothing more; about 5 MB
OPEN_TURNS = 4096  # turns that may wait for a commit; past that the actor stops taking from its mailbox
SLOW_TURN_S = 0.005
SAMPLE = 64  # one turn in so many is timed for the metrics
DEFECTS = 10  # defects in a row without a good commit after which the actor is quarantined


class State(Enum):
    """Where an activation is in its life."""

    LOADING = "loading"
    ACTIVE = "active"
    LEAVING = "leaving"
    """No more turns; what they did so far goes into the last commit."""
    RELEASING = "releasing"
    """The last commit is under way."""
    GONE = "gone"


_ACTIVE = State.ACTIVE  # looking it up in its class takes as long as the rest of ``post``


class Activation:
    """One actor on this node, from its claim to its release."""

    __slots__ = (
        "_broken",
        "_capacity",
        "_careful",
        "_defects",
        "_flight",
        "_host",
        "_mailbox",
        "_open",
        "_ran",
        "_refusals",
        "_shares",
        "_waiters",
        "actor",
        "address",
        "quarantined",
        "quarantined_until",
        "queued",
        "state",
        "unheard",
        "used",
    )

    def __init__(self, address: str, host: Hosting["Activation"], capacity: int = CAPACITY) -> None:
        self.address = address
        self.state = State.LOADING
        self.actor: Actor | None = None
        self.quarantined: str | None = None
        """Why it answers nothing; None while it is well."""
        self.quarantined_until = 0.0
        self.used = host.monotonic()
        """Monotonic seconds of the last message."""
        self.queued = False
        """Whether the host will run it in this round anyway."""
        self.unheard = 0
        """Own tells that their receivers have not noted yet."""
        self._host = host
        self._capacity = capacity
        self._mailbox: list[Envelope] = []  # not a deque: that takes 700 bytes, and few wait in most
        self._shares: Shares | None = None  # counted anew when somebody comes and turns have run since
        self._open: list[Done] = []
        self._flight: list[Done] | None = None
        self._waiters = Waiters()
        self._careful = False
        self._broken = False
        self._defects = 0
        self._ran = 0
        self._refusals: Refusals | None = None  # most actors refuse nothing

    # In.
    def post(self, envelope: Envelope) -> None:
        """Take a message; refused at once when the mailbox is full, the actor is quarantined, or its tells do not get
        away. What other actors tell it is taken then, or two whose outboxes are full would wait for each other."""
        mailbox = self._mailbox
        if self.quarantined is not None or self.unheard >= OUTBOX or len(mailbox) * 2 >= self._capacity:
            refusal = self._refusal_of(envelope)
            if refusal is not None:
                envelope.finish(Answer(error=refusal))
                return
            if self.quarantined is not None and isinstance(envelope, Asked):
                self._lift(envelope)
                mailbox = self._mailbox
        self.used = envelope.since
        mailbox.append(envelope)
        if self.state is _ACTIVE and not self.queued:
            self._host.ready(self)

    def _refusal_of(self, envelope: Envelope) -> GuildhallError | None:
        """Why an actor that is in some trouble does not take a message; None where it does."""
        if self.quarantined is not None and not _lifts(envelope):
            return Quarantined(self.quarantined, retry_after_ms=5_000)
        if len(self._mailbox) * 2 >= self._capacity and not self._has_room_for(envelope):
            return Busy(f"{self.address} has too many messages waiting", retry_after_ms=250)
        if self.unheard >= OUTBOX and isinstance(envelope, Asked | Fired):
            return Busy(f"{self.address} has {self.unheard} tells that nobody has heard", retry_after_ms=1_000)
        return None

    def _has_room_for(self, envelope: Envelope) -> bool:
        """Whether a mailbox that is half full takes one more of this sender."""
        if self._shares is None:
            self._shares = Shares(self._mailbox, self._capacity)
        return self._shares.take(envelope)

    @property
    def idle(self) -> bool:
        """Whether it could be put away without anybody waiting for it."""
        return not (
            self._mailbox or self._open or self._flight is not None or self._waiters or self.unheard or self._broken
        )

    def opened(self, actor: Actor) -> None:
        """The actor was claimed and loaded: run what has waited."""
        self.actor = actor
        self.state = State.ACTIVE
        if self._mailbox and not self.queued:
            self._host.ready(self)

    def take_mail(self) -> list[Envelope]:
        """What has waited for an actor that turned out to be elsewhere."""
        mail = [envelope for envelope in (*self._mailbox, *self._waiters.take()) if not envelope.finished]
        self._mailbox.clear()
        return mail

    def run(self, budget: int, now_ms: int, clock: float, until: float) -> float:
        """Run up to ``budget`` messages from the monotonic time ``clock`` on, and no more once it is ``until``; returns
        the time after them. ``queued`` says whether more could be run now."""
        mailbox = self._mailbox
        self._shares = None
        more = False
        try:
            while mailbox and self.state is _ACTIVE and not self._broken:
                if (self._open or self._careful) and self._has_to_wait:
                    break
                if budget == 0 or clock > until:
                    more = True
                    break
                budget -= 1
                envelope = mailbox.pop(0)
                if envelope.deliver is not None:
                    clock = self._turn(envelope, now_ms, clock)
        finally:  # also where a receiver of answers has raised
            self.queued = more
        return clock

    @property
    def _has_to_wait(self) -> bool:
        """Whether the next turn has to wait for a commit."""
        return len(self._open) >= OPEN_TURNS or (self._careful and bool(self._open or self._flight is not None))

    def _turn(self, envelope: Envelope, now_ms: int, started: float) -> float:
        """Run one message; returns the monotonic time after it, which is when the next one starts."""
        actor = self.actor
        assert actor is not None
        host = self._host
        result: Ran | GuildhallError | None = None
        try:
            if self._refusals is not None:
                result = self._refused_before(self._refusals, envelope, started)
            if result is None:
                result = envelope.run(actor, now_ms)
        except GuildhallError as refusal:
            result = refusal
            self._note_refusal(envelope, refusal, started)
        except (Exception, Changed) as defect:  # noqa: BLE001 - anything else is a defect; it ends in the log and here
            self._defect(envelope, defect)
            return host.monotonic()
        ended = host.monotonic()
        took = ended - started
        self._ran += 1
        if took > SLOW_TURN_S:
            host.observe(SlowTurn(self.address, type(getattr(envelope, "request", envelope)).__name__, took))
        if self._ran % SAMPLE == 1:
            host.observe(TurnRan(self.address.partition(":")[0], started - envelope.since, took))
        self._settle(envelope, result)
        return ended

    def _refused_before(self, refusals: Refusals, envelope: Envelope, now: float) -> GuildhallError | None:
        """What another copy of a request was refused with, a moment ago."""
        if not isinstance(envelope, Asked):
            return None
        return refusals.find(envelope.caller.player, envelope.request, now)

    def _note_refusal(self, envelope: Envelope, refusal: GuildhallError, now: float) -> None:
        if refusal.retry != "never" or not isinstance(envelope, Asked) or self.actor is None:
            return
        turn = self.actor.kind.turns.get(type(envelope.request))
        if turn is not None and turn.keeps:  # the server's own parts do not number their requests for ever
            if self._refusals is None:
                self._refusals = Refusals()
            self._refusals.note(envelope.caller.player, envelope.request, refusal, now)

    def _settle(self, envelope: Envelope, result: Ran | GuildhallError | None) -> None:
        """Release what came of a turn, or have it wait for the commits that it has seen."""
        if type(result) is Ran:
            durable = result.durable
            if result.deferred:
                assert isinstance(envelope, Asked)
                self._waiters.add(envelope)
        else:
            assert self.actor is not None
            durable = result is not None and envelope.noted and not self.actor.draft.empty
        if durable:
            self._open.append(Done(envelope, result))
            self._host.wake(self)
        elif self._open:
            self._open.append(Done(envelope, result))
        elif self._flight is not None:
            self._flight.append(Done(envelope, result))
        else:
            self._release(envelope, result)

    # Out.
    def _release(self, envelope: Envelope, result: Ran | GuildhallError | None) -> None:
        if type(result) is not Ran:
            envelope.finish(Answer(error=result))
            return
        if result.effects:
            self._host.release(self.address, result)
            for ref, answer in result.answers:
                self._waiters.answer(ref, answer)
        ticket = result.ticket
        if ticket is not None and ticket.kept:
            self._host.redeem(ticket, partial(self._redeemed, envelope))
        elif not result.deferred:
            envelope.finish(result)

    def _redeemed(self, envelope: Envelope, answer: Answer) -> None:
        """What a kept ticket has come to: the op's reply from now on."""
        if isinstance(envelope, Asked) and answer.reply is not None and self.actor is not None:
            answer = Answer(self.actor.redeemed(envelope.caller.player, envelope.request.id, answer.reply))
        envelope.finish(answer)

    def _release_late(self, flight: list[Done]) -> None:
        """It was dropped while it was committed: what waited was sent on and finds its kept reply where it arrives, and
        the next activation delivers the tells; but nobody else would show what was published."""
        for done in flight:
            if isinstance(done.result, Ran):
                done.result.tells = ()
                self._host.release(self.address, done.result)
                ticket = done.result.ticket
                if ticket is not None and ticket.kept:
                    self._host.redeem(ticket, nobody)  # whoever asks again redeems it once more

    # Commit (Committable).
    def collect(self) -> ActorWrite | None:
        """Take what is to be saved; turns that run from now on belong to the next commit."""
        leaving = self.state is State.LEAVING
        if self._broken or not (leaving or self.state is State.ACTIVE) or self.actor is None:
            return None
        if self.actor.draft.empty and not leaving:
            return None
        self._flight, self._open = self._open, []
        if leaving:
            self.state = State.RELEASING
        try:
            return self.actor.collect(release=leaving)
        except Exception as error:  # noqa: BLE001 - a value that cannot be encoded: one turn's defect, not the node's end
            flight, self._flight = self._flight, None
            self._refused_by_store(Refused(f"{type(error).__name__}: {error}"), flight)
            return None

    def committed(self, result: CommitResult) -> None:
        """Let go what was waiting for this commit, or start over from the last good one."""
        flight, self._flight = self._flight or [], None
        if self.state is State.GONE:
            if result is Outcome.DONE:
                self._release_late(flight)
            return
        if result is not Outcome.DONE:
            log.info("commit.not_done", actor=self.address, result=str(result))
        if result is Outcome.FENCED:
            self._gone("fenced out", flight)
        elif result is Outcome.DONE and self.state is State.RELEASING:
            for done in flight:
                self._release(done.envelope, done.result)
            self._gone("passivated", [])
        elif result is Outcome.DONE:
            self._safe(flight)
        elif isinstance(result, Taken):
            self._taken(result, flight)
        else:
            self._refused_by_store(result, flight)

    def _safe(self, flight: list[Done]) -> None:
        """What these turns did is committed: let it be seen, and go on."""
        self._defects = 0
        for done in flight:
            self._release(done.envelope, done.result)
        if self._broken:
            self._start_over([])
            return
        if self._careful and not self._mailbox:
            self._careful = False
        if self._open or (self.actor is not None and not self.actor.draft.empty):
            self._host.wake(self)
        if self._mailbox and not self.queued:
            self._host.ready(self)

    def _taken(self, taken: Taken, flight: list[Done]) -> None:
        """A unique key refuses one turn: answer that one, run the others again from the last commit."""
        offender, error = find_offender(taken, flight)
        if offender is None or flight[0] is not offender:
            # It may have clashed with a turn of this very commit, which is undone with it: alone it meets what is safe.
            self._careful = True
        elif isinstance(offender.envelope, Told) and offender.envelope.refused is not None:
            self._report(offender.envelope, f"runs into {error.code} again although it was told so")
        elif isinstance(offender.envelope, Told) and not isinstance(error, TooOld):
            offender.envelope.refused = type(error)
        else:
            offender.envelope.finish(Answer(error=error))
        self._start_over(flight)

    def _refused_by_store(self, refused: Refused, flight: list[Done]) -> None:
        """The store cannot take this write: find the turn by running one at a time, then give that one up."""
        if len(flight) <= 1:
            for done in flight:
                self._report(done.envelope, refused.reason)
            self._count_defect(refused.reason)
        self._careful = True
        self._start_over(flight)

    # When things go wrong.
    def _defect(self, envelope: Envelope, defect: BaseException) -> None:
        self._report(envelope, defect)
        self._broken = True  # the state cannot be trusted: nothing more is collected from it
        if not isinstance(envelope, Fired):  # a timer that keeps failing is set aside by itself (``due``)
            self._count_defect(f"{type(defect).__name__}: {defect}")
        if self._flight is None:
            self._start_over([])

    def _report(self, envelope: Envelope, defect: BaseException | str) -> None:
        error = Defect("an unexpected error; it was logged under this trace")
        error.trace = self._host.trace()
        what = type(getattr(envelope, "request", getattr(envelope, "tell", envelope))).__name__
        log.error(
            "turn.failed",
            actor=self.address,
            message=what,
            trace=error.trace,
            reason=str(defect),
            exc_info=defect if isinstance(defect, BaseException) else None,
        )
        envelope.finish(Answer(error=error))

    def _count_defect(self, reason: str) -> None:
        self._defects += 1
        if self._defects >= DEFECTS:
            self.quarantine(f"{self._defects} defects in a row, the last: {reason}")

    def _start_over(self, flight: list[Done]) -> None:
        """Forget what is not committed and load again; messages that are still unanswered run again, in order."""
        again = [done.envelope for done in (*flight, *self._open)]
        self._open = []
        self._broken = False
        undone = {id(envelope) for envelope in again}
        self._waiters.keep(lambda envelope: id(envelope) not in undone)
        self._mailbox = [e for e in (*again, *self._mailbox) if not e.finished]
        self._shares = None
        self.actor = None
        if self.quarantined is None:
            self.state = State.LOADING
            self._host.reload(self)
        else:
            self._refuse_waiting(self.quarantined)

    def quarantine(self, reason: str, seconds: float = 60.0) -> None:
        """Answer nothing until an operator has looked or ``seconds`` have passed, then load afresh."""
        self.quarantined = reason
        self.quarantined_until = self._host.monotonic() + seconds
        log.error("actor.quarantined", actor=self.address, reason=reason)
        self._host.observe(Isolated(self.address, reason))
        self._refuse_waiting(reason)

    def _lift(self, envelope: Asked) -> None:
        """End the quarantine now. Where a commit is still under way, what follows it loads the actor."""
        envelope.lifted, self.quarantined = self.quarantined, None
        self._defects = 0
        self._host.observe(Lifted(self.address))
        if self._flight is None:
            self._start_over([])

    def _refuse_waiting(self, reason: str) -> None:
        waiting = [*self._mailbox, *self._waiters.take()]
        self._mailbox.clear()
        for envelope in waiting:
            envelope.finish(Answer(error=Quarantined(reason, retry_after_ms=5_000)))

    def leave(self) -> bool:
        """Begin to give the actor up; False if somebody still waits for it."""
        return self.idle and self.hand_over()

    def hand_over(self, *, patient: bool = False) -> bool:
        """Begin to give the actor up, however busy it is: what it has done is committed, what waits is sent on. False
        while it cannot; with ``patient`` also while the next owner would have to begin something anew."""
        if self.state is not State.ACTIVE or self.actor is None or self._broken:
            return False
        if patient and (self._waiters or self.unheard):
            return False
        self.state = State.LEAVING
        self._host.wake(self)
        return True

    @property
    def leaving(self) -> bool:
        """Whether it is on its way out."""
        return self.state is State.LEAVING or self.state is State.RELEASING

    def drop(self, why: str) -> None:
        """End at once without saving: the lease has run out. A commit under way decides by its fence."""
        if self.state is not State.GONE:
            self._gone(why, self._flight or [])

    def _gone(self, why: str, flight: list[Done]) -> None:
        self.state = State.GONE
        waiting = [*(done.envelope for done in (*flight, *self._open)), *self._waiters.take(), *self._mailbox]
        self._open = []
        self._mailbox.clear()
        unanswered = {id(envelope): envelope for envelope in waiting if not envelope.finished}
        self._host.left(self, list(unanswered.values()), why)

    def expire(self, now: float) -> None:
        """Tell senders whose deadline has passed that the outcome is unknown; what they asked goes on."""
        under_way = (done.envelope for done in (*(self._flight or ()), *self._open))
        for envelope in [*self._mailbox, *under_way, *self._waiters]:
            if envelope.deadline <= now:
                envelope.finish(Answer(error=Unavailable("no answer in time", retry_after_ms=1_000)))
        self._waiters.keep(lambda envelope: not envelope.finished)


def _lifts(envelope: Envelope) -> bool:
    return isinstance(envelope, Asked) and isinstance(envelope.request, Lifting)
