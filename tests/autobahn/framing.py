"""Groups 1 to 5: sizes, pings, reserved bits, opcodes, fragments."""

from collections.abc import Iterator

from tests.autobahn.case import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Awaited,
    Case,
    Message,
    Pong,
    Put,
    Step,
    alone,
    chopped,
    echoed,
    failed,
    fragments,
)

HELLO = b"Hello, world!"
NO_TEXT = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
SIZES = (0, 125, 126, 127, 128, 65_535, 65_536, 65_536)
CHOP = 997


def sizes() -> Iterator[Case]:
    """1: messages of the sizes at which the header changes its form."""
    for group, opcode, letter in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for n, size in enumerate(SIZES, 1):
            chop = CHOP if n == len(SIZES) else 0
            message = letter * size
            yield echoed(
                f"1.{group}.{n}",
                f"{'text' if opcode == TEXT else 'binary'} of {size} bytes" + (f" in chops of {chop}" if chop else ""),
                Put(opcode, message, chop=chop),
                ok=(Message(message, opcode == BINARY),),
            )


def pings() -> Iterator[Case]:
    """2: pings and pongs."""
    long = b"\xfe" * 125
    unasked, ping = Put(PONG, b"unsolicited pong payload"), Put(PING, b"ping payload")
    close = Put(CLOSE, b"\x03\xe8")
    ten = tuple(Put(PING, b"payload-%d" % n) for n in range(10))
    answers = tuple(Pong(ping.payload) for ping in ten)
    yield echoed("2.1", "an empty ping", Put(PING), ok=(Pong(b""),))
    yield echoed("2.2", "a ping with text", Put(PING, HELLO), ok=(Pong(HELLO),))
    yield echoed("2.3", "a ping with what is no text", Put(PING, NO_TEXT), ok=(Pong(NO_TEXT),))
    yield echoed("2.4", "a ping of 125 bytes", Put(PING, long), ok=(Pong(long),))
    yield failed("2.5", "a ping of 126 bytes", Put(PING, long + b"\xfe"))
    yield echoed("2.6", "a ping of 125 bytes, one at a time", Put(PING, long, chop=1), ok=(Pong(long),))
    yield echoed("2.7", "an empty pong that nobody asked for", Put(PONG), close, ok=())
    yield echoed("2.8", "a pong that nobody asked for", unasked, close, ok=())
    yield echoed("2.9", "a pong that nobody asked for, a ping", unasked, ping, ok=(Pong(ping.payload),))
    yield echoed("2.10", "ten pings", *ten, ok=answers)
    yield echoed("2.11", "ten pings, a byte at a time", *chopped(ten, 1), ok=answers)


def reserved_bits() -> Iterator[Case]:
    """3: bits that no extension has given a meaning."""
    ping, before = Put(PING), (Message(HELLO),)

    def behind(rsv: int) -> tuple[Step, ...]:
        return Put(TEXT, HELLO), Put(TEXT, HELLO, rsv=rsv), ping

    yield failed("3.1", "text with RSV 1", Put(TEXT, HELLO, rsv=1))
    yield failed("3.2", "text, text with RSV 2, a ping", *behind(2), before=before)
    yield failed("3.3", "text, text with RSV 3, a ping, frame by frame", *alone(behind(3)), before=before)
    yield failed("3.4", "text, text with RSV 4, a ping, byte by byte", *chopped(behind(4), 1), before=before)
    yield failed("3.5", "binary with RSV 5", Put(BINARY, NO_TEXT, rsv=5))
    yield failed("3.6", "binary with RSV 6", Put(BINARY, HELLO, rsv=6))
    yield failed("3.7", "close with RSV 7", Put(CLOSE, rsv=7))


def opcodes() -> Iterator[Case]:
    """4: opcodes that mean nothing, 3 to 7 for messages and 11 to 15 for control frames."""
    for group, first in ((1, 3), (2, 11)):
        yield failed(f"4.{group}.1", f"opcode {first}", Put(first))
        yield failed(f"4.{group}.2", f"opcode {first + 1}", Put(first + 1, b"reserved opcode payload"))
        for n, opcode, payload in ((3, first + 2, b""), (4, first + 3, HELLO), (5, first + 4, HELLO)):
            steps: tuple[Step, ...] = (Put(TEXT, HELLO), Put(opcode, payload), Put(PING))
            yield failed(
                f"4.{group}.{n}",
                f"text, opcode {opcode}, a ping" + (", byte by byte" if n == 5 else ""),
                *(chopped(steps, 1) if n == 5 else steps),
                before=(Message(HELLO),),
            )


def fragmented() -> Iterator[Case]:
    """5: messages in fragments."""
    yield failed("5.1", "a ping in fragments", Put(PING, b"fragment1", fin=False), Put(CONT, b"fragment2"))
    yield failed("5.2", "a pong in fragments", Put(PONG, b"fragment1", fin=False), Put(CONT, b"fragment2"))
    two = fragments(TEXT, b"fragment1fragment2", 9)
    with_ping = (two[0], Put(PING, b"ping payload"), two[1])
    whole = Message(b"fragment1fragment2")
    for n, what, chop in ((0, "", tuple), (1, ", frame by frame", alone), (2, ", byte by byte", one_by_one)):
        yield echoed(f"5.{3 + n}", "text in two fragments" + what, *chop(two), ok=(whole,))
        yield echoed(
            f"5.{6 + n}", "a ping between fragments" + what, *chop(with_ping), ok=(Pong(b"ping payload"), whole)
        )
        for first, fin in ((9, True), (12, False)):
            nothing = (Put(CONT, b"non-continuation payload", fin=fin), Put(TEXT, HELLO))
            yield failed(f"5.{first + n}", f"a continuation of nothing, FIN {fin}, text{what}", *chop(nothing))
    yield failed(
        "5.15",
        "text in two fragments, a continuation of nothing, text",
        *two,
        Put(CONT, b"fragment3", fin=False),
        Put(TEXT, b"fragment4"),
        before=(whole,),
    )
    for number, fin in (("5.16", False), ("5.17", True)):
        three = (Put(CONT, b"fragment1", fin=fin), Put(TEXT, b"fragment2", fin=False), Put(CONT, b"fragment3"))
        yield failed(number, f"twice: a continuation of nothing, FIN {fin}, text in fragments", *three, *three)
    again = (Put(TEXT, b"fragment1", fin=False), Put(TEXT, b"fragment2"))
    yield failed("5.18", "a second fragment that says text", *again)
    text = b"fragment1fragment2fragment3fragment4fragment5"
    five = fragments(TEXT, text, 9)
    answers = (Pong(b"pongme 1!"), Pong(b"pongme 2!"), Message(text))
    steps: tuple[Step, ...] = (
        *five[:2],
        Put(PING, b"pongme 1!"),
        Awaited(1),
        *five[2:4],
        Put(PING, b"pongme 2!"),
        five[4],
    )
    yield echoed("5.19", "pings between fragments; the first is answered before the message ends", *steps, ok=answers)
    yield echoed("5.20", "the same, frame by frame", *alone(steps), ok=answers)


def one_by_one(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The same frames, byte by byte."""
    return chopped(steps, 1)


def auto_fragmented() -> Iterator[Case]:
    """10: a message as a library that fragments by itself sends it."""
    text = b"*" * 65_536
    pieces = fragments(TEXT, text, 1_300)
    yield echoed("10.1.1", "text of 65,536 bytes in fragments of 1,300", *pieces, ok=(Message(text),))
