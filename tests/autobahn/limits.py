"""Group 9: long messages, many fragments, many chops, many messages.

Up to 4 MiB, which is the most that a gateway can be set to: 9.1.5 and 9.1.6 (and 9.2) send 8 and 16.
"""

from collections.abc import Iterator

from tests.autobahn.case import BINARY, TEXT, Case, Fragmented, Message, Put, Trips, echoed

KIB, MIB = 1024, 1024 * 1024
LENGTHS = (64 * KIB, 256 * KIB, MIB, 4 * MIB)
FRAGMENTS = (64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB)
CHOPS = (64, 128, 256, 512, KIB, 2 * KIB)
TRIPS = 1_000
TRIP_LENGTHS = (0, 16, 64, 256, KIB, 4 * KIB)
LETTERS = b"BAsd7&jh23"
KINDS = ((0, TEXT, "text"), (1, BINARY, "binary"))


def of_length(length: int) -> bytes:
    """A payload."""
    return (LETTERS * (length // len(LETTERS) + 1))[:length]


def limits() -> Iterator[Case]:
    """9.1 to 9.8; the even ones are binary."""
    for group, opcode, kind in KINDS:
        binary = opcode == BINARY
        for n, length in enumerate(LENGTHS, 1):
            message = of_length(length)
            yield echoed(
                f"9.{1 + group}.{n}", f"{kind} of {length}", Put(opcode, message), ok=(Message(message, binary),)
            )
        message = of_length(4 * MIB)
        for n, size in enumerate(FRAGMENTS, 1):
            pieces = Fragmented(opcode, message, size)
            yield echoed(
                f"9.{3 + group}.{n}", f"4 MiB of {kind} in fragments of {size}", pieces, ok=(Message(message, binary),)
            )
        message = of_length(MIB)
        for n, size in enumerate(CHOPS, 1):
            chops = Put(opcode, message, chop=size)
            yield echoed(
                f"9.{5 + group}.{n}", f"1 MiB of {kind} in chops of {size}", chops, ok=(Message(message, binary),)
            )
        for n, length in enumerate(TRIP_LENGTHS, 1):
            yield trips(f"9.{7 + group}.{n}", opcode, length)


def trips(number: str, opcode: int, length: int) -> Case:
    """Messages, each of which is sent when the one before is back."""
    message = of_length(length)
    echoes = (Message(message, opcode == BINARY),) * TRIPS
    return echoed(
        number, f"{TRIPS} messages of {length}, one after the other", Trips(Put(opcode, message), TRIPS), ok=echoes
    )
