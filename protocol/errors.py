"""The one family of errors that a client may see.

    GuildhallError                 a refusal: an answer, not a defect
    ├── Invalid                    protocol.invalid      the message cannot be understood
    ├── IdReused                   request.id_reused     same id, another body
    ├── TooOld                     request.too_old       the id is older than the window of kept replies
    ├── NotAuthenticated           auth.invalid          no token, or one that does not verify
    │   └── TokenExpired           auth.expired
    ├── RateLimited                rate.limited          too much, come back after ``retry_after_ms``
    ├── Unavailable                unavailable           the node cannot answer now; the outcome may be unknown
    ├── Busy                       actor.busy            the actor's mailbox is full
    ├── Quarantined                actor.quarantined     the actor cannot be loaded, an operator has to look
    ├── Moved                      actor.moved           another node owns the actor
    ├── Defect                     internal              our mistake; the trace id finds it in the log
    └── each room's own            guild.full, chat.not_member, …

Every class is one condition with a stable ``code`` and the client's whole rule, ``retry`` (PROTOCOL.md, Envelope).
"""

from typing import ClassVar, Literal

Retry = Literal["never", "now", "later"]


class GuildhallError(Exception):
    """A condition that the client is told by its ``code``.

    ``retry`` is the client's whole rule: ``never``; ``now`` (same id, at once); ``later`` (same id, after
    ``retry_after_ms`` where it is given). The message is for a developer's log, in English.
    """

    code: ClassVar[str] = "internal"
    retry: ClassVar[Retry] = "never"

    def __init__(self, message: str = "", *, retry_after_ms: int | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])
        self.retry_after_ms = retry_after_ms
        self.trace = ""
        """Set where the error was logged, so that the client's trace leads to that line."""


class Invalid(GuildhallError):
    """The message cannot be decoded, lacks a required field, or is out of bounds."""

    code = "protocol.invalid"

    def __init__(self, message: str = "", *, re: str | None = None) -> None:
        super().__init__(message)
        self.re = re
        """The request id, where one could be read."""


class IdReused(GuildhallError):
    """This id was used for a request with another body."""

    code = "request.id_reused"


class TooOld(GuildhallError):
    """This id is older than the window of kept replies; it was not run again."""

    code = "request.too_old"


class NotAuthenticated(GuildhallError):
    """The token is missing or does not verify."""

    code = "auth.invalid"


class TokenExpired(NotAuthenticated):
    """The token has expired; get a new one."""

    code = "auth.expired"


class RateLimited(GuildhallError):
    """Too many requests; repeat after the given pause."""

    code = "rate.limited"
    retry = "later"


class Unavailable(GuildhallError):
    """The node cannot answer now. The outcome may be unknown: the same id finds out."""

    code = "unavailable"
    retry = "later"


class Busy(GuildhallError):
    """The actor has as much waiting as it may, in all or of this sender; nothing was done."""

    code = "actor.busy"
    retry = "later"


class Quarantined(GuildhallError):
    """The actor keeps failing and was set aside until an operator has looked."""

    code = "actor.quarantined"
    retry = "later"


class Moved(GuildhallError):
    """Another node owns the actor; nothing was done here."""

    code = "actor.moved"
    retry = "now"


class Defect(GuildhallError):
    """An unexpected error on our side; the trace id finds it in the log."""

    code = "internal"
    retry = "now"
