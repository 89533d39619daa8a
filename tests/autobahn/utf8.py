"""Group 6: UTF-8, for the most part after Markus Kuhn's decoder stress test.

https://www.cl.cam.ac.uk/~mgk25/ucs/examples/UTF-8-test.txt; which sequences are good is written down here, not asked of
Python's decoder, which the server uses.
"""

from collections.abc import Iterable, Iterator

from tests.autobahn.case import (
    CONT,
    INVALID_PAYLOAD,
    TEXT,
    Case,
    Message,
    Pause,
    Put,
    Step,
    StillOpen,
    echoed,
    failed,
    fragments,
)

UMLAUTS = "Hello-µ@ßöäüàá-UTF-8!!".encode()
GREEK = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"  # five letters
ENDS_OF_LETTERS = (2, 5, 7, 9, 11)
EDITED = b"edited"
SURROGATE = b"\xed\xa0\x80"
TOO_HIGH = b"\xf4\x90\x80\x80"  # U+110000; its second byte makes it wrong


def by_hex(text: str) -> tuple[bytes, ...]:
    """Sequences that are written in hexadecimal."""
    return tuple(bytes.fromhex(sequence) for sequence in text.split())


NO_END = by_hex("c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf")
NO_CHARACTERS = by_hex("efbfbe efbfbf") + tuple(
    bytes((first, second, 0xBF, last))
    for first in range(0xF0, 0xF5)
    for second in (0x8F, 0x9F, 0xAF, 0xBF)
    for last in (0xBE, 0xBF)
    if not (first == 0xF0 and second == 0x8F)  # overlong
    and not (first == 0xF4 and second != 0x8F)  # past U+10FFFF
)


def lonely(first: int, past: int) -> bytes:
    """First bytes of sequences, each of which a space follows."""
    return b"".join(bytes((byte, 0x20)) for byte in range(first, past))


GROUPS: tuple[tuple[int, str, bool, Iterable[bytes]], ...] = (
    (5, "good text", True, (b"hello$world", *by_hex("68656c6c6fc2a2776f726c64 68656c6c6fe282ac776f726c64"),
                            *by_hex("68656c6c6ff0a4ada2776f726c64"), GREEK)),
    (7, "the first code point of a length", True, by_hex("00 c280 e0a080 f0908080")),
    (8, "the first of a length that is too long", False, by_hex("f888808080 fc8480808080")),
    (9, "the last code point of a length", True, by_hex("7f dfbf efbfbf f48fbfbf")),
    (10, "the last of a length that is too long", False, by_hex("f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf")),
    (12, "a continuation of nothing", False, (*by_hex("80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf"),
                                              bytes(range(0x80, 0xBF)))),
    (13, "first bytes alone", False, (lonely(0xC0, 0xDF), lonely(0xE0, 0xEF), lonely(0xF0, 0xF7), lonely(0xF8, 0xFB),
                                      lonely(0xFC, 0xFD))),
    (14, "the last byte is missing", False, NO_END),
    (15, "sequences without their last bytes", False, (b"".join(NO_END),)),
    (16, "bytes that are never good", False, by_hex("fe ff fefeffff")),
    (17, "an overlong slash", False, by_hex("c0af e080af f08080af f8808080af fc80808080af")),
    (18, "the longest overlong sequences", False, by_hex("c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf")),
    (19, "an overlong NUL", False, by_hex("c080 e08080 f0808080 f880808080 fc8080808080")),
    (20, "half of a surrogate pair", False, by_hex("eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf")),
    (21, "a surrogate pair", False, by_hex("eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf edae80edb080 "
                                           "edae80edbfbf edafbfedb080 edafbfedbfbf")),
    (22, "code points that are no characters", True, NO_CHARACTERS),
    (23, "special code points", True, by_hex("efbfb9 efbfba efbfbb efbfbc efbfbd efbfbe efbfbf")),
)  # fmt: skip


def sequences() -> Iterator[Case]:
    """6.5 to 6.23: one message, one frame."""
    for group, what, good, texts in GROUPS:
        for n, text in enumerate(texts, 1):
            yield one(f"6.{group}.{n}", what, text, good=good)
    for size in range(1, len(GREEK) + 1):
        yield one(f"6.6.{size}", f"the first {size} bytes of good text", GREEK[:size], good=size in ENDS_OF_LETTERS)
    borders = by_hex("ed9fbf ee8080 efbfbd f48fbfbf f4908080")
    for n, text in enumerate(borders, 1):
        yield one(f"6.11.{n}", "at a border", text, good=text != TOO_HIGH)


def one(number: str, what: str, text: bytes, *, good: bool) -> Case:
    """A text message in one frame."""
    what = f"{what}: {text[:16].hex()}"
    if good:
        return echoed(number, what, Put(TEXT, text), ok=(Message(text),))
    return failed(number, what, Put(TEXT, text), code=INVALID_PAYLOAD)


def in_fragments() -> Iterator[Case]:
    """6.1 to 6.3: empty fragments, and fragments that end within a letter."""
    empty, first = Put(CONT, fin=False), Put(TEXT, fin=False)
    middle = b"middle frame payload"
    yield echoed("6.1.1", "empty text", Put(TEXT), ok=(Message(b""),))
    yield echoed("6.1.2", "three empty fragments", first, empty, Put(CONT), ok=(Message(b""),))
    between = (first, Put(CONT, middle, fin=False), Put(CONT))
    yield echoed("6.1.3", "text between empty fragments", *between, ok=(Message(middle),))
    yield one("6.2.1", "good text", UMLAUTS, good=True)
    yield echoed("6.2.2", "fragments that end with a letter", *cut(UMLAUTS, 15), ok=(Message(UMLAUTS),))
    yield echoed("6.2.3", "fragments of a byte", *fragments(TEXT, UMLAUTS, 1), ok=(Message(UMLAUTS),))
    yield echoed("6.2.4", "fragments of a byte", *fragments(TEXT, GREEK, 1), ok=(Message(GREEK),))
    bad = GREEK + SURROGATE + EDITED
    yield one("6.3.1", "bad text", bad, good=False)
    yield failed("6.3.2", "bad text in fragments of a byte", *fragments(TEXT, bad, 1), code=INVALID_PAYLOAD)


def fail_fast() -> Iterator[Case]:
    """6.4: bad text is to be refused before the message has ended."""
    bad = GREEK + TOO_HIGH + EDITED
    for n, places in ((1, (11, 15)), (2, (12, 13))):
        first, rest = cut(bad, places[0])
        second, third = rest._replace(payload=bad[places[0] : places[1]], fin=False), Put(CONT, bad[places[1] :])
        frames = (first, Pause("A"), second, Pause("B"), third)
        chops = (Put(TEXT, bad, parts=places),)
        yield late(f"6.4.{n}", f"bad text in three frames, cut at {places}", *frames)
        yield late(f"6.4.{n + 2}", f"bad text in one frame that comes in three parts, cut at {places}", *chops)


def cut(text: bytes, at: int) -> tuple[Put, Put]:
    """A text in two fragments."""
    return Put(TEXT, text[:at], fin=False), Put(CONT, text[at:])


def late(number: str, what: str, *steps: Step) -> Case:
    """A case that a server may end in time, or at least in the end."""
    case = failed(number, what, *steps, code=INVALID_PAYLOAD)
    return case._replace(ok=(StillOpen("A"),), non_strict=(StillOpen("A"), StillOpen("B")))
