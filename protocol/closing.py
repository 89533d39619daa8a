"""Close codes of a connection (PROTOCOL.md, Session).

4000 to 4499: reconnect with full jitter, and resume. 4500 to 4999: do not reconnect as you are.
"""

from enum import IntEnum


class CloseCode(IntEnum):
    """Why a connection was ended, and by its range what the client does next."""

    DRAINING = 4000
    SLOW_CONSUMER = 4001
    HEARTBEAT_MISSED = 4002
    INTERNAL = 4003
    RATE_ABUSED = 4004

    PROTOCOL_ABUSE = 4500
    NOT_AUTHENTICATED = 4501
    BANNED = 4502
    SIGNED_IN_ELSEWHERE = 4503
    CLIENT_TOO_OLD = 4504
    NO_COMMON_VERSION = 4505
    CLOSED_BY_OPERATOR = 4506


def may_reconnect(code: int) -> bool:
    """Whether a client that saw ``code`` reconnects by itself.

    Standard codes (1000 to 1015, RFC 6455 section 7.4.1) are a lost connection or a server that
    went away: reconnect. Only 4500 to 4999 mean that the same client would fail again.
    """
    return not 4500 <= code <= 4999
