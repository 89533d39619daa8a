"""All limits of one node as they stand now: what is configured, and over it what staff has set while nodes run.

An order of staff (``LimitsOrder``) says only what is to be different. It is kept in the database (``actors.limits``),
comes to every node with the rows that nodes replicate, and holds for live sessions from their next message on.
"""

from random import Random
from typing import Annotated, Any, Final, TypeVar

import msgspec
import structlog
from msgspec import Meta, Struct, structs

from actors.runtime.meters import Meters
from protocol.errors import Invalid
from server.config import Limits
from server.limits import Admission, Count, Rate, SharedRates
from server.player_rates import PlayerRates
from server.shedding import Lag, Shedder
from server.sign_in_rates import SignInRates

log = structlog.get_logger()
S = TypeVar("S", bound=Struct)
KINDS_MOST: Final = 200
Tag = Annotated[str, Meta(min_length=1, max_length=64)]
Kinds = Annotated[
    dict[Tag, Rate], Meta(max_length=KINDS_MOST, description="By tag of the request; others keep what is configured.")
]


# What staff sends: the sections of the configuration, with every setting optional.
class SessionOrder(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`limits.session`."""

    requests: Rate | None = None
    kinds: Kinds | None = None
    abuse_refusals: Count | None = None
    abuse_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None


class PlayerOrder(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`limits.player`."""

    requests: Rate | None = None
    kinds: Kinds | None = None


class SignInOrder(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`limits.sign_in`."""

    attempts_per_address: Rate | None = None
    failures_per_address: Rate | None = None
    attempts_per_account: Rate | None = None
    failures_per_account: Rate | None = None


class AdmissionOrder(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`limits.admission`."""

    connections: Count | None = None
    connections_per_address: Count | None = None
    handshakes: Rate | None = None
    handshakes_per_address: Rate | None = None
    full_retry_s: Count | None = None
    longest_retry_s: Count | None = None


class SheddingOrder(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`limits.shedding`."""

    connections_s: Lag | None = None
    sign_ins_s: Lag | None = None
    expensive_s: Lag | None = None
    requests_s: Lag | None = None
    calm_s: Annotated[float, Meta(ge=0, le=600)] | None = None
    expensive: Annotated[list[Tag], Meta(max_length=KINDS_MOST)] | None = None


class LimitsOrder(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What is to be different from the configuration, whole: what is not said is as configured."""

    session: SessionOrder | None = None
    player: PlayerOrder | None = None
    sign_in: SignInOrder | None = None
    admission: AdmissionOrder | None = None
    shedding: SheddingOrder | None = None


class LimitsShown(Struct, frozen=True, kw_only=True):
    """The limits of the answering node; `configured` and `effective` have the sections of the configuration."""

    enforced: bool
    """False where `limits.enabled` is off."""
    configured: dict[str, Any]
    order: dict[str, Any]
    """What staff has set over it."""
    effective: dict[str, Any]


class NodeLimits:
    """The limits of one node; ``tags`` are the requests that there are."""

    def __init__(self, configured: Limits, meters: Meters, random: Random, tags: frozenset[str] = frozenset()) -> None:
        self.enforced = configured.enabled == "on"
        self.order: dict[str, Any] = {}
        """What staff has set, as it is kept."""
        self.effective = configured
        self.session = SharedRates(configured.session, meters.limited)
        self.players = PlayerRates(configured.player, meters.limited)
        self.sign_in = SignInRates(configured.sign_in, meters.limited)
        self.admission = Admission(configured.admission)
        self.shedder = Shedder(configured.shedding, meters, random)
        self._configured = configured
        self._tags = tags

    def observe_lag(self, now: float, lag_s: float) -> None:
        """The event loop was late by ``lag_s``: shed, or stop shedding."""
        if self.enforced:
            self.shedder.observe(now, lag_s)
            self.session.shed = self.shedder.shed_request if self.shedder.sheds_requests else None

    def check(self, order: LimitsOrder) -> dict[str, Any]:
        """The order as it is to be kept.

        Raises:
            Invalid: it names requests that there are not, or contradicts itself or what is configured.
        """
        kinds = [section.kinds for section in (order.session, order.player) if section is not None]
        named = {tag for each in kinds for tag in each or {}} | set((order.shedding and order.shedding.expensive) or ())
        unknown = sorted(named - self._tags)
        if unknown:
            raise Invalid(f"no request is called {', '.join(unknown)}")
        if not _over(self._configured, order).shedding.rising:
            raise Invalid(
                "shedding: connections_s, sign_ins_s, expensive_s and requests_s must not fall, in this order"
            )
        kept: dict[str, Any] = msgspec.to_builtins(order)
        return kept

    def apply(self, order: dict[str, Any]) -> None:
        """Go by what is configured, and over it by ``order`` as it was kept. One that this release does not
        understand, because a newer one has kept it, changes nothing."""
        try:
            effective = _over(self._configured, _understood(order))
        except msgspec.ValidationError as error:
            log.error("limits.not_understood", reason=str(error))
            return
        if order != self.order:
            log.info("limits.changed", sections=sorted(order))
        self.order, self.effective = order, effective
        self.session.set(effective.session)
        self.players.set(effective.player)
        self.sign_in.set(effective.sign_in)
        self.admission.limits = effective.admission
        self.shedder.set(effective.shedding)

    def shown(self) -> LimitsShown:
        """For staff."""
        return LimitsShown(
            enforced=self.enforced,
            configured=msgspec.to_builtins(self._configured),
            order=self.order,
            effective=msgspec.to_builtins(self.effective),
        )


def _understood(order: dict[str, Any]) -> LimitsOrder:
    """An order as it was kept, without what only a newer release knows.

    Raises:
        msgspec.ValidationError: it is none, or out of the bounds of this release.
    """
    sections = {
        "session": SessionOrder,
        "player": PlayerOrder,
        "sign_in": SignInOrder,
        "admission": AdmissionOrder,
        "shedding": SheddingOrder,
    }
    known = {
        name: {key: value for key, value in order[name].items() if key in section.__struct_fields__}
        for name, section in sections.items()
        if isinstance(order.get(name), dict)
    }
    return msgspec.convert(known, LimitsOrder)


def _over(base: S, order: Struct) -> S:
    """``base`` with what ``order`` says in the place of what it says; kinds are added to kinds."""
    changes: dict[str, Any] = {}
    for name in order.__struct_fields__:
        said, present = getattr(order, name), getattr(base, name)
        if said is None:
            continue
        if isinstance(said, dict):
            changes[name] = {**present, **said}
        elif isinstance(said, Struct) and not isinstance(said, Rate):
            changes[name] = _over(present, said)
        else:
            changes[name] = said
    return structs.replace(base, **changes)
