"""Byte streams as clients, bad clients and line noise make them, and ways to chop them."""

import struct
from collections.abc import Iterator, Sequence
from random import Random

from hypothesis import strategies as st

from tests.fuzz.line import MAX_BYTES

KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: game.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    + KEY
    + b"Sec-WebSocket-Version: 13\r\n\r\n"
)
OPCODES = (0, 1, 2, 8, 9, 10)
SIZES = (0, 1, 125, 126, 127, 200, MAX_BYTES - 1, MAX_BYTES, MAX_BYTES + 1)


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    mask: bytes = bytes(4),
    claimed: int | None = None,
    reserved: int = 0,
    form: int = 0,
) -> bytes:
    """A frame of a client. ``claimed`` is the length that its header tells, ``form`` the bytes that this takes (2 or 8;
    0: as few as will do), ``reserved`` bits 0x70; without a ``mask`` it is none of a client."""
    size = len(payload) if claimed is None else claimed
    masked = 0x80 if mask else 0
    form = form or (0 if size < 126 else 2 if size < 65_536 else 8)
    length = {0: bytes([masked | size & 127]), 2: struct.pack("!BH", masked | 126, size & 0xFFFF)}
    head = length.get(form) or struct.pack("!BQ", masked | 127, size)
    if mask:
        payload = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    return bytes([(0x80 if fin else 0) | reserved | opcode]) + head + mask + payload


def chopped(stream: bytes, seed: int) -> Iterator[bytes]:
    """``stream`` in pieces; which, is decided by ``seed``: 0 is all in one, 1 byte by byte."""
    if seed < 2:
        size = 1 if seed else max(1, len(stream))
        yield from (stream[start : start + size] for start in range(0, len(stream), size))
        return
    dice = Random(seed)
    start = 0
    longest = dice.choice((3, 20, 300, 5_000))
    while start < len(stream):
        size = dice.randint(1, longest)
        yield stream[start : start + size]
        start += size


masks = st.just(bytes(4)) | st.binary(min_size=4, max_size=4)
payloads = (
    st.binary(max_size=20)
    | st.text(max_size=20).map(str.encode)
    | st.builds(lambda size, byte: byte * size, st.sampled_from(SIZES), st.binary(min_size=1, max_size=1))
)
whole = st.builds(frame, st.sampled_from((1, 2)), payloads, mask=masks)
fragment = st.builds(frame, st.sampled_from((0, 0, 1)), payloads, fin=st.booleans(), mask=masks)
control = st.builds(frame, st.sampled_from((9, 10)), st.binary(max_size=125), mask=masks)
closes = st.builds(
    lambda code, reason, mask: frame(8, struct.pack("!H", code) + reason, mask=mask),
    st.sampled_from((1000, 1001, 1005, 1006, 1015, 2999, 3000, 4000, 5000)) | st.integers(0, 65_535),
    st.binary(max_size=5) | st.text(max_size=40).map(str.encode),
    masks,
)
fragmented = st.builds(
    lambda opcode, parts, between: (
        frame(opcode, parts[0], fin=False)
        + between.join(frame(0, part, fin=n == len(parts) - 2) for n, part in enumerate(parts[1:]))
    ),
    st.sampled_from((1, 2)),
    st.lists(payloads, min_size=2, max_size=5),
    st.just(b"") | control,
)
odd = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    fin=st.booleans(),
    mask=st.sampled_from((b"", bytes(4), b"\xff\x00\xaa\x55")),
    claimed=st.none()
    | st.integers(0, 300)
    | st.sampled_from((MAX_BYTES + 1, 2**16, 2**31, 2**63 - 1, 2**63, 2**64 - 1)),
    reserved=st.sampled_from((0, 0, 0, 0x40, 0x20, 0x10, 0x70)),
    form=st.sampled_from((0, 0, 2, 8)),
)
tame = whole | fragmented | control
wild = tame | fragment | closes | odd | st.binary(min_size=1, max_size=12)


def damaged(stream: bytes, places: Sequence[tuple[int, int]]) -> bytes:
    """``stream`` with some bytes changed."""
    made = bytearray(stream)
    for place, byte in places:
        if made:
            made[place % len(made)] = byte
    return bytes(made)


def requests(extra: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Upgrade requests, most of them good."""
    protocols = st.sampled_from(
        (
            b"",
            b"",
            b"Sec-WebSocket-Protocol: guildhall.v1.msgpack\r\n",
            b"Sec-WebSocket-Protocol: nope, guildhall.v1.json\r\n",
            b"Sec-WebSocket-Protocol: nope\r\n",
            b"Sec-WebSocket-Protocol: ,;\r\n",
            b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
            b"Sec-WebSocket-Extensions: ;=\r\n",
        )
    )
    good = protocols.map(lambda more: UPGRADE.replace(KEY, KEY + more))
    bad = st.sampled_from(
        (
            UPGRADE.replace(b"/ws", b"/other"),
            UPGRADE.replace(KEY, b""),
            UPGRADE.replace(KEY, KEY + KEY),
            UPGRADE.replace(KEY, KEY + b"Content-Length: 5\r\n"),
            UPGRADE.replace(KEY, KEY + b"Transfer-Encoding: chunked\r\n"),
            UPGRADE.replace(b"\r\n", b"\n"),
            b"GET /ws HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
            b"\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        )
    )
    harmed = st.builds(damaged, good, st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=3))
    return good | bad | harmed | extra


well_behaved = st.builds(lambda parts: UPGRADE + b"".join(parts), st.lists(tame, max_size=12))
abusive = st.builds(
    lambda parts, places: UPGRADE + damaged(b"".join(parts), places),
    st.lists(wild, max_size=10),
    st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 255)), max_size=2),
)
strange = st.builds(
    lambda request, parts: request + b"".join(parts),
    requests(st.binary(max_size=200)),
    st.lists(wild, max_size=4),
)
seeds = st.integers(0, 3) | st.integers(0, 2**32)
