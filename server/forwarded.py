"""Whose a connection is that came through a proxy: HAProxy's PROXY header, and ``X-Forwarded-For``. Pure.

A proxy that passes on bytes says it before the first of them, one that understands HTTP in a field of the request.
Anybody can write either, so both are believed of the addresses only that the operator trusts. The header is as in
HAProxy's doc/proxy-protocol.txt, sections 2.1 (text) and 2.2 (binary).
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import islice
from typing import Final, NamedTuple

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"  # of the binary form
WORD: Final = b"PROXY "  # that the text form begins with
LINE_BYTES: Final = 107  # the longest line of the text form, its end included (2.1)
FIXED_BYTES: Final = 16  # of the binary form, before what its length counts
LONGEST_BYTES: Final = FIXED_BYTES + 4_096  # addresses take 36; the rest is for what a proxy adds (2.2.x)
HOPS: Final = 32  # looked at in X-Forwarded-For, from the right; no chain of proxies is near it
LOCAL, RELAYED = 0, 1  # commands of the binary form
TCP4, TCP6, UNIX, UNKNOWN = 0x11, 0x21, 0x31, 0x00  # families of the binary form
UNIX_BYTES: Final = 216
_LINE = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (\d{1,5}) (\d{1,5})\r\n")
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(| [^\r\n]*)\r\n")


class BadHeader(Exception):
    """What a trusted proxy has sent is no PROXY header; the connection cannot be used."""


class ProxyHeader(NamedTuple):
    """A whole header."""

    length: int
    """Bytes that it takes; what follows is the client's."""
    client: str | None
    """The client's address; None where the proxy speaks for itself (a health check) or does not know."""


class Proxies:
    """The proxies whose word is believed.

    Raises:
        ValueError: one of ``trusted`` is neither an address nor a network.
    """

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._networks = [ip_network(network) for network in trusted]

    def trusts(self, address: str) -> bool:
        """Whether this is the address of a proxy that is trusted."""
        ip = _ip(address) if self._networks else None
        return ip is not None and any(ip in network for network in self._networks)

    def client(self, peer: str, forwarded: Iterable[str]) -> str:
        """The client's address, where ``peer`` is on the other end of the connection and ``forwarded`` are the values
        of ``X-Forwarded-For`` in their order.

        Each proxy appends whom it got the request from, so the list is believed from the right, as far as those who
        wrote it are trusted: the rightmost address that is none of theirs is the client's, and what stands left of it
        is only what the client claims.
        """
        client = peer
        hops = (hop for value in reversed([*forwarded]) for hop in reversed(value.rsplit(",", HOPS)))
        for hop in islice(hops, HOPS):
            if not self.trusts(client):
                break
            ip = _ip(_without_port(hop.strip(" \t")))
            if ip is None:
                break
            client = str(ip)
        return client


def read_header(seen: bytes) -> ProxyHeader | None:
    """The PROXY header that ``seen`` begins with; None while more of it has to come. Trusted or not is the caller's to
    ask: it must never be guessed whether there is one.

    Raises:
        BadHeader: it begins with something else.
    """
    if seen.startswith(SIGNATURE[: len(seen)]):
        return _binary(seen)
    if seen.startswith(WORD[: len(seen)]):
        return _text(seen)
    raise BadHeader("no PROXY header")


def _text(seen: bytes) -> ProxyHeader | None:
    end = seen.find(b"\n", 0, LINE_BYTES) + 1
    if not end:
        if len(seen) < LINE_BYTES:
            return None
        raise BadHeader("the line of a PROXY header does not end")
    line = seen[:end]
    if _UNKNOWN.fullmatch(line):
        return ProxyHeader(end, None)
    match = _LINE.fullmatch(line)
    if match is None or int(match[4]) > 65535 or int(match[5]) > 65535:
        raise BadHeader("a PROXY header that is not of the form")
    version = 4 if match[1] == b"TCP4" else 6
    client, _ = (_address(match[n].decode(), version) for n in (2, 3))
    return ProxyHeader(end, client)


def _address(text: str, version: int) -> str:
    try:
        ip = ip_address(text)
    except ValueError:
        raise BadHeader("a PROXY header with no address where one belongs") from None
    if ip.version != version:
        raise BadHeader("a PROXY header with an address of another family")
    return str(_plain(ip))


def _binary(seen: bytes) -> ProxyHeader | None:
    if len(seen) < FIXED_BYTES:
        return None
    version, command, family = seen[12] >> 4, seen[12] & 15, seen[13]
    length = FIXED_BYTES + int.from_bytes(seen[14:16], "big")
    if version != 2 or command not in {LOCAL, RELAYED}:
        raise BadHeader("a PROXY header of a version or a command that is not known")
    if length > LONGEST_BYTES:
        raise BadHeader(f"a PROXY header of more than {LONGEST_BYTES} bytes")
    if len(seen) < length:
        return None
    client = None if command == LOCAL else _relayed(family, seen[FIXED_BYTES:length])
    return ProxyHeader(length, client)


def _relayed(family: int, block: bytes) -> str | None:
    """The client's address: source and destination are first, then their ports, then what a proxy adds."""
    if family == TCP4 and len(block) >= 12:
        return str(IPv4Address(block[:4]))
    if family == TCP6 and len(block) >= 36:
        return str(_plain(IPv6Address(block[:16])))
    if family == UNKNOWN or (family == UNIX and len(block) >= UNIX_BYTES):
        return None
    raise BadHeader("a PROXY header of a family that no player can come from, or too short for it")


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return _plain(ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def _plain(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address as such, also where it came as ``::ffff:192.0.2.1``."""
    return (ip.ipv4_mapped if isinstance(ip, IPv6Address) else None) or ip


def _without_port(hop: str) -> str:
    """Some proxies write ``192.0.2.1:4711`` or ``[2001:db8::1]:4711``."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
