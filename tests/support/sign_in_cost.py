"""What two steps of a sign-in cost, by the short way and by the library's: ``python -m tests.support.sign_in_cost``.

A request that comes in two pieces is websockets' to answer, and a token with padding is PyJWT's to read.
"""

from collections.abc import Callable
from time import process_time
from timeit import repeat

from protocol import Wire
from tests.fuzz.line import Driven
from tests.fuzz.streams import KEY, UPGRADE
from tests.server.jwt_kit import ED_KEY, HMAC_KEY, RSA_KEY, hs256, rs256, tokens

TIMES, ROUNDS = 1_000, 9
REQUEST = UPGRADE.replace(KEY, KEY + f"Sec-WebSocket-Protocol: {Wire.MSGPACK.subprotocol}\r\n".encode())


def upgraded(*pieces: bytes) -> None:
    """A connection that writes nowhere, from its making to its upgrade."""
    line = Driven()
    for piece in pieces:
        line.feed(piece)
    assert line.connection.open


def padded(token: str) -> str:
    """The same token, with a signature as some issuers write it."""
    return token + "=" * (-len(token.rpartition(".")[2]) % 4)


def main() -> None:
    """Measure and print, the best of some rounds."""
    say("upgrade", lambda: upgraded(REQUEST), lambda: upgraded(REQUEST[:9], REQUEST[9:]))
    for key, token in ((HMAC_KEY, hs256()), (RSA_KEY, rs256()), (ED_KEY, tokens(ED_KEY).mint("ann").token)):
        verify, other = tokens(key).verify, padded(token)
        say(f"token, {key.alg}", lambda: verify(token), lambda: verify(other))  # noqa: B023 - called at once


def say(what: str, short: Callable[[], object], library: Callable[[], object]) -> None:
    """A line of the table."""
    best = [min(repeat(way, number=TIMES, repeat=ROUNDS, timer=process_time)) / TIMES * 1e6 for way in (short, library)]
    print(f"{what:16}{best[0]:8.1f} µs{best[1]:10.1f} µs")  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
