"""HAProxy's PROXY headers: good ones with the client that they name, and what is none."""

import socket
import struct

from server.forwarded import FIXED_BYTES, LINE_BYTES, LONGEST_BYTES, SIGNATURE


def binary(family: int, block: bytes, *, command: int = 1, version: int = 2, length: int | None = None) -> bytes:
    """A header of the second version."""
    size = len(block) if length is None else length
    return SIGNATURE + bytes([version << 4 | command, family]) + struct.pack("!H", size) + block


def addresses(source: str, destination: str = "") -> bytes:
    """Source, destination and ports as the second version has them."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    destination = destination or ("::1" if ":" in source else "127.0.0.1")
    pair = [socket.inet_pton(family, address) for address in (source, destination)]
    return b"".join(pair) + struct.pack("!HH", 4711, 443)


TCP4, TCP6 = binary(0x11, addresses("203.0.113.9")), binary(0x21, addresses("2001:db8::9"))
LOCAL, UNSPEC = binary(0x00, b"", command=0), binary(0x00, b"whatever")
WITH_MORE = binary(0x11, addresses("203.0.113.9") + b"\x04\x00\x03abc")
LONGEST = binary(0x21, addresses("2001:db8::9") + bytes(LONGEST_BYTES - FIXED_BYTES - 36))
GOOD: dict[bytes, str | None] = {
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n": "203.0.113.9",
    b"PROXY TCP6 2001:db8::9 ::1 65535 0\r\n": "2001:db8::9",
    b"PROXY TCP6 2001:DB8:0::9 ::1 1 2\r\n": "2001:db8::9",
    b"PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n": "203.0.113.9",
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n": None,
    TCP4: "203.0.113.9",
    TCP6: "2001:db8::9",
    binary(0x21, addresses("::ffff:203.0.113.9")): "203.0.113.9",
    LOCAL: None,
    binary(0x11, addresses("203.0.113.9"), command=0): None,  # a check by the proxy itself: the block is not looked at
    binary(0xFF, b"?", command=0): None,
    UNSPEC: None,
    binary(0x31, bytes(216)): None,
    WITH_MORE: "203.0.113.9",
    LONGEST: "2001:db8::9",
}
BAD = [
    b"GET /ws HTTP/1.1\r\n",
    b"\x16\x03\x01\x02\x00",  # how TLS begins
    b"proxy TCP4 203.0.113.9 192.0.2.1 4711 443\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\n",
    b"PROXY TCP4 203.0.113.9  192.0.2.1 4711 443\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443 \r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 65536\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 -1\r\n",
    b"PROXY TCP4 203.0.113.999 192.0.2.1 4711 443\r\n",
    b"PROXY TCP4 2001:db8::9 ::1 4711 443\r\n",
    b"PROXY TCP6 203.0.113.9 192.0.2.1 4711 443\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n",
    b"PROXY UDP4 203.0.113.9 192.0.2.1 4711 443\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN " + b"x" * LINE_BYTES,
    b"PROXY UNKNOWN " + b"x" * (LINE_BYTES - 15) + b"\r\n",  # a byte too long
    binary(0x11, addresses("203.0.113.9"), version=1),
    binary(0x11, addresses("203.0.113.9"), version=3),
    binary(0x11, addresses("203.0.113.9"), command=2),
    binary(0x11, addresses("203.0.113.9")[:-1]),
    binary(0x21, addresses("2001:db8::9")[:-1]),
    binary(0x31, bytes(215)),
    binary(0x12, addresses("203.0.113.9")),  # of UDP: nothing that a stream can come from
    binary(0x41, addresses("203.0.113.9")),
    binary(0x11, b"", length=LONGEST_BYTES - FIXED_BYTES + 1),
    SIGNATURE[:-1] + b"?" + bytes(4),
]
