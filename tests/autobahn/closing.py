"""Group 7: how a connection ends."""

import struct
from collections.abc import Iterator

from tests.autobahn.case import (
    CLOSE,
    CONT,
    INVALID_PAYLOAD,
    NORMAL,
    PING,
    PROTOCOL_ERROR,
    TEXT,
    Case,
    Message,
    Put,
    Step,
    echoed,
)

GOOD_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
BAD_CODES = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)
UNKNOWN_CODES = (5000, 65_535)
HELLO = b"Hello World!"
BAD_REASON = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"


def close(code: int = NORMAL, reason: bytes = b"") -> Put:
    """A close frame, whether or not it is a good one."""
    return Put(CLOSE, struct.pack("!H", code) + reason)


def closings() -> Iterator[Case]:
    """7.1: what is behind a close frame does not count."""
    text = Put(TEXT, HELLO)
    yield echoed("7.1.1", "text, then close", text, ok=(Message(HELLO),))
    yield echoed("7.1.2", "two close frames", close(), Put(CLOSE), ok=())
    yield echoed("7.1.3", "a ping behind the close frame", close(), Put(PING), ok=())
    yield echoed("7.1.4", "text behind the close frame", close(), text, ok=())
    first, second = Put(TEXT, b"fragment1", fin=False), Put(CONT, b"fragment2")
    yield echoed("7.1.5", "a close frame between fragments", first, close(), second, ok=())
    long = (b"BAsd7&jh23" * 26_215)[: 256 * 1024]
    yield Case(
        "7.1.6",
        "256 KiB of text, text, close, a ping",
        (Put(TEXT, long), text, close(), Put(PING)),
        informational=True,
    )


def payloads() -> Iterator[Case]:
    """7.3 and 7.5: how long a close frame may be, and what it may say."""
    yield echoed("7.3.1", "close with nothing", Put(CLOSE), ok=())
    yield refused("7.3.2", "close with one byte", Put(CLOSE, b"a"))
    yield echoed("7.3.3", "close with a code", close(), ok=())
    yield echoed("7.3.4", "close with a code and a reason", close(reason=HELLO), ok=())
    yield echoed("7.3.5", "close with a reason of 123 bytes", close(reason=b"*" * 123), ok=())
    yield refused("7.3.6", "close with a reason of 124 bytes", close(reason=b"*" * 124))
    bad = refused("7.5.1", "close with a reason that is no UTF-8", close(reason=BAD_REASON))
    yield bad._replace(codes=(PROTOCOL_ERROR, INVALID_PAYLOAD))


def codes() -> Iterator[Case]:
    """7.7, 7.9 and 7.13: codes that may be sent, that may not, and of which the RFC says nothing."""
    for n, code in enumerate(GOOD_CODES, 1):
        yield echoed(f"7.7.{n}", f"close with {code}", close(code), ok=())._replace(codes=(NORMAL, code))
    for n, code in enumerate(BAD_CODES, 1):
        yield refused(f"7.9.{n}", f"close with {code}", close(code))
    for n, code in enumerate(UNKNOWN_CODES, 1):
        any_code = (NORMAL, code, PROTOCOL_ERROR)
        yield Case(f"7.13.{n}", f"close with {code}", (close(code),), codes=any_code, clean=False, informational=True)


def refused(number: str, what: str, *steps: Step) -> Case:
    """A close frame that is a wrong one."""
    return Case(number, what, steps, codes=(PROTOCOL_ERROR,), clean=False)
