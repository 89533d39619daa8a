"""What a call of the client can end with, other than its reply.

    Exception
    ├── Refused              for certain: the server's answer is no, and nothing was done
    ├── OutcomeUnknown       no answer in time: it may have been done, once, or may still be
    ├── SessionEnded         the server does not want this client back as it is
    └── ConnectionError
        └── NotConnected     no session within the time given

``protocol.TooManyPending`` and ``protocol.TooLong`` say that a request was not taken at all.
"""

import asyncio
from typing import Any, Literal

Retry = Literal["never", "now", "later"]


class Refused(Exception):
    """The server refused the request; ``code`` is stable (protocol/catalogue.json lists them all)."""

    def __init__(self, reply: dict[str, Any]) -> None:
        self.code: str = reply.get("code", "")
        self.message: str = reply.get("message", "")
        """For a developer's log, in English."""
        self.retry: Retry = reply.get("retry", "never")
        """The server's rule. ``now`` and ``later`` are obeyed inside, so that this is ``never``."""
        self.retry_after_ms: int | None = reply.get("retry_after_ms")
        self.trace: str = reply.get("trace", "")
        """Finds the request in the server's log."""
        super().__init__(f"{self.code}: {self.message}")


class OutcomeUnknown(Exception):
    """No answer came in time. The request goes on being sent, with its id, until it is answered.

    ``Client.outcome`` waits on; ``Client.forget`` gives it up.
    """

    def __init__(self, op: str, answer: asyncio.Future[dict[str, Any]]) -> None:
        super().__init__(f"request {op} has no answer yet")
        self.op = op
        """Its request id."""
        self.answer = answer
        """Will hold the reply, or Refused."""


class SessionEnded(Exception):
    """The server closed with a code from 4500 on, or refused the hello: the same client would fail again."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        """See PROTOCOL.md, Session; 4501: a new token is needed."""
        self.reason = reason


class NotConnected(ConnectionError):
    """The server was not reached, or gave no welcome, within the time given."""
